// Picks the instruction set of the kernels once per process.
#include "math/dispatch.h"

#include <cstdlib>

namespace lra::math {
namespace {

Isa detect() {
  int best = 2;
  if (__builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0) best = 3;
  if (best == 3 && __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
      __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512dq") != 0) {
    best = 4;
  }
  const char* wanted = std::getenv("LRA_ISA");
  if (wanted != nullptr && wanted[0] == 'v' && wanted[1] >= '2' && wanted[1] <= '4' && wanted[2] == '\0') {
    const int asked = wanted[1] - '0';
    if (asked < best) best = asked;
  }
  return static_cast<Isa>(best);
}

}  // namespace

Isa active_isa() {
  static const Isa isa = detect();
  return isa;
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kV4:
      return "x86-64-v4 (AVX-512)";
    case Isa::kV3:
      return "x86-64-v3 (AVX2)";
    case Isa::kV2:
      break;
  }
  return "x86-64-v2 (SSE4)";
}

}  // namespace lra::math
