// Text: one of two classes of a text given as bytes.
//
// synthetic  Evidence comes in items of two words, a and b. An item speaks for class 1 if the words fit each other and
//            for class 0 if not:
//              near   "is so good", "isn't so bad" | "isn't so good", "is so bad"       a few bytes apart
//              scope  "now .. warm", "once .. cold" | "once .. warm", "now .. cold"     tens of bytes apart
//              far    "Ann likes .." and "trust Ann", "Bob hates .." and "doubt Bob" | crosswise    anywhere in the
//              text
//            Items come in pairs that speak for the same class: one holds the first choice of a, the other the second.
//            So both classes use every word equally often in every text, and no word stands beside its partner: counts
//            of bytes or of neighbouring bytes, however they are combined, know nothing. The label is the class that
//            most pairs speak for. Sentences stand in random order between sentences of filler.
// imdb       Film reviews (Maas et al. 2011): the folder aclImdb of the published archive, or imdb_train.tsv and
//            imdb_test.tsv with rows "label <tab> id <tab> text", plain, gzip or xz. The first max_length bytes count.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <string>
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
using data::Row;
using data::Shape;
using data::SplitName;
using data::Token;

enum class Evidence { kNear, kScope, kFar };
constexpr std::array kEvidenceNames{"near", "scope", "far"};

constexpr std::array kNames{"Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal", "Ida", "Joe", "Kim", "Lou",
                            "Max", "Ned", "Oli", "Pam", "Ray", "Sue", "Tom", "Uma", "Val", "Wes", "Yan", "Zoe"};
constexpr std::array kTextFiller{"a",    "an",   "the",  "this", "that", "very", "quite", "so",   "red",  "blue",
                                 "old",  "new",  "tea",  "cup",  "road", "sea",  "ship",  "tree", "bird", "stone",
                                 "we",   "they", "saw",  "met",  "ran",  "rode", "near",  "over", "with", "from",
                                 "day",  "year", "hour", "room", "door", "lamp", "book",  "page", "line", "song",
                                 "rain", "snow", "wind", "moon", "star", "hill", "lake",  "farm"};

// Where the two words of an item begin.
struct Item {
  Evidence kind;
  std::size_t a = 0, b = 0;
};

class TextGenerator {
 public:
  explicit TextGenerator(const Options& options)
      : seed_(static_cast<uint64_t>(options.integer("seed"))),
        min_length_(static_cast<std::size_t>(options.integer("min_length"))),
        max_length_(static_cast<std::size_t>(options.integer("max_length"))),
        pairs_(static_cast<int>(options.integer("pairs"))),
        agreement_(options.number("agreement")) {
    for (const Evidence kind : {Evidence::kNear, Evidence::kScope, Evidence::kFar}) {
      const std::string& wanted = options.choice("evidence");
      if (wanted == "all" || wanted == kEvidenceNames[static_cast<std::size_t>(kind)]) kinds_.push_back(kind);
    }
  }

  // Candidate `index`; empty if its evidence does not fit. Appends its items to `items` if there is one.
  Row row(uint64_t index, std::vector<Item>* items = nullptr) const {
    Draft draft{Rng{seed_, name_key("text"), index}};
    Rng& rng = draft.rng;
    std::ranges::copy(kNames, draft.names.begin());
    for (std::size_t i = draft.names.size() - 1; i > 0; --i) {
      std::swap(draft.names[i], draft.names[rng.below(static_cast<uint32_t>(i + 1))]);
    }
    const auto label = static_cast<int32_t>(rng.below(2));
    for (const bool agrees : draw_agreement(rng)) {
      const Evidence kind = kinds_[rng.below(static_cast<uint32_t>(kinds_.size()))];
      const bool fits = agrees == (label == 1);
      for (const bool a : {false, true}) {
        if (!add_item(draft, kind, a, a == fits)) return {};
      }
    }
    const auto length =
        static_cast<std::size_t>(rng.between(static_cast<int>(min_length_), static_cast<int>(max_length_)));
    if (draft.bytes > length + 1) return {};  // the last blank is cut off
    while (true) {
      std::string sentence;
      for (int words = rng.between(2, 6); words > 0; --words) add_word(sentence, filler(rng));
      sentence += ". ";
      if (draft.bytes + sentence.size() > length + 1) break;
      draft.bytes += sentence.size();
      draft.sentences.push_back({sentence});
    }
    return {data::byte_tokens(assemble(draft, items), static_cast<int64_t>(max_length_)), label};
  }

 private:
  struct Sentence {
    std::string text;
    int item = -1;             // that has words in it
    std::size_t a = 0, b = 0;  // where they begin
    bool has_a = false, has_b = false;
  };
  struct Draft {
    Rng rng;
    std::array<const char*, kNames.size()> names{};
    std::size_t names_used = 0;
    std::vector<Sentence> sentences{};
    std::vector<Evidence> items{};
    std::size_t bytes = 0;

