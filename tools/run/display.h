// What people see: progress on stderr, results as text.
#ifndef LRA_TOOLS_RUN_DISPLAY_H
#define LRA_TOOLS_RUN_DISPLAY_H

#include <string>
#include <vector>

#include "core/json.h"
#include "session/session.h"

namespace lra::run {

enum class Talk { kQuiet, kNormal, kVerbose };

// One line that is rewritten on a terminal; elsewhere a plain line now and then.
class ProgressLine {
 public:
  explicit ProgressLine(Talk talk);
  ~ProgressLine();
  // `label` names the cell, `rest` is put behind ("2 of 12, 10m left").
  void show(const std::string& label, const session::Progress& progress, const std::string& rest);
  // A line that stays.
  void say(const std::string& line);

 private:
  void clear();

  Talk talk_;
  bool terminal_;
  bool drawn_ = false;
  double last_ = 0;
};

// A finished cell: a block of lines. `path` is its record.
std::string record_text(const Json& record, const std::string& path);
// Several: one table, then a line for each that has no result.
std::string records_text(const std::vector<Json>& records, const std::vector<std::string>& paths);

// "12.3k"
std::string short_count(double value);

}  // namespace lra::run

#endif  // LRA_TOOLS_RUN_DISPLAY_H
