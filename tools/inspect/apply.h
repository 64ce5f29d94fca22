// One forward and backward on numbers from files: the door through which any other implementation can be compared.
//   in   x.npy, dy.npy, DIR/<parameter>.npy        out   y.npy, dx.npy, d<parameter>.npy, aux.npy,
//   params/<parameter>.npy
#ifndef LRA_TOOLS_INSPECT_APPLY_H
#define LRA_TOOLS_INSPECT_APPLY_H

#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "tools/inspect/module.h"

namespace lra::inspect {

// A file of float32 or float64 numbers as [rows, cols]: two axes, or one where rows or cols is 1. -1 takes any. `what`
// names the array in the message. Throws Error(kData): file, found, wanted.
struct Matrix {
  int64_t rows = 0, cols = 0;
  Numbers numbers;
};
Matrix read_matrix(const std::string& path, int64_t rows, int64_t cols, const std::string& what);

// Sets every parameter and buffer for which `folder` has a file <name>.npy; returns the names set. Throws Error(kUsage)
// for a .npy file that belongs to none.
std::vector<std::string> read_params(const std::string& folder, Module& module);

// [{"name", "rows", "cols", "kind", "init", "init_scale"}]
Json list_params(const Module& module);

struct Task {
  Numbers x;
  std::optional<Numbers> dy;  // without it there is no backward, and forward runs as in evaluation
  std::string out;            // folder
};
// Writes the files and summary.json; returns the summary: {"aux", "not_finite", "files"}.
Json apply(Module& module, const Task& task);

}  // namespace lra::inspect

#endif  // LRA_TOOLS_INSPECT_APPLY_H
