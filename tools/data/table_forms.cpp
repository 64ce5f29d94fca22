// The forms that are tables of text: ListOps, reviews, pairs of papers, and token numbers for everything else.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>

#include "core/error.h"
#include "core/text.h"
#include "data/byte_text.h"
#include "tasks/listops.h"
#include "tools/data/forms.h"
#include "tools/data/table_file.h"

namespace lra::datatool {
namespace {

using data::SplitName;
using data::Token;

// "<first name of the split>" as each publisher calls it.
std::string part_name(SplitName split, const std::array<const char*, 3>& names) {
  return names[static_cast<std::size_t>(split)];
}

// A whole number of [0, below), or the row is refused.
int64_t number_of(std::string_view text, int64_t below, const char* what, const Place& place) {
  int64_t value = -1;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < 0 || value >= below)
    bad_row(place, fmt::format("{} '{}'; 0 to {} is wanted", what, text.substr(0, 20), below - 1));
  return value;
}

// A text as a cell of a table.
std::string cell_of(const Source& source, int64_t example, int part) {
  std::string text = data::byte_text(source.data.split(source.split).tokens(example, part));
  if (text.find_first_of("\t\n") != text.npos || text.back() == '\r') {
    throw Error(ErrorKind::kUsage, fmt::format("{}: {} example {} holds a tab or a line end, which a table of texts "
                                               "cannot hold; export with --format tokens-tsv",
                                               source.chosen.task->info().id, data::split_name(source.split), example));
  }
  return text;
}

std::vector<Token> text_of(std::string_view cell, const Stored& stored, const Place& place) {
  if (cell.empty()) bad_row(place, "the text is empty");
  if (std::ssize(cell) > stored.shape.max_len)
    bad_row(place, fmt::format("a text of {} bytes; at most {} are wanted", cell.size(), stored.shape.max_len));
  return data::byte_tokens(cell, stored.shape.max_len);
}

// A table in one file. row(i) is example i; read_row turns columns back.
class Table : public Form {
 public:
  Json write(const Source& source, const std::string& folder) const final {
    const std::string name = file_name(source.split);
    const std::vector<std::string> names = columns(source.data.shape());
    TableFile file(folder + "/" + name);
    if (header() == Header::kYes) file.row(join(names, "\t"));
    const int64_t examples = source.data.split(source.split).size();
    for (int64_t i = 0; i < examples; ++i) file.row(row(source, i));
    file.close();
    return {{"file", name}};
  }
  void read(const Stored& stored, const Take& take) const final {
    read_table(stored.folder + "/" + file_in(stored.layout, "file"), columns(stored.shape), header(),
               [&](const Place& place, const Columns& columns) { take(place, example(stored, place, columns)); });
  }

 protected:
  virtual Header header() const = 0;
  virtual std::string file_name(SplitName split) const = 0;
  virtual std::vector<std::string> columns(const data::Shape& shape) const = 0;
  virtual std::string row(const Source& source, int64_t i) const = 0;
  virtual Example example(const Stored& stored, const Place& place, const Columns& columns) const = 0;
};

class ListOpsTable final : public Table {
 public:
  const char* name() const override { return "listops-tsv"; }

 protected:
  Header header() const override { return Header::kYes; }
  std::string file_name(SplitName split) const override {
    return fmt::format("basic_{}.tsv", part_name(split, {"train", "val", "test"}));
  }
  std::vector<std::string> columns(const data::Shape&) const override { return {"Source", "Target"}; }
  std::string row(const Source& source, int64_t i) const override {
    const data::Split& split = source.data.split(source.split);
    return fmt::format("{}\t{}", tasks::listops::to_text(split.tokens(i)), split.label(i));
  }
  Example example(const Stored&, const Place& place, const Columns& columns) const override {
    Example out{static_cast<int32_t>(number_of(columns[1], 10, "Target", place)), {}};
    int value = 0;
    try {
      out.parts.push_back(tasks::listops::from_text(std::string(columns[0])));
      value = tasks::listops::evaluate(out.parts[0]);
    } catch (const Error& error) {
      bad_row(place, error.what());
    }
    if (value != out.label) bad_row(place, fmt::format("Target {}, but the expression is {}", out.label, value));
    return out;
  }
};

class ReviewTable final : public Table {
 public:
  const char* name() const override { return "imdb-tsv"; }

