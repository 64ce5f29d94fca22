// Which form is whose.
#include "tools/data/forms.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "core/error.h"

namespace lra::datatool {

const Form* find_form(const std::string& name) {
  for (const Form* form : {&listops_tsv(), &pathfinder_png(), &idx(), &imdb_tsv(), &aan_tsv(), &tokens_tsv()}) {
    if (name == form->name()) return form;
  }
  return nullptr;
}

const Form& form_of(const std::string& task, const data::Shape& shape) {
  if (task == "listops") return listops_tsv();
  if (task == "pathfinder" || task == "pathx") return pathfinder_png();
  if (task == "text") return imdb_tsv();
  if (task == "retrieval") return aan_tsv();
  return shape.height > 0 ? idx() : tokens_tsv();
}

void bad_row(const Place& place, const std::string& reason) {
  throw Error(ErrorKind::kData, place.row > 0 ? fmt::format("{}, row {}: {}", place.file, place.row, reason)
                                              : fmt::format("{}: {}", place.file, reason));
}

std::string text_in(const Json& layout, const char* name) {
  const auto at = layout.find(name);
  if (at == layout.end() || !at->is_string())
    throw Error(ErrorKind::kData, fmt::format("manifest: '{}' is missing or no text", name));
  return at->get<std::string>();
}

std::string file_in(const Json& layout, const char* name) {
  std::string file = text_in(layout, name);
  const std::filesystem::path path(file);
  if (file.empty() || path.is_absolute() || std::find(path.begin(), path.end(), "..") != path.end())
    throw Error(ErrorKind::kData,
                fmt::format("manifest: '{}' is '{}'; a file in its own folder is wanted", name, file));
  return file;
}

int64_t number_in(const Json& layout, const char* name) {
  const auto at = layout.find(name);
  if (at == layout.end() || !at->is_number_integer() || at->get<int64_t>() < 0)
    throw Error(ErrorKind::kData, fmt::format("manifest: '{}' is missing or no whole number", name));
  return at->get<int64_t>();
}

}  // namespace lra::datatool
