// Did the head get slower, fatter or worse than the base? Both builds are measured now, side by side.
//
//   counts         once each; more is a FAIL, beyond 4 KiB for bytes; see kCounts for what the system rounds
//   instructions   of a training step, once each, +-1 %
//   time           CPU time of a training step. In each round the base, a second copy of the base and the head take a
//                  leg each, and then again in reverse, in an order that rotates; rounds are spread over four launches
//                  of fresh processes on one core. The interval of the median of ln(head / base) decides (paired.h), at
//                  95 % shared by the cells and by three looks: while it cannot, rounds are doubled, and once more.
//                  Three of four launches must agree in direction. What fails is measured once more from the start
//                  before it is said to fail. If the two copies of the base differ, nothing is said of time.
//   quality        test split of a trained smoke preset, paired over seeds (quality.h)
#ifndef LRA_TOOLS_COMPARE_GATE_H
#define LRA_TOOLS_COMPARE_GATE_H

#include <functional>
#include <string>
#include <vector>

#include "tools/compare/findings.h"
#include "tools/compare/measure.h"
#include "tools/compare/paired.h"
#include "tools/compare/quality.h"

namespace lra::compare {

struct GateSpec {
  std::vector<Cell> cells;
  bool counts = true, instructions = true, time = true, quality = false;
  bool across_toolchains = false;  // compare builds of different compilers, flags or C libraries
  double time_margin = 0.05, instruction_margin = 0.01;
  int rounds = 20;           // at the first look; two and four times as many at the next
  double leg_seconds = 0.1;  // of the slower side
  QualitySpec training;
};

// base, head: build folders. A folder without a build, a missing variant, and builds of different toolchains are
// missing cells of the answer, not errors.
Answer gate(const std::string& base, const std::string& head, const GateSpec& spec,
            const std::function<void(const std::string&)>& say);

// Adds the rows of counts for two sets of figures (Build::counts) to the answer; shared with the baseline file. A
// figure of one side alone is missing.
enum class Absent { kMissing, kFine };  // a figure that the base does not have
void compare_counts(const std::string& cell, const Json& base, const Json& head, Absent in_base, Answer& answer);
// The row of instructions.
Finding compare_instructions(const std::string& cell, double base, double head, double margin);

}  // namespace lra::compare

#endif  // LRA_TOOLS_COMPARE_GATE_H
