// Two passes: the width of each column, then the lines.
#include "tools/run/table.h"

#include <algorithm>
#include <cctype>

#include "core/error.h"

namespace lra::run {
namespace {

bool looks_like_number(const std::string& cell) {
  return cell.empty() || cell == "-" || std::isdigit(static_cast<unsigned char>(cell.front())) != 0;
}

}  // namespace

Table::Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

void Table::row(std::vector<std::string> cells) {
  LRA_ASSERT(cells.size() == rows_.front().size());
  rows_.push_back(std::move(cells));
}

std::string Table::text(const std::string& indent) const {
  const std::size_t columns = rows_.front().size();
  std::vector<std::size_t> width(columns, 0);
  std::vector<bool> right(columns, rows_.size() > 1);
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      width[c] = std::max(width[c], rows_[r][c].size());
      if (r > 0 && !looks_like_number(rows_[r][c])) right[c] = false;
    }
  }
  std::string out;
  for (const auto& row : rows_) {
    std::string line = indent;
    for (std::size_t c = 0; c < columns; ++c) {
      const std::string space(width[c] - row[c].size(), ' ');
      line += right[c] ? space + row[c] : row[c] + space;
      if (c + 1 < columns) line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

}  // namespace lra::run
