// Tables of GitHub's Markdown.
#include <fmt/format.h>

#include "core/text.h"
#include "report/table.h"
#include "report/unicode.h"

namespace lra::report {
namespace {

// Every sign that Markdown, or HTML within it, would obey stands for itself.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : one_line(text)) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else {
      if (std::string_view("\\`*_{}[]#|~$!@").find(c) != std::string_view::npos) out += '\\';
      out += c;
    }
  }
  return out;
}

std::string markdown_cell(const Cell& cell) {
  std::string out = escaped(cell.text);
  if (cell.mark == Mark::kBest) out = "**" + out + "**";
  if (cell.mark == Mark::kSecond) out = "<u>" + out + "</u>";
  const std::string letters = note_letters(cell);
  return letters.empty() ? out : out + "<sup>" + letters + "</sup>";
}

std::string markdown_table(const Table& table) {
  std::string out = fmt::format("**{}**\n\n|", escaped(table.title));
  for (const Column& column : table.columns) out += " " + escaped(column.title) + " |";
  out += "\n|";
  for (const Column& column : table.columns) out += column.align == Align::kRight ? " ---: |" : " :--- |";
  out += "\n";
  std::string section;
  for (const Row& row : table.rows) {
    if (row.section != section) {
      section = row.section;
      out += fmt::format("| *{}* |", escaped(section));
      for (std::size_t c = 1; c < table.columns.size(); ++c) out += " |";
      out += "\n";
    }
    out += "|";
    for (const Cell& cell : row.cells) out += " " + markdown_cell(cell) + " |";
    out += "\n";
  }
  std::vector<std::string> below;
  for (std::size_t n = 0; n < table.notes.size(); ++n)
    below.push_back(fmt::format("<sup>{}</sup> {}", note_letter(n), escaped(table.notes[n])));
  for (const auto& remark : table.remarks) below.push_back(escaped(remark));
  if (!below.empty()) out += "\n" + join(below, "<br>\n") + "\n";
  return out;
}

std::string write_markdown(const std::vector<Table>& tables, bool) {
  std::vector<std::string> parts;
  for (const Table& table : tables) parts.push_back(markdown_table(table));
  return join(parts, "\n");
}

}  // namespace

extern const Format format_markdown{"markdown", "tables of GitHub's Markdown; best bold, second underlined",
                                    write_markdown};

}  // namespace lra::report
