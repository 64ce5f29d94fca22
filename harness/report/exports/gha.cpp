// github-action-benchmark reads arrays of {name, unit, value, range, extra}; a file is for one direction: what should
// be bigger, and what should be smaller.
#include <fmt/format.h>

#include "core/text.h"
#include "report/export.h"
#include "report/show.h"
#include "report/unicode.h"

namespace lra::report {
namespace {

std::vector<OutputFile> make_gha(const Collection&, const std::vector<Group>& groups) {
  Json bigger = Json::array(), smaller = Json::array();
  for (const Group& g : groups) {
    std::vector<std::string> seeds;
    for (const uint64_t seed : g.seeds()) seeds.push_back(std::to_string(seed));
    std::string extra =
        fmt::format("preset {}\nseeds {}\nconfiguration {}", one_line(preset_name(g)), join(seeds), g.spec_hash);
    if (!g.trouble().empty()) extra += "\n" + g.trouble();
    const auto add = [&](Json& to, const char* what, const char* unit, std::optional<double> value, double scale,
                         const std::string& range) {
      if (!value) return;
      Json one = {{"name", fmt::format("{}/{}/{} · {}", one_line(g.preset), one_line(g.task), one_line(g.label), what)},
                  {"unit", unit},
                  {"value", *value * scale}};
      if (!range.empty()) one["range"] = range;
      one["extra"] = extra;
      to.push_back(one);
    };
    if (g.quality) {
      const bool share = g.metric == "accuracy";
      add(share ? bigger : smaller, share ? "test accuracy" : "test loss", share ? "%" : "bits/token", g.quality->mean,
          share ? 100 : 1, "± " + quality_text(g.metric, g.quality->reach()));
    }
    add(bigger, "training speed", "tokens/s", g.tokens_per_s, 1, "");
    add(smaller, "training step", "ms", g.steps_per_s ? std::optional<double>(1 / *g.steps_per_s) : std::nullopt, 1e3,
        "");
    add(smaller, "peak memory", "MiB", g.peak_rss, 1.0 / (1 << 20), "");
    add(smaller, "kept per sequence", "KiB", g.saved_per_sequence, 1.0 / (1 << 10), "");
  }
  return {{"bigger.json", json_text(bigger)}, {"smaller.json", json_text(smaller)}};
}

}  // namespace

extern const Export export_gha{"gha", "github-action-benchmark: bigger.json and smaller.json", true, make_gha};

}  // namespace lra::report
