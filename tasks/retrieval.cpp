// Retrieval: do two documents, given as bytes, belong together (1) or not (0)? Each is read without the other.
//
// synthetic  A source is a binding: each of the keys A, B, .. has one value, no two the same. A document of it says of
//            every key, `mentions` times, which value it has ("A7" or "A the old 7"), in random order between filler.
//              together      two documents of one source
//              hard negative `changed` keys have exchanged their values among themselves
//              easy negative the keys have other values
//            Hard negatives name every key and value as often as pairs that belong together, so no comparison of counts
//            is right more often than 1 - hard / 2. One document alone says nothing: its source is uniform whatever the
//            label.
// aan        Pairs of papers of the ACL anthology (Radev et al. 2013) as Long Range Arena distributes them:
//            new_aan_pairs.{train,eval,test}.tsv with rows "label <tab> id1 <tab> id2 <tab> text1 <tab> text2", plain,
//            gzip or xz. The first max_length bytes of each text count.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>
#include <unordered_set>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/rng.h"
#include "data/bag.h"
#include "data/byte_text.h"
#include "data/dataset.h"
#include "data/logistic.h"
#include "data/rows.h"
#include "tasks/published/formats.h"

namespace lra::tasks {
namespace {

using data::Baseline;
using data::Dataset;
using data::DatasetBuilder;
using data::Shape;
using data::SplitName;
using data::Token;

// One byte each, and none that filler has: a binding of neighbours is two bytes that stand side by side.
constexpr std::string_view kKeys = "ABCDEFGHIJKL";
constexpr std::string_view kValues = "0123456789MNOPQRSTUVWXYZ";
constexpr std::array kRetrievalFiller{"a",    "the",  "this", "that", "one",  "two",   "old",  "new",
                                      "on",   "in",   "and",  "but",  "then", "so",    "it",   "was",
                                      "were", "day",  "year", "hour", "long", "short", "far",  "near",
                                      "with", "from", "told", "said", "went", "heard", "left", "again"};

using Binding = std::vector<std::size_t>;  // value of each key

struct DocumentPair {
  std::vector<Token> first, second;
  int32_t label = 0;
};

class PairGenerator {
 public:
  explicit PairGenerator(const Options& options)
      : seed_(static_cast<uint64_t>(options.integer("seed"))),
        min_length_(static_cast<int>(options.integer("min_length"))),
        max_length_(static_cast<int>(options.integer("max_length"))),
        keys_(static_cast<std::size_t>(options.integer("keys"))),
        values_(static_cast<std::size_t>(options.integer("values"))),
        changed_(static_cast<std::size_t>(options.integer("changed"))),
        mentions_(static_cast<int>(options.integer("mentions"))),
        gap_(static_cast<int>(options.integer("gap"))),
        hard_(options.number("hard")) {}

  DocumentPair pair(uint64_t index) const {
    Rng rng{seed_, name_key("retrieval"), index};
    const auto label = static_cast<int32_t>(rng.below(2));
    // A random order of the values: the first ones are those of the source, those behind them of an easy negative.
    Binding order(values_);
    std::iota(order.begin(), order.end(), std::size_t{0});
    shuffle(rng, order);
    const auto keys = static_cast<std::ptrdiff_t>(keys_);
    const Binding source(order.begin(), order.begin() + keys);
    const Binding other = label == 1              ? source
                          : rng.uniform() < hard_ ? exchanged(rng, source)
                                                  : Binding(order.begin() + keys, order.begin() + 2 * keys);
    DocumentPair pair{document(rng, source), document(rng, other), label};
    if (rng.below(2) == 1) std::swap(pair.first, pair.second);
    return pair;
  }

  // Bytes that the statements of a document take at most; the rest is filler.
  std::size_t longest_statements() const {
    std::size_t longest = 0;
    for (const char* word : kRetrievalFiller) longest = std::max(longest, std::string_view(word).size());
    const std::size_t between = gap_ > 0 ? static_cast<std::size_t>(gap_) * (longest + 1) + 1 : 0;
    const std::size_t one = std::string_view("A0. ").size() + between;
    return keys_ * static_cast<std::size_t>(mentions_) * one;
  }

 private:
  static const char* filler(Rng& rng) {
    return kRetrievalFiller[rng.below(static_cast<uint32_t>(kRetrievalFiller.size()))];
  }
  template <class T>
  static void shuffle(Rng& rng, std::vector<T>& list) {
    for (std::size_t i = list.size(); i-- > 1;) std::swap(list[i], list[rng.below(static_cast<uint32_t>(i + 1))]);
  }

