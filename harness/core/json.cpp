// Bounded JSON reading and finite-only writing.
#include "core/json.h"

#include <fmt/format.h>

#include <cmath>

#include "core/error.h"
#include "core/file.h"

namespace lra {
namespace {

constexpr int kMaxDepth = 64;

void require_shallow(const std::string& text, const std::string& origin) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '[' || c == '{') ++depth;
    if (c == ']' || c == '}') --depth;
    if (depth > kMaxDepth) {
      throw Error(ErrorKind::kData,
                  fmt::format("{}: nested deeper than {} levels; not a file of ours", origin, kMaxDepth));
    }
  }
}

void require_finite(const Json& json) {
  if (json.is_number_float()) LRA_ASSERT(std::isfinite(json.get<double>()));
  if (json.is_structured()) {
    for (const auto& item : json) require_finite(item);
  }
}

}  // namespace

Json parse_json(const std::string& text, const std::string& origin) {
  require_shallow(text, origin);
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    std::size_t line = 1;
    std::size_t column = 1;
    for (std::size_t i = 0; i + 1 < error.byte && i < text.size(); ++i) {
      column = text[i] == '\n' ? 1 : column + 1;
      line += text[i] == '\n' ? 1 : 0;
    }
    throw Error(ErrorKind::kData, fmt::format("{}:{}:{}: not valid JSON", origin, line, column));
  } catch (const Json::out_of_range&) {
    throw Error(ErrorKind::kData, fmt::format("{}: a number is beyond the range of a double", origin));
  }
}

Json read_json(const std::string& path) { return parse_json(read_file(path, kMostBytesOfJson), path); }

std::string json_text(const Json& json) {
  require_finite(json);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }
Json or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

std::string plain_word(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

}  // namespace lra
