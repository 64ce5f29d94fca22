// lm: next-token prediction, bits per token.
// source=copy   a stream whose entropy is known. Symbols form a chain, each followed by one of `branch` others.
// Segments
//               of `span` tokens open with a marker: FRESH, and new symbols follow, or COPY, and the tokens that began
//               `distance` tokens earlier come again. Who sees that far pays nothing for them:
//                 bits:  marker H(copy);  fresh symbol log2 symbols, then log2 branch each;  copied token 0
//               and who does not pays for a copied segment what a fresh one costs.
// source=text   the bytes of a file, cut into sequences; first 90 % to train, then 5 % and 5 %.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/rng.h"
#include "data/dataset.h"

namespace lra::tasks {
namespace {

using data::Baseline;
using data::Dataset;
using data::DatasetBuilder;
using data::Shape;
using data::SplitName;
using data::Token;

constexpr std::size_t kMostTextBytes = std::size_t{2} << 30;
constexpr int64_t kBytes = 256;

double bits(double n) { return std::log2(n); }

double entropy_of(double p) { return p <= 0 || p >= 1 ? 0 : -p * std::log2(p) - (1 - p) * std::log2(1 - p); }

// The generator of source=copy.
class CopyStream {
 public:
  explicit CopyStream(const Options& options)
      : length_(options.integer("length")),
        symbols_(options.integer("symbols")),
        branch_(options.integer("branch")),
        span_(options.integer("span")),
        distance_(options.integer("distance")),
        copy_(options.number("copy")),
        seed_(static_cast<uint64_t>(options.integer("seed"))) {
    const auto refuse = [](const std::string& why) { throw Error(ErrorKind::kUsage, "lm: " + why); };
    if (distance_ % span_ != 0) {
      refuse(fmt::format("distance {} is no multiple of span {}; choose {} or {}", distance_, span_,
                         std::max(span_, distance_ / span_ * span_), (distance_ / span_ + 1) * span_));
    }
    if (distance_ >= length_)
      refuse(fmt::format("distance {} leaves nothing to copy in {} tokens; choose a smaller one", distance_, length_));
    if (branch_ > symbols_) refuse(fmt::format("branch {} is above symbols {}", branch_, symbols_));
    for (int64_t s = 0; s < symbols_; ++s) {
      // The first `branch` of a shuffled alphabet (Fisher-Yates).
      std::vector<Token> order(static_cast<std::size_t>(symbols_));
      std::iota(order.begin(), order.end(), Token{0});
      Rng rng{seed_, name_key("chain"), static_cast<uint64_t>(s)};
      for (std::size_t i = 0; i < static_cast<std::size_t>(branch_); ++i)
        std::swap(order[i], order[i + rng.below(static_cast<uint32_t>(order.size() - i))]);
      order.resize(static_cast<std::size_t>(branch_));
      followers_.push_back(std::move(order));
    }
  }

  Token fresh_marker() const { return static_cast<Token>(symbols_); }
  Token copy_marker() const { return static_cast<Token>(symbols_ + 1); }
  int64_t vocabulary() const { return symbols_ + 2; }

  data::Row row(uint64_t index) const {
    Rng rng{seed_, name_key("lm"), index};
    data::Row row;
    std::vector<Token>& x = row.tokens;
    while (static_cast<int64_t>(x.size()) <= length_) {
      const auto start = static_cast<int64_t>(x.size());
      const bool copied = start >= distance_ && rng.uniform() < copy_;
      x.push_back(copied ? copy_marker() : fresh_marker());
      for (int64_t i = 1; i < span_; ++i) {
        if (copied) {
          x.push_back(x[x.size() - static_cast<std::size_t>(distance_)]);
        } else if (i == 1) {
          x.push_back(static_cast<Token>(rng.below(static_cast<uint32_t>(symbols_))));
        } else {
          x.push_back(followers_[x.back()][rng.below(static_cast<uint32_t>(branch_))]);
        }
      }
    }
    x.resize(static_cast<std::size_t>(length_) + 1);
    return row;
  }

  // Mean cost of a target: {who knows the rule, who sees no copy}.
  std::array<double, 2> cost(const data::Split& split) const {
    double all = 0, near = 0, targets = 0;
    for (int64_t e = 0; e < split.size(); ++e) {
      const auto x = split.tokens(e);
      bool copied = false;
      for (std::size_t t = 0; t < x.size(); ++t) {
        const auto place = static_cast<int64_t>(t) % span_;
        if (place == 0) copied = x[t] == copy_marker();
        if (t == 0) continue;  // the first token is given
        const double marker = static_cast<int64_t>(t) >= distance_ ? entropy_of(copy_) : 0;
        const double own = place == 0 ? marker : bits(double(place == 1 ? symbols_ : branch_));
        near += own;
        all += copied && place > 0 ? 0 : own;
        targets += 1;
      }
    }
    return {all / targets, near / targets};
  }

