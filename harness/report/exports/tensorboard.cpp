// TensorBoard event files, one per record:
//   file   = record*            record = u64 length | u32 mask(crc(length)) | bytes | u32 mask(crc(bytes))
//   mask(c) = rotate_right(c, 15) + 0xa282ead8          crc: CRC-32C (Castagnoli)
//   event  = 1: wall time (double) 2: step (varint) 3: "brain.Event:2" | 5: summary { 1: { 1: tag, 2: value (float) } }
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

#include "report/export.h"

namespace lra::report {
namespace {

std::array<uint32_t, 256> castagnoli() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c & 1U) != 0 ? 0x82F63B78U ^ (c >> 1) : c >> 1;
    table[i] = c;
  }
  return table;
}

uint32_t masked_crc(const std::string& bytes) {
  static const auto table = castagnoli();
  uint32_t c = 0xFFFFFFFFU;
  for (const char byte : bytes) c = table[(c ^ static_cast<unsigned char>(byte)) & 0xFFU] ^ (c >> 8);
  c ^= 0xFFFFFFFFU;
  return ((c >> 15) | (c << 17)) + 0xa282ead8U;
}

template <class T>
std::string little_endian(T value) {
  std::string out(sizeof(T), '\0');
  std::memcpy(out.data(), &value, sizeof(T));
  return out;
}

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 128; value >>= 7) out += static_cast<char>(value | 128U);
  return out + static_cast<char>(value);
}

std::string field(char key, const std::string& bytes) { return key + varint(bytes.size()) + bytes; }

std::string framed(const std::string& bytes) {
  const std::string length = little_endian<uint64_t>(bytes.size());
  return length + little_endian(masked_crc(length)) + bytes + little_endian(masked_crc(bytes));
}

std::string scalar(double wall_time, uint64_t step, const std::string& tag, double value) {
  const std::string entry = field('\x0A', tag) + '\x15' + little_endian(static_cast<float>(value));
  return framed('\x09' + little_endian(wall_time) + '\x10' + varint(step) + field('\x2A', field('\x0A', entry)));
}

// Seconds since 1970 of "2026-11-02T10:11:12Z"; 0 if not known.
double unix_time(const std::string& text) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d", &year, &month, &day, &hour, &minute, &second) != 6) return 0;
  using namespace std::chrono;
  const sys_days date = std::chrono::year(year) / month / day;
  return static_cast<double>(duration_cast<seconds>(date.time_since_epoch()).count()) + hour * 3600 + minute * 60 +
         second;
}

// A folder's name; the hash beside it keeps two odd names apart.
std::string safe_name(const std::string& text) {
  std::string out = text.substr(0, 60);
  for (char& c : out) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    if (!plain) c = '_';
  }
  return out;
}

std::vector<OutputFile> make_tensorboard(const Collection& collection, const std::vector<Group>&) {
  std::vector<OutputFile> out;
  for (const RunRecord& run : collection.records) {
    const double start = unix_time(run.started);
    std::string bytes = framed('\x09' + little_endian(start) + field('\x1A', "brain.Event:2"));
    for (const Json& point : run.part({"curve"})) {
      const auto step = point.at("step").get<uint64_t>();
      const double now = start + point.at("seconds").get<double>();
      for (const auto& [key, tag] :
           std::array<std::pair<const char*, const char*>, 5>{{{"train_loss", "loss/train"},
                                                               {"validation_loss", "loss/validation"},
                                                               {"validation_quality", "quality/validation"},
                                                               {"lr", "optimiser/learning_rate"},
                                                               {"grad_norm", "optimiser/gradient_norm"}}}) {
        if (point.at(key).is_number()) bytes += scalar(now, step, tag, point.at(key).get<double>());
      }
    }
    if (run.quality) {
      const auto step = static_cast<uint64_t>(run.number({"quality", "best_step"}).value_or(0));
      bytes += scalar(start + run.total_seconds.value_or(0), step, "quality/test", *run.quality);
    }
    out.push_back({fmt::format("{}/{}-{}/s{}/events.out.tfevents.{:010.0f}.lra.0.{}", safe_name(run.task),
                               safe_name(run.variant), run.spec_hash, run.seed, start, run.seed),
                   bytes});
  }
  return out;
}

}  // namespace

extern const Export export_tensorboard{"tensorboard", "TensorBoard event files, one folder per run", true,
                                       make_tensorboard};

}  // namespace lra::report
