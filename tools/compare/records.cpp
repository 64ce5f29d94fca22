// Quality is judged by the 95 % intervals of the test split; speed and memory are shown, with what differs around them.
#include "tools/compare/records.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "tools/run/table.h"

namespace lra::compare {
namespace {

using Key = std::tuple<std::string, std::string, std::string, uint64_t>;

Key key_of(const report::RunRecord& r) { return {r.task, r.variant, r.preset, r.seed}; }

std::string name_of(const report::RunRecord& r) {
  return fmt::format("{}/{} preset {} seed {}", r.variant, r.task, r.preset, r.seed);
}

std::string text_at(const report::RunRecord& r, const std::vector<const char*>& keys) {
  const Json& found = r.part(keys);
  return found.is_null() ? "" : plain_word(found);
}

// Paths at which two values differ.
void differences_of(const std::string& path, const Json& before, const Json& after, std::set<std::string>& out) {
  if (before.is_object() && after.is_object()) {
    std::set<std::string> names;
    for (const auto* side : {&before, &after}) {
      for (const auto& [name, value] : side->items()) names.insert(name);
    }
    for (const auto& name : names) {
      const std::string below = path.empty() ? name : fmt::format("{}.{}", path, name);
      differences_of(below, before.value(name, Json()), after.value(name, Json()), out);
    }
  } else if (before != after) {
    out.insert(fmt::format("{}: {} -> {}", path, before.dump(), after.dump()));
  }
}

Json without(Json json, const std::vector<const char*>& names) {
  if (json.is_object()) {
    for (const char* name : names) json.erase(name);
  }
  return json;
}

void judge(RecordPair& pair) {
  const auto &a = *pair.old_record, &b = *pair.new_record;
  const auto refuse = [&](const std::string& why) {
    pair.refusal = why;
    pair.verdict = "REFUSED";
  };
  const std::string old_data = text_at(a, {"hashes", "data"}), new_data = text_at(b, {"hashes", "data"});
  if (!old_data.empty() && !new_data.empty() && old_data != new_data)
    return refuse("the data differ: " + old_data.substr(0, 8) + " and " + new_data.substr(0, 8));
  if (text_at(a, {"quality", "metric"}) != text_at(b, {"quality", "metric"}))
    return refuse("one has a result, or another metric");
  const auto old_low = a.number({"quality", "test"}), new_low = b.number({"quality", "test"});
  if (!old_low || !new_low) return refuse(fmt::format("no result: {} and {}", a.status, b.status));
  const std::string old_bits = text_at(a, {"hashes", "final_weights"});
  pair.same_bits = !old_bits.empty() && old_bits == text_at(b, {"hashes", "final_weights"});
  if (pair.same_bits) {
    pair.verdict = "SAME";
    return;
  }
  const Json &was = a.part({"quality", "test_ci95"}), &is = b.part({"quality", "test_ci95"});
  const bool lower_is_better = text_at(a, {"quality", "metric"}) != "accuracy";
  const bool above = is[0].get<double>() > was[1].get<double>(), below = is[1].get<double>() < was[0].get<double>();
  pair.verdict = !above && !below ? "NOT SHOWN" : above != lower_is_better ? "BETTER" : "WORSE";
}

std::string quality(const report::RunRecord& r) {
  const auto test = r.number({"quality", "test"});
  if (!test) return r.status;
  const Json& ends = r.part({"quality", "test_ci95"});
  const bool share = text_at(r, {"quality", "metric"}) == "accuracy";
  const double scale = share ? 100 : 1;
  return fmt::format(fmt::runtime(share ? "{:.1f} % [{:.1f}, {:.1f}]" : "{:.3f} bits [{:.3f}, {:.3f}]"), scale * *test,
                     scale * ends[0].get<double>(), scale * ends[1].get<double>());
}

std::string ratio(std::optional<double> before, std::optional<double> after) {
  if (!before || !after || *before <= 0) return "-";
  return fmt::format("{:+.1f} %", 100 * (*after / *before - 1));
}

}  // namespace

bool RecordComparison::worse() const {
  return std::any_of(pairs.begin(), pairs.end(), [](const RecordPair& p) { return p.verdict == "WORSE"; });
}

RecordComparison compare_records(const report::Collection& before, const report::Collection& after) {
  std::map<Key, std::pair<const report::RunRecord*, const report::RunRecord*>> cells;
  for (const auto& r : before.records) cells[key_of(r)].first = &r;
  for (const auto& r : after.records) cells[key_of(r)].second = &r;
  RecordComparison out;
  std::set<std::string> differences;
  for (const auto& [key, sides] : cells) {
    const auto& [old_record, new_record] = sides;
    if (old_record == nullptr || new_record == nullptr) {
      (old_record == nullptr ? out.only_new : out.only_old)
          .push_back(name_of(old_record == nullptr ? *new_record : *old_record));
      continue;
    }
    RecordPair pair{
        std::get<0>(key), std::get<1>(key), std::get<2>(key), std::get<3>(key), old_record, new_record, "", false, ""};
    judge(pair);
    differences_of("", old_record->part({"spec"}), new_record->part({"spec"}), differences);
    // What changes from run to run anyway.
    const std::vector<const char*> passing{"started", "load_at_start"};
    differences_of("environment", without(old_record->part({"environment"}), passing),
                   without(new_record->part({"environment"}), passing), differences);
    out.pairs.push_back(std::move(pair));
  }
  out.differences.assign(differences.begin(), differences.end());
  return out;
}

std::string text_of(const RecordComparison& c) {
  run::Table table({"variant", "task", "seed", "old", "new", "quality", "steps/s", "planned", "process"});
  std::string refusals;
  for (const auto& p : c.pairs) {
    const auto &a = *p.old_record, &b = *p.new_record;
    table.row({p.variant, p.task, std::to_string(p.seed), quality(a), quality(b), p.same_bits ? "SAME bits" : p.verdict,
               ratio(a.steps_per_s, b.steps_per_s), ratio(a.planned, b.planned), ratio(a.peak_rss, b.peak_rss)});
    if (!p.refusal.empty()) refusals += fmt::format("not compared: {}: {}\n", name_of(a), p.refusal);
  }
  std::string out = c.pairs.empty() ? "" : table.text("");
  const auto list = [&](const char* title, const std::vector<std::string>& lines) {
    if (lines.empty()) return;
    out += fmt::format("\n{}\n", title);
    for (const auto& line : lines) out += "  " + line + "\n";
  };
  if (!refusals.empty()) out += "\n" + refusals;
  list("only in the first:", c.only_old);
  list("only in the second:", c.only_new);
  list("what differs around them (speed and process memory of different machines or builds say little):",
       c.differences);
  return out;
}

Json json_of(const RecordComparison& c) {
  Json pairs = Json::array();
  for (const auto& p : c.pairs) {
    pairs.push_back({{"task", p.task},
                     {"variant", p.variant},
                     {"preset", p.preset},
                     {"seed", p.seed},
                     {"verdict", p.verdict},
                     {"same_bits", p.same_bits},
                     {"refusal", p.refusal.empty() ? Json(nullptr) : Json(p.refusal)},
                     {"old", p.old_record->part({"quality"})},
                     {"new", p.new_record->part({"quality"})},
                     {"old_record", p.old_record->path},
                     {"new_record", p.new_record->path}});
  }
  return {{"schema", "lra.comparison/1"},
          {"pairs", pairs},
          {"only_old", c.only_old},
          {"only_new", c.only_new},
          {"differences", c.differences}};
}

}  // namespace lra::compare
