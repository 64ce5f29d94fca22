// Layout: { magic[8], json bytes, payload bytes, hash } then the JSON header, then the arrays back to back.
#include "session/checkpoint.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstring>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "core/rng.h"

namespace lra::session {
namespace {

struct Front {
  char magic[8];
  uint64_t real_bytes, json_bytes, payload_bytes, hash;
};
constexpr char kMagic[9] = "LRACKPT1";

struct Sum {
  uint64_t bytes = 0, hash = 0;
  void add(const void* data, std::size_t size) {
    bytes += size;
    hash = key_of({hash, hash64(data, size)});
  }
};

std::size_t bytes_of(int64_t count) { return static_cast<std::size_t>(count) * sizeof(Real); }

// First field in which two specs differ, "model.dim is 64 there and 128 here".
std::string difference(const Json& here, const Json& there, const std::string& name) {
  if (here.is_object() && there.is_object()) {
    for (const auto& [key, value] : here.items()) {
      const Json other = there.contains(key) ? there[key] : Json(nullptr);
      if (value != other) return difference(value, other, name.empty() ? key : name + "." + key);
    }
  }
  return fmt::format("{} is {} there and {} here", name, there.dump(), here.dump());
}

// Fills the arrays and returns the header of a whole file; else nothing and the reason. Throws only for another run's
// file.
std::optional<Json> read_one(const std::string& path, const Json& spec, const train::Trainer::State& state,
                             std::string& reason) {
  const MappedFile file(path);
  Front front{};
  reason = "truncated";
  if (file.size() < sizeof(front)) return std::nullopt;
  std::memcpy(&front, file.data(), sizeof(front));
  const std::size_t rest = file.size() - sizeof(front);
  if (front.json_bytes > rest || front.payload_bytes != rest - front.json_bytes) return std::nullopt;
  reason = "not a checkpoint of this version";
  if (std::memcmp(front.magic, kMagic, sizeof(front.magic)) != 0) return std::nullopt;
  reason = fmt::format("written with {}-byte numbers, this build uses {}", front.real_bytes, sizeof(Real));
  if (front.real_bytes != sizeof(Real)) return std::nullopt;

  const unsigned char* at = file.data() + sizeof(front);
  const std::string text(reinterpret_cast<const char*>(at), front.json_bytes);
  Json header;
  try {
    header = parse_json(text, path);
  } catch (const Error&) {
    reason = "its header is damaged";
    return std::nullopt;
  }
  std::size_t expected = 0;
  for (const auto& [array, count] : state.arrays) expected += bytes_of(count);
  if (front.payload_bytes == expected) {
    Sum sum;
    sum.add(at, front.json_bytes);
    at += front.json_bytes;
    const unsigned char* payload = at;
    for (const auto& [array, count] : state.arrays) {
      sum.add(at, bytes_of(count));
      at += bytes_of(count);
    }
    reason = "its content does not match its hash";
    if (sum.hash != front.hash) return std::nullopt;
    at = payload;
  }
  const Json there = header.value("spec", Json());
  if (there != spec) {
    throw Error(ErrorKind::kData,
                fmt::format("{}: belongs to another run ({}); choose another --out or leave --resume out", path,
                            difference(spec, there, "")));
  }
  reason = fmt::format("holds {} bytes of state where {} are wanted", front.payload_bytes, expected);
  if (front.payload_bytes != expected) return std::nullopt;
  for (const auto& [array, count] : state.arrays) {
    std::memcpy(array, at, bytes_of(count));
    at += bytes_of(count);
  }
  return header;
}

}  // namespace

void write_checkpoint(const std::string& path, const Json& header, const train::Trainer::State& state) {
  const std::string text = json_text(header);
  Sum sum;
  sum.add(text.data(), text.size());
  std::vector<Bytes> parts;
  for (const auto& [array, count] : state.arrays) {
    parts.push_back({array, bytes_of(count)});
    sum.add(array, bytes_of(count));
  }
  Front front{};
  std::memcpy(front.magic, kMagic, sizeof(front.magic));
  front.real_bytes = sizeof(Real);
  front.json_bytes = text.size();
  front.payload_bytes = sum.bytes - text.size();
  front.hash = sum.hash;
  parts.insert(parts.begin(), {{&front, sizeof(front)}, {text.data(), text.size()}});
  const std::string next = path + ".next";
  write_file_atomically(next, parts);
  std::error_code ignored;
  std::filesystem::rename(path, path + ".prev", ignored);  // there is none before the first
  std::filesystem::rename(next, path, ignored);
  if (ignored)
    throw Error(ErrorKind::kIo, fmt::format("{}: cannot rename the checkpoint: {}", path, ignored.message()));
}

std::optional<Json> read_checkpoint(const std::string& path, const Json& spec, const train::Trainer::State& state) {
  for (const std::string& candidate : {path, path + ".prev"}) {
    if (!std::filesystem::exists(candidate)) continue;
    std::string reason;
    const std::optional<Json> header = read_one(candidate, spec, state, reason);
    if (!header) {
      fmt::print(stderr, "lra-run: {}: {}; passing it over\n", candidate, reason);
      continue;
    }
    *state.step = header->at("step").get<int64_t>();
    return header;
  }
  return std::nullopt;
}

}  // namespace lra::session
