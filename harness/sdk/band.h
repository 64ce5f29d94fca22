// Tiles of a band, for JointAttention: rows at equal distances, each with the keys of the same progression near it.
//   Row a and key b of first, first + step, first + 2 step, ... (count of them) meet iff
//   -left <= b - a <= right  and  |b - a| >= gap
// A window, a block, a residue class, a column of a grid, each with or without a causal cut, are all bands.
#ifndef LRA_SDK_BAND_H
#define LRA_SDK_BAND_H

#include <algorithm>

#include "math/attention.h"
#include "sdk/joint_attention.h"

namespace lra::sdk {

struct Band {
  static constexpr int64_t kFar = math::KeyRange::kNoBound;

  int64_t first = 0, step = 1, count = 0;
  int64_t left = kFar, right = kFar;
  int64_t gap = 0;  // 1: a row does not meet itself; 2: nor its neighbours

  // Visits tiles that together hold every pair of the band once; see JointAttention.
  template <class Visit>
  void tiles(Visit&& visit) const {
    if (count <= gap) return;
    const int64_t block = tile_rows();
    for (int64_t begin = 0; begin < count; begin += block) {
      const int64_t end = std::min(begin + block, count);
      const int64_t b0 = std::clamp<int64_t>(begin - left, 0, count);
      const int64_t b1 = std::clamp<int64_t>(end + right, 0, count);
      if (b0 >= b1) continue;
      visit(math::Rows::strided(first + begin * step, step, end - begin),
            math::Rows::strided(first + b0 * step, step, b1 - b0), [this, begin, b0](const Scores& s) {
              const int64_t base = b0 + s.key_begin;
              for (int64_t r = 0; r < s.rows; ++r) {
                const int64_t a = begin + s.row_begin + r;
                s.keep(r, a - left - base, a + right + 1 - base);
                const int64_t last = std::min(a + gap, base + s.keys);
                for (int64_t b = std::max(a - gap + 1, base); b < last; ++b) s.hide(r, b - base);
              }
            });
    }
  }

  int64_t pairs() const {
    const auto overlap = [](int64_t b0, int64_t b1, int64_t c0, int64_t c1) {
      return std::max<int64_t>(0, std::min(b1, c1) - std::max(b0, c0));
    };
    int64_t sum = 0;
    for (int64_t a = 0; a < count; ++a) {
      const int64_t b0 = std::max<int64_t>(0, a - left), b1 = std::min(count, a + right + 1);
      sum += std::max<int64_t>(0, b1 - b0) - (gap > 0 ? overlap(b0, b1, a - gap + 1, a + gap) : 0);
    }
    return sum;
  }

 private:
  // Tall tiles pack their keys once for more rows; where the band is cut, low ones hide fewer pairs.
  int64_t tile_rows() const {
    const int64_t most = count - 1;
    if (left >= most && right >= most) return 60;
    const int64_t width = std::min(left, most) + std::clamp<int64_t>(right, 0, most) + 1;
    return width < 192 ? 24 : 48;
  }
};

}  // namespace lra::sdk

#endif  // LRA_SDK_BAND_H
