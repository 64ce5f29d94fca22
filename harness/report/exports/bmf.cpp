// Bencher Metric Format: {benchmark: {measure: {value, lower_value, upper_value}}}, measures in kebab case. Bencher
// takes names of up to 1024 letters; a longer one ends in its configuration's hash.
#include <fmt/format.h>

#include <algorithm>

#include "report/export.h"
#include "report/unicode.h"

namespace lra::report {
namespace {

constexpr std::size_t kLongestName = 1024;

// Mean with the least and the greatest of the runs.
template <class Field>
void add(Json& measures, const char* name, const Group& group, const std::optional<double>& mean, Field field) {
  if (!mean) return;
  double low = *mean, high = *mean;
  for (const RunRecord* run : group.runs) {
    if (!(run->*field)) continue;
    low = std::min(low, *(run->*field));
    high = std::max(high, *(run->*field));
  }
  measures[name] = {{"value", *mean}, {"lower_value", low}, {"upper_value", high}};
}

std::vector<OutputFile> make_bmf(const Collection&, const std::vector<Group>& groups) {
  Json out = Json::object();
  for (const Group& g : groups) {
    Json measures = Json::object();
    if (g.quality) {
      measures[g.metric == "accuracy" ? "accuracy" : "bits-per-token"] = {
          {"value", g.quality->mean}, {"lower_value", g.quality->low}, {"upper_value", g.quality->high}};
    }
    add(measures, "throughput", g, g.tokens_per_s, &RunRecord::tokens_per_s);
    add(measures, "peak-memory", g, g.peak_rss, &RunRecord::peak_rss);
    add(measures, "sequence-memory", g, g.saved_per_sequence, &RunRecord::saved_per_sequence);
    if (measures.empty()) continue;
    std::string name = fmt::format("{}/{}/{}", one_line(g.preset), one_line(g.task), one_line(g.label));
    if (code_points(name).size() > kLongestName)
      name = fmt::format("{}/{}", clipped(name, kLongestName / 2), g.spec_hash);
    out[name] = measures;
  }
  return {{"bmf.json", json_text(out)}};
}

}  // namespace

extern const Export export_bmf{"bmf", "Bencher Metric Format", false, make_bmf};

}  // namespace lra::report
