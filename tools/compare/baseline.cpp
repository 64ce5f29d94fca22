// Counts that hold on any machine, row by row.
#include "tools/compare/baseline.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/file.h"

namespace lra::compare {
namespace {

constexpr const char* kSchema = "lra.baseline/1";
constexpr const char* kInstructions = "instructions_per_step";

}  // namespace

Baseline Baseline::read(const std::string& path) {
  const Json json = read_json(path);
  const auto bad = [&](const std::string& why) {
    throw Error(ErrorKind::kData, fmt::format("{}: {}; write a new one with lra-compare baseline set", path, why));
  };
  if (!json.is_object() || json.value("schema", "") != kSchema) bad("no baseline of schema lra.baseline/1");
  if (!json.contains("rows") || !json.at("rows").is_array()) bad("it has no rows");
  Baseline out;
  for (const Json& row : json.at("rows")) {
    if (!row.is_object() || !row.contains("cell") || !row.at("cell").is_string()) bad("a row has no cell");
    out.rows.push_back(row);
  }
  return out;
}

void Baseline::write(const std::string& path) const {
  std::string text = fmt::format("{{\"schema\": \"{}\", \"rows\": [\n", kSchema);
  for (std::size_t i = 0; i < rows.size(); ++i) text += "  " + rows[i].dump() + (i + 1 < rows.size() ? ",\n" : "\n");
  write_file_atomically(path, text + "]}\n");
}

const Json* Baseline::find(const std::string& cell) const {
  for (const Json& row : rows) {
    if (row.at("cell") == cell) return &row;
  }
  return nullptr;
}

Json measure_row(const Build& build, const Cell& cell, bool instructions) {
  Json row = {{"cell", cell.name()}};
  row.update(build.counts(cell));
  // Of this machine and this compiler.
  row.erase("peak_rss_bytes");
  row.erase("library_bytes");
  if (instructions) {
    if (const auto counted = build.instructions(cell)) row[kInstructions] = *counted;
  }
  return row;
}

std::vector<Finding> check_row(const Json& row, const Json& measured, double margin) {
  std::vector<Finding> out = compare_counts(row.at("cell").get<std::string>(), row, measured);
  if (row.contains(kInstructions) && measured.contains(kInstructions)) {
    Finding f{.cell = row.at("cell").get<std::string>(), .metric = kInstructions, .unit = ""};
    f.base = row.at(kInstructions).get<double>();
    f.head = measured.at(kInstructions).get<double>();
    f.change = f.head / f.base - 1;
    f.interval = {f.change, f.change};
    f.verdict = f.change > margin ? Verdict::kFail : f.change < -margin ? Verdict::kImproved : Verdict::kPass;
    out.push_back(std::move(f));
  }
  return out;
}

}  // namespace lra::compare
