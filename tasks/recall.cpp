// Recall: one symbol seen earlier has to be found again, at a distance that the options set.
//   recall     filler and `items` key-value pairs in any order, then a query key:   label = the value bound to it
//   copy       filler, a mark, a word w of `items` symbols, filler, then an index i:   label = w[i]
//   duplicate  0 w 0 w[0] .. w[i-1], the sequence 0w0w cut off inside its copy:        label = w[i]
// distance = tokens from the symbol asked for to the last token; uniform in min_distance..max_distance. In `duplicate`
// it is the length of w. The query is the last token, so pool=last reads the answer where the question is.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/json.h"
#include "core/rng.h"
#include "data/dataset.h"
#include "data/logistic.h"

namespace lra::tasks {
namespace {

using data::Baseline;
using data::Dataset;
using data::DatasetBuilder;
using data::Row;
using data::Shape;
using data::SplitName;
using data::Token;

enum class Mode { kFusedPairs, kAdjacentPairs, kCopy, kDuplicate };

// Sizes and token numbers of one set of options. Token 0 is the mark; 1 .. filler mean nothing; then
//   fused pairs     keys * values pairs, then keys queries
//   adjacent pairs  keys, then values; a query is its key once more
//   copy            values symbols, then items indices
//   duplicate       values symbols
struct Layout {
  explicit Layout(const Options& options)
      : length(options.integer("max_length")),
        items(options.integer("items")),
        keys(options.integer("keys")),
        values(options.integer("values")),
        filler(options.integer("filler")),
        nearest(options.integer("min_distance")),
        farthest(options.integer("max_distance")) {
    const std::string& name = options.choice("mode");
    mode = name == "copy"                         ? Mode::kCopy
           : name == "duplicate"                  ? Mode::kDuplicate
           : options.choice("pairing") == "fused" ? Mode::kFusedPairs
                                                  : Mode::kAdjacentPairs;
    if (farthest == 0) farthest = longest_distance();
    check();
  }

  // Of the symbol asked for, where everything else must still fit.
  int64_t longest_distance() const {
    switch (mode) {
      case Mode::kFusedPairs:
        return length - 1;
      case Mode::kAdjacentPairs:
      case Mode::kCopy:  // one token more stands before the symbol: its key, or the mark
        return length - 2;
      case Mode::kDuplicate:
        return (length - 1) / 2;
    }
    LRA_ASSERT(!"a mode");
  }
  int64_t first_symbol() const { return 1 + filler; }
  int64_t first_query() const {
    switch (mode) {
      case Mode::kFusedPairs:
        return first_symbol() + keys * values;
      case Mode::kAdjacentPairs:
        return first_symbol();
      case Mode::kCopy:
      case Mode::kDuplicate:
        return first_symbol() + values;
    }
    LRA_ASSERT(!"a mode");
  }
  int64_t vocabulary() const {
    switch (mode) {
      case Mode::kFusedPairs:
        return first_query() + keys;
      case Mode::kAdjacentPairs:
        return first_symbol() + keys + values;
      case Mode::kCopy:
        return first_query() + items;
      case Mode::kDuplicate:
        return first_symbol() + values;
    }
    LRA_ASSERT(!"a mode");
  }
  // The value that a token carries, or -1.
  int64_t value_of(Token token) const {
    const int64_t symbol = token - first_symbol() - (mode == Mode::kAdjacentPairs ? keys : 0);
    const int64_t symbols = mode == Mode::kFusedPairs ? keys * values : values;
    return symbol >= 0 && symbol < symbols ? symbol % values : -1;
  }

  int64_t length, items, keys, values, filler, nearest, farthest;
  Mode mode = Mode::kFusedPairs;

 private:
  static void require(bool holds, const std::string& message) {
    if (!holds) throw Error(ErrorKind::kUsage, "recall: " + message);
  }
  void check() const {
    if (mode == Mode::kFusedPairs || mode == Mode::kAdjacentPairs) {
      require(items <= keys, fmt::format("{} pairs need as many different keys, and there are {}; choose keys of at "
                                         "least {}",
                                         items, keys, items));
    }
    // Pairs of two tokens are placed at random; up to two thirds of all places they always find one.
    const int64_t most = mode == Mode::kFusedPairs      ? length - 1
                         : mode == Mode::kAdjacentPairs ? (length - 1) / 3
                         : mode == Mode::kCopy          ? length - 2
                                                        : items;
    require(items <= most, fmt::format("{} items do not fit into {} tokens; choose items of at most {} or a greater "
                                       "max_length",
                                       items, length, most));
    require(nearest <= farthest && farthest <= longest_distance(),
            fmt::format("no distance lies between min_distance {} and max_distance {} in {} tokens; choose "
                        "1 <= min_distance <= max_distance <= {}",
                        nearest, farthest, length, longest_distance()));
    require(vocabulary() <= 65536,
            fmt::format("{} different tokens are needed and 65536 may be; choose fewer keys or values", vocabulary()));
  }
};

class RecallGenerator {
 public:
  explicit RecallGenerator(const Options& options)
      : layout_(options), seed_(static_cast<uint64_t>(options.integer("seed"))) {}

