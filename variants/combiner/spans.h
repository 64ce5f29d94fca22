// The patterns of the Combiner: which rows each row of a sequence sees one by one and which as spans, as tiles of rows
// and keys for math/joint_attention.h; and how spans grow out of rows. The table of patterns is in combiner.cpp.
// With pattern=routing a row here is a place in the order of the clusters (clusters.h), head by head.
#ifndef LRA_VARIANTS_COMBINER_SPANS_H
#define LRA_VARIANTS_COMBINER_SPANS_H

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "sdk/joint_attention.h"

namespace lra::combiner {

using math::Rows;
using sdk::Real;

enum class Pattern { kFixed, kLogsparse, kVertical, kHorizontal, kRowMajor, kMixture, kRouting };

// Rows of one tile of queries; logsparse treats levels inside and above such a block differently.
constexpr int64_t kBlock = 64;
constexpr int kBlockLevels = 6;

inline int64_t rounded_root(int64_t n) { return std::max<int64_t>(1, int64_t(std::lround(std::sqrt(double(n))))); }

// N rows of a sequence written into lines of `width`; the last line may be short.
struct Grid {
  int64_t len, width, lines;

  Grid(int64_t n, int64_t w) : len(n), width(std::min(w == 0 ? rounded_root(n) : w, n)), lines((n - 1) / width + 1) {}
  int64_t columns(int64_t line) const { return std::min(width, len - line * width); }
  int64_t height(int64_t column) const { return column < columns(lines - 1) ? lines : lines - 1; }
  Rows line(int64_t r) const { return Rows::range(r * width, r * width + columns(r)); }
  Rows column(int64_t c) const { return Rows::strided(c, width, height(c)); }
};

// Blocks of 2^level rows, levels from 1 as long as there are two blocks: their spans lie level after level.
struct Levels {
  static bool has(int64_t len, int level) { return (int64_t(1) << level) < len; }
  static int64_t blocks(int64_t len, int level) { return ((len - 1) >> level) + 1; }
  static int64_t base(int64_t len, int level) {
    int64_t sum = 0;
    for (int t = 1; t < level; ++t) sum += blocks(len, t);
    return sum;
  }
  static int top(int64_t len) { return len < 2 ? 0 : int(std::bit_width(uint64_t(len - 1))) - 1; }
};

// Which keys b of a tile its row a sees.
struct Mask {
  enum Kind { kAll, kUpTo, kFrom, kExcept, kRun, kPartner, kSibling } kind = kAll;
  int64_t shift = 0;    // kUpTo: b <= a + shift; kFrom: b >= a + shift; kExcept: b != a + shift
  int64_t size = 1;     // kRun: floor(b / size) = a
  bool causal = false;  // kPartner: b = a or b = a ^ 1, causal: not after a
  // kSibling: key b is block index[b] of 2^level[b] rows, the tile's rows start at row first.
  const int32_t *level = nullptr, *index = nullptr;
  int64_t first = 0;

  bool sees(int64_t a, int64_t b) const {
    switch (kind) {
      case kUpTo:
        return b <= a + shift;
      case kFrom:
        return b >= a + shift;
      case kExcept:
        return b != a + shift;
      case kRun:
        return b / size == a;
      case kPartner:
        return b == a || (b == (a ^ 1) && (!causal || b < a));
      case kSibling:
        return index[b] == (((first + a) >> level[b]) ^ 1);
      case kAll:
        break;
    }
    return true;
  }
  // Hides the others.
  void apply(const sdk::Scores& s) const;
  // How many pairs of a tile are seen.
  int64_t count(int64_t rows, int64_t keys) const;
};

// Spans that grow by one row at a time: span a pools the first min(a + 1, tokens) rows. slot_step 0: one span of all.
struct Chain {
  int64_t slot, slot_step, count;
  int64_t token, token_step, tokens;
};

// The spans of one grid pattern, one for each cell (line, column).
enum class Family { kAbove, kBelow, kOthers, kLeft, kRight };

enum class Keys { kRows, kSpans };

class Spans {
 public:
  // Throws sdk::Refusal for options that have no meaning together.
  explicit Spans(const sdk::Setup& setup);

  Pattern pattern() const { return pattern_; }
  bool averaged() const { return pattern_ == Pattern::kMixture && !released_; }
  // Spans of neighbouring rows, the own one direct.
  bool fixed() const { return pattern_ == Pattern::kFixed || pattern_ == Pattern::kRouting; }
  int64_t rows_of_span(int64_t len) const { return span_ == 0 ? rounded_root(len) : span_; }
  Grid grid(int64_t len) const { return {len, width_}; }

