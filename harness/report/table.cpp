// Notes, and who is best.
#include "report/table.h"

#include <algorithm>

#include "core/text.h"

namespace lra::report {

std::size_t Table::note(const std::string& text) {
  const auto at = std::find(notes.begin(), notes.end(), text);
  if (at != notes.end()) return static_cast<std::size_t>(at - notes.begin());
  notes.push_back(text);
  return notes.size() - 1;
}

std::string note_letter(std::size_t place) {
  std::string out(1, static_cast<char>('a' + place % 26));
  return place < 26 ? out : note_letter(place / 26 - 1) + out;
}

std::string note_letters(const Cell& cell) {
  std::vector<std::size_t> notes = cell.notes;
  std::sort(notes.begin(), notes.end());
  std::vector<std::string> letters;
  for (const std::size_t note : notes) letters.push_back(note_letter(note));
  return join(letters, ",");
}

void mark_best(std::vector<Contender> contenders, Better better) {
  if (contenders.size() < 2) return;
  const double sign = better == Better::kHigher ? 1 : -1;
  std::sort(contenders.begin(), contenders.end(),
            [&](const Contender& a, const Contender& b) { return sign * a.value > sign * b.value; });
  const auto overlap = [](const Contender& a, const Contender& b) { return a.low <= b.high && b.low <= a.high; };
  const Contender* best = &contenders.front();
  const Contender* second = nullptr;
  for (Contender& one : contenders) {
    if (overlap(one, *best)) {
      one.cell->mark = Mark::kBest;
    } else {
      if (second == nullptr) second = &one;
      if (overlap(one, *second)) one.cell->mark = Mark::kSecond;
    }
  }
}

}  // namespace lra::report
