// Hashes of examples, and the manifest around them.
#include "tools/data/export.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "core/rng.h"
#include "core/text.h"

namespace lra::datatool {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSchema = "lra.export/1";
constexpr std::string_view kEnding = ".manifest.json";
constexpr std::size_t kMostRowBytes = std::size_t{1} << 30;

uint64_t hash_of(std::span<const data::Token> tokens) { return hash64(tokens.data(), tokens.size_bytes()); }

std::string line_of(int32_t label, uint64_t first, uint64_t second) {
  return fmt::format("{:016x}\n", key_of({static_cast<uint64_t>(label), first, second}));
}

std::vector<std::string> manifests_of(const std::string& folder) {
  std::vector<std::string> paths;
  std::error_code trouble;
  for (const auto& entry : fs::directory_iterator(folder, trouble)) {
    if (entry.path().string().ends_with(kEnding)) paths.push_back(entry.path().string());
  }
  std::ranges::sort(paths);
  return paths;
}

// Fields of a manifest, checked for what they are.
struct Manifest {
  Manifest(const std::string& manifest_path, const std::string& folder) : path(manifest_path), json(read_json(path)) {
    if (!json.is_object() || json.value("schema", Json()) != kSchema) bad_row({path}, fmt::format("is no {}", kSchema));
    try {
      const std::string form_name = text_in(json, "form");
      form = find_form(form_name);
      if (form == nullptr) bad_row({path}, fmt::format("form '{}' is not known", form_name));
      const Json& s = json.at("shape");
      stored = {folder,
                json.at("layout"),
                {s.at("vocab"), s.at("classes"), s.at("max_len"), s.at("height"), s.at("width"), s.at("pair"),
                 s.at("next_token")},
                number_in(json, "examples")};
      split = file_in(json, "split");
      rows_hash = text_in(json, "rows_hash");
      data_hash = text_in(json, "data_hash");
    } catch (const Json::exception& error) {
      bad_row({path}, error.what());
    }
    const data::Shape& shape = stored.shape;
    if (shape.vocab < 1 || shape.vocab > 65536 || shape.classes < 1 || shape.max_len < 1 || shape.height < 0 ||
        shape.width < 0 || (shape.height > 0 && shape.max_len / shape.height != shape.width)) {
      bad_row({path}, "the shape is no shape of a task");
    }
  }

  std::string path;
  Json json;
  const Form* form = nullptr;
  Stored stored;
  std::string split, rows_hash, data_hash;
};

void verify_split(const Manifest& manifest) {
  const Stored& stored = manifest.stored;
  const std::string list = fmt::format("{}/{}.rows", stored.folder, manifest.split);
  const std::string rows = read_file(list, kMostRowBytes);
  constexpr std::size_t kLine = 17;  // bytes
  if (hash_hex(rows) != manifest.rows_hash || std::ssize(rows) != stored.examples * static_cast<int64_t>(kLine))
    bad_row({list}, fmt::format("is not the list that {} names", manifest.path));

  int64_t seen = 0;
  Place last;
  manifest.form->read(stored, [&](const Place& place, const Example& example) {
    last = place;
    if (seen >= stored.examples)
      bad_row(place, fmt::format("is more than the {} examples that were exported", stored.examples));
    const auto hash = [&](std::size_t part) { return part < example.parts.size() ? hash_of(example.parts[part]) : 0; };
    if (line_of(example.label, hash(0), hash(1)) != rows.substr(static_cast<std::size_t>(seen) * kLine, kLine))
      bad_row(place, fmt::format("is not example {} as it was exported", seen));
    ++seen;
  });
  if (seen < stored.examples)
    bad_row({last.file.empty() ? manifest.path : last.file},
            fmt::format("ends after {} of {} examples", seen, stored.examples));
}

}  // namespace

Json export_split(const Source& source, const Form& form, const std::string& folder) {
  require_writable_folder(folder);
  const std::string split_name = data::split_name(source.split);
  const std::string& task = source.chosen.task->info().id;
  for (const std::string& path : manifests_of(folder)) {
    const Manifest other(path, folder);
    if (other.split == split_name) {
      throw Error(ErrorKind::kUsage, fmt::format("{} holds the {} split already; choose another folder, or remove it",
                                                 folder, split_name));
    }
    if (other.data_hash != source.data.hash()) {
      throw Error(ErrorKind::kUsage, fmt::format("{} holds the {} split of other data ({}); choose another folder",
                                                 folder, other.split, text_in(other.json, "task")));
    }
  }
  const Json layout = form.write(source, folder);
  const data::Split& split = source.data.split(source.split);
  std::string rows;
  for (int64_t i = 0; i < split.size(); ++i)
    rows += line_of(split.label(i), hash_of(split.tokens(i)), split.parts() > 1 ? hash_of(split.tokens(i, 1)) : 0);
  write_file_atomically(fmt::format("{}/{}.rows", folder, split_name), rows);
  Json manifest = {{"schema", kSchema},
                   {"task", task},
                   {"version", source.chosen.task->info().version},
                   {"preset", source.chosen.preset.empty() ? Json(nullptr) : Json(source.chosen.preset)},
                   {"options", source.chosen.options.json()},
                   {"shape", json_of(source.data.shape())},
                   {"split", split_name},
                   {"form", form.name()},
                   {"layout", layout},
                   {"examples", split.size()},
                   {"rows_hash", hash_hex(rows)},
                   {"data_hash", source.data.hash()}};
  write_file_atomically(folder + "/" + split_name + std::string(kEnding), json_text(manifest));
  return manifest;
}

std::vector<Json> verify(const std::string& folder) {
  if (!fs::is_directory(folder)) throw Error(ErrorKind::kIo, fmt::format("{}: is no folder", folder));
  std::vector<Json> out;
  for (const std::string& path : manifests_of(folder)) {
    const Manifest manifest(path, folder);
    verify_split(manifest);
    out.push_back(manifest.json);
  }
  if (out.empty()) {
    throw Error(ErrorKind::kData, fmt::format("{}: holds no *{}; lra-data export writes one beside the files", folder,
                                              std::string(kEnding)));
  }
  return out;
}

}  // namespace lra::datatool
