// RFC 4180 with full numbers: percentages as shares of 1, sizes in bytes. Notes are a column of their own.
#include <fmt/format.h>

#include "core/text.h"
#include "report/quote.h"
#include "report/table.h"
#include "report/unicode.h"

namespace lra::report {
namespace {

std::string csv_table(const Table& table) {
  std::vector<std::string> fields{"table"};
  for (const Column& column : table.columns) fields.push_back(csv_field(column.title));
  fields.insert(fields.begin() + 1, "section");
  fields.emplace_back("notes");
  std::string out = join(fields, ",") + "\r\n";
  for (const Row& row : table.rows) {
    fields = {csv_field(table.title), csv_field(row.section)};
    std::vector<std::string> notes;
    for (std::size_t c = 0; c < row.cells.size(); ++c) {
      const Cell& cell = row.cells[c];
      fields.push_back(cell.value ? fmt::format("{}", *cell.value) : csv_field(cell.text));
      for (const std::size_t note : cell.notes) notes.push_back(table.columns[c].title + ": " + table.notes[note]);
    }
    fields.push_back(csv_field(join(notes, "; ")));
    out += join(fields, ",") + "\r\n";
  }
  return out;
}

std::string write_csv(const std::vector<Table>& tables, bool) {
  std::vector<std::string> parts;
  for (const Table& table : tables) parts.push_back(csv_table(table));
  return join(parts, "\r\n");
}

}  // namespace

extern const Format format_csv{"csv", "one line per row with full numbers (RFC 4180)", write_csv};

}  // namespace lra::report