 protected:
  Header header() const override { return Header::kNo; }
  std::string file_name(SplitName split) const override { return fmt::format("imdb_{}.tsv", data::split_name(split)); }
  std::vector<std::string> columns(const data::Shape&) const override { return {"label", "id", "text"}; }
  std::string row(const Source& source, int64_t i) const override {
    return fmt::format("{}\t{}\t{}", source.data.split(source.split).label(i), i, cell_of(source, i, 0));
  }
  Example example(const Stored& stored, const Place& place, const Columns& columns) const override {
    return {static_cast<int32_t>(number_of(columns[0], 2, "label", place)), {text_of(columns[2], stored, place)}};
  }
};

class PaperTable final : public Table {
 public:
  const char* name() const override { return "aan-tsv"; }

 protected:
  Header header() const override { return Header::kNo; }
  std::string file_name(SplitName split) const override {
    return fmt::format("new_aan_pairs.{}.tsv", part_name(split, {"train", "eval", "test"}));
  }
  std::vector<std::string> columns(const data::Shape&) const override {
    return {"label", "id1", "id2", "text1", "text2"};
  }
  std::string row(const Source& source, int64_t i) const override {
    // A name of its own for each document: none is known to stand in two pairs.
    const char* split = data::split_name(source.split);
    return fmt::format("{}.0\t{}-{}-a\t{}-{}-b\t{}\t{}", source.data.split(source.split).label(i), split, i, split, i,
                       cell_of(source, i, 0), cell_of(source, i, 1));
  }
  Example example(const Stored& stored, const Place& place, const Columns& columns) const override {
    std::string_view label = columns[0];
    if (label.ends_with(".0")) label.remove_suffix(2);
    return {static_cast<int32_t>(number_of(label, 2, "label", place)),
            {text_of(columns[3], stored, place), text_of(columns[4], stored, place)}};
  }
};

class TokenTable final : public Table {
 public:
  const char* name() const override { return "tokens-tsv"; }

 protected:
  Header header() const override { return Header::kYes; }
  std::string file_name(SplitName split) const override {
    return fmt::format("tokens_{}.tsv", data::split_name(split));
  }
  std::vector<std::string> columns(const data::Shape& shape) const override {
    if (shape.pair) return {"Label", "First", "Second"};
    return {"Label", "Tokens"};
  }
  std::string row(const Source& source, int64_t i) const override {
    const data::Split& split = source.data.split(source.split);
    std::string out = fmt::format("{}", split.label(i));
    for (int part = 0; part < split.parts(); ++part)
      fmt::format_to(std::back_inserter(out), "\t{}", fmt::join(split.tokens(i, part), " "));
    return out;
  }
  Example example(const Stored& stored, const Place& place, const Columns& columns) const override {
    Example out{static_cast<int32_t>(number_of(columns[0], stored.shape.classes, "label", place)), {}};
    for (std::size_t c = 1; c < columns.size(); ++c) {
      std::vector<Token>& tokens = out.parts.emplace_back();
      std::string_view rest = columns[c];
      while (true) {
        const std::size_t end = rest.find(' ');
        tokens.push_back(static_cast<Token>(number_of(rest.substr(0, end), stored.shape.vocab, "token", place)));
        if (end == rest.npos) break;
        rest.remove_prefix(end + 1);
      }
    }
    return out;
  }
};

}  // namespace

const Form& listops_tsv() {
  static const ListOpsTable form;
  return form;
}
const Form& imdb_tsv() {
  static const ReviewTable form;
  return form;
}
const Form& aan_tsv() {
  static const PaperTable form;
  return form;
}
const Form& tokens_tsv() {
  static const TokenTable form;
  return form;
}

}  // namespace lra::datatool
