// The list of checks: what lra-check runs on a variant, each by itself. docs/checks.md says why, and what is allowed.
#ifndef LRA_CHECK_CHECKS_H
#define LRA_CHECK_CHECKS_H

#include <string>
#include <utility>
#include <vector>

#include "check/report.h"
#include "check/setting.h"
#include "core/json.h"
#include "plugin/variant.h"

namespace lra::check {

// A variant under check.
class Candidate {
 public:
  // outputs_of_double: what outputs() gave in a double build, or null. The variant is borrowed.
  explicit Candidate(const Variant& v, Json outputs_of_double = nullptr)
      : variant(v), reference(std::move(outputs_of_double)), catalogue(catalogue_of(v)) {}

  const Variant& variant;
  const Json reference;
  const Catalogue catalogue;
};

struct Check {
  const char* id;
  const char* sentence;  // what holds if it passes
  void (*run)(const Candidate& candidate, Report& report);
};

// In the order in which they run.
const std::vector<Check>& checks();
// Throws Error(kUsage), with the nearest id.
const Check& find_check(const std::string& id);

// Runs one check; an exception of the variant is a failure.
Verdict run_check(const Check& check, const Candidate& candidate);

// y of every setting of the catalogue: {"defaults, N=16 ...": [...]}, from inputs and parameters that are the same in
// every build.
Json outputs(const Variant& variant);

// ---- One function per check --------------------------------------------------------------------------------------
void check_declarations(const Candidate& candidate, Report& report);
void check_errors(const Candidate& candidate, Report& report);
void check_memory(const Candidate& candidate, Report& report);
void check_gradients(const Candidate& candidate, Report& report);
void check_stop_gradient(const Candidate& candidate, Report& report);
void check_accumulation(const Candidate& candidate, Report& report);
void check_limits(const Candidate& candidate, Report& report);
void check_weights(const Candidate& candidate, Report& report);
void check_causality(const Candidate& candidate, Report& report);
void check_isolation(const Candidate& candidate, Report& report);
void check_length(const Candidate& candidate, Report& report);
void check_concurrency(const Candidate& candidate, Report& report);
void check_repeat(const Candidate& candidate, Report& report);
void check_threads(const Candidate& candidate, Report& report);
void check_poison(const Candidate& candidate, Report& report);
void check_guards(const Candidate& candidate, Report& report);
void check_read_only(const Candidate& candidate, Report& report);
void check_allocation(const Candidate& candidate, Report& report);
void check_traces(const Candidate& candidate, Report& report);
void check_evaluation(const Candidate& candidate, Report& report);
void check_finite(const Candidate& candidate, Report& report);
void check_cost(const Candidate& candidate, Report& report);
void check_precision(const Candidate& candidate, Report& report);

}  // namespace lra::check

#endif  // LRA_CHECK_CHECKS_H