 private:
  int64_t length_, symbols_, branch_, span_, distance_;
  double copy_;
  uint64_t seed_;
  std::vector<std::vector<Token>> followers_;  // [symbols][branch]
};

// Bits per byte of the test split by how often each byte followed the one before it in the training split; what was
// never seen together falls back to how often the byte was seen at all: p = (n_ab + p_b) / (n_a + 1).
double pair_bits(const Dataset& data) {
  const auto vocab = static_cast<std::size_t>(data.shape().vocab);
  std::vector<double> single(vocab, 1.0), first(vocab, 0.0), pair(vocab * vocab, 0.0);
  const data::Split& train = data.split(SplitName::kTrain);
  for (int64_t e = 0; e < train.size(); ++e) {
    const auto x = train.tokens(e);
    for (std::size_t t = 1; t < x.size(); ++t) {
      ++single[x[t]];
      ++first[x[t - 1]];
      ++pair[x[t - 1] * vocab + x[t]];
    }
  }
  const double total = std::accumulate(single.begin(), single.end(), 0.0);
  const data::Split& test = data.split(SplitName::kTest);
  double sum = 0, targets = 0;
  for (int64_t e = 0; e < test.size(); ++e) {
    const auto x = test.tokens(e);
    for (std::size_t t = 1; t < x.size(); ++t) {
      sum -= std::log2((pair[x[t - 1] * vocab + x[t]] + single[x[t]] / total) / (first[x[t - 1]] + 1));
      targets += 1;
    }
  }
  return sum / targets;
}

class LanguageModelling final : public data::Task {
 public:
  const data::TaskInfo& info() const override {
    static const data::TaskInfo info{
        "lm",
        "Language modelling",
        "Bits per token of every next token, given those before it; needs a causal variant. source=copy has a known "
        "entropy and shows by position what a memory is worth; source=text reads any file byte by byte.",
        "own generator; text in the manner of enwik8 (Hutter 2006): contiguous 90 / 5 / 5 % of the bytes",
        data::with_splits(
            {OptionSpec::choice("source", {"copy", "text"}, "copy", "the generator, or the bytes of `path`"),
             OptionSpec::text_value("path", "", "text: the file"),
             OptionSpec::integer("length", 512, 2, 1 << 20, "tokens predicted in one sequence"),
             OptionSpec::integer("symbols", 30, 2, 60000, "copy: size of the alphabet, two markers not counted"),
             OptionSpec::integer("branch", 4, 1, 60000, "copy: symbols that may follow a symbol"),
             OptionSpec::integer("span", 16, 2, 1 << 19, "copy: tokens of a segment, its marker included"),
             OptionSpec::integer("distance", 128, 2, 1 << 19, "copy: how far back a copied segment began"),
             OptionSpec::number("copy", 0.5, 0, 1, "copy: share of segments that are copies, once one fits")},
            {20000, 500, 500}, "copy: seed of the generator"),
        1};
    return info;
  }

  Shape shape(const Options& options) const override {
    Shape shape;
    shape.max_len = options.integer("length") + 1;
    shape.next_token = true;
    shape.vocab = is_text(options) ? kBytes : CopyStream(options).vocabulary();
    shape.classes = shape.vocab;
    return shape;
  }

  std::string origin(const Options& options) const override {
    if (!is_text(options)) return "";
    const MappedFile text(path_of(options));
    return hash_hex(text.data(), text.size());
  }

  void generate(const Options& options, Workers& workers, DatasetBuilder& builder) const override {
    if (is_text(options)) return cut(options, builder);
    const CopyStream stream(options);
    data::generate_splits(
        workers, data::split_sizes(options), [&](uint64_t index) { return stream.row(index); }, builder);
    builder.note("source", "generated: a chain of symbols with copied segments");
  }

  std::vector<Baseline> baselines(const Options& options, const Dataset& data, Workers&) const override {
    if (is_text(options)) return {{"byte before", pair_bits(data)}};
    const auto [all, near] = CopyStream(options).cost(data.split(SplitName::kTest));
    // Not to be beaten but to be reached.
    return {{"chain, copies not seen", near}, {"entropy of the source", all}};
  }

 private:
  static bool is_text(const Options& options) { return options.choice("source") == "text"; }

  static const std::string& path_of(const Options& options) {
    const std::string& path = options.text("path");
    if (path.empty()) throw Error(ErrorKind::kUsage, "lm: source=text needs a file; add --task-set path=FILE");
    return path;
  }

  static void cut(const Options& options, DatasetBuilder& builder) {
    const std::string& path = path_of(options);
    const MappedFile file(path);
    const auto length = static_cast<std::size_t>(options.integer("length"));
    // Each part must hold a sequence; the smallest is a twentieth.
    const std::size_t least = 20 * (length + 1);
    if (file.size() < least || file.size() > kMostTextBytes) {
      throw Error(ErrorKind::kData,
                  fmt::format("{}: {} bytes; sequences of {} need {} to {} bytes, choose another file or length", path,
                              file.size(), length, least, kMostTextBytes));
    }
    const std::size_t ends[] = {file.size() / 20 * 18, file.size() / 20 * 19, file.size()};
    const auto sizes = data::split_sizes(options);
    std::size_t begin = 0;
    std::vector<Token> tokens(length + 1);
    for (std::size_t s = 0; s < 3; ++s) {
      const auto split = static_cast<SplitName>(s);
      // Each sequence opens with the last byte of the one before, so that every byte is a target once.
      for (std::size_t at = begin; at + length < ends[s] && builder.size(split) < sizes[s]; at += length) {
        std::copy_n(file.data() + at, length + 1, tokens.begin());
        builder.add(split, tokens, 0);
      }
      begin = ends[s];
    }
    builder.note("source", "bytes of a text file");
    builder.note("text", {{"bytes", file.size()}, {"hash", hash_hex(file.data(), file.size())}});
  }
};

LRA_REGISTER_TASK(LanguageModelling)

}  // namespace
}  // namespace lra::tasks
