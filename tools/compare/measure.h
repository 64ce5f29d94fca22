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

  // Starts the cell; see RemoteSubject. Throws Error if the variant cannot be run.
  std::unique_ptr<bench::RemoteSubject> start(const Cell& cell, int core) const;
  // Numbers that depend neither on the clock nor on the processor (AVX2 code), by name: parameters, flops_per_example,
  // planned_bytes, saved_per_sequence, library_bytes, and peak_rss_bytes after three steps.
  Json counts(const Cell& cell) const;
  // Instructions of one training step under callgrind, AVX2 code; nothing if valgrind is not installed.
  std::optional<double> instructions(const Cell& cell) const;

 private:
  bench::Setting setting(const Cell& cell) const;

  std::string folder_, bench_, libraries_;
};

// The core that measurements are pinned to: the last one this process may use.
int measuring_core();

}  // namespace lra::compare

#endif  // LRA_TOOLS_COMPARE_MEASURE_H