  // Spans of a sequence, some of which may stay unused.
  int64_t slots(int64_t len) const;
  // Not below slots(len) for any len <= max_len.
  int64_t most_slots(int64_t max_len) const;

  // visit(chain) for the spans that grow, level 1 of logsparse among them.
  template <class Visit>
  void chains(int64_t len, Visit&& visit) const {
    if (pattern_ == Pattern::kRowMajor) return;
    if (fixed() || pattern_ == Pattern::kLogsparse) {
      const int64_t size = fixed() ? rows_of_span(len) : 2;
      for (int64_t b = 0; b < slots_of_first_level(len); ++b) {
        const int64_t rows = std::min(size, len - b * size);
        visit(Chain{b, 0, rows, b * size, 1, rows});
      }
      return;
    }
    const Grid g = grid(len);
    const int64_t m = g.width, bottom = g.lines - 1;
    for (size_t f = 0; f < families_.size(); ++f) {
      const int64_t base = int64_t(f) * g.lines * m;
      if (families_[f] == Family::kAbove) {
        for (int64_t c = 0; c < m; ++c) visit(Chain{base + m + c, m, bottom, c, m, bottom});
      } else if (families_[f] == Family::kBelow) {
        for (int64_t c = 0; c < m; ++c) {
          const int64_t last = g.height(c) - 1;
          visit(Chain{base + (last - 1) * m + c, -m, last, last * m + c, -m, last});
        }
      } else if (families_[f] == Family::kLeft) {
        for (int64_t r = 0; r < g.lines; ++r) visit(Chain{base + r * m + 1, 1, m - 1, r * m, 1, g.columns(r)});
      } else if (families_[f] == Family::kRight) {
        for (int64_t r = 0; r < g.lines; ++r) {
          const int64_t last = g.columns(r) - 1;
          visit(Chain{base + r * m + last - 1, -1, last, r * m + last, -1, last});
        }
      }
    }
  }
  // visit(first slot, first row, rows): spans of all rows of a line but one.
  template <class Visit>
  void others(int64_t len, Visit&& visit) const {
    for (size_t f = 0; f < families_.size(); ++f) {
      if (families_[f] != Family::kOthers) continue;
      const Grid g = grid(len);
      for (int64_t r = 0; r + 1 < g.lines && g.width > 1; ++r) {
        visit((int64_t(f) * g.lines + r) * g.width, r * g.width, g.width);
      }
    }
  }
  // Levels of logsparse above the first: visit(slot, child, children), children are neighbouring spans.
  int top_level(int64_t len) const { return pattern_ == Pattern::kLogsparse ? Levels::top(len) : 0; }
  template <class Visit>
  static void parents(int64_t len, int level, Visit&& visit) {
    const int64_t base = Levels::base(len, level), below = Levels::base(len, level - 1);
    const int64_t children = Levels::blocks(len, level - 1);
    for (int64_t b = 0; b < Levels::blocks(len, level); ++b) {
      visit(base + b, below + 2 * b, std::min<int64_t>(2, children - 2 * b));
    }
  }

  // visit(slot, rows of the span)
  template <class Visit>
  void sizes(int64_t len, Visit&& visit) const {
    if (pattern_ == Pattern::kRowMajor) {
      const int64_t count = slots(len), width = grid(len).width;
      for (int64_t i = 0; i < count; ++i) visit(i, width);
      return;
    }
    if (pattern_ == Pattern::kLogsparse) {
      for (int t = 1; t <= Levels::top(len); ++t) {
        const int64_t base = Levels::base(len, t);
        for (int64_t b = 0; b < Levels::blocks(len, t); ++b) visit(base + b, std::min(int64_t(1) << t, len - (b << t)));
      }
      return;
    }
    chains(len, [&](const Chain& c) {
      for (int64_t a = 0; a < c.count; ++a) visit(c.slot + a * c.slot_step, std::min(a + 1, c.tokens));
    });
    others(len, [&](int64_t slot, int64_t, int64_t count) {
      for (int64_t a = 0; a < count; ++a) visit(slot + a, count - 1);
    });
  }

