// What a module does to its rows, as a matrix.
//   weights     o_i = sum_j A_ij v_j      read off head by head with values that are one in a single row
//   influence   |dy_i / dx_j|             for ideas without such an A: |J_ij^T u| with a random u of unit variance
#ifndef LRA_TOOLS_INSPECT_MIXING_H
#define LRA_TOOLS_INSPECT_MIXING_H

#include <optional>
#include <string>
#include <vector>

#include "tools/inspect/module.h"

namespace lra::inspect {

struct Mixing {
  enum class Kind { kWeights, kInfluence };
  Kind kind = Kind::kWeights;
  int64_t rows = 0, heads = 0;  // heads is 1 for influence
  std::vector<Real> matrices;   // [heads, rows, rows]
  std::string note;             // why it is influence, or ""

  // One head, or the mean over them all: [rows, rows].
  std::vector<Real> of(std::optional<int64_t> head) const;
};

// Weights where the variant can show them, else influence. x: [rows, D].
Mixing mixing_of(Module& module, const Numbers& x);
// dh passes' worth of rows at a time: rows / dh passes. Throws Error(kUsage) if the variant has no mix_values.
Mixing weights_of(Module& module, const Numbers& x);
// One forward and one backward for each row.
Mixing influence_of(Module& module, const Numbers& x);

// Facts about a matrix: {"rows", "least", "most", "not_zero", "row_sum_least", "row_sum_most"}.
Json describe(const std::vector<Real>& matrix, int64_t rows);

}  // namespace lra::inspect

#endif  // LRA_TOOLS_INSPECT_MIXING_H
