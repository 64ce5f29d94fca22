// Aligned columns of text.
#ifndef LRA_TOOLS_RUN_TABLE_H
#define LRA_TOOLS_RUN_TABLE_H

#include <cstddef>
#include <string>
#include <vector>

namespace lra::run {

// The first line is the header. Columns whose cells all begin with a digit, a sign or '-' are aligned to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> header);
  // As many cells as the header has.
  void row(std::vector<std::string> cells);
  // Each line begins with `indent`; no spaces at line ends.
  std::string text(const std::string& indent) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace lra::run

#endif  // LRA_TOOLS_RUN_TABLE_H
