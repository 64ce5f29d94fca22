// Time and memory as the system accounts them.
#ifndef LRA_CORE_CLOCK_H
#define LRA_CORE_CLOCK_H

#include <cstdint>
#include <string>

namespace lra {

// Seconds of a clock that never goes back.
double wall_seconds();
// CPU seconds of all threads of this process.
double cpu_seconds();
// Largest resident set of this process so far, in bytes (VmHWM).
int64_t peak_rss_bytes();
// "2026-11-02T10:11:12Z"
std::string utc_now();

}  // namespace lra

#endif  // LRA_CORE_CLOCK_H