  Row row(uint64_t index) const {
    Rng rng{seed_, name_key("recall"), index};
    const auto distance = pick(rng, layout_.nearest, layout_.farthest);
    switch (layout_.mode) {
      case Mode::kFusedPairs:
      case Mode::kAdjacentPairs:
        return pairs(rng, distance);
      case Mode::kCopy:
        return copy(rng, distance);
      case Mode::kDuplicate:
        return duplicate(rng, distance);
    }
    LRA_ASSERT(!"a mode");
  }

 private:
  static int64_t pick(Rng& rng, int64_t low, int64_t high) {
    return rng.between(static_cast<int>(low), static_cast<int>(high));
  }
  // Filler everywhere; marks where there is none.
  std::vector<Token> ground(Rng& rng, int64_t count) const {
    std::vector<Token> tokens(static_cast<std::size_t>(count));
    if (layout_.filler == 0) return tokens;
    for (Token& token : tokens) token = static_cast<Token>(pick(rng, 1, layout_.filler));
    return tokens;
  }

  Row pairs(Rng& rng, int64_t distance) const {
    const bool fused = layout_.mode == Mode::kFusedPairs;
    const int64_t last = layout_.length - 1;
    Row row{ground(rng, layout_.length), 0};
    std::vector<int64_t> keys(static_cast<std::size_t>(layout_.keys));
    std::iota(keys.begin(), keys.end(), 0);
    std::vector<bool> taken(row.tokens.size());
    taken[static_cast<std::size_t>(last)] = true;
    for (int64_t item = 0; item < layout_.items; ++item) {
      const auto i = static_cast<std::size_t>(item);
      std::swap(keys[i], keys[static_cast<std::size_t>(pick(rng, item, layout_.keys - 1))]);
      const int64_t value = pick(rng, 0, layout_.values - 1);
      std::size_t at = static_cast<std::size_t>(last - distance);  // of the value; the first pair is the one asked for
      if (item > 0) {
        do {
          at = static_cast<std::size_t>(pick(rng, fused ? 0 : 1, last - 1));
        } while (taken[at] || (!fused && taken[at - 1]));
      }
      taken[at] = true;
      if (fused) {
        row.tokens[at] = static_cast<Token>(layout_.first_symbol() + keys[i] * layout_.values + value);
      } else {
        taken[at - 1] = true;
        row.tokens[at - 1] = static_cast<Token>(layout_.first_symbol() + keys[i]);
        row.tokens[at] = static_cast<Token>(layout_.first_symbol() + layout_.keys + value);
      }
      if (item == 0) row.label = static_cast<int32_t>(value);
    }
    row.tokens.back() = static_cast<Token>(layout_.first_query() + keys[0]);
    return row;
  }

  // The index asked for is drawn from those with which the whole word fits at this distance.
  Row copy(Rng& rng, int64_t distance) const {
    const int64_t at = layout_.length - 1 - distance;
    const int64_t lowest = std::max<int64_t>(0, layout_.items - distance);
    const int64_t highest = std::min(layout_.items - 1, at - 1);
    if (lowest > highest) return {};
    const int64_t index = pick(rng, lowest, highest);
    Row row{ground(rng, layout_.length), 0};
    const auto start = static_cast<std::size_t>(at - index);
    row.tokens[start - 1] = 0;
    for (int64_t i = 0; i < layout_.items; ++i) {
      const int64_t symbol = pick(rng, 0, layout_.values - 1);
      row.tokens[start + static_cast<std::size_t>(i)] = static_cast<Token>(layout_.first_symbol() + symbol);
      if (i == index) row.label = static_cast<int32_t>(symbol);
    }
    row.tokens.back() = static_cast<Token>(layout_.first_query() + index);
    return row;
  }

  Row duplicate(Rng& rng, int64_t distance) const {
    std::vector<Token> word(static_cast<std::size_t>(distance));
    for (Token& token : word) {
      token = static_cast<Token>(layout_.first_symbol() + pick(rng, 0, layout_.values - 1));
    }
    const int64_t index = pick(rng, 0, distance - 1);
    Row row;
    row.tokens.push_back(0);
    row.tokens.insert(row.tokens.end(), word.begin(), word.end());
    row.tokens.push_back(0);
    row.tokens.insert(row.tokens.end(), word.begin(), word.begin() + index);
    row.label = static_cast<int32_t>(word[static_cast<std::size_t>(index)] - layout_.first_symbol());
    return row;
  }