  // `changed` random keys pass their values on in a circle.
  Binding exchanged(Rng& rng, Binding values) const {
    std::vector<std::size_t> circle(keys_);
    std::iota(circle.begin(), circle.end(), std::size_t{0});
    shuffle(rng, circle);
    for (std::size_t i = 1; i < changed_; ++i) std::swap(values[circle[0]], values[circle[i]]);
    return values;
  }

  std::vector<Token> document(Rng& rng, const Binding& values) const {
    std::vector<std::string> sentences;
    std::size_t bytes = 0;
    const auto add = [&](std::string sentence) {
      sentence += ". ";
      bytes += sentence.size();
      sentences.push_back(std::move(sentence));
    };
    for (int mention = 0; mention < mentions_; ++mention) {
      for (std::size_t key = 0; key < keys_; ++key) {
        std::string sentence(1, kKeys[key]);
        const int words = rng.between(0, gap_);
        for (int word = 0; word < words; ++word) sentence += fmt::format(" {}", filler(rng));
        if (words > 0) sentence += ' ';
        add(sentence + kValues[values[key]]);
      }
    }
    const auto length = static_cast<std::size_t>(rng.between(min_length_, max_length_));
    while (true) {
      std::string sentence;
      for (int words = rng.between(1, 4); words > 0; --words) sentence += fmt::format("{} ", filler(rng));
      sentence.pop_back();
      if (bytes + sentence.size() + 2 > length + 1) break;
      add(std::move(sentence));
    }
    shuffle(rng, sentences);
    std::string text;
    for (const std::string& sentence : sentences) text += sentence;
    text.pop_back();
    return data::byte_tokens(text, max_length_);
  }

  uint64_t seed_;
  int min_length_, max_length_;
  std::size_t keys_, values_, changed_;
  int mentions_, gap_;
  double hard_;
};

constexpr std::size_t kLongestRow = std::size_t{1} << 23;  // bytes of both texts of a published row

struct AanPair {
  std::array<std::string, 2> texts;  // cut to their length; bytes, half the size of tokens
  std::array<uint64_t, 2> ids{};     // hashes of the papers' names
  int32_t label = 0;
  int cut = 0;  // texts that were longer
};

// A random sample of the pairs of one published file.
std::vector<AanPair> read_aan(const Options& options, const char* part, int64_t wanted, data::BadRows& bad) {
  const std::string path = fmt::format("{}/new_aan_pairs.{}.tsv", options.text("path"), part);
  const std::string file = data::find_file(path);
  if (file.empty()) {
    throw Error(ErrorKind::kData,
                fmt::format("retrieval: {} is not there, nor with .gz or .xz; give --task-set path=FOLDER that holds "
                            "new_aan_pairs.train.tsv, .eval.tsv and .test.tsv",
                            path));
  }
  const auto most = static_cast<std::size_t>(options.integer("max_length"));
  data::StreamSample<AanPair> sample(
      key_of({static_cast<uint64_t>(options.integer("seed")), name_key("aan"), name_key(part)}), wanted);
  data::RowReader rows(file, kLongestRow);
  while (rows.next()) {
    published::PaperPair row;
    const bool is_good = bad.accepts(file, rows.number(), [&] {
      if (rows.is_cut()) throw Error(ErrorKind::kData, fmt::format("longer than {} bytes", kLongestRow));
      row = published::paper_pair_of(rows.row());
    });
    if (!is_good) continue;
    sample.offer([&] {
      AanPair pair;
      pair.label = row.label;
      for (std::size_t d = 0; d < 2; ++d) {
        pair.texts[d] = row.texts[d].substr(0, most);
        pair.ids[d] = hash64(row.ids[d].data(), row.ids[d].size());
        pair.cut += row.texts[d].size() > most;
      }
      return pair;
    });
  }
  if (sample.seen() < wanted) {
    throw Error(ErrorKind::kUsage, fmt::format("retrieval: {} pairs are asked for and {} holds {}; ask for fewer",
                                               wanted, file, sample.seen()));
  }
  return sample.take();
}

class Retrieval final : public data::Task {
 public:
  const data::TaskInfo& info() const override {
    static const data::TaskInfo info{
        "retrieval",
        "Retrieval",
        "Do two documents, read byte by byte and each without the other, belong together? synthetic: what decides is "
        "which value belongs to which key, not which of them occur; comparing counts is right in at most 1 - hard / 2 "
        "of "
        "all cases. "
        "aan: does one paper cite the other?",
        "Long Range Arena (Tay et al. 2020), section 2.2, after Radev et al. 2013",
        data::with_splits(
            {OptionSpec::choice("source", {"synthetic", "aan"}, "synthetic", "made here, or the user's own pairs"),
             OptionSpec::text_value("path", "",
                                    "of aan: the folder of new_aan_pairs.train.tsv, .eval.tsv and .test.tsv"),
             OptionSpec::integer("min_length", 500, 1, 60000, "of synthetic: bytes that a document is filled up to"),
             OptionSpec::integer("max_length", 1000, 16, 60000,
                                 "most bytes of a document; of papers the rest is cut off"),
             OptionSpec::integer("keys", 8, 2, static_cast<double>(kKeys.size()),
                                 "of synthetic: keys, all named in every document"),
             OptionSpec::integer("values", static_cast<double>(kValues.size()), 4, static_cast<double>(kValues.size()),
                                 "of synthetic: different values; twice as many as keys at least"),
             OptionSpec::integer("changed", 8, 2, static_cast<double>(kKeys.size()),
                                 "of synthetic: keys whose value differs in a hard negative"),
             OptionSpec::integer("mentions", 2, 1, 100, "of synthetic: statements about each key"),
             OptionSpec::integer("gap", 3, 0, 100, "of synthetic: most words between a key and its value"),
             OptionSpec::number("hard", 0.8, 0, 1, "of synthetic: share of hard negatives among the negatives"),
             data::bad_rows_option()},
            {100000, 2000, 2000}, "seed of the generator; of aan: which pairs are taken, in which order"),
        1};
    return info;
  }

