// A table as meaning, not as text: layouts make it, formats write it.
//
// A layout is one file in layouts/, a format one file in formats/: each defines one constant that the build finds by
// the file's name (see CMakeLists.txt).
#ifndef LRA_REPORT_TABLE_H
#define LRA_REPORT_TABLE_H

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "report/run_record.h"
#include "report/summary.h"

namespace lra::report {

enum class Mark { kNone, kBest, kSecond };
enum class Align { kLeft, kRight };

struct Cell {
  std::string text;             // plain: each format escapes it; "" is an empty cell
  std::optional<double> value;  // what text shows, in full, for formats that programs read
  Mark mark = Mark::kNone;
  std::vector<std::size_t> notes;  // places in Table::notes
};

struct Column {
  std::string title;
  Align align = Align::kRight;
};

struct Row {
  std::vector<Cell> cells;  // as many as the table has columns
  std::string section;      // a title stands above the first row of each section that has a name
};

struct Table {
  std::string id, title;  // id: [a-z0-9-]+
  std::vector<Column> columns;
  std::vector<Row> rows;
  std::vector<std::string> notes;    // marked by letters in the cells they belong to
  std::vector<std::string> remarks;  // below the table, for all of it

  // The place of a note, added if it is new.
  std::size_t note(const std::string& text);
};

// "a", "b", ... "z", "aa", ...
std::string note_letter(std::size_t place);
// The cell's letters, "a,c", or "".
std::string note_letters(const Cell& cell);

// One cell's standing among those of its column: who is best, who is second. Intervals that overlap the best's are as
// good as best, so several cells may carry one mark.
struct Contender {
  Cell* cell;
  double value, low, high;
};
enum class Better { kHigher, kLower };
void mark_best(std::vector<Contender> contenders, Better better);

struct LayoutInput {
  const std::vector<Group>& groups;
  const std::vector<CostSeries>& costs;
  bool published = false;  // put Long Range Arena's published figures beside ours
};
struct Layout {
  const char* name;
  const char* summary;
  std::vector<Table> (*make)(const LayoutInput& input);
};
const std::vector<const Layout*>& layouts();

struct Format {
  const char* name;
  const char* summary;
  // `fragment`: without what makes it a document of its own (HTML, LaTeX).
  std::string (*write)(const std::vector<Table>& tables, bool fragment);
};
const std::vector<const Format*>& formats();

}  // namespace lra::report

#endif  // LRA_REPORT_TABLE_H