  Layout layout_;
  uint64_t seed_;
};

// Share of the first `limit` examples whose label is guess(tokens).
template <class Guess>
double share_of_hits(const data::Split& split, int64_t limit, const Guess& guess) {
  const int64_t count = std::min(limit, split.size());
  int64_t hits = 0;
  for (int64_t i = 0; i < count; ++i) hits += guess(split.tokens(i)) == split.label(i);
  return static_cast<double>(hits) / static_cast<double>(count);
}

class Recall final : public data::Task {
 public:
  const data::TaskInfo& info() const override {
    static const data::TaskInfo info{
        "recall",
        "Recall",
        "Find one symbol again: the value bound to a key, a symbol of a word by its index, or the next symbol of a "
        "word "
        "that is being repeated. min_distance and max_distance say how far back it lies. A narrow range of distances "
        "can be solved by position alone; the baseline 'value at the best distance' shows it.",
        "associative recall: Ba et al. 2016; copy: Hochreiter and Schmidhuber 1997, Arjovsky et al. 2016; duplicate: "
        "Kitaev, Kaiser and Levskaya 2020 (Reformer), section 5, asked one symbol at a time",
        data::with_splits(
            {OptionSpec::choice("mode", {"recall", "copy", "duplicate"}, "recall", "what is asked for"),
             OptionSpec::choice("pairing", {"fused", "adjacent"}, "fused",
                                "of recall: key and value are one token, or two that stand side by side"),
             OptionSpec::integer("max_length", 256, 4, 65536, "tokens of a sequence; of duplicate: at most"),
             OptionSpec::integer("items", 16, 1, 4096, "pairs (recall) or symbols of the word (copy)"),
             OptionSpec::integer("keys", 16, 1, 4096, "different keys (recall); a sequence has each at most once"),
             OptionSpec::integer("values", 16, 2, 4096, "different values or symbols: the classes"),
             OptionSpec::integer("filler", 16, 0, 4096, "different tokens without meaning; 0: only the mark"),
             OptionSpec::integer("min_distance", 1, 1, 65535, "least tokens from the symbol to the last token"),
             OptionSpec::integer("max_distance", 0, 0, 65535, "most tokens; 0: as far as the length allows")},
            {100000, 2000, 2000}),
        1};
    return info;
  }

  Shape shape(const Options& options) const override {
    const Layout layout(options);
    return {layout.vocabulary(), layout.values, layout.length, 0, 0, false};
  }

  void generate(const Options& options, Workers& workers, DatasetBuilder& builder) const override {
    const RecallGenerator generator(options);
    data::generate_splits(
        workers, data::split_sizes(options), [&](uint64_t index) { return generator.row(index); }, builder);
    const Layout layout(options);
    builder.note("source", "generated " + options.choice("mode"));
    builder.note("distance", Json{{"min", layout.nearest}, {"max", layout.farthest}, {"law", "uniform"}});
  }

  std::vector<Baseline> baselines(const Options& options, const Dataset& data, Workers& workers) const override {
    const Layout layout(options);
    constexpr int64_t kMost = 20000;  // examples: seconds at any length
    const data::Split& train = data.split(SplitName::kTrain);
    const data::Split& test = data.split(SplitName::kTest);
    const auto counts = [&](std::span<const Token> tokens, std::span<float> x) {
      std::fill(x.begin(), x.end(), 0.0f);
      for (const Token token : tokens) {
        if (const int64_t value = layout.value_of(token); value >= 0) x[static_cast<std::size_t>(value)] += 1;
      }
    };
    const auto last = [&](std::span<const Token> tokens) -> int64_t {
      for (std::size_t i = tokens.size(); i-- > 0;) {
        if (const int64_t value = layout.value_of(tokens[i]); value >= 0) return value;
      }
      return 0;
    };
    const auto most_frequent = [&](std::span<const Token> tokens) -> int64_t {
      std::vector<float> x(static_cast<std::size_t>(layout.values));
      counts(tokens, x);
      return std::max_element(x.begin(), x.end()) - x.begin();
    };
    const auto at_distance = [&](int64_t distance) {
      return [&layout, distance](std::span<const Token> tokens) -> int64_t {
        const int64_t at = static_cast<int64_t>(tokens.size()) - 1 - distance;
        return at < 0 ? -1 : layout.value_of(tokens[static_cast<std::size_t>(at)]);
      };
    };
    int64_t best_distance = layout.nearest;
    double best = -1;
    for (int64_t d = layout.nearest; d <= layout.farthest; ++d) {
      const double share = share_of_hits(train, kMost, at_distance(d));
      if (share > best) {
        best = share;
        best_distance = d;
      }
    }
    const auto rows_of = [&](const data::Split& split) {
      return data::LabelledRows{std::min(split.size(), kMost),
                                [&](int64_t i, std::span<float> x) { counts(split.tokens(i), x); },
                                [&](int64_t i) { return split.label(i); }};
    };
    const data::LogisticRegression bag(rows_of(train), layout.values, layout.values, {}, workers);
    return {{"last value", share_of_hits(test, test.size(), last)},
            {"most frequent value", share_of_hits(test, test.size(), most_frequent)},
            {"value at the best distance", share_of_hits(test, test.size(), at_distance(best_distance))},
            {"logistic regression on counts of values", bag.accuracy(rows_of(test), workers)}};
  }
};

LRA_REGISTER_TASK(Recall)

}  // namespace
}  // namespace lra::tasks
