// The committed file of counts: what a training step of each cell must not exceed on any machine.
//   {"schema": "lra.baseline/1", "rows": [
//     {"cell": "softmax@512", "parameters": ..., "planned_bytes": ..., "why": "..."},       one row a line
//   ]}
#ifndef LRA_TOOLS_COMPARE_BASELINE_H
#define LRA_TOOLS_COMPARE_BASELINE_H

#include <string>
#include <vector>

#include "tools/compare/gate.h"

namespace lra::compare {

struct Baseline {
  std::vector<Json> rows;

  // Throws Error(kData) for a file that is not a baseline, Error(kIo) if it cannot be read.
  static Baseline read(const std::string& path);
  void write(const std::string& path) const;
  const Json* find(const std::string& cell) const;
};

// The row of a cell, measured now.
Json measure_row(const Build& build, const Cell& cell, bool instructions);
// Findings of `measured` against its row; instructions within `margin`.
std::vector<Finding> check_row(const Json& row, const Json& measured, double margin);

}  // namespace lra::compare

#endif  // LRA_TOOLS_COMPARE_BASELINE_H