  Shape shape(const Options& options) const override {
    data::BadRows checked(options.text("bad_rows"));
    const Shape shape{data::kByteVocabulary, 2, options.integer("max_length"), 0, 0, true};
    if (is_real(options)) return shape;
    const int64_t least = options.integer("min_length"), most = options.integer("max_length");
    const auto needed = static_cast<int64_t>(PairGenerator(options).longest_statements());
    if (least > most) {
      throw Error(ErrorKind::kUsage,
                  fmt::format("retrieval: min_length {} is above max_length {}; choose it smaller", least, most));
    }
    if (needed > most) {
      throw Error(ErrorKind::kUsage, fmt::format("retrieval: the statements may need {} bytes and max_length is {}; "
                                                 "choose it larger, or fewer keys, mentions or a smaller gap",
                                                 needed, most));
    }
    if (options.integer("values") < 2 * options.integer("keys")) {
      throw Error(ErrorKind::kUsage,
                  fmt::format("retrieval: {} values are too few for {} keys; choose values of at "
                              "least {}, or fewer keys",
                              options.integer("values"), options.integer("keys"), 2 * options.integer("keys")));
    }
    if (options.integer("changed") > options.integer("keys")) {
      throw Error(ErrorKind::kUsage,
                  fmt::format("retrieval: {} keys cannot change where there are {}; choose changed "
                              "of at most {}",
                              options.integer("changed"), options.integer("keys"), options.integer("keys")));
    }
    return shape;
  }

  std::string origin(const Options& options) const override {
    if (!is_real(options)) return {};
    std::string origin;
    for (const char* part : kParts) {
      origin += data::file_state(data::find_file(fmt::format("{}/new_aan_pairs.{}.tsv", options.text("path"), part)));
      origin += ' ';
    }
    return origin;
  }

  void generate(const Options& options, Workers& workers, DatasetBuilder& builder) const override {
    if (is_real(options)) {
      read_pairs(options, builder);
      return;
    }
    const PairGenerator generator(options);
    const std::array<int64_t, 3> sizes = data::split_sizes(options);
    constexpr int64_t kBlock = 1024;
    std::vector<DocumentPair> pairs(kBlock);
    uint64_t first = 0;
    for (const SplitName split : {SplitName::kTrain, SplitName::kValidation, SplitName::kTest}) {
      for (int64_t left = sizes[static_cast<std::size_t>(split)]; left > 0;) {
        const int64_t count = std::min(left, kBlock);
        workers.for_chunks(count, 16, [&](int64_t begin, int64_t end, int) {
          for (int64_t i = begin; i < end; ++i) {
            pairs[static_cast<std::size_t>(i)] = generator.pair(first + static_cast<uint64_t>(i));
          }
        });
        for (int64_t i = 0; i < count; ++i) {
          const DocumentPair& pair = pairs[static_cast<std::size_t>(i)];
          builder.add_pair(split, pair.first, pair.second, pair.label);
        }
        first += static_cast<uint64_t>(count);
        left -= count;
      }
    }
    builder.note("source", "generated documents, not papers");
    builder.note("most_by_counts", 1 - options.number("hard") / 2);
  }