    void add(Sentence sentence) {
      bytes += sentence.text.size();
      sentences.push_back(std::move(sentence));
    }
  };

  static const char* filler(Rng& rng) { return kTextFiller[rng.below(static_cast<uint32_t>(kTextFiller.size()))]; }
  static std::size_t add_word(std::string& text, const char* word) {
    if (!text.empty()) text += ' ';
    text += word;
    return text.size() - std::string_view(word).size();
  }

  // Which pairs speak for the label: most of them.
  std::vector<bool> draw_agreement(Rng& rng) const {
    std::vector<bool> agrees(static_cast<std::size_t>(pairs_));
    do {
      for (std::size_t i = 0; i < agrees.size(); ++i) agrees[i] = rng.uniform() < agreement_;
    } while (2 * std::ranges::count(agrees, true) <= pairs_);
    return agrees;
  }

  // False if there are no names left.
  static bool add_item(Draft& draft, Evidence kind, bool a, bool b) {
    Rng& rng = draft.rng;
    const int item = static_cast<int>(draft.items.size());
    draft.items.push_back(kind);
    Sentence one{"", item};
    if (kind == Evidence::kFar) {
      if (draft.names_used == draft.names.size()) return false;
      const char* name = draft.names[draft.names_used++];
      one.has_a = true;
      add_word(one.text, name);
      one.a = add_word(one.text, a ? "likes" : "hates");
      add_word(one.text, filler(rng));
      one.text += ". ";
      draft.add(std::move(one));
      Sentence other{"", item};
      other.has_b = true;
      other.b = add_word(other.text, b ? "trust" : "doubt");
      add_word(other.text, name);
      other.text += ". ";
      draft.add(std::move(other));
      return true;
    }
    const bool near = kind == Evidence::kNear;
    one.has_a = one.has_b = true;
    one.a = add_word(one.text, near ? a ? "is" : "isn't" : a ? "now" : "once");
    for (int words = near ? rng.between(1, 2) : rng.between(2, 6); words > 0; --words) add_word(one.text, filler(rng));
    one.b = add_word(one.text, near ? b ? "good" : "bad" : b ? "warm" : "cold");
    one.text += ". ";
    draft.add(std::move(one));
    return true;
  }

  static std::string assemble(Draft& draft, std::vector<Item>* items) {
    std::vector<Sentence>& sentences = draft.sentences;
    for (std::size_t i = sentences.size(); i-- > 1;) {
      std::swap(sentences[i], sentences[draft.rng.below(static_cast<uint32_t>(i + 1))]);
    }
    std::vector<Item> found;
    for (const Evidence kind : draft.items) found.push_back({kind});
    std::string text;
    for (const Sentence& sentence : sentences) {
      if (sentence.has_a) found[static_cast<std::size_t>(sentence.item)].a = text.size() + sentence.a;
      if (sentence.has_b) found[static_cast<std::size_t>(sentence.item)].b = text.size() + sentence.b;
      text += sentence.text;
    }
    text.pop_back();
    if (items != nullptr) items->insert(items->end(), found.begin(), found.end());
    return text;
  }

  uint64_t seed_;
  std::size_t min_length_, max_length_;
  int pairs_;
  double agreement_;
  std::vector<Evidence> kinds_;
};

// Bytes from the first word of an item to the second: {"near": {"min", "median", "p95", "max"}, ...}
Json evidence_distances(const TextGenerator& generator) {
  constexpr uint64_t kTexts = 1000;
  std::vector<Item> items;
  for (uint64_t index = 0; index < kTexts; ++index) generator.row(index, &items);
  std::map<std::string, std::vector<std::size_t>> distances;
  for (const auto& [kind, a, b] : items) {
    distances[kEvidenceNames[static_cast<std::size_t>(kind)]].push_back(std::max(a, b) - std::min(a, b));
  }
  Json facts = Json::object();
  for (auto& [kind, values] : distances) {
    std::ranges::sort(values);
    facts[kind] = {{"min", values.front()},
                   {"median", values[values.size() / 2]},
                   {"p95", values[values.size() * 95 / 100]},
                   {"max", values.back()}};
  }
  return facts;
}

// One review, cut to its length.
struct Review {
  std::vector<Token> tokens;
  int32_t label = 0;
  bool is_cut = false;
};

constexpr std::size_t kLongestReview = std::size_t{1} << 20;  // bytes; the longest published one has 13,704