  // visit(slots, rows, mask): which rows each span is made of, as tiles.
  template <class Visit>
  void members(int64_t len, Visit&& visit) const {
    if (fixed()) {
      runs(len, 0, rows_of_span(len), visit);
      return;
    }
    if (pattern_ == Pattern::kLogsparse) {
      for (int t = 1; t <= Levels::top(len); ++t) runs(len, Levels::base(len, t), int64_t(1) << t, visit);
      return;
    }
    const Grid g = grid(len);
    if (pattern_ == Pattern::kRowMajor) {
      for (int64_t r = 0; r + 1 < g.lines; ++r) visit(g.line(r), g.line(r), Mask{});
      return;
    }
    chains(len, [&](const Chain& c) {
      // In storage order a chain that runs backwards sees from its own row on.
      if (c.count <= 0) return;
      const int64_t last = std::min(c.count, c.tokens);
      if (c.slot_step > 0) {
        triangle(Rows::strided(c.slot, c.slot_step, c.count), Rows::strided(c.token, c.token_step, last), 0, visit);
      } else {
        back_triangle(Rows::strided(c.slot + (c.count - 1) * c.slot_step, -c.slot_step, c.count),
                      Rows::strided(c.token + (last - 1) * c.token_step, -c.token_step, last), visit);
      }
    });
    others(len, [&](int64_t slot, int64_t token, int64_t count) {
      visit(Rows::range(slot, slot + count), Rows::range(token, token + count), Mask{.kind = Mask::kExcept});
    });
  }

  // visit(softmax, rows, kind of keys, keys, mask): what each row sees, as tiles. softmax is 1 for the second of two
  // that are averaged, else 0.
  template <class Visit>
  void joint(int64_t len, Visit&& visit) const {
    if (fixed()) {
      joint_fixed(len, visit);
    } else if (pattern_ == Pattern::kLogsparse) {
      joint_logsparse(len, visit);
    } else {
      joint_grid(grid(len), visit);
    }
  }

 private:
  int64_t slots_of_first_level(int64_t len) const {
    if (fixed()) return slots(len);
    return Levels::top(len) >= 1 ? Levels::blocks(len, 1) : 0;
  }

  // Spans of `size` neighbouring rows each, small ones several to a tile.
  template <class Visit>
  static void runs(int64_t len, int64_t base, int64_t size, Visit&& visit) {
    const int64_t spans = (len - 1) / size + 1, together = std::max<int64_t>(1, kBlock / size);
    for (int64_t b = 0; b < spans; b += together) {
      visit(Rows::range(base + b, base + std::min(b + together, spans)),
            Rows::range(b * size, std::min((b + together) * size, len)), Mask{.kind = Mask::kRun, .size = size});
    }
  }
  // Row a sees keys up to a + shift: blocks of rows, none with keys that all of them miss.
  template <class Visit>
  static void triangle(const Rows& rows, const Rows& keys, int64_t shift, Visit&& visit) {
    for (int64_t a = 0; a < rows.count; a += kBlock) {
      const int64_t end = std::min(a + kBlock, rows.count), seen = std::min(end + shift, keys.count);
      if (seen > 0) visit(rows.part(a, end), keys.part(0, seen), Mask{.kind = Mask::kUpTo, .shift = a + shift});
    }
  }
  // Row a sees keys from a on.
  template <class Visit>
  static void back_triangle(const Rows& rows, const Rows& keys, Visit&& visit) {
    for (int64_t a = 0; a < rows.count; a += kBlock) {
      visit(rows.part(a, std::min(a + kBlock, rows.count)), keys.part(a, keys.count), Mask{.kind = Mask::kFrom});
    }
  }

  template <class Visit>
  void joint_fixed(int64_t len, Visit&& visit) const {
    const int64_t size = rows_of_span(len), spans = slots(len);
    for (int64_t b = 0; b < spans; ++b) {
      const Rows own = Rows::range(b * size, std::min((b + 1) * size, len));
      const auto direct = [&](const Rows& rows, const Rows& keys, const Mask& mask) {
        visit(0, rows, Keys::kRows, keys, mask);
      };
      if (causal_) {
        triangle(own, own, 0, direct);
      } else {
        direct(own, own, Mask{});
      }
      if (b > 0) visit(0, own, Keys::kSpans, Rows::range(0, b), Mask{});
      if (!causal_ && b + 1 < spans) visit(0, own, Keys::kSpans, Rows::range(b + 1, spans), Mask{});
    }
  }

