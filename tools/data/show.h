// Examples for the eye: words, bytes or numbers; pictures as a sheet.
#ifndef LRA_TOOLS_DATA_SHOW_H
#define LRA_TOOLS_DATA_SHOW_H

#include <cstdint>
#include <span>
#include <string>

#include "core/json.h"
#include "data/dataset.h"
#include "tools/inspect/picture.h"

namespace lra::datatool {

// Which examples: `count` of `split` from `first` on.
struct Window {
  data::SplitName split = data::SplitName::kTest;
  int64_t first = 0, count = 0;
};

enum class Colours { kNo, kYes };

// One paragraph for each example: its number, its label, its tokens, at most `most` of each sequence (0: all).
std::string examples_text(const std::string& task, const data::Dataset& data, const Window& window, int64_t most,
                          Colours colours);
// [{"example", "label", "sequences": [{"tokens", "text"}]}]; text is null for pictures.
Json examples_json(const std::string& task, const data::Dataset& data, const Window& window);
// Of a task of images: number and label stand below each picture.
inspect::Image sheet_of(const data::Dataset& data, const Window& window);

}  // namespace lra::datatool

#endif  // LRA_TOOLS_DATA_SHOW_H
