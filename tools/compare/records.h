// Two sets of records side by side: what changed in quality, speed and memory, and what changed around it.
#ifndef LRA_TOOLS_COMPARE_RECORDS_H
#define LRA_TOOLS_COMPARE_RECORDS_H

#include <string>
#include <vector>

#include "core/json.h"
#include "report/run_record.h"

namespace lra::compare {

// The records of one task, variant, preset and seed in both sets.
struct RecordPair {
  std::string task, variant, preset;
  uint64_t seed = 0;
  const report::RunRecord *old_record = nullptr, *new_record = nullptr;
  std::string refusal;  // why they cannot be compared, or empty
  bool same_bits = false;
  std::string verdict;  // SAME, BETTER, WORSE, NOT SHOWN (a difference within the intervals), REFUSED
};

struct RecordComparison {
  std::vector<RecordPair> pairs;                // by task, variant, preset and seed
  std::vector<std::string> only_old, only_new;  // cells of one set alone
  std::vector<std::string> differences;         // "model.dim: 64 -> 128", of configurations and environments, each once
  bool worse() const;
};
// The records are borrowed.
RecordComparison compare_records(const report::Collection& before, const report::Collection& after);

std::string text_of(const RecordComparison& comparison);
Json json_of(const RecordComparison& comparison);

}  // namespace lra::compare

#endif  // LRA_TOOLS_COMPARE_RECORDS_H
