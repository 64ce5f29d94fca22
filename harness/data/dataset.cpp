// Packs examples, describes them, and keeps them in one file per (task, version, options):
//   head (40 bytes) | JSON header, padded with blanks to 64 bytes | offsets of 3 splits (uint64) | labels (int32) |
//   tokens (uint16)
// Wider numbers come first, so every array is aligned without gaps and every byte of the file is under a hash.
#include "data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <unordered_set>

#include "core/clock.h"
#include "core/error.h"
#include "core/rng.h"
#include "core/text.h"

namespace lra::data {
// A split on its way into a file.
struct Packed {
  std::vector<uint64_t> offsets{0};
  std::vector<int32_t> labels;
  std::vector<Token> tokens;
  std::vector<uint64_t> rows;  // hash of each example's tokens
};

namespace {

constexpr std::array<SplitName, 3> kSplits{SplitName::kTrain, SplitName::kValidation, SplitName::kTest};

constexpr std::size_t kAlignment = 64;  // of the first array, in bytes

std::size_t at(SplitName split) { return static_cast<std::size_t>(split); }

// The start of a file. Little-endian machines only; on another one the magic differs and the data is made anew.
struct Head {
  uint64_t magic = 0x0a64'6174'6164'726cull;
  uint64_t format = 1;
  uint64_t file_bytes = 0;
  uint64_t json_bytes = 0;
  uint64_t json_hash = 0;
};
static_assert(sizeof(Head) == 40);

template <class T>
Bytes bytes_of(const std::vector<T>& values) {
  return {values.data(), values.size() * sizeof(T)};
}

[[noreturn]] void unusable(const std::string& path, const std::string& reason) {
  throw Error(ErrorKind::kData, fmt::format("{}: {}", path, reason));
}

std::string hash_of_arrays(const std::vector<Bytes>& arrays) {
  std::string hashes;
  for (const Bytes& array : arrays) hashes += hash_hex(array.data, array.size);
  return hash_hex(hashes);
}

Json json_of(const Shape& shape) {
  return {{"vocab", shape.vocab}, {"classes", shape.classes}, {"max_len", shape.max_len},      {"height", shape.height},
          {"width", shape.width}, {"pair", shape.pair},       {"next_token", shape.next_token}};
}

Shape shape_of(const Json& json) {
  return {json.at("vocab"),
          json.at("classes"),
          json.at("max_len"),
          json.at("height"),
          json.at("width"),
          json.at("pair"),
          json.value("next_token", false)};
}

// Nearest-rank quantile of sorted values.
uint64_t quantile(const std::vector<uint64_t>& sorted, double share) {
  const auto rank = static_cast<std::size_t>(share * static_cast<double>(sorted.size()));
  return sorted[std::min(rank, sorted.size() - 1)];
}

Json facts_of(const Packed& split, int64_t classes) {
  std::vector<uint64_t> lengths;
  for (std::size_t i = 1; i < split.offsets.size(); ++i) lengths.push_back(split.offsets[i] - split.offsets[i - 1]);
  std::sort(lengths.begin(), lengths.end());
  std::vector<double> shares(static_cast<std::size_t>(classes), 0.0);
  for (const int32_t label : split.labels) shares[static_cast<std::size_t>(label)] += 1.0;
  for (double& share : shares) share /= static_cast<double>(split.labels.size());
  const std::unordered_set<uint64_t> distinct(split.rows.begin(), split.rows.end());
  return {{"examples", split.labels.size()},
          {"class_shares", shares},
          {"length",
           {{"min", lengths.front()},
            {"median", quantile(lengths, 0.5)},
            {"p95", quantile(lengths, 0.95)},
            {"max", lengths.back()},
            {"mean", static_cast<double>(split.tokens.size()) / static_cast<double>(lengths.size())}}},
          {"repeats", split.rows.size() - distinct.size()}};
}

// Examples of `later` whose tokens occur in `earlier`.
int64_t overlap(const Packed& later, const Packed& earlier) {
  const std::unordered_set<uint64_t> known(earlier.rows.begin(), earlier.rows.end());
  return std::count_if(later.rows.begin(), later.rows.end(), [&](uint64_t row) { return known.contains(row); });
}

Json key_of_data(const Task& task, const Options& options) {
  const std::string origin = task.origin(options);
  return {{"task", task.info().id},
          {"version", task.info().version},
          {"options", options.json()},
          {"origin", is_utf8(origin) ? origin : hash_hex(origin)}};
}

std::string path_of(const Json& key, const std::string& cache_folder, const char* ending) {
  return fmt::format("{}/data/{}-v{}-{}{}", cache_folder, key.at("task").get<std::string>(),
                     key.at("version").get<int>(), hash_hex(key.dump()).substr(0, 16), ending);
}

}  // namespace

std::span<const Token> Split::tokens(int64_t i, int part) const {
  LRA_ASSERT(i >= 0 && i < size() && part >= 0 && part < parts_);
  const auto at = static_cast<std::size_t>(i * parts_ + part);
  return tokens_.subspan(offsets_[at], offsets_[at + 1] - offsets_[at]);
}

struct DatasetBuilder::Content {
  Shape shape;
  std::array<Packed, 3> splits;
  std::unordered_set<uint64_t> seen;
  bool repeats_allowed = false;
  Json notes = Json::object();