// Reads the reviews of one published file or folder and keeps a random sample of them.
class Reviews {
 public:
  Reviews(const Options& options, int64_t wanted, std::string_view part, data::BadRows& bad)
      : max_length_(options.integer("max_length")),
        bad_(bad),
        sample_(key_of({static_cast<uint64_t>(options.integer("seed")), name_key("imdb"), name_key(part)}), wanted) {
    const std::string folder = fmt::format("{}/{}", options.text("path"), part);
    const std::string table = fmt::format("{}/imdb_{}.tsv", options.text("path"), part);
    if (std::filesystem::is_directory(folder + "/pos")) {
      read_folder(folder + "/neg", 0);
      read_folder(folder + "/pos", 1);
    } else if (const std::string found = data::find_file(table); !found.empty()) {
      read_table(found);
    } else {
      throw Error(
          ErrorKind::kData,
          fmt::format("text: no reviews in '{}'; give --task-set path=FOLDER with {}/pos and {}/neg (the folder "
                      "aclImdb), or with imdb_{}.tsv, .tsv.gz or .tsv.xz",
                      options.text("path"), part, part, part));
    }
    if (sample_.seen() < wanted) {
      throw Error(ErrorKind::kUsage,
                  fmt::format("text: {} reviews are asked for and {} holds {}; ask for fewer", wanted,
                              options.text("path") + "/" + std::string(part), sample_.seen()));
    }
  }
  std::vector<Review> take() { return sample_.take(); }

 private:
  void read_folder(const std::string& folder, int32_t label) {
    std::vector<std::string> files;
    std::error_code trouble;
    for (const auto& entry : std::filesystem::directory_iterator(folder, trouble)) {
      if (entry.path().extension() == ".txt") files.push_back(entry.path().string());
    }
    if (trouble) throw Error(ErrorKind::kData, fmt::format("{}: cannot be read: {}", folder, trouble.message()));
    std::ranges::sort(files);
    for (const std::string& file : files) {
      std::error_code missing;
      const auto bytes = std::filesystem::file_size(file, missing);
      if (missing || bytes > kLongestReview) {
        bad_.reject(file, 0,
                    missing ? "cannot be read" : fmt::format("{} bytes long; at most {}", bytes, kLongestReview));
        continue;
      }
      if (bytes == 0) {
        bad_.reject(file, 0, "is empty");
        continue;
      }
      sample_.offer([&] { return cut(read_file(file, kLongestReview), label); });
    }
  }

  void read_table(const std::string& file) {
    data::RowReader rows(file, kLongestReview);
    while (rows.next()) {
      published::Review review;
      const bool is_good = bad_.accepts(file, rows.number(), [&] {
        if (rows.is_cut()) throw Error(ErrorKind::kData, fmt::format("longer than {} bytes", kLongestReview));
        review = published::review_of(rows.row());
      });
      if (is_good) sample_.offer([&] { return cut(review.text, review.label); });
    }
  }

  Review cut(std::string_view text, int32_t label) const {
    return {data::byte_tokens(text, max_length_), label, std::ssize(text) > max_length_};
  }

  int64_t max_length_;
  data::BadRows& bad_;
  data::StreamSample<Review> sample_;
};

class Text final : public data::Task {
 public:
  const data::TaskInfo& info() const override {
    static const data::TaskInfo info{
        "text",
        "Text",
        "Class of a text read byte by byte. synthetic: the label is what most of the evidence says, and each piece of "
        "evidence is two words that have to be brought together, near each other or anywhere in the text; counts of "
        "bytes or of neighbours know nothing. imdb: is a film review positive? Counts of bytes alone reach 65 % at "
        "1,000 bytes, which is the published level.",
        "bytes as tokens, reviews and lengths: Long Range Arena (Tay et al. 2020), section 2.2, after Maas et al. 2011",
        data::with_splits(
            {OptionSpec::choice("source", {"synthetic", "imdb"}, "synthetic", "made here, or the user's own reviews"),
             OptionSpec::text_value("path", "",
                                    "of imdb: the folder aclImdb, or one with imdb_train.tsv and imdb_test.tsv"),
             OptionSpec::integer("min_length", 500, 1, 60000, "of synthetic: least bytes that a text is filled up to"),
             OptionSpec::integer("max_length", 1000, 16, 60000, "most bytes; of reviews the rest is cut off"),
             OptionSpec::integer("pairs", 9, 1, 501, "of synthetic: pairs of items in a text; an odd number"),
             OptionSpec::number("agreement", 0.8, 0.5, 1, "of synthetic: chance that a pair speaks for the label"),
             OptionSpec::choice("evidence", {"all", "near", "scope", "far"}, "all", "of synthetic: kinds of items"),
             data::bad_rows_option()},
            {22000, 2500, 2000}, "seed of the generator; of imdb: which reviews are taken, in which order"),
        1};
    return info;
  }

