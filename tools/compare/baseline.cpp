// Counts that hold on any machine, row by row.
#include "tools/compare/baseline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/file.h"

namespace lra::compare {
namespace {

constexpr const char* kBaselineSchema = "lra.baseline/2";
// Of the system and the compiler: not in the file.
constexpr const char* kElsewhere[] = {"arena_high_water_bytes", "heap_bytes", "peak_rss_bytes", "library_bytes",
                                      "weights_hash"};

Json measure_counts(const Build& build, const Cell& cell) {
  Json row = {{"cell", cell.name()}};
  row.update(build.counts(cell));
  for (const char* name : kElsewhere) row.erase(name);
  return row;
}

double count_instructions(const Build& build, const Cell& cell) {
  const auto counted = build.instructions(cell);
  if (!counted) {
    throw Error(ErrorKind::kIo, "valgrind is not installed; install it, or leave this out with --no-instructions");
  }
  return *counted;
}

// Why the instructions of the file say nothing about this build, or nothing.
std::string other_toolchain(const Json& file, const Json& here) {
  if (!file.is_object()) return "the file does not say what its instructions were counted with";
  for (const auto& [name, value] : here.items()) {
    const Json was = file.value(name, Json());
    if (was != value)
      return fmt::format("they were counted with {} {}, and this is {}", name, was.dump(), value.dump());
  }
  return "";
}

std::vector<Cell> cells_of(const Baseline& baseline) {
  std::vector<Cell> out;
  for (const Json& row : baseline.rows) out.push_back(parse_cell(row.at("cell").get<std::string>()));
  return out;
}

std::vector<Cell> cells_of(const Build& build) {
  std::vector<Cell> out;
  for (const auto& variant : build.variants()) out.push_back(parse_cell(variant));
  return out;
}

}  // namespace

Baseline Baseline::read(const std::string& path) {
  const Json json = read_json(path);
  const auto bad = [&](const std::string& why) {
    throw Error(ErrorKind::kData, fmt::format("{}: {}; write a new one with lra-compare baseline set", path, why));
  };
  if (!json.is_object() || json.value("schema", Json()) != kBaselineSchema)
    bad(fmt::format("no baseline of schema {}", kBaselineSchema));
  if (!json.contains("rows") || !json.at("rows").is_array()) bad("it has no rows");
  Baseline out;
  out.counted_with = json.value("counted_with", Json());
  for (const Json& row : json.at("rows")) {
    if (!row.is_object() || !row.contains("cell") || !row.at("cell").is_string()) bad("a row has no cell");
    if (row.contains(kInstructions) && !row.at(kInstructions).is_null() &&
        (!row.at(kInstructions).is_number() || row.at(kInstructions).get<double>() <= 0))
      bad(fmt::format("{} of {} is no count", kInstructions, row.at("cell").get<std::string>()));
    out.rows.push_back(row);
  }
  return out;
}

void Baseline::write(const std::string& path) const {
  std::string text =
      fmt::format("{{\"schema\": \"{}\", \"counted_with\": {}, \"rows\": [\n", kBaselineSchema, counted_with.dump());
  for (std::size_t i = 0; i < rows.size(); ++i) text += "  " + rows[i].dump() + (i + 1 < rows.size() ? ",\n" : "\n");
  write_file_atomically(path, text + "]}\n");
}

const Json* Baseline::find(const std::string& cell) const {
  for (const Json& row : rows) {
    if (row.at("cell") == cell) return &row;
  }
  return nullptr;
}

Json counted_with(const Build& build, const Cell& cell) {
  Json out = build.toolchain(cell);
  out["valgrind"] = valgrind_version();
  return out;
}

Answer check_baseline(const Build& build, const BaselineSpec& spec, const Say& say) {
  const Baseline baseline = Baseline::read(spec.file);
  std::vector<Cell> cells = spec.cells.empty() ? cells_of(baseline) : spec.cells;
  Answer out;
  if (spec.cells.empty()) {
    for (const auto& variant : build.variants()) {
      if (std::any_of(cells.begin(), cells.end(), [&](const Cell& cell) { return cell.variant == variant; })) continue;
      cells.push_back(parse_cell(variant));
    }
  }
  Json here;  // counted_with of this build, once it is needed
  for (const Cell& cell : cells) {
    const Json* row = baseline.find(cell.name());
    if (row == nullptr) {
      out.missing.push_back(
          {cell.name(), "counts",
           fmt::format("{0} has no row of it; add it with lra-compare baseline update {0} --cells {1}", spec.file,
                       cell.name())});
      continue;
    }
    const char* what = "counts";
    say(cell.name());
    try {
      if (!build.has(cell.variant))
        throw Error(ErrorKind::kPlugin, fmt::format("{} has no variant {}", build.folder(), cell.variant));
      compare_counts(cell.name(), *row, measure_counts(build, cell), Absent::kMissing, out);
      what = kInstructions;
      const Json wanted = row->value(kInstructions, Json());
      if (!spec.instructions || (row->contains(kInstructions) && wanted.is_null())) continue;
      if (!wanted.is_number()) {
        throw Error(ErrorKind::kData, "its row has none; count them with lra-compare baseline update, or write null");
      }
      if (here.is_null()) here = counted_with(build, cell);
      if (const std::string why = other_toolchain(baseline.counted_with, here); !why.empty()) {
        throw Error(ErrorKind::kData,
                    why + "; count them anew with lra-compare baseline update, or check with --no-instructions");
      }
      out.findings.push_back(compare_instructions(cell.name(), wanted.get<double>(), count_instructions(build, cell),
                                                  spec.instruction_margin));
    } catch (const Error& e) {
      out.missing.push_back({cell.name(), what, e.what()});
    }
  }
  return out;
}

Rewritten rewrite_baseline(const Build& build, const BaselineSpec& spec, Keep keep, const Say& say) {
  Baseline baseline = keep == Keep::kNothing ? Baseline{} : Baseline::read(spec.file);
  const std::vector<Cell> cells = !spec.cells.empty()      ? spec.cells
                                  : keep == Keep::kNothing ? cells_of(build)
                                                           : cells_of(baseline);
  Rewritten out;
  Json here;
  bool other = false;  // the instructions of the file are of another toolchain: none of them holds
  for (const Cell& cell : cells) {
    say(cell.name());
    try {
      if (!build.has(cell.variant))
        throw Error(ErrorKind::kPlugin, fmt::format("{} has no variant {}", build.folder(), cell.variant));
      Json measured = measure_counts(build, cell);
      const Json* row = baseline.find(cell.name());
      const bool decided_not =
          row != nullptr && spec.cells.empty() && row->contains(kInstructions) && row->at(kInstructions).is_null();
      if (spec.instructions && !decided_not) {
        if (here.is_null()) {
          here = counted_with(build, cell);
          other = !other_toolchain(baseline.counted_with, here).empty();
        }
        measured[kInstructions] = count_instructions(build, cell);
      } else {
        measured[kInstructions] = row == nullptr ? Json() : row->value(kInstructions, Json());
      }
      if (row != nullptr) {
        Answer found;
        compare_counts(cell.name(), *row, measured, Absent::kFine, found);
        bool moved = false;
        for (const Finding& f : found.findings) moved = moved || f.base != f.head;
        for (const auto& [name, value] : measured.items()) moved = moved || !row->contains(name);
        const Json was = row->value(kInstructions, Json()), is = measured.at(kInstructions);
        if (was.is_number() && is.is_number()) {
          found.findings.push_back(
              compare_instructions(cell.name(), was.get<double>(), is.get<double>(), spec.instruction_margin));
          moved = moved || other || std::abs(found.findings.back().change) > spec.instruction_margin / 3;
        } else {
          moved = moved || was.is_number() != is.is_number();
        }
        out.answer.findings.insert(out.answer.findings.end(), found.findings.begin(), found.findings.end());
        if (!moved) continue;
      }
      measured["why"] = spec.why;
      ++out.changed;
      const auto at = std::find_if(baseline.rows.begin(), baseline.rows.end(),
                                   [&](const Json& old) { return old.at("cell") == cell.name(); });
      if (at != baseline.rows.end()) {
        *at = measured;
      } else {
        baseline.rows.push_back(measured);
      }
    } catch (const Error& e) {
      out.answer.missing.push_back({cell.name(), "counts", e.what()});
    }
  }
  if (other) {
    // Rows that were not counted now would pass for counts of this toolchain.
    for (Json& row : baseline.rows) {
      const bool counted =
          std::any_of(cells.begin(), cells.end(), [&](const Cell& c) { return row.at("cell") == c.name(); });
      if (!counted && row.value(kInstructions, Json()).is_number()) row.erase(kInstructions);
    }
  }
  if (!here.is_null()) baseline.counted_with = here;
  baseline.write(spec.file);
  out.rows = baseline.rows.size();
  return out;
}

}  // namespace lra::compare
