// The table: a new check is a function and a line here, and a line in docs/checks.md.
#include "check/checks.h"

#include <fmt/format.h>

#include <exception>

#include "check/module.h"
#include "core/error.h"
#include "core/text.h"

namespace lra::check {

const std::vector<Check>& checks() {
  static const std::vector<Check> all{
      {"declarations", "What it says about itself is complete and the same each time.", check_declarations},
      {"errors", "What it cannot do, it refuses with one sentence.", check_errors},
      {"gradients", "Backward is the derivative of forward, for x, every parameter and the auxiliary loss.",
       check_gradients},
      {"stop_gradient", "With exact_gradients=0, backward differs from the derivative.", check_stop_gradient},
      {"limits", "In the settings that it names, it equals full softmax attention.", check_limits},
      {"weights", "The mixing is linear in the values; its weights sum to 1 and respect causality where promised.",
       check_weights},
      {"causality", "In causal mode, no row depends on a later one.", check_causality},
      {"isolation", "A sequence leaves nothing behind that the next one sees.", check_isolation},
      {"length", "Room for longer sequences changes nothing.", check_length},
      {"repeat", "The same input gives the same bytes again.", check_repeat},
      {"threads", "Any number of threads gives the same bytes.", check_threads},
      {"concurrency", "Two sequences at once give what they give one after the other.", check_concurrency},
      {"poison", "Nothing is read before it is written.", check_poison},
      {"guards", "Nothing is touched outside the declared memory.", check_guards},
      {"read_only", "x, dy, parameters and buffers are only read.", check_read_only},
      {"accumulation", "Gradients of parameters and the auxiliary loss are added to, y and dx are overwritten.",
       check_accumulation},
      {"evaluation", "Without noise, evaluation gives what training gives.", check_evaluation},
      {"finite", "Zero, equal, tiny and huge inputs give finite numbers.", check_finite},
      {"cost", "The declared FLOPs are those that are done, and the pairs are no more than there are.", check_cost},
      {"memory", "What a sequence keeps grows with its length as declared.", check_memory},
      {"allocation", "Forward and backward ask for no heap memory.", check_allocation},
      {"traces", "It leaves no file, thread, memory or floating-point mode behind.", check_traces},
      {"precision", "In float it gives what it gives in double, to 1e-5 of the output's scale.", check_precision},
  };
  return all;
}

const Check& find_check(const std::string& id) {
  std::vector<std::string> known;
  for (const auto& check : checks()) {
    if (check.id == id) return check;
    known.emplace_back(check.id);
  }
  throw Error(ErrorKind::kUsage, fmt::format("no check is called '{}'{}", id, suggestion(id, known)));
}

Verdict run_check(const Check& check, const Candidate& candidate) {
  Report report;
  set_where("");
  try {
    check.run(candidate, report);
  } catch (const std::exception& error) {
    report.fail("a call", error.what(), "no error");
  }
  return report.verdict();
}

}  // namespace lra::check
