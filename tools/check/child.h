// The checks of one plugin in a process of its own: a crash, a hang or a sanitizer's report is a failed check and
// nothing more.
//
// The request is a JSON line on the child's standard input; its messages come line by line through a pipe: {"plugin":
// ...}, {"start": "guards"}, {"verdict": ...}, ... {"done": true}. A child that is stopped by a signal says on its way
// out where it was: {"stopped": {...}}.
#ifndef LRA_TOOLS_CHECK_CHILD_H
#define LRA_TOOLS_CHECK_CHILD_H

#include <functional>
#include <string>
#include <vector>

#include "check/report.h"
#include "core/json.h"

namespace lra::check {

// The only argument of a child.
inline constexpr const char* kChildFlag = "--plugin-checks";

struct Job {
  std::string library = {};
  std::vector<std::string> checks = {};  // ids
  std::string reference = {};            // file of outputs to compare with, or ""
  double timeout = 120;                  // seconds of one check
};

struct Line {
  std::string id;  // of the check
  Verdict verdict = {};
  double seconds = 0;
};

struct Outcome {
  std::string id, build;  // of the plugin; as far as it is known
  std::vector<Line> lines;
  bool conforms() const;
};

// Runs the checks in as many children as it takes: after a crash the next one goes on behind the check that crashed.
// started(id) is called before each. Throws Error(kIo) if the system has no more processes.
Outcome run_checks(const Job& job, const std::function<void(const std::string&)>& started);

// The outputs of a plugin, see check::outputs; made in a child too. Throws Error(kPlugin).
Json collect_outputs(const std::string& library, double timeout);

// The child's side; returns the exit code.
int child_main();

}  // namespace lra::check

#endif  // LRA_TOOLS_CHECK_CHILD_H
