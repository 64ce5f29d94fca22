// Clocks and the process's own memory figures.
#include "core/clock.h"

#include <array>
#include <cstdio>
#include <cstring>
#include <ctime>

namespace lra {
namespace {

double seconds_of(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

}  // namespace

double wall_seconds() { return seconds_of(CLOCK_MONOTONIC); }

double cpu_seconds() { return seconds_of(CLOCK_PROCESS_CPUTIME_ID); }

int64_t peak_rss_bytes() {
  std::FILE* file = std::fopen("/proc/self/status", "r");
  if (file == nullptr) return 0;
  std::array<char, 256> line{};
  long kib = 0;
  while (std::fgets(line.data(), static_cast<int>(line.size()), file) != nullptr) {
    if (std::strncmp(line.data(), "VmHWM:", 6) == 0) {
      std::sscanf(line.data() + 6, "%ld", &kib);
      break;
    }
  }
  std::fclose(file);
  return static_cast<int64_t>(kib) * 1024;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

}  // namespace lra
