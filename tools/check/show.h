// What people see of checks: tables on standard output, progress on standard error.
#ifndef LRA_TOOLS_CHECK_SHOW_H
#define LRA_TOOLS_CHECK_SHOW_H

#include <string>
#include <vector>

#include "core/json.h"
#include "tools/check/child.h"
#include "tools/check/plugins.h"

namespace lra::check {

// The checks themselves.
std::string list_text();
Json list_json();

enum class Detail { kFailures, kAll };

// A head line, then a line per check, or only those that failed.
std::string outcome_text(const Plugin& plugin, const Outcome& outcome, Detail detail);
Json outcome_json(const Plugin& plugin, const Outcome& outcome);

// One line that is rewritten on a terminal, and is nowhere else.
class Progress {
 public:
  explicit Progress(bool quiet);
  ~Progress();
  void show(const std::string& text);
  void clear();

 private:
  bool drawing_;
  bool drawn_ = false;
};

}  // namespace lra::check

#endif  // LRA_TOOLS_CHECK_SHOW_H
