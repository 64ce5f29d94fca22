// booktabs tables; as a document of its own, or as a fragment for a paper that loads booktabs and graphicx.
#include <fmt/format.h>

#include "report/quote.h"
#include "report/table.h"
#include "report/unicode.h"

namespace lra::report {
namespace {

constexpr std::size_t kWidest = 60;  // columns of one cell

constexpr const char* kHead = R"(\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage[margin=2cm]{geometry}
\begin{document}
)";

std::string shown(const Cell& cell) {
  std::string out = latex_text(clipped(one_line(cell.text), kWidest));
  if (cell.mark == Mark::kBest) out = "\\textbf{" + out + "}";
  if (cell.mark == Mark::kSecond) out = "\\underline{" + out + "}";
  const std::string letters = note_letters(cell);
  return letters.empty() ? out : out + "\\textsuperscript{" + letters + "}";
}

std::string one_table(const Table& table) {
  std::string columns;
  for (const Column& column : table.columns) columns += column.align == Align::kRight ? 'r' : 'l';
  std::string out = fmt::format(
      "\\begin{{table}}[htbp]\n\\centering\n\\caption{{{}}}\\label{{tab:{}}}\n"
      "\\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{%\n"
      "\\begin{{tabular}}{{@{{}}{}@{{}}}}\n\\toprule\n",
      latex_text(table.title), table.id, columns);
  for (std::size_t c = 0; c < table.columns.size(); ++c)
    out += (c == 0 ? "" : " & ") + latex_text(table.columns[c].title);
  out += " \\\\\n\\midrule\n";
  std::string section;
  for (const Row& row : table.rows) {
    if (row.section != section) {
      section = row.section;
      out += fmt::format("\\midrule\n\\multicolumn{{{}}}{{@{{}}l}}{{\\emph{{{}}}}} \\\\\n", table.columns.size(),
                         latex_text(section));
    }
    for (std::size_t c = 0; c < row.cells.size(); ++c) {
      if (c > 0) out += " & ";
      // Protects a first cell that begins with [, which \\ would read as its argument.
      out += (c == 0 ? "{}" : "") + shown(row.cells[c]);
    }
    out += " \\\\\n";
  }
  out += "\\bottomrule\n\\end{tabular}}\n";
  if (!table.notes.empty() || !table.remarks.empty()) {
    out += "\\par\\vspace{4pt}\n\\begin{minipage}{\\linewidth}\\footnotesize\\raggedright\n";
    for (std::size_t n = 0; n < table.notes.size(); ++n)
      out += fmt::format("\\textsuperscript{{{}}} {}\\par\n", note_letter(n), latex_text(table.notes[n]));
    for (const auto& remark : table.remarks) out += latex_text(remark) + "\\par\n";
    out += "\\end{minipage}\n";
  }
  return out + "\\end{table}\n";
}

std::string write(const std::vector<Table>& tables, bool fragment) {
  std::string out;
  for (const Table& table : tables) out += one_table(table);
  return fragment ? "% needs \\usepackage[T1]{fontenc}, textcomp, booktabs, graphicx\n" + out
                  : kHead + out + "\\end{document}\n";
}

}  // namespace

extern const Format format_latex{"latex", "booktabs tables, ready for pdflatex", write};

}  // namespace lra::report
