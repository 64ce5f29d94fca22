// The seeds of one configuration, summed up: nothing that failed is averaged away.
#ifndef LRA_REPORT_SUMMARY_H
#define LRA_REPORT_SUMMARY_H

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "report/run_record.h"

namespace lra::report {

// Mean over seeds and its 95 % interval. Two things make it uncertain: another seed would give another number
// (Student's t over the seeds), and another test set too (Wilson over its examples, which all seeds share). Both
// reaches are added in quadrature; a single seed has only the second.
struct Estimate {
  double mean = 0, low = 0, high = 0, min = 0, max = 0;
  std::optional<double> seeds_reach;
  double examples_reach = 0;
  std::vector<double> values;  // one per seed that has a result
  double reach() const { return (high - low) / 2; }
};

enum class Verdict {
  kOk,
  kMixed,     // some seeds at chance, diverged or failed: shown, not ranked
  kAtChance,  // every result is no better than guessing: FAIL
  kNone       // no seed has a result
};
const char* verdict_name(Verdict verdict);

struct Group {
  std::string task, variant, preset, spec_hash;
  int preset_version = 0;
  std::string label;  // the variant, and what tells this configuration from others of it: "performer (features=128)"
  std::vector<const RunRecord*> runs;   // by seed
  std::map<std::string, int> statuses;  // how many runs ended how
  Verdict verdict = Verdict::kNone;
  std::string metric = "accuracy";  // of quality, see RunRecord
  std::optional<Estimate> quality;
  std::string baseline;
  std::optional<double> baseline_quality, chance;
  // Means over the runs that have them.
  std::optional<double> steps_per_s, tokens_per_s, examples_per_s, mixer_share, share_of_peak;
  std::optional<double> parameters, mixer_parameters, mean_tokens;
  std::optional<double> planned, saved_per_sequence, arena_high_water, peak_rss;
  std::vector<int> threads;  // distinct

  std::vector<uint64_t> seeds() const;
  // "1 of 3 seeds at chance, 1 diverged", or "" if all went well.
  std::string trouble() const;
};

// One group per configuration; `records` must outlive them. Ordered by preset, then task as Long Range Arena lists
// them, then variant with softmax first.
std::vector<Group> summarise(const std::vector<RunRecord>& records);

// Place of a task in the order of Long Range Arena's Table 1; unknown ones after it.
std::size_t task_place(const std::string& task);
// softmax, the yardstick, comes first.
bool variant_before(const std::string& a, const std::string& b);

}  // namespace lra::report

#endif  // LRA_REPORT_SUMMARY_H
