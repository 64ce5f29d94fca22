// What records share (configuration, environment, data) is said once; curves become columns of short numbers; pictures
// of attention are of one seed and as coarse as the page's size asks.
#include "report/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>

#include "core/error.h"
#include "core/json.h"
#include "record/attention_map.h"
#include "record/schema.h"
#include "report/statistics.h"

namespace lra::report {
namespace {

constexpr const char* kPlace = "LRA_DATA_HERE";
constexpr std::size_t kMostMapLetters = 400'000;  // of all records together: the page stays one that mail takes
constexpr int64_t kLeastSide = 8;
constexpr int kCurveDigits = 4, kNumberDigits = 6;  // more than a screen shows

// The document with its fractions in so many significant digits.
Json brief(const Json& value, int digits) {
  if (value.is_number_float()) return std::strtod(fmt::format("{:.{}g}", value.get<double>(), digits).c_str(), nullptr);
  Json out = value;
  if (value.is_structured()) {
    for (auto& part : out) part = brief(part, digits);
  }
  return out;
}

Json quality_of(const Group& g) {
  if (!g.quality) return nullptr;
  const Estimate& a = *g.quality;
  return {{"mean", a.mean},
          {"low", a.low},
          {"high", a.high},
          {"min", a.min},
          {"max", a.max},
          {"seeds_reach", or_null(a.seeds_reach)},
          {"examples_reach", a.examples_reach},
          {"values", a.values}};
}

Json group_of(const Group& g) {
  Json out = {{"task", g.task},
              {"variant", g.variant},
              {"label", g.label},
              {"preset", g.preset},
              {"preset_version", g.preset_version},
              {"spec_hash", g.spec_hash},
              {"length", or_null(g.mean_tokens)},
              {"parameters", or_null(g.parameters)},
              {"mixer_parameters", or_null(g.mixer_parameters)},
              {"seeds", g.seeds()},
              {"statuses", g.statuses},
              {"verdict", verdict_name(g.verdict)},
              {"metric", g.metric},
              {"quality", quality_of(g)},
              {"baseline", nullptr},
              {"throughput", nullptr},
              {"memory", nullptr}};
  if (g.baseline_quality) out["baseline"] = {{"name", g.baseline}, {"quality", *g.baseline_quality}};
  if (g.chance) out["chance"] = *g.chance;
  if (g.steps_per_s) {
    out["throughput"] = {{"steps_per_s", *g.steps_per_s},
                         {"tokens_per_s", or_null(g.tokens_per_s)},
                         {"examples_per_s", or_null(g.examples_per_s)},
                         {"mixer_share", or_null(g.mixer_share)},
                         {"share_of_peak", or_null(g.share_of_peak)},
                         {"threads", g.threads}};
  }
  if (g.planned) {
    out["memory"] = {{"planned", *g.planned},
                     {"saved_per_sequence", or_null(g.saved_per_sequence)},
                     {"arena_high_water", or_null(g.arena_high_water)},
                     {"peak_rss", or_null(g.peak_rss)}};
  }
  return out;
}

Json curve_of(const Json& points) {
  Json out = Json::object();
  for (const char* column :
       {"step", "seconds", "train_loss", "validation_loss", "validation_quality", "lr", "grad_norm"}) {
    Json values = Json::array();
    for (const Json& point : points) values.push_back(brief(point.at(column), kCurveDigits));
    out[column] = std::move(values);
  }
  return out;
}

// Makes all maps coarser by one factor, so that together they keep to their share of the page.
void shrink_attention(Json& records) {
  std::size_t letters = 0;
  const auto each_map = [&](const auto& visit) {
    for (Json& record : records) {
      if (!record.contains("attention")) continue;
      for (Json& map : record["attention"]["maps"]) visit(map);
    }
  };
  each_map([&](const Json& map) { letters += map.at("cells").get_ref<const std::string&>().size(); });
  if (letters <= kMostMapLetters) return;
  const double factor = std::sqrt(static_cast<double>(kMostMapLetters) / static_cast<double>(letters));
  each_map([&](Json& map) {
    record::AttentionMap one{map.at("side"), map.at("most"), map.at("cells")};
    const auto side = static_cast<int64_t>(factor * static_cast<double>(one.side));
    if (side >= one.side) return;
    one = record::attention_map(record::weights_of(one), one.side, std::max(kLeastSide, side));
    map["side"] = one.side;
    map["most"] = one.most;
    map["cells"] = one.cells;
  });
}

// Collects documents and says each once.
class Shared {
 public:
  int place(const Json& document) {
    const auto [at, added] =
        places_.emplace(document.dump(-1, ' ', false, Json::error_handler_t::replace), places_.size());
    if (added) all.push_back(document);
    return static_cast<int>(at->second);
  }
  Json all = Json::array();

