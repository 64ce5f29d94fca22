// One switch per language.
#include "report/quote.h"

#include <fmt/format.h>

#include "report/unicode.h"

namespace lra::report {

std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : one_line(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string csv_field(std::string_view text) {
  std::string plain = one_line(text);
  const bool formula = !plain.empty() && std::string_view("=+-@").find(plain[0]) != std::string_view::npos;
  if (formula) plain = std::string(1, '\'').append(plain);
  if (plain.find_first_of("\",") == std::string::npos) return plain;
  std::string out = "\"";
  for (const char c : plain) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

std::string latex_text(std::string_view text) {
  std::string out;
  for (const char32_t point : code_points(one_line(text))) {
    switch (point) {
      case U'\\':
        out += "\\textbackslash{}";
        break;
      case U'{':
        out += "\\{";
        break;
      case U'}':
        out += "\\}";
        break;
      case U'$':
        out += "\\$";
        break;
      case U'&':
        out += "\\&";
        break;
      case U'%':
        out += "\\%";
        break;
      case U'#':
        out += "\\#";
        break;
      case U'_':
        out += "\\_";
        break;
      case U'~':
        out += "\\textasciitilde{}";
        break;
      case U'^':
        out += "\\textasciicircum{}";
        break;
      case U'<':
        out += "\\textless{}";
        break;
      case U'>':
        out += "\\textgreater{}";
        break;
      case U'|':
        out += "\\textbar{}";
        break;
      case U'"':
        out += "\\textquotedbl{}";
        break;
      case U'\'':
        out += "\\textquotesingle{}";
        break;
      case U'`':
        out += "\\textasciigrave{}";
        break;
      case U'-':
        out += "{-}";
        break;  // not a dash when two meet
      case U'±':
        out += "$\\pm$";
        break;
      case U'×':
        out += "$\\times$";
        break;
      case U'–':
        out += "--";
        break;
      case U'…':
        out += "\\ldots{}";
        break;
      case U'≈':
        out += "$\\approx$";
        break;
      case U'²':
        out += "\\textsuperscript{2}";
        break;
      default:
        if (point < 0x80 || (point >= 0xC0 && point <= 0xFF && point != 0xF7)) {
          out += utf8(point);
        } else {
          out += fmt::format("\\texttt{{U+{:04X}}}", static_cast<uint32_t>(point));
        }
    }
  }
  return out;
}

}  // namespace lra::report
