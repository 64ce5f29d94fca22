// Counting, and tables of what was counted.
#include "tools/data/stats.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "core/text.h"
#include "tools/run/table.h"

namespace lra::datatool {
namespace {

using data::SplitName;

constexpr std::array<SplitName, 3> kSplits{SplitName::kTrain, SplitName::kValidation, SplitName::kTest};
constexpr std::size_t kMostColumns = 12;  // classes with a column of their own

struct Quantile {
  const char* key;
  const char* title;
  double share;
};
constexpr Quantile kQuantiles[] = {{"q05", "5 %", 0.05},
                                   {"q25", "25 %", 0.25},
                                   {"median", "median", 0.5},
                                   {"q75", "75 %", 0.75},
                                   {"q95", "95 %", 0.95}};

Json lengths_of(const data::Split& split) {
  std::vector<std::size_t> lengths;
  for (int64_t i = 0; i < split.size(); ++i) {
    for (int part = 0; part < split.parts(); ++part) lengths.push_back(split.tokens(i, part).size());
  }
  std::ranges::sort(lengths);
  Json out = {{"min", lengths.front()}};
  for (const Quantile& quantile : kQuantiles) {
    const auto rank = static_cast<std::size_t>(quantile.share * static_cast<double>(lengths.size()));
    out[quantile.key] = lengths[std::min(rank, lengths.size() - 1)];
  }
  out["max"] = lengths.back();
  out["mean"] = static_cast<double>(std::accumulate(lengths.begin(), lengths.end(), std::size_t{0})) /
                static_cast<double>(lengths.size());
  return out;
}

int64_t tokens_of(const data::Split& split) {
  int64_t tokens = 0;
  for (int64_t i = 0; i < split.size(); ++i) {
    for (int part = 0; part < split.parts(); ++part) tokens += std::ssize(split.tokens(i, part));
  }
  return tokens;
}

std::string percent(double share) { return fmt::format("{:.2f} %", 100 * share); }

std::string lengths_text(const Json& splits) {
  std::vector<std::string> header{"split", "examples", "tokens", "shortest"};
  for (const Quantile& quantile : kQuantiles) header.emplace_back(quantile.title);
  header.insert(header.end(), {"longest", "mean", "repeats"});
  run::Table table(header);
  for (const auto& [name, split] : splits.items()) {
    const Json& length = split.at("length");
    std::vector<std::string> cells{name, split.at("examples").dump(), split.at("tokens").dump(),
                                   length.at("min").dump()};
    for (const Quantile& quantile : kQuantiles) cells.push_back(length.at(quantile.key).dump());
    cells.insert(cells.end(), {length.at("max").dump(), fmt::format("{:.1f}", length.at("mean").get<double>()),
                               split.at("repeats").dump()});
    table.row(std::move(cells));
  }
  return table.text("  ");
}

std::string shares_text(const Json& splits) {
  const std::size_t classes = splits.at("train").at("class_shares").size();
  std::vector<std::string> header{"class"};
  if (classes > kMostColumns) {
    header.insert(header.end(), {"rarest", "commonest", "classes"});
  } else {
    for (std::size_t c = 0; c < classes; ++c) header.push_back(fmt::format("{}", c));
  }
  run::Table table(header);
  for (const auto& [name, split] : splits.items()) {
    const auto shares = split.at("class_shares").get<std::vector<double>>();
    std::vector<std::string> cells{name};
    if (classes > kMostColumns) {
      cells.insert(cells.end(), {percent(*std::ranges::min_element(shares)), percent(*std::ranges::max_element(shares)),
                                 fmt::format("{}", classes)});
    } else {
      for (const double share : shares) cells.push_back(percent(share));
    }
    table.row(std::move(cells));
  }
  return table.text("  ");
}

}  // namespace

Json stats_json(const Chosen& chosen, const data::Dataset& data, const std::vector<data::Baseline>& baselines) {
  Json notes = data.facts(), splits = Json::object();
  const Json overlap = notes.at("overlap");
  for (const SplitName name : kSplits) {
    const data::Split& split = data.split(name);
    const Json& facts = data.facts().at(data::split_name(name));
    Json one = {{"examples", split.size()}, {"tokens", tokens_of(split)}, {"length", lengths_of(split)}};
    if (!data.shape().next_token) one["class_shares"] = facts.at("class_shares");
    one["repeats"] = facts.at("repeats");
    splits[data::split_name(name)] = one;
    notes.erase(data::split_name(name));
  }
  notes.erase("overlap");
  Json list = Json::array();
  for (const data::Baseline& one : baselines)
    list.push_back({{"name", one.name}, {data.shape().next_token ? "bits_per_token" : "accuracy", one.accuracy}});
  return {{"task", chosen.task->info().id},
          {"preset", chosen.preset.empty() ? Json(nullptr) : Json(chosen.preset)},
          {"options", chosen.options.json()},
          {"shape", json_of(data.shape())},
          {"hash", data.hash()},
          {"bytes", data.bytes()},
          {"splits", splits},
          {"overlap", overlap},
          {"notes", notes},
          {"baselines", list}};
}

std::string stats_text(const Json& stats) {
  const Json& shape = stats.at("shape");
  std::string out =
      fmt::format("{} ({})  {} classes, {} tokens, sequences of at most {}{}; {}\n  hash {}\n\n",
                  stats.at("task").get<std::string>(),
                  stats.at("preset").is_null() ? "own defaults" : "preset " + stats.at("preset").get<std::string>(),
                  shape.at("classes").dump(), shape.at("vocab").dump(), shape.at("max_len").dump(),
                  shape.at("pair").get<bool>() ? ", two in an example" : "",
                  human_bytes(stats.at("bytes").get<double>()), stats.at("hash").get<std::string>());
  out += lengths_text(stats.at("splits")) + "\n";
  if (!shape.at("next_token").get<bool>()) out += shares_text(stats.at("splits")) + "\n";
  const Json& overlap = stats.at("overlap");
  out += fmt::format("  overlap   validation in train {}, test in train {}, test in validation {}\n",
                     overlap.at("validation_in_train").dump(), overlap.at("test_in_train").dump(),
                     overlap.at("test_in_validation").dump());
  for (const auto& [name, value] : stats.at("notes").items())
    out += fmt::format("  {:<9} {}\n", name, plain_word(value));
  for (const Json& one : stats.at("baselines")) {
    out += fmt::format("  baseline  {}: {}\n", one.at("name").get<std::string>(),
                       one.contains("accuracy") ? percent(one.at("accuracy").get<double>())
                                                : fmt::format("{:.3f} bits", one.at("bits_per_token").get<double>()));
  }
  return out;
}

}  // namespace lra::datatool
