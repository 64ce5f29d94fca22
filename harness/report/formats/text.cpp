// Aligned columns for a terminal.
#include "core/text.h"

#include <algorithm>

#include "report/table.h"
#include "report/unicode.h"

namespace lra::report {
namespace {

constexpr std::size_t kWidestText = 60;  // columns of one cell

std::string text_cell(const Cell& cell) {
  std::string out = clipped(one_line(cell.text), kWidestText);
  if (cell.mark != Mark::kNone) out += cell.mark == Mark::kBest ? " *" : " +";
  const std::string letters = note_letters(cell);
  if (!letters.empty()) out += " [" + letters + "]";
  return out;
}

std::string line_of(const std::vector<std::string>& cells, const Table& table, const std::vector<std::size_t>& width) {
  std::string out;
  for (std::size_t c = 0; c < cells.size(); ++c) {
    const std::string space(width[c] - columns(cells[c]), ' ');
    out += table.columns[c].align == Align::kRight ? space + cells[c] : cells[c] + space;
    if (c + 1 < cells.size()) out += "  ";
  }
  out.erase(out.find_last_not_of(' ') + 1);
  return out + "\n";
}

std::string text_table(const Table& table) {
  std::vector<std::vector<std::string>> lines(1);
  for (const Column& column : table.columns) lines[0].push_back(clipped(one_line(column.title), kWidestText));
  bool marked = false;
  for (const Row& row : table.rows) {
    lines.emplace_back();
    for (const Cell& cell : row.cells) {
      lines.back().push_back(text_cell(cell));
      marked = marked || cell.mark != Mark::kNone;
    }
  }
  std::vector<std::size_t> width(table.columns.size(), 0);
  for (const auto& line : lines) {
    for (std::size_t c = 0; c < line.size(); ++c) width[c] = std::max(width[c], columns(line[c]));
  }
  std::string out = one_line(table.title) + "\n\n" + line_of(lines[0], table, width);
  std::string section;
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    if (table.rows[r].section != section) {
      section = table.rows[r].section;
      out += "-- " + one_line(section) + "\n";
    }
    out += line_of(lines[r + 1], table, width);
  }
  out += "\n";
  if (marked) out += "* best of its column, + second; intervals that overlap tie\n";
  for (std::size_t n = 0; n < table.notes.size(); ++n)
    out += "[" + note_letter(n) + "] " + one_line(table.notes[n]) + "\n";
  for (const auto& remark : table.remarks) out += one_line(remark) + "\n";
  return out;
}

std::string write_text(const std::vector<Table>& tables, bool) {
  std::vector<std::string> parts;
  for (const Table& table : tables) parts.push_back(text_table(table));
  return join(parts, "\n");
}

}  // namespace

extern const Format format_text{"text", "aligned columns for a terminal", write_text};

}  // namespace lra::report