  std::vector<Baseline> baselines(const Options&, const Dataset& data, Workers& workers) const override {
    const data::Bag bag(data::kByteVocabulary);
    const auto width = static_cast<std::size_t>(bag.size());
    using Features = void (*)(const data::Bag&, std::span<const Token>, std::span<const Token>, std::span<float>);
    const auto accuracy = [&](std::size_t size, Features features) {
      const auto rows = [&](const data::Split& split, int64_t most) {
        return data::labelled_rows(
            split,
            [&bag, &split, features](int64_t i, std::span<float> x) {
              features(bag, split.tokens(i, 0), split.tokens(i, 1), x);
            },
            most);
      };
      const data::Split& test = data.split(SplitName::kTest);
      const data::LogisticRegression model(rows(data.split(SplitName::kTrain), data::kBaselineRows),
                                           static_cast<int64_t>(size), 2, {}, workers);
      return model.accuracy(rows(test, test.size()), workers);
    };
    return {{"logistic regression on counts of bytes of one document",
             accuracy(width, [](const data::Bag& counts, std::span<const Token> first, std::span<const Token>,
                                std::span<float> x) { counts.count(first, x); })},
            {"logistic regression on counts of bytes compared", accuracy(2 * width + 1, compare)}};
  }

 private:
  static constexpr std::array kParts{"train", "eval", "test"};

  static bool is_real(const Options& options) { return options.choice("source") == "aan"; }

  // x: products and absolute differences of the shares of each byte, then the cosine of the two lists of shares.
  static void compare(const data::Bag& bag, std::span<const Token> first, std::span<const Token> second,
                      std::span<float> x) {
    const auto width = static_cast<std::size_t>(bag.size());
    const std::span<float> products = x.first(width), differences = x.subspan(width, width);
    bag.count(first, products);
    bag.count(second, differences);
    float dot = 0, squares = 0, other_squares = 0;
    for (std::size_t i = 0; i < width; ++i) {
      const float a = products[i] / static_cast<float>(first.size());
      const float b = differences[i] / static_cast<float>(second.size());
      dot += a * b;
      squares += a * a;
      other_squares += b * b;
      products[i] = a * b;
      differences[i] = std::abs(a - b);
    }
    x.back() = dot / std::sqrt(squares * other_squares);
  }

  static void read_pairs(const Options& options, DatasetBuilder& builder) {
    const std::array<int64_t, 3> sizes = data::split_sizes(options);
    data::BadRows bad(options.text("bad_rows"));
    std::unordered_set<uint64_t> papers;  // of the training split
    int64_t known = 0;
    Json cut = {{"train", 0}, {"validation", 0}, {"test", 0}};  // how many texts were longer than max_length
    for (const SplitName split : {SplitName::kTrain, SplitName::kValidation, SplitName::kTest}) {
      const auto s = static_cast<std::size_t>(split);
      std::vector<AanPair> pairs = read_aan(options, kParts[s], sizes[s], bad);
      int64_t tokens = 0, longer = 0;
      for (const AanPair& pair : pairs) tokens += std::ssize(pair.texts[0]) + std::ssize(pair.texts[1]);
      builder.reserve(split, std::ssize(pairs), tokens);
      for (AanPair& pair : pairs) {
        const auto document = [&](std::size_t d) {
          return data::byte_tokens(pair.texts[d], std::ssize(pair.texts[d]));
        };
        builder.add_pair(split, document(0), document(1), pair.label);
        if (split == SplitName::kTrain) papers.insert(pair.ids.begin(), pair.ids.end());
        known += split == SplitName::kTest && (papers.contains(pair.ids[0]) || papers.contains(pair.ids[1]));
        longer += pair.cut;
        pair.texts = {};  // what is packed need not be held twice
      }
      cut[data::split_name(split)] = longer;
    }
    builder.note("source", "AAN pairs");
    builder.note("texts_cut", cut);
    bad.note(builder);
    builder.note("test_pairs_with_a_training_paper", known);
  }
};

LRA_REGISTER_TASK(Retrieval)

}  // namespace
}  // namespace lra::tasks
