// What a data set is made of: shares of classes, lengths, repeats, overlaps, baselines, hash.
#ifndef LRA_TOOLS_DATA_STATS_H
#define LRA_TOOLS_DATA_STATS_H

#include <string>
#include <vector>

#include "core/json.h"
#include "data/dataset.h"
#include "tools/data/chosen.h"

namespace lra::datatool {

// {"task", "preset", "options", "shape", "hash", "bytes", "splits": {"train": {"examples", "tokens", "length": {"min",
// "q05", "q25", "median", "q75", "q95", "max", "mean"}, "class_shares", "repeats"}, ...}, "overlap", "notes",
// "baselines": [{"name", "accuracy" or "bits_per_token"}]}. Quantiles are nearest ranks; a length is that of one
// sequence.
Json stats_json(const Chosen& chosen, const data::Dataset& data, const std::vector<data::Baseline>& baselines);
std::string stats_text(const Json& stats);

}  // namespace lra::datatool

#endif  // LRA_TOOLS_DATA_STATS_H
