// booktabs tables; as a document of its own, or as a fragment for a paper that loads booktabs and graphicx. A table
// longer than a page becomes several.
#include <fmt/format.h>

#include <algorithm>

#include "report/quote.h"
#include "report/table.h"
#include "report/unicode.h"

namespace lra::report {
namespace {

constexpr std::size_t kWidestLatex = 60;  // columns of one cell
constexpr std::size_t kLongest = 42;      // rows of one page
constexpr std::size_t kMostRemarks = 12;  // that fit below so many rows

constexpr const char* kLatexHead = R"(\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage[margin=2cm]{geometry}
\begin{document}
)";

std::string latex_cell(const Cell& cell) {
  std::string out = latex_text(clipped(one_line(cell.text), kWidestLatex));
  if (cell.mark == Mark::kBest) out = "\\textbf{" + out + "}";
  if (cell.mark == Mark::kSecond) out = "\\underline{" + out + "}";
  const std::string letters = note_letters(cell);
  return letters.empty() ? out : out + "\\textsuperscript{" + letters + "}";
}

std::string notes_of(const Table& table) {
  std::string out;
  for (std::size_t n = 0; n < table.notes.size(); ++n)
    out += fmt::format("\\textsuperscript{{{}}} {}\\par\n", note_letter(n), latex_text(table.notes[n]));
  for (const auto& remark : table.remarks) out += latex_text(remark) + "\\par\n";
  return out;
}

// Rows begin..end-1 as a float; `part` is "" or says which of how many.
std::string one_part(const Table& table, std::size_t begin, std::size_t end, const std::string& part,
                     const std::string& label) {
  std::string columns;
  for (const Column& column : table.columns) columns += column.align == Align::kRight ? 'r' : 'l';
  std::string out = fmt::format(
      "\\begin{{table}}[htbp]\n\\centering\n\\caption{{{}{}}}{}\n"
      "\\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{%\n"
      "\\begin{{tabular}}{{@{{}}{}@{{}}}}\n\\toprule\n",
      latex_text(table.title), part, label, columns);
  for (std::size_t c = 0; c < table.columns.size(); ++c)
    out += (c == 0 ? "" : " & ") + latex_text(table.columns[c].title);
  out += " \\\\\n\\midrule\n";
  std::string section;
  for (std::size_t r = begin; r < end; ++r) {
    const Row& row = table.rows[r];
    if (row.section != section) {
      section = row.section;
      out += fmt::format("{}\\multicolumn{{{}}}{{@{{}}l}}{{\\emph{{{}}}}} \\\\\n", r == begin ? "" : "\\midrule\n",
                         table.columns.size(), latex_text(section));
    }
    for (std::size_t c = 0; c < row.cells.size(); ++c) {
      if (c > 0) out += " & ";
      // Protects a first cell that begins with [, which \\ would read as its argument.
      out += (c == 0 ? "{}" : "") + latex_cell(row.cells[c]);
    }
    out += " \\\\\n";
  }
  return out + "\\bottomrule\n\\end{tabular}}\n";
}

std::string latex_table(const Table& table) {
  const std::size_t rows = table.rows.size();
  const std::size_t parts = std::max<std::size_t>(1, (rows + kLongest - 1) / kLongest);
  const std::string notes = notes_of(table);
  // A long table has its notes in the text around it, where pages may break.
  const bool apart = parts > 1 || (rows > kLongest / 2 && table.notes.size() + table.remarks.size() > kMostRemarks);
  std::string out;
  for (std::size_t p = 0; p < parts; ++p) {
    const std::string part = parts == 1 ? "" : fmt::format(" (part {} of {})", p + 1, parts);
    const std::string label = p == 0 ? fmt::format("\\label{{tab:{}}}", table.id) : "";
    out += one_part(table, p * rows / parts, (p + 1) * rows / parts, part, label);
    if (!apart && !notes.empty())
      out += fmt::format(
          "\\par\\vspace{{4pt}}\n\\begin{{minipage}}{{\\linewidth}}\\footnotesize\\raggedright\n{}\\end{{minipage}}\n",
          notes);
    out += "\\end{table}\n";
  }
  if (apart)
    out +=
        fmt::format("{{\\footnotesize\\raggedright\\setlength{{\\parindent}}{{0pt}}\\emph{{{}}}, notes:\\par\n{}}}\n",
                    latex_text(table.title), notes);
  return out;
}

std::string write_latex(const std::vector<Table>& tables, bool fragment) {
  std::string out;
  for (const Table& table : tables) out += latex_table(table);
  return fragment ? "% needs \\usepackage[T1]{fontenc}, textcomp, booktabs, graphicx\n" + out
                  : kLatexHead + out + "\\end{document}\n";
}

}  // namespace

extern const Format format_latex{"latex", "booktabs tables, ready for pdflatex", write_latex};

}  // namespace lra::report