  void append(SplitName split, std::span<const Token> tokens) {
    LRA_ASSERT(!tokens.empty() && static_cast<int64_t>(tokens.size()) <= shape.max_len);
    LRA_ASSERT(*std::max_element(tokens.begin(), tokens.end()) < shape.vocab);
    Packed& packed = splits[at(split)];
    packed.tokens.insert(packed.tokens.end(), tokens.begin(), tokens.end());
    packed.offsets.push_back(packed.tokens.size());
  }
  void close(SplitName split, uint64_t row, int32_t label) {
    LRA_ASSERT(label >= 0 && label < shape.classes);
    splits[at(split)].labels.push_back(label);
    splits[at(split)].rows.push_back(row);
  }

  Json facts() const;
  // Writes the file of `key`.
  void store(const std::string& path, const Json& key) const;
};

Json DatasetBuilder::Content::facts() const {
  Json facts = Json::object();
  for (const SplitName split : kSplits) facts[split_name(split)] = facts_of(splits[at(split)], shape.classes);
  const auto& [train, validation, test] = splits;
  const int64_t validation_in_train = overlap(validation, train);
  const int64_t test_in_train = overlap(test, train);
  const int64_t test_in_validation = overlap(test, validation);
  LRA_ASSERT(repeats_allowed || validation_in_train + test_in_train + test_in_validation == 0);
  facts["overlap"] = {{"validation_in_train", validation_in_train},
                      {"test_in_train", test_in_train},
                      {"test_in_validation", test_in_validation}};
  for (const auto& [name, value] : notes.items()) {
    LRA_ASSERT(!facts.contains(name));
    facts[name] = value;
  }
  return facts;
}

void DatasetBuilder::Content::store(const std::string& path, const Json& key) const {
  std::vector<Bytes> arrays;
  Json sizes = Json::array();
  for (const Packed& split : splits) arrays.push_back(bytes_of(split.offsets));
  for (const Packed& split : splits) arrays.push_back(bytes_of(split.labels));
  for (const Packed& split : splits) {
    arrays.push_back(bytes_of(split.tokens));
    sizes.push_back({{"examples", split.labels.size()}, {"tokens", split.tokens.size()}});
  }
  const Json json = {
      {"key", key}, {"hash", hash_of_arrays(arrays)}, {"shape", json_of(shape)}, {"splits", sizes}, {"facts", facts()}};
  // Facts may name files, whose names are in any encoding.
  std::string header = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  header.resize((sizeof(Head) + header.size() + kAlignment - 1) / kAlignment * kAlignment - sizeof(Head), ' ');

  Head head;
  head.json_bytes = header.size();
  head.json_hash = hash64(header.data(), header.size());
  head.file_bytes = sizeof(Head) + header.size();
  for (const Bytes& array : arrays) head.file_bytes += array.size;
  arrays.insert(arrays.begin(), {Bytes{&head, sizeof(Head)}, Bytes{header.data(), header.size()}});
  write_file_atomically(path, arrays);
}

DatasetBuilder::DatasetBuilder(const Shape& shape) : content_(std::make_unique<Content>()) {
  LRA_ASSERT(shape.vocab >= 1 && shape.vocab <= 65536 && shape.classes >= 2 && shape.max_len >= 1);
  LRA_ASSERT(shape.height == 0 || shape.height * shape.width == shape.max_len);
  content_->shape = shape;
}

DatasetBuilder::~DatasetBuilder() = default;

bool DatasetBuilder::add_unique(SplitName split, std::span<const Token> tokens, int32_t label) {
  LRA_ASSERT(!content_->shape.pair);
  const uint64_t row = hash64(tokens.data(), tokens.size_bytes());
  if (!content_->seen.insert(row).second) return false;
  content_->append(split, tokens);
  content_->close(split, row, label);
  return true;
}

void DatasetBuilder::add(SplitName split, std::span<const Token> tokens, int32_t label) {
  LRA_ASSERT(!content_->shape.pair);
  const uint64_t row = hash64(tokens.data(), tokens.size_bytes());
  content_->repeats_allowed = true;
  content_->seen.insert(row);
  content_->append(split, tokens);
  content_->close(split, row, label);
}

void DatasetBuilder::add_pair(SplitName split, std::span<const Token> first, std::span<const Token> second,
                              int32_t label) {
  LRA_ASSERT(content_->shape.pair);
  const uint64_t row = key_of({hash64(first.data(), first.size_bytes()), hash64(second.data(), second.size_bytes())});
  content_->repeats_allowed = true;
  content_->append(split, first);
  content_->append(split, second);
  content_->close(split, row, label);
}

int64_t DatasetBuilder::size(SplitName split) const {
  return static_cast<int64_t>(content_->splits[at(split)].labels.size());
}

void DatasetBuilder::reserve(SplitName split, int64_t examples, int64_t tokens) {
  Packed& packed = content_->splits[at(split)];
  const auto more = static_cast<std::size_t>(examples), sequences = content_->shape.pair ? 2 * more : more;
  try {
    packed.tokens.reserve(packed.tokens.size() + static_cast<std::size_t>(tokens));
    packed.offsets.reserve(packed.offsets.size() + sequences);
    packed.labels.reserve(packed.labels.size() + more);
    packed.rows.reserve(packed.rows.size() + more);
  } catch (const std::bad_alloc&) {
    throw Error(ErrorKind::kUsage,
                fmt::format("{} {} examples need {} while they are made, more than this machine has; ask for fewer",
                            examples, split_name(split), human_bytes(static_cast<double>(tokens) * sizeof(Token))));
  }
}

void DatasetBuilder::note(const std::string& name, const Json& value) { content_->notes[name] = value; }

// A hash says that the bytes are those that were written, not that a program like this one wrote them.
bool Dataset::is_sound() const {
  const Shape& s = shape_;
  if (s.vocab < 1 || s.vocab > 65536 || s.classes < 2 || s.max_len < 1 || s.height < 0 || s.width < 0) return false;
  if (s.height > 0 && (s.max_len / s.height != s.width || s.max_len % s.height != 0)) return false;
  const auto max_len = static_cast<uint64_t>(s.max_len);
  return std::ranges::all_of(splits_, [&](const Split& split) {
    const auto offsets = split.offsets_;
    bool sound = offsets.front() == 0 && offsets.back() == split.tokens_.size() && split.size() > 0;
    // Unsigned: a step back is a step too long.
    for (std::size_t i = 1; i < offsets.size(); ++i) sound &= offsets[i] - offsets[i - 1] - 1 < max_len;
    for (const int32_t label : split.labels_) sound &= label >= 0 && label < s.classes;
    for (const Token token : split.tokens_) sound &= token < s.vocab;
    return sound;
  });
}

Dataset Dataset::load(const std::string& path, const Json& key) try {
  Dataset data;
  data.file_ = std::make_shared<MappedFile>(path);
  const std::size_t size = data.file_->size();
  const unsigned char* base = data.file_->data();
  Head head;
  if (size < sizeof(Head)) unusable(path, fmt::format("only {} bytes long", size));
  std::memcpy(&head, base, sizeof(Head));
  if (head.magic != Head{}.magic || head.format != Head{}.format) unusable(path, "not a data file of this version");
  if (head.file_bytes != size) unusable(path, fmt::format("{} bytes of {}", size, head.file_bytes));
  if (head.json_bytes > size - sizeof(Head)) unusable(path, "header longer than the file");
  const unsigned char* header = base + sizeof(Head);
  if (hash64(header, head.json_bytes) != head.json_hash) unusable(path, "header does not match its hash");
  if ((sizeof(Head) + head.json_bytes) % kAlignment != 0) unusable(path, "header is not padded");

  const Json json = parse_json(std::string(header, header + head.json_bytes), path);
  if (json.at("key") != key) unusable(path, "holds the data of other options");
  data.shape_ = shape_of(json.at("shape"));
  data.hash_ = json.at("hash");
  data.facts_ = json.at("facts");

  std::vector<Bytes> arrays;
  const unsigned char* next = header + head.json_bytes;
  const unsigned char* end = base + size;
  const auto take = [&]<class T>(std::span<const T>& view, std::size_t count) {
    if (count > static_cast<std::size_t>(end - next) / sizeof(T)) unusable(path, "arrays longer than the file");
    view = {reinterpret_cast<const T*>(next), count};
    arrays.push_back({next, view.size_bytes()});
    next += view.size_bytes();
  };
  const Json& sizes = json.at("splits");
  for (std::size_t s = 0; s < 3; ++s) {
    data.splits_[s].parts_ = data.shape_.pair ? 2 : 1;
    take(data.splits_[s].offsets_,
         sizes.at(s).at("examples").get<std::size_t>() * static_cast<std::size_t>(data.splits_[s].parts_) + 1);
  }
  for (std::size_t s = 0; s < 3; ++s) take(data.splits_[s].labels_, sizes.at(s).at("examples"));
  for (std::size_t s = 0; s < 3; ++s) take(data.splits_[s].tokens_, sizes.at(s).at("tokens"));
  if (next != end || hash_of_arrays(arrays) != data.hash_) unusable(path, "content does not match its hash");
  if (!data.is_sound()) unusable(path, "its numbers are not those of a data set");
  return data;
} catch (const Json::exception&) {
  unusable(path, "header is not that of a data set");
}

Dataset Dataset::open(const Task& task, const Options& options, Workers& workers, const std::string& cache_folder) {
  const double start = wall_seconds();
  const Json key = key_of_data(task, options);
  const std::string path = path_of(key, cache_folder, ".lrad");
  std::string trouble;  // why a file that is there cannot be used
  const auto from_file = [&]() -> std::optional<Dataset> {
    if (!std::filesystem::exists(path)) return std::nullopt;
    try {
      Dataset data = load(path, key);
      data.from_cache_ = true;
      data.seconds_ = wall_seconds() - start;
      return data;
    } catch (const std::exception& error) {
      trouble = error.what();
      return std::nullopt;
    }
  };

  if (auto data = from_file()) return std::move(*data);
  const FileLock lock(path + ".lock", true);
  trouble.clear();
  // Another process may have made it while this one waited.
  if (auto data = from_file()) return std::move(*data);
  if (!trouble.empty()) fmt::print(stderr, "{}; making it anew\n", trouble);

  {
    DatasetBuilder builder(task.shape(options));
    task.generate(options, workers, builder);
    for (const SplitName split : kSplits) LRA_ASSERT(builder.size(split) > 0);
    builder.content().store(path, key);
  }
  Dataset data = load(path, key);
  data.seconds_ = wall_seconds() - start;
  return data;
}

namespace {

// The most frequent class of the training split, on the test split.
Baseline majority(const Dataset& data) {
  const auto shares = data.facts().at("train").at("class_shares").get<std::vector<double>>();
  const auto best = std::max_element(shares.begin(), shares.end()) - shares.begin();
  return {"majority", data.facts().at("test").at("class_shares").at(static_cast<std::size_t>(best)).get<double>()};
}

// Bits per token of the test split when each token is predicted by how often it is a target of the training split;
// each is counted once more than it was seen.
Baseline token_frequencies(const Dataset& data) {
  const auto vocab = static_cast<std::size_t>(data.shape().vocab);
  const auto count = [&](SplitName name) {
    std::vector<double> counts(vocab, 0.0);
    const Split& split = data.split(name);
    for (int64_t i = 0; i < split.size(); ++i) {
      for (const Token token : split.tokens(i).subspan(1)) ++counts[token];
    }
    return counts;
  };
  const std::vector<double> train = count(SplitName::kTrain), test = count(SplitName::kTest);
  const double seen = std::accumulate(train.begin(), train.end(), static_cast<double>(vocab));
  double bits = 0;
  for (std::size_t t = 0; t < vocab; ++t) bits -= test[t] * std::log2((train[t] + 1) / seen);
  return {"token frequencies", bits / std::accumulate(test.begin(), test.end(), 0.0)};
}

std::optional<std::vector<Baseline>> stored_baselines(const std::string& path, const std::string& data_hash) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  try {
    const Json json = read_json(path);
    if (json.at("data") != data_hash) return std::nullopt;
    std::vector<Baseline> found;
    for (const Json& one : json.at("baselines")) found.push_back({one.at("name"), one.at("accuracy")});
    return found;
  } catch (const std::exception&) {
    return std::nullopt;  // not readable: as good as not there
  }
}

}  // namespace

std::vector<Baseline> baselines(const Task& task, const Options& options, const Dataset& data, Workers& workers,
                                const std::string& cache_folder) {
  const std::string path = path_of(key_of_data(task, options), cache_folder, ".baselines.json");
  if (auto stored = stored_baselines(path, data.hash())) return std::move(*stored);
  std::vector<Baseline> found{data.shape().next_token ? token_frequencies(data) : majority(data)};
  for (Baseline& one : task.baselines(options, data, workers)) found.push_back(std::move(one));
  Json list = Json::array();
  for (const Baseline& one : found) list.push_back({{"name", one.name}, {"accuracy", one.accuracy}});
  write_file_atomically(path, json_text(Json{{"data", data.hash()}, {"baselines", list}}));
  return found;
}

}  // namespace lra::data
