// What a check found: cases that were fine, the first that was not, and why some could not be tried.
#ifndef LRA_CHECK_REPORT_H
#define LRA_CHECK_REPORT_H

#include <string>

#include "core/json_fwd.h"

namespace lra::check {

enum class Kind { kPass, kFail, kNotApplicable };

struct Verdict {
  Kind kind = Kind::kNotApplicable;
  std::string note;                 // pass: what was measured; not applicable: why
  std::string what, found, wanted;  // fail: of the first case
  int cases = 0, failed = 0;

  Json json() const;
  static Verdict from_json(const Json& json);
};

class Report {
 public:
  // A case begins; `text` says which.
  void begin(const std::string& text);
  // The case that runs is not as it must be; only its first failure counts.
  void fail(const std::string& what, const std::string& found, const std::string& wanted);
  // Something that does not apply here; the first reason is shown if no case is left.
  void leave_out(const std::string& why);
  // A case turned out not to be one.
  void forget();
  // Fails if error > allowed or NaN; else remembers the worst share of what is allowed.
  void require(const std::string& what, double error, double allowed);
  // Shown with a pass.
  void note(const std::string& text) { note_ = text; }

  bool failing() const { return failed_ > 0; }
  Verdict verdict() const;

 private:
  int cases_ = 0, failed_ = 0;
  bool case_failed_ = false;
  std::string case_, what_, found_, wanted_, reason_, note_, worst_what_;
  double worst_ = -1, worst_allowed_ = 1;
};

}  // namespace lra::check

#endif  // LRA_CHECK_REPORT_H