  Shape shape(const Options& options) const override {
    data::BadRows checked(options.text("bad_rows"));
    if (!is_real(options)) {
      if (options.integer("min_length") > options.integer("max_length")) {
        throw Error(ErrorKind::kUsage, fmt::format("text: min_length {} is above max_length {}; choose it smaller",
                                                   options.integer("min_length"), options.integer("max_length")));
      }
      if (options.choice("evidence") == "far" && 2 * options.integer("pairs") > std::ssize(kNames)) {
        throw Error(ErrorKind::kUsage,
                    fmt::format("text: {} pairs of far evidence need two names each, and there are {}; choose pairs of "
                                "at most {}",
                                options.integer("pairs"), kNames.size(), kNames.size() / 2 - 1));
      }
      if (options.integer("pairs") % 2 == 0) {
        throw Error(ErrorKind::kUsage, fmt::format("text: {} pairs may disagree one half against the other; choose an "
                                                   "odd number",
                                                   options.integer("pairs")));
      }
    }
    return {data::kByteVocabulary, 2, options.integer("max_length"), 0, 0, false};
  }

  std::string origin(const Options& options) const override {
    if (!is_real(options)) return {};
    std::string origin;
    for (const char* part : {"train", "validation", "test"}) {
      for (const char* kind : {"pos", "neg"}) {
        const std::string folder = fmt::format("{}/{}/{}", options.text("path"), part, kind);
        std::error_code missing;
        uint64_t files = 0, bytes = 0;
        for (const auto& entry : std::filesystem::directory_iterator(folder, missing)) {
          std::error_code unreadable;
          const auto size = entry.file_size(unreadable);
          bytes += unreadable ? 0 : size;
          ++files;
        }
        origin += fmt::format("{} {} ", files, bytes);
      }
      origin += data::file_state(data::find_file(fmt::format("{}/imdb_{}.tsv", options.text("path"), part))) + " ";
    }
    return origin;
  }

  void generate(const Options& options, Workers& workers, DatasetBuilder& builder) const override {
    if (is_real(options)) {
      read_reviews(options, builder);
      return;
    }
    const TextGenerator generator(options);
    data::generate_splits(
        workers, data::split_sizes(options), [&](uint64_t index) { return generator.row(index); }, builder);
    builder.note("source", "generated texts, not reviews");
    builder.note("evidence_distance_bytes", evidence_distances(generator));
  }

  std::vector<Baseline> baselines(const Options&, const Dataset& data, Workers& workers) const override {
    constexpr int64_t kPairs = 1024;
    const data::Split& train = data.split(SplitName::kTrain);
    const data::Split& test = data.split(SplitName::kTest);
    const auto accuracy = [&](const data::Bag& bag) {
      const auto rows = [&](const data::Split& split, int64_t most) {
        return data::labelled_rows(
            split, [&](int64_t i, std::span<float> x) { bag.count(split.tokens(i), x); }, most);
      };
      const data::LogisticRegression model(rows(train, data::kBaselineRows), bag.size(), 2, {}, workers);
      return model.accuracy(rows(test, test.size()), workers);
    };
    return {{"logistic regression on counts of bytes", accuracy(data::Bag(data::kByteVocabulary))},
            {"logistic regression on counts of bytes and neighbours",
             accuracy(data::Bag(data::kByteVocabulary, train, kPairs))}};
  }

 private:
  static bool is_real(const Options& options) { return options.choice("source") == "imdb"; }

  // The published reviews have none; what lra-data exports has.
  static bool has_validation(const Options& options) {
    return !data::find_file(options.text("path") + "/imdb_validation.tsv").empty();
  }

  static void read_reviews(const Options& options, DatasetBuilder& builder) {
    const auto [train, validation, test] = data::split_sizes(options);
    data::BadRows bad(options.text("bad_rows"));
    Json cut = {{"train", 0}, {"validation", 0}, {"test", 0}};  // how many were longer than max_length
    const auto add = [&](SplitName split, std::span<const Review> reviews) {
      for (const Review& review : reviews) builder.add(split, review.tokens, review.label);
      cut[data::split_name(split)] = std::ranges::count(reviews, true, &Review::is_cut);
    };
    if (has_validation(options)) {
      add(SplitName::kTrain, Reviews(options, train, "train", bad).take());
      add(SplitName::kValidation, Reviews(options, validation, "validation", bad).take());
    } else {
      // Validation first: it stays the same when the training split grows.
      const std::vector<Review> reviews = Reviews(options, train + validation, "train", bad).take();
      add(SplitName::kValidation, std::span(reviews).first(static_cast<std::size_t>(validation)));
      add(SplitName::kTrain, std::span(reviews).subspan(static_cast<std::size_t>(validation)));
    }
    add(SplitName::kTest, Reviews(options, test, "test", bad).take());
    builder.note("source", "IMDb reviews");
    builder.note("texts_cut", cut);
    bad.note(builder);
  }
};

LRA_REGISTER_TASK(Text)

}  // namespace
}  // namespace lra::tasks
