// Numbers as tables show them.
#ifndef LRA_REPORT_SHOW_H
#define LRA_REPORT_SHOW_H

#include <optional>
#include <string>

#include "report/summary.h"
#include "report/table.h"

namespace lra::report {

// "92.8" of 0.928
std::string percent(double share);
// Three significant digits: "0.0123", "51.8", "239k", "1.2M".
std::string short_number(double value);
// Quality as tables show it: "92.8" percent, or "2.345" bits.
std::string quality_text(const std::string& metric, double value);
// "96.7 ± 0.8"
std::string quality_with_reach(const Group& group);
// "%" or "bits"
std::string quality_unit(const std::string& metric);
// "test accuracy, %" or "test bits per token"
std::string quality_name(const std::string& metric);
// A cell with the number as `show` writes it, or an empty one.
Cell cell_of(const std::optional<double>& value, std::string (*show)(double));
// "small v1"
std::string preset_name(const Group& group);

// Groups of one preset, which alone may stand in one table; in order.
std::vector<std::vector<const Group*>> by_preset(const std::vector<Group>& groups);
// Machine, build and what is unusual about them, one line each.
std::vector<std::string> conditions(const std::vector<const Group*>& groups);
// Names with each value once, in their order: labels of groups, tasks.
std::vector<std::string> tasks_of(const std::vector<const Group*>& groups);
std::vector<std::string> labels_of(const std::vector<const Group*>& groups);
// What a task's results are measured in.
std::string metric_of(const std::vector<const Group*>& groups, const std::string& task);
const Group* find_group(const std::vector<const Group*>& groups, const std::string& label, const std::string& task);
// "listops softmax 36e1a9178108e26e, ...": which configurations the table shows.
std::string hashes_of(const std::vector<const Group*>& groups);

}  // namespace lra::report

#endif  // LRA_REPORT_SHOW_H