 private:
  std::map<std::string, std::size_t> places_;
};

}  // namespace

Json dashboard(const Collection& collection, const std::vector<Group>& groups, const Json& history,
               const std::string& program) {
  Json out = {{"schema", "lra.dashboard/1"}, {"program", program}, {"newest", nullptr}, {"groups", Json::array()}};
  Json records = Json::array(), specs = Json::object(), data = Json::object();
  Shared environments;
  std::string newest;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    out["groups"].push_back(brief(group_of(groups[i]), kNumberDigits));
    bool pictured = false;  // seeds look alike: one of a configuration is shown
    for (const RunRecord* run : groups[i].runs) {
      newest = std::max(newest, run->started);
      if (!specs.contains(run->spec_hash)) {
        Json spec = run->part({"spec"});
        spec.erase("seed");
        specs[run->spec_hash] = std::move(spec);
      }
      Json environment = run->part({"environment"});
      Json load = nullptr, place = nullptr;
      if (environment.is_object()) {
        load = environment["load_at_start"];
        environment.erase("started");
        environment.erase("load_at_start");
        place = environments.place(environment);
      }
      Json data_key = nullptr;
      if (run->part({"data"}).is_object()) {
        const Json& hash = run->part({"hashes", "data"});
        data_key = hash.is_string() ? hash : Json(run->spec_hash);
        if (!data.contains(data_key.get<std::string>())) data[data_key.get<std::string>()] = run->part({"data"});
      }
      Json record = {{"group", i},
                     {"seed", run->seed},
                     {"status", run->status},
                     {"error", run->part({"error"})},
                     {"environment", place},
                     {"started", or_null(run->started)},
                     {"load_at_start", load},
                     {"model", brief(run->part({"model"}), kNumberDigits)},
                     {"quality", brief(run->part({"quality"}), kNumberDigits)},
                     {"speed", brief(run->part({"speed"}), kNumberDigits)},
                     {"memory", run->part({"memory"})},
                     {"curve", curve_of(run->part({"curve"}))},
                     {"hashes", run->part({"hashes"})},
                     {"data", data_key},
                     {"path", run->path}};
      if (!run->part({"init_from"}).is_null()) record["init_from"] = run->part({"init_from"});
      if (!pictured && !run->part({"attention"}).is_null()) {
        record["attention"] = run->part({"attention"});
        pictured = true;
      }
      records.push_back(std::move(record));
    }
  }
  shrink_attention(records);
  if (!newest.empty()) out["newest"] = newest;
  out["records"] = std::move(records);
  out["environments"] = std::move(environments.all);
  out["specs"] = std::move(specs);
  out["data"] = std::move(data);
  out["costs"] = Json::array();
  for (const CostSeries& series : collection.costs) {
    const auto exponent = growth(series.points);
    out["costs"].push_back({{"variant", series.variant},
                            {"quantity", series.quantity},
                            {"unit", series.unit},
                            {"points", series.points},
                            {"exponent", !exponent ? Json(nullptr)
                                                   : Json{{"value", exponent->value},
                                                          {"low", exponent->low},
                                                          {"high", exponent->high},
                                                          {"from", exponent->from}}}});
  }
  out["history"] = brief(history, kNumberDigits);
  record::require_schema(out, record::Schema::kDashboard, "dashboard");
  return out;
}

std::string page_of(const Json& dashboard) {
  const std::string text = dashboard.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string data;
  data.reserve(text.size());
  for (const char c : text) {
    if (c == '<') {
      data += "\\u003c";  // nothing in the data can end its element
    } else {
      data += c;
    }
  }
  std::string page = page_template();
  const std::size_t place = page.find(kPlace);
  LRA_ASSERT(place != std::string::npos);
  return page.replace(place, std::string(kPlace).size(), data);
}

}  // namespace lra::report
