// Plain HTML tables: no scripts, readable with any style sheet.
#include <fmt/format.h>

#include "report/quote.h"
#include "report/table.h"

namespace lra::report {
namespace {

constexpr const char* kHtmlHead = R"(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Long Range Arena results</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem; }
table { border-collapse: collapse; margin: 0.5rem 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: 0.5rem; }
th, td { padding: 0.25rem 0.75rem; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
th.r, td.r { text-align: right; white-space: nowrap; }
thead th { border-top: 2px solid; border-bottom: 1px solid; }
tbody:last-of-type tr:last-child > * { border-bottom: 2px solid; }
tr.section th { border-top: 1px solid; font-style: italic; font-weight: 400; }
tbody th { font-weight: 400; }
u { text-underline-offset: 0.2em; }
.notes { font-size: 13px; max-width: 60rem; margin: 0.5rem 0 2rem; padding: 0; list-style: none; }
</style>
</head>
<body>
)";

std::string html_cell(const Cell& cell) {
  std::string out = html_text(cell.text);
  if (cell.mark == Mark::kBest) out = "<strong>" + out + "</strong>";
  if (cell.mark == Mark::kSecond) out = "<u>" + out + "</u>";
  const std::string letters = note_letters(cell);
  return letters.empty() ? out : out + "<sup>" + letters + "</sup>";
}

const char* class_of(const Column& column) { return column.align == Align::kRight ? " class=\"r\"" : ""; }

std::string html_table(const Table& table) {
  std::string out =
      fmt::format("<table id=\"{}\">\n<caption>{}</caption>\n<thead><tr>", table.id, html_text(table.title));
  for (const Column& column : table.columns)
    out += fmt::format("<th scope=\"col\"{}>{}</th>", class_of(column), html_text(column.title));
  out += "</tr></thead>\n<tbody>\n";
  std::string section;
  for (const Row& row : table.rows) {
    if (row.section != section) {
      section = row.section;
      out +=
          fmt::format("</tbody>\n<tbody>\n<tr class=\"section\"><th scope=\"rowgroup\" colspan=\"{}\">{}</th></tr>\n",
                      table.columns.size(), html_text(section));
    }
    out += "<tr>";
    for (std::size_t c = 0; c < row.cells.size(); ++c) {
      const char* element = c == 0 ? "th" : "td";
      out += fmt::format("<{}{}{}>{}</{}>", element, c == 0 ? " scope=\"row\"" : "", class_of(table.columns[c]),
                         html_cell(row.cells[c]), element);
    }
    out += "</tr>\n";
  }
  out += "</tbody>\n</table>\n";
  if (table.notes.empty() && table.remarks.empty()) return out;
  out += "<ul class=\"notes\">\n";
  for (std::size_t n = 0; n < table.notes.size(); ++n)
    out += fmt::format("<li><sup>{}</sup> {}</li>\n", note_letter(n), html_text(table.notes[n]));
  for (const auto& remark : table.remarks) out += fmt::format("<li>{}</li>\n", html_text(remark));
  return out + "</ul>\n";
}

std::string write_html(const std::vector<Table>& tables, bool fragment) {
  std::string out;
  for (const Table& table : tables) out += html_table(table);
  return fragment ? out : kHtmlHead + out + "</body>\n</html>\n";
}

}  // namespace

extern const Format format_html{"html", "plain HTML tables without scripts", write_html};

}  // namespace lra::report
