// Did the head get slower or fatter than the base? Both builds are measured now, side by side.
//
//   counts         once each; more is a FAIL, beyond 4 KiB for bytes; peak memory beyond 5 % and 2 MiB
//   instructions   of a training step, once each, +-1 %
//   time           CPU time of a training step. In each round the base, a second copy of the base and the head take one
//                  leg each, in an order that rotates; rounds are spread over four launches of fresh processes. The
//                  interval of the median of ln(head / base) decides (see paired.h); while it cannot, twice as many
//                  rounds are taken. What fails is measured once more from the start before it is said to fail. If the
//                  two copies of the base differ, nothing is said of time at all.
#ifndef LRA_TOOLS_COMPARE_GATE_H
#define LRA_TOOLS_COMPARE_GATE_H

#include <functional>
#include <string>
#include <vector>

#include "tools/compare/measure.h"
#include "tools/compare/paired.h"

namespace lra::compare {

struct GateSpec {
  std::vector<Cell> cells;
  bool counts = true, instructions = true, time = true;
  double time_margin = 0.05, instruction_margin = 0.01;
  int rounds = 20;           // at the first look; twice as many at the second
  double leg_seconds = 0.3;  // of the slower side
};

// One row of the answer.
struct Finding {
  std::string cell, metric, unit;
  double base = 0, head = 0;
  double change = 0;       // head / base - 1; of time: of the median of the rounds
  Interval interval = {};  // of the change; a point where nothing was repeated
  int rounds = 0;
  Verdict verdict = Verdict::kPass;
  std::string note = {};
};

struct GateResult {
  std::vector<Finding> findings;
  std::vector<std::string> missing;  // cells that could not be measured, each with the reason
  Verdict verdict() const;           // INCONCLUSIVE also where something is missing
};

GateResult gate(const Build& base, const Build& head, const GateSpec& spec,
                const std::function<void(const std::string&)>& say);

// Rows of counts for two sets of figures (Build::counts): shared with the baseline file.
std::vector<Finding> compare_counts(const std::string& cell, const Json& base, const Json& head);

}  // namespace lra::compare

#endif  // LRA_TOOLS_COMPARE_GATE_H