  template <class Visit>
  void joint_logsparse(int64_t len, Visit&& visit) const {
    // Spans of levels inside the block, and one of each level above.
    std::array<int32_t, kBlock + 64> slot{}, level{}, index{};
    for (int64_t first = 0; first < len; first += kBlock) {
      const Rows own = Rows::range(first, std::min(first + kBlock, len));
      visit(0, own, Keys::kRows, own, Mask{.kind = Mask::kPartner, .causal = causal_});
      size_t count = 0;
      for (int t = 1; t <= Levels::top(len); ++t) {
        const bool inside = t < kBlockLevels;
        int64_t begin = first >> t, end = ((first + own.count - 1) >> t) + 1;
        if (!inside) {
          begin ^= 1;
          end = begin + 1;
          if (begin >= Levels::blocks(len, t)) continue;
        }
        const int64_t base = Levels::base(len, t);
        for (int64_t b = begin; b < end; ++b) {
          if (causal_ && b % 2 != 0) continue;  // no row has it to its left
          slot[count] = int32_t(base + b);
          level[count] = t;
          index[count] = int32_t(b);
          ++count;
        }
      }
      if (count == 0) continue;
      visit(0, own, Keys::kSpans, Rows::listed(slot.data(), int64_t(count)),
            Mask{.kind = Mask::kSibling, .level = level.data(), .index = index.data(), .first = first});
    }
  }

  // Spans of a family as seen by the rows of line r or of column c.
  int64_t base(Family family, const Grid& g) const {
    const auto found = std::find(families_.begin(), families_.end(), family);
    return int64_t(found - families_.begin()) * g.lines * g.width;
  }
  bool has(Family family) const { return std::find(families_.begin(), families_.end(), family) != families_.end(); }

  template <class Visit>
  void joint_grid(const Grid& g, Visit&& visit) const {
    const int64_t m = g.width;
    for (int softmax = 0; softmax < (averaged() ? 2 : 1); ++softmax) {
      const bool vertical = averaged() ? softmax == 0 : has(Family::kAbove);
      const bool horizontal = averaged() ? softmax == 1 : has(Family::kOthers) || has(Family::kLeft);
      const auto see = [&](Keys kind) {
        return [&visit, softmax, kind](const Rows& rows, const Rows& keys, const Mask& mask) {
          if (rows.count > 0 && keys.count > 0) visit(softmax, rows, kind, keys, mask);
        };
      };
      const Mask except{.kind = Mask::kExcept};
      for (int64_t r = 0; r < g.lines; ++r) {
        if (causal_) {
          triangle(g.line(r), g.line(r), 0, see(Keys::kRows));
        } else {
          see(Keys::kRows)(g.line(r), g.line(r), Mask{});
        }
        if (vertical && r > 0) {
          const int64_t above = base(Family::kAbove, g) + r * m;
          see(Keys::kSpans)(g.line(r), Rows::range(above, above + m), except);
        }
        if (vertical && !causal_ && r + 1 < g.lines) {
          const int64_t below = base(Family::kBelow, g) + r * m;
          see(Keys::kSpans)(g.line(r), Rows::range(below, below + g.columns(r + 1)), except);
        }
      }
      for (int64_t c = 0; c < m; ++c) {
        const Rows column = g.column(c);
        if (pattern_ == Pattern::kRowMajor) {
          triangle(column, Rows::strided(c, m, g.lines - 1), -1, see(Keys::kSpans));
          continue;
        }
        if (causal_) {
          triangle(column, column, -1, see(Keys::kRows));
        } else {
          see(Keys::kRows)(column, column, except);
        }
        if (!horizontal || m == 1) continue;
        const auto lines = [&](Family family, int64_t count) {
          const Rows spans = Rows::strided(base(family, g) + c, m, count);
          if (causal_) {
            triangle(column, spans, -1, see(Keys::kSpans));
          } else {
            see(Keys::kSpans)(column, spans, except);
          }
        };
        if (has(Family::kOthers)) lines(Family::kOthers, g.lines - 1);
        if (has(Family::kLeft) && c > 0) lines(Family::kLeft, g.lines);
        if (has(Family::kRight) && c + 1 < m) {
          lines(Family::kRight, c + 1 < g.columns(g.lines - 1) ? g.lines : g.lines - 1);
        }
      }
    }
  }

  Pattern pattern_;
  bool causal_, released_;
  int64_t span_, width_;
  std::vector<Family> families_;
};

}  // namespace lra::combiner

#endif  // LRA_VARIANTS_COMBINER_SPANS_H
