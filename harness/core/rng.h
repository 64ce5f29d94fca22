// Counter-based random numbers: every draw is a function of (key, counter), so nothing depends on who computes it or
// when. Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3").
#ifndef LRA_CORE_RNG_H
#define LRA_CORE_RNG_H

#include <array>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <numbers>
#include <string_view>

namespace lra {

// 64-bit finaliser (Steele, Lea, Flood 2014): spreads every input bit over the word.
constexpr uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// One key out of several numbers, order matters: key_of({seed, layer, stream}).
constexpr uint64_t key_of(std::initializer_list<uint64_t> parts) {
  uint64_t key = 0x243f6a8885a308d3ull;
  for (const uint64_t part : parts) key = mix64(key ^ mix64(part));
  return key;
}

// A name as a number (FNV-1a), to key draws by parameter or purpose.
constexpr uint64_t name_key(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return hash;
}

// Four 32-bit words of block `counter` under `key`.
constexpr std::array<uint32_t, 4> philox(uint64_t key, uint64_t counter) {
  std::array<uint32_t, 4> c{static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0x1234567u,
                            0x89abcdeu};
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = 0xD2511F53ull * c[0];
    const uint64_t p1 = 0xCD9E8D57ull * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

// Uniform in [0, 1) with 53 bits.
constexpr double unit_double(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1.0p-53; }

// Two standard normals from one Philox block (Box-Muller).
inline std::array<double, 2> normal_pair(uint64_t key, uint64_t counter) {
  const auto w = philox(key, counter);
  const double u1 = unit_double((static_cast<uint64_t>(w[0]) << 32) | w[1]);
  const double u2 = unit_double((static_cast<uint64_t>(w[2]) << 32) | w[3]);
  const double radius = std::sqrt(-2.0 * std::log(1.0 - u1));
  const double angle = 2.0 * std::numbers::pi * u2;
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

// Normal / uniform number `index` of the stream `key`, the same whoever asks.
inline double normal_at(uint64_t key, uint64_t index) { return normal_pair(key, index / 2)[index % 2]; }
inline double uniform_at(uint64_t key, uint64_t index) {
  const auto w = philox(key, index / 2);
  const std::size_t half = 2 * (index % 2);
  return unit_double((static_cast<uint64_t>(w[half]) << 32) | w[half + 1]);
}

// The same streams as a sequence, for generators that draw an unknown number of times.
class Rng {
 public:
  explicit Rng(uint64_t key) : key_(key) {}
  Rng(std::initializer_list<uint64_t> parts) : key_(key_of(parts)) {}

  uint32_t next() {
    if (used_ == 4) {
      block_ = philox(key_, counter_++);
      used_ = 0;
    }
    return block_[used_++];
  }
  uint64_t next64() {
    const uint64_t high = next();
    return (high << 32) | next();
  }
  // In [0, 1).
  double uniform() { return unit_double(next64()); }
  // In [0, n), n > 0, without bias (Lemire 2019).
  uint32_t below(uint32_t n) {
    uint64_t product = static_cast<uint64_t>(next()) * n;
    if (static_cast<uint32_t>(product) < n) {
      const uint32_t threshold = (0u - n) % n;
      while (static_cast<uint32_t>(product) < threshold) product = static_cast<uint64_t>(next()) * n;
    }
    return static_cast<uint32_t>(product >> 32);
  }
  // In [low, high], both ends included.
  int between(int low, int high) { return low + static_cast<int>(below(static_cast<uint32_t>(high - low + 1))); }
  double normal() {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(2.0 * std::numbers::pi * uniform());
  }

 private:
  uint64_t key_;
  uint64_t counter_ = 0;
  std::array<uint32_t, 4> block_{};
  unsigned used_ = 4;
};

}  // namespace lra

#endif  // LRA_CORE_RNG_H
