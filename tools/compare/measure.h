// Measuring a build: its lra-bench is started and asked, so that what is measured is that build's harness and variant.
#ifndef LRA_TOOLS_COMPARE_MEASURE_H
#define LRA_TOOLS_COMPARE_MEASURE_H

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "tools/bench/remote.h"

namespace lra::compare {

// One variant at one length: 2 layers, D = 64, 2 heads, 4 sequences a step, one thread.
struct Cell {
  std::string variant;
  int64_t length = 0;
  std::string name() const { return variant + "@" + std::to_string(length); }
};
// "softmax@512"; "softmax" alone stands for length 512. Throws Error(kUsage).
Cell parse_cell(const std::string& text);

// A build folder, or the root of an installation.
class Build {
 public:
  // Throws Error(kPlugin) if there is no lra-bench in it.
  explicit Build(const std::string& folder);
  const std::string& folder() const { return folder_; }
  // Names of the libraries in its folder of variants.
  std::vector<std::string> variants() const;
  bool has(const std::string& variant) const;

  // Starts the cell; see RemoteSubject. Throws Error if the variant cannot be run. padding: bytes of environment, which
  // move the stack.
  std::unique_ptr<bench::RemoteSubject> start(const Cell& cell, int core, int padding = 0) const;
  // What does not depend on the clock, by name, of AVX2 code after three steps: parameters flops_per_example
  // planned_bytes planned_<category>_bytes saved_per_sequence allocations_per_step library_bytes arena_high_water_bytes
  // heap_bytes peak_rss_bytes weights_hash. Null where the build does not tell. Throws Error(kPlugin) without AVX2.
  Json counts(const Cell& cell) const;
  // Instructions of a training step of one sequence, under callgrind, AVX2 code; nothing if valgrind is not installed.
  // Throws Error(kPlugin) if the build does not let itself be counted.
  std::optional<double> instructions(const Cell& cell) const;
  // {"compiler", "flags", "build_type", "real", "sanitizer", "libc"}: what makes two builds of one source differ.
  Json toolchain(const Cell& cell) const;
  // A program of the build, or "" if it has none of that name; the library of a variant.
  std::string program(const std::string& name) const;
  std::string library(const std::string& variant) const;

 private:
  bench::Setting setting(const Cell& cell) const;

  std::string folder_, programs_, bench_, libraries_;
};

// The figure that instructions() gives, as files name it.
inline constexpr const char* kInstructions = "instructions_per_step";
// Whether instructions can be counted here.
bool has_valgrind();
// "valgrind-3.19.0", or "" if it is not installed.
std::string valgrind_version();

// The core that measurements are pinned to: the last one this process may use.
int measuring_core();

}  // namespace lra::compare

#endif  // LRA_TOOLS_COMPARE_MEASURE_H
