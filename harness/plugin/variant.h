// A loaded variant: what it says about itself, its options, and its functions.
#ifndef LRA_PLUGIN_VARIANT_H
#define LRA_PLUGIN_VARIANT_H

#include <string>
#include <vector>

#include "abi/attention.h"
#include "core/options.h"

namespace lra {

// Immutable; its library stays in memory until the program ends.
struct Variant {
  std::string id, title, paper, formula, notes;
  std::string time, memory;                       // "O(N D)"
  double time_exponent = 0, memory_exponent = 0;  // of N
  bool causal = false, bidirectional = false;     // what it can run
  bool own_positions = false;                     // the model adds no position embedding
  // Claims that lra-check tests, see LRA_LEAKY_CAUSAL, LRA_ROW_STOCHASTIC and lra_plugin.limits.
  bool leaky_causal = false, row_stochastic = false;
  std::vector<std::string> limits;
  std::vector<OptionSpec> options;
  std::string path;   // of the library
  std::string build;  // "Release GNU 12.2.0": compiler and build type of the library
  std::string hash;   // of the library's bytes, 32 hex digits
  lra_plugin table{};
};

}  // namespace lra

#endif  // LRA_PLUGIN_VARIANT_H
