// Combiner: every row reaches every row it may see, a few of them directly and the others through spans. A span W has a
// key and a query of its own, pooled from its rows (pool: maximum, mean, or the maximum of relu(x W)), and a value that
// does not depend on who asks:
//   kappa_W = pool of k_j,  rho_W = pool of q_j,  s_W = sum_{j in W} softmax_j(rho_W.k_j / sqrt(dh)) v_j
//   o_i = sum_{j direct} p_ij v_j + sum_W p_iW s_W,   p_i = one softmax over q_i.k_j / sqrt(dh) and q_i.kappa_W /
//   sqrt(dh)
// Direct rows and spans of row i = (r, c) on a grid of `width` columns, causal (bidirectional in brackets):
//   fixed             own span up to i [all of it]; every earlier [other] span of `span` rows
//   logsparse         i and, at level t, its sibling block (i >> t) ^ 1 of 2^t rows if it lies before i [always]
//   axial_vertical    own row and column; of each other column the rows above r [and the rows below r]
//   axial_horizontal  own row and column; each row above without column c [each other row, left and right of c]
//   axial_rowmajor    own row; each row above, asked as (row, c): rho = q_(row,c), kappa = k_(row,c) or a summary
//   mixture           the mean of vertical and horizontal; `released`: one softmax over both, rows split as [..]
// Spans and rows are two kinds of keys of one joint softmax (math/joint_attention.h); the span values are a joint
// attention themselves, with rho as queries. Only s, o and their normalisers are saved, the pools are taken again by
// backward: dkappa goes to the row that was the maximum, channel by channel, and drho likewise.
#include <array>
#include <bit>
#include <vector>

#include "sdk/joint_attention.h"

namespace lra {
namespace {

using math::Rows;
using sdk::Real;

enum class Pattern { kFixed, kLogsparse, kVertical, kHorizontal, kRowMajor, kMixture };
enum class Abstraction { kMax, kMean, kDeepSets };
enum class Summary { kNone, kWeighted, kProjected };

constexpr lra_option kOptions[] = {
    sdk::choice("pattern", "which rows are seen directly and which as spans",
                "fixed|logsparse|axial_vertical|axial_horizontal|axial_rowmajor|mixture"),
    sdk::integer("span", "fixed: rows of a span; 0: the root of N, rounded", 0, 0, 1 << 20),
    sdk::integer("width", "axial and mixture: columns of the grid; 0: the root of N, rounded", 0, 0, 1 << 20),
    sdk::choice("abstraction", "how the rows of a span make its key and its query", "max|mean|deepsets"),
    sdk::integer("size_correction", "1: adds log of its rows to the score of a span", 0, 0, 1),
    sdk::choice("summary",
                "axial_rowmajor: key of a span, that of its row in the own column, their weighted sum, or "
                "a projection of the values",
                "none|wsum|proj"),
    sdk::integer("released", "mixture: 1: one softmax over the spans of both, as in the released code", 0, 0, 1),
};

constexpr sdk::Info kInfo{
    .id = "combiner",
    .title = "Combiner",
    .paper = "Ren et al. 2021, arXiv:2107.05768",
    .formula =
        "kappa_W = max of k_j, rho_W = max of q_j, s_W = sum_{j in W} softmax_j(rho_W.k_j / sqrt(dh)) v_j\n"
        "o_i = sum_{j direct} p_ij v_j + sum_W p_iW s_W,  p_i = softmax over q_i.k_j / sqrt(dh), q_i.kappa_W / "
        "sqrt(dh)",
    .notes =
        "Spans and direct rows of a row partition what it may see, except with released=1, where rows off its own row "
        "and column count twice. Scores of spans lack the log of their size, so spans weigh less than in full "
        "attention; size_correction=1 adds it. The last span or grid row may be short. fixed and logsparse are the "
        "paper's when causal; without causality logsparse takes the sibling blocks of the enclosing binary tree and "
        "axial patterns the own row and column with the rest split above/below or left/right, which is our reading. "
        "axial_rowmajor is causal only, and so is released=1. axial_rowmajor has no pooling: summary=none takes the "
        "key of the span's row in the column of the query, wsum the sum of its keys weighted as its values, proj "
        "layer_norm(x + s W) W' as the released code does by default (without its dropout); w_summary: [Q, D], "
        "w_summary_k: [D, Q]. With a pooled key it would equal fixed with span = width. deepsets: relu(x W), W: [dh, "
        "dh] shared by heads (w_span_k, w_span_q), then the maximum. Equal maxima: the first row takes the gradient. "
        "The paper's learned spans (Combiner-Routing) are not offered. pairs counts direct rows and spans of each row "
        "and the rows of each span.",
    .time = "O(N sqrt(N) D); logsparse O(N log(N) D)",
    .memory = "O(N D)",
    .time_exponent = 1.5,
    .memory_exponent = 1,
    .flags = LRA_CAUSAL | LRA_BIDIRECTIONAL | LRA_ROW_STOCHASTIC,
    .options = kOptions,
    .limits = "pattern=fixed span={N}\npattern=fixed span=1",
};

constexpr Real kLayerNormEpsilon = Real(1e-6);
// Rows of one tile of queries; logsparse treats levels inside and above such a block differently.
constexpr int64_t kBlock = 64;
constexpr int kBlockLevels = 6;

int64_t rounded_root(int64_t n) { return std::max<int64_t>(1, int64_t(std::lround(std::sqrt(double(n))))); }

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
  void apply(const sdk::Scores& s) const {
    for (int64_t r = 0; r < s.rows; ++r) {
      const int64_t edge = s.row_begin + r + shift - s.key_begin;
      if (kind == kUpTo) {
        s.keep(r, 0, edge + 1);
      } else if (kind == kFrom) {
        s.keep(r, edge, s.keys);
      } else if (kind == kExcept) {
        if (edge >= 0 && edge < s.keys) s.hide(r, edge);
      } else if (kind == kRun) {
        s.keep(r, (s.row_begin + r) * size - s.key_begin, (s.row_begin + r + 1) * size - s.key_begin);
      } else if (kind != kAll) {
        for (int64_t c = 0; c < s.keys; ++c) {
          if (!sees(s.row_begin + r, s.key_begin + c)) s.hide(r, c);
        }
      }
    }
  }
  int64_t count(int64_t rows, int64_t keys) const {
    int64_t sum = 0;
    for (int64_t a = 0; a < rows; ++a) {
      const int64_t edge = a + shift;
      if (kind == kAll) {
        sum += keys;
      } else if (kind == kUpTo) {
        sum += std::clamp<int64_t>(edge + 1, 0, keys);
      } else if (kind == kFrom) {
        sum += keys - std::clamp<int64_t>(edge, 0, keys);
      } else {
        for (int64_t b = 0; b < keys; ++b) sum += sees(a, b) ? 1 : 0;
      }
    }
    return sum;
  }
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
  explicit Spans(const sdk::Setup& setup)
      : pattern_(setup.choice<Pattern>("pattern")),
        causal_(setup.causal),
        released_(setup.integer("released") != 0),
        span_(setup.integer("span")),
        width_(setup.integer("width")) {
    if (pattern_ == Pattern::kRowMajor && !causal_) {
      throw sdk::Refusal(
          "pattern=axial_rowmajor is defined for causal attention only, where each line above is complete; choose "
          "axial_vertical, axial_horizontal or mixture, or run it with --causal",
          LRA_UNSUPPORTED);
    }
    if (released_ && pattern_ != Pattern::kMixture) {
      throw sdk::Refusal("released=1 is a form of the mixture; choose pattern=mixture with it, or released=0");
    }
    if (released_ && !causal_) {
      throw sdk::Refusal(
          "released=1 is offered for causal attention only: without causality the released code counts a row's own "
          "line and column among its spans; choose released=0, or run it with --causal",
          LRA_UNSUPPORTED);
    }
    const bool vertical = pattern_ == Pattern::kVertical || pattern_ == Pattern::kMixture;
    const bool horizontal = pattern_ == Pattern::kHorizontal || pattern_ == Pattern::kMixture;
    if (vertical) families_.push_back(Family::kAbove);
    if (vertical && !causal_) families_.push_back(Family::kBelow);
    if (horizontal && causal_ && !released_) families_.push_back(Family::kOthers);
    if (horizontal && (!causal_ || released_)) {
      families_.push_back(Family::kLeft);
      families_.push_back(Family::kRight);
    }
  }

  Pattern pattern() const { return pattern_; }
  bool averaged() const { return pattern_ == Pattern::kMixture && !released_; }
  Grid grid(int64_t len) const { return {len, width_}; }

  // Spans of a sequence, some of which may stay unused.
  int64_t slots(int64_t len) const {
    if (len == 0) return 0;
    if (pattern_ == Pattern::kFixed) return (len - 1) / rows_of_span(len) + 1;
    if (pattern_ == Pattern::kLogsparse) return Levels::base(len, Levels::top(len) + 1);
    const Grid g = grid(len);
    if (pattern_ == Pattern::kRowMajor) return (g.lines - 1) * g.width;
    return int64_t(families_.size()) * g.lines * g.width;
  }
  // Not below slots(len) for any len <= max_len.
  int64_t most_slots(int64_t max_len) const {
    if (pattern_ == Pattern::kFixed) return span_ == 0 ? rounded_root(max_len) + 2 : (max_len - 1) / span_ + 1;
    if (pattern_ == Pattern::kLogsparse) return slots(max_len);
    const int64_t cells = max_len + std::min(max_len, width_ == 0 ? rounded_root(max_len) : width_);
    return cells * std::max<int64_t>(1, int64_t(families_.size()));
  }

  // visit(chain) for the spans that grow, level 1 of logsparse among them.
  template <class Visit>
  void chains(int64_t len, Visit&& visit) const {
    if (pattern_ == Pattern::kRowMajor) return;
    if (pattern_ == Pattern::kFixed || pattern_ == Pattern::kLogsparse) {
      const int64_t size = pattern_ == Pattern::kFixed ? rows_of_span(len) : 2;
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
    if (pattern_ == Pattern::kFixed) {
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
    if (pattern_ == Pattern::kFixed) {
      joint_fixed(len, visit);
    } else if (pattern_ == Pattern::kLogsparse) {
      joint_logsparse(len, visit);
    } else {
      joint_grid(grid(len), visit);
    }
  }

 private:
  int64_t rows_of_span(int64_t len) const { return span_ == 0 ? rounded_root(len) : span_; }
  int64_t slots_of_first_level(int64_t len) const {
    if (pattern_ == Pattern::kFixed) return slots(len);
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

// The keys or the queries of the spans of one head, pooled from those of the rows, channel by channel.
class Pool {
 public:
  // x: rows, out: spans, best: for kMax the row that each channel of a span comes from, -1 for spans without rows.
  // All with row stride ld.
  Pool(const Spans& spans, int64_t len, bool mean, int64_t channels, int64_t ld)
      : spans_(spans), len_(len), mean_(mean), channels_(channels), ld_(ld), slots_(spans.slots(len)) {}

  void forward(const Real* x, Real* out, int32_t* best) const {
    for (int64_t i = 0; i < slots_; ++i) std::fill_n(best + i * ld_, channels_, -1);
    spans_.chains(len_, [&](const Chain& c) {
      for (int64_t a = 0; a < c.count; ++a) {
        const int64_t to = (c.slot + a * c.slot_step) * ld_, from = to - c.slot_step * ld_;
        const int64_t token = c.token + a * c.token_step;
        if (a == 0) {
          std::copy_n(x + token * ld_, channels_, out + to);
          std::fill_n(best + to, channels_, int32_t(token));
        } else if (a >= c.tokens) {
          std::copy_n(out + from, channels_, out + to);
          std::copy_n(best + from, channels_, best + to);
        } else if (mean_) {
          const Real share = 1 / Real(a + 1);
          for (int64_t e = 0; e < channels_; ++e) {
            out[to + e] = out[from + e] + share * (x[token * ld_ + e] - out[from + e]);
          }
        } else {
          take_higher(x + token * ld_, int32_t(token), out + from, best + from, out + to, best + to);
        }
      }
    });
    for (int level = 2; level <= spans_.top_level(len_); ++level) {
      Spans::parents(len_, level, [&](int64_t slot, int64_t child, int64_t children) {
        for (int64_t e = 0; e < channels_; ++e) {
          const int64_t first = child * ld_ + e, second = children > 1 ? first + ld_ : first;
          if (mean_) {
            const Real share = second_share(slot, children, level);
            out[slot * ld_ + e] = out[first] + share * (out[second] - out[first]);
          } else {
            const int64_t top = out[second] > out[first] ? second : first;
            out[slot * ld_ + e] = out[top];
            best[slot * ld_ + e] = best[top];
          }
        }
      });
    }
    spans_.others(len_, [&](int64_t slot, int64_t token, int64_t count) {
      for (int64_t e = 0; e < channels_; ++e) {
        const Real* line = x + token * ld_ + e;
        int64_t first = 0, second = 1;
        Real sum = line[0];
        if (line[second * ld_] > line[first * ld_]) std::swap(first, second);
        for (int64_t t = 1; t < count; ++t) {
          sum += line[t * ld_];
          if (t == 1) continue;
          if (line[t * ld_] > line[first * ld_]) {
            second = first;
            first = t;
          } else if (line[t * ld_] > line[second * ld_]) {
            second = t;
          }
        }
        for (int64_t t = 0; t < count; ++t) {
          const int64_t top = t == first ? second : first;
          if (!mean_) best[(slot + t) * ld_ + e] = int32_t(token + top);
          out[(slot + t) * ld_ + e] = mean_ ? (sum - line[t * ld_]) / Real(count - 1) : line[top * ld_];
        }
      }
    });
  }

  // dx += the gradient of forward; dout is used up. positive: x is a relu, out > 0 says where it passes.
  void backward(const Real* out, const int32_t* best, Real* dout, Real* dx, bool positive) const {
    if (mean_) {
      mean_backward(dout, dx);
      return;
    }
    for (int64_t i = 0; i < slots_; ++i) {
      for (int64_t e = 0; e < channels_; ++e) {
        const int64_t at = i * ld_ + e;
        if (best[at] >= 0 && (!positive || out[at] > 0)) dx[best[at] * ld_ + e] += dout[at];
      }
    }
  }

 private:
  // out, best = value, token where value is higher than old, else old, row.
  void take_higher(const Real* value, int32_t token, const Real* old, const int32_t* row, Real* out,
                   int32_t* best) const {
    // Through arrays of fixed size, which the compiler turns into vectors.
    constexpr int64_t kLanes = 8;
    int64_t e = 0;
    for (; e + kLanes <= channels_; e += kLanes) {
      std::array<Real, kLanes> v, o;
      std::array<int32_t, kLanes> r;
      std::copy_n(value + e, kLanes, v.data());
      std::copy_n(old + e, kLanes, o.data());
      std::copy_n(row + e, kLanes, r.data());
      for (size_t l = 0; l < kLanes; ++l) r[l] = v[l] > o[l] ? token : r[l];
      for (size_t l = 0; l < kLanes; ++l) o[l] = v[l] > o[l] ? v[l] : o[l];
      std::copy_n(o.data(), kLanes, out + e);
      std::copy_n(r.data(), kLanes, best + e);
    }
    for (; e < channels_; ++e) {
      const bool higher = value[e] > old[e];
      best[e] = higher ? token : row[e];
      out[e] = higher ? value[e] : old[e];
    }
  }
  // Weight of the second child in the mean of both.
  Real second_share(int64_t slot, int64_t children, int level) const {
    if (children < 2) return 0;
    const int64_t block = slot - Levels::base(len_, level), size = int64_t(1) << (level - 1);
    const int64_t all = std::min(2 * size, len_ - block * 2 * size);
    return Real(all - size) / Real(all);
  }

  void mean_backward(Real* dout, Real* dx) const {
    for (int level = spans_.top_level(len_); level >= 2; --level) {
      Spans::parents(len_, level, [&](int64_t slot, int64_t child, int64_t children) {
        const Real share = second_share(slot, children, level);
        for (int64_t e = 0; e < channels_; ++e) {
          dout[child * ld_ + e] += (1 - share) * dout[slot * ld_ + e];
          if (children > 1) dout[(child + 1) * ld_ + e] += share * dout[slot * ld_ + e];
        }
      });
    }
    spans_.chains(len_, [&](const Chain& c) {
      for (int64_t a = c.count - 1; a >= 0; --a) {
        const int64_t slot = c.slot + a * c.slot_step;
        for (int64_t e = 0; e < channels_; ++e) {
          Real& d = dout[slot * ld_ + e];
          // Row a is part of the spans a and later.
          if (c.slot_step != 0) d = d / Real(std::min(a + 1, c.tokens));
          if (c.slot_step != 0 && a + 1 < c.count) d += dout[(slot + c.slot_step) * ld_ + e];
          if (a < c.tokens) dx[(c.token + a * c.token_step) * ld_ + e] += c.slot_step != 0 ? d : d / Real(c.tokens);
        }
      }
    });
    spans_.others(len_, [&](int64_t slot, int64_t token, int64_t count) {
      for (int64_t e = 0; e < channels_; ++e) {
        Real sum = 0;
        for (int64_t t = 0; t < count; ++t) sum += dout[(slot + t) * ld_ + e];
        for (int64_t t = 0; t < count; ++t) {
          dx[(token + t) * ld_ + e] += (sum - dout[(slot + t) * ld_ + e]) / Real(count - 1);
        }
      }
    });
  }

  const Spans& spans_;
  int64_t len_;
  bool mean_;
  int64_t channels_, ld_, slots_;
};

class Combiner {
 public:
  explicit Combiner(sdk::Setup& setup)
      : dim_(setup.dim),
        heads_(setup.heads),
        head_dim_(setup.head_dim),
        inner_(setup.inner),
        max_len_(setup.max_len),
        abstraction_(setup.choice<Abstraction>("abstraction")),
        summary_(setup.choice<Summary>("summary")),
        size_correction_(setup.integer("size_correction") != 0),
        spans_(setup),
        most_(spans_.most_slots(setup.max_len)),
        qkv_(setup),
        attention_(setup, kBlock, 4 * kBlock),
        value_(setup.saved("span_values", most_ * inner_)),
        value_lse_(setup.saved("span_lse", heads_ * most_)),
        dvalue_(setup.scratch("span_dvalues", most_ * inner_)) {
    const int64_t slots = most_ * inner_, rows = max_len_ * inner_;
    if (pooled()) {
      key_ = setup.scratch("span_keys", slots);
      query_ = setup.scratch("span_queries", slots);
      dquery_ = setup.scratch("span_dqueries", slots);
      best_key_ = setup.scratch<int32_t>("span_best_keys", slots);
      best_query_ = setup.scratch<int32_t>("span_best_queries", slots);
    }
    if (!pooled() && summary_ == Summary::kWeighted) {
      summed_ = setup.saved("span_keys", slots);
      summed_lse_ = setup.saved("span_key_lse", heads_ * most_);
    }
    if (projected()) {
      key_ = setup.scratch("span_keys", slots);
      w_value_ = setup.param("w_summary", inner_, dim_);
      gain_ = setup.param("summary_gain", 1, dim_, {.init = LRA_INIT_ONE});
      shift_ = setup.param("summary_shift", 1, dim_, {.init = LRA_INIT_ZERO});
      w_key_ = setup.param("w_summary_k", dim_, inner_);
      before_norm_ = setup.saved("summary", most_ * dim_);
      mean_ = setup.saved("summary_mean", most_);
      rstd_ = setup.saved("summary_rstd", most_);
      normed_ = setup.scratch("summary_normed", most_ * dim_);
      dnormed_ = setup.scratch("summary_dnormed", most_ * dim_);
    }
    if (pooled() || summary_ != Summary::kNone) dkey_ = setup.scratch("span_dkeys", slots);
    if (deep_sets()) {
      w_span_q_ = setup.param("w_span_q", head_dim_, head_dim_);
      w_span_k_ = setup.param("w_span_k", head_dim_, head_dim_);
      feature_q_ = setup.scratch("feature_q", rows);
      feature_k_ = setup.scratch("feature_k", rows);
      dfeature_q_ = setup.scratch("feature_dq", rows);
      dfeature_k_ = setup.scratch("feature_dk", rows);
    }
    if (size_correction_) log_size_ = setup.scratch("span_log_size", most_);
    if (spans_.averaged()) {
      for (size_t s = 0; s < 2; ++s) part_[s] = setup.saved(s == 0 ? "vertical" : "horizontal", rows);
      second_lse_ = setup.saved("horizontal_lse", heads_ * max_len_);
    }
  }

  void forward(const sdk::Step& step, Real* y, Real&) const {
    qkv_.project(step);
    mix(step);
    qkv_.output(step, y);
  }

  void backward(const sdk::Step& step, const Real* dy, Real* dx, const sdk::Grads& grads) const {
    qkv_.output_backward(step, dy, grads);
    measure(step);
    if (projected()) key_of_summary(step);
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      pool(step, head);
      clear_gradients(step, head);
      joint_backward(step, head, worker);
    });
    if (projected()) summary_backward(step, grads);
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      values_backward(step, head, worker);
      if (pooled()) pool_backward(step, head);
    });
    for (int64_t head = 0; head < (deep_sets() ? heads_ : 0); ++head) features_weight_backward(step, head, grads);
    qkv_.project_backward(step, dx, grads);
    // z = x + s W
    if (projected()) math::add(spans_.slots(step.len) * dim_, dx, step[dnormed_], dx);
  }

  sdk::Cost cost(int64_t len) const {
    sdk::Cost one;
    spans_.members(len, [&](const Rows& slots, const Rows& rows, const Mask& mask) {
      one += attention_.tile_cost(slots.count, rows.count);
      if (weighted()) one += attention_.tile_cost(slots.count, rows.count);
      one.pairs += double(mask.count(slots.count, rows.count));
    });
    spans_.joint(len, [&](int, const Rows& rows, Keys, const Rows& keys, const Mask& mask) {
      one += attention_.tile_cost(rows.count, keys.count);
      one.pairs += double(mask.count(rows.count, keys.count));
    });
    if (deep_sets()) {  // backward takes the features again
      const double features = 4.0 * double(len) * double(head_dim_ * head_dim_);
      one += {.forward_flops = features, .backward_flops = 3 * features};
    }
    const double h = double(heads_);
    sdk::Cost sum = qkv_.cost(len);
    sum += {h * one.forward_flops, h * one.backward_flops, h * one.pairs};
    if (projected()) {
      const double product = 2.0 * double(spans_.slots(len)) * double(inner_ * dim_);
      sum += {.forward_flops = 2 * product, .backward_flops = 5 * product};
    }
    return sum;
  }

  void mix_values(const sdk::Step& step, const Real* v, Real* o) const {
    if (projected()) {
      throw sdk::Refusal("summary=proj makes keys of the values, so the output is not linear in them; use summary=wsum",
                         LRA_UNSUPPORTED);
    }
    qkv_.project(step);
    std::copy(v, v + step.len * inner_, step[qkv_.v]);
    mix(step);
    std::copy(step[qkv_.o], step[qkv_.o] + step.len * inner_, o);
  }

 private:
  bool pooled() const { return spans_.pattern() != Pattern::kRowMajor; }
  bool deep_sets() const { return pooled() && abstraction_ == Abstraction::kDeepSets; }
  bool weighted() const { return !pooled() && summary_ == Summary::kWeighted; }
  bool projected() const { return !pooled() && summary_ == Summary::kProjected; }

  Pool pool_of(int64_t len) const { return {spans_, len, abstraction_ == Abstraction::kMean, head_dim_, inner_}; }

  // The spans as keys of one head.
  math::JointKeys<Real> span_keys(const sdk::Step& step, int64_t head) const {
    const int64_t at = head * head_dim_;
    const Real* k = step[qkv_.k];
    Real* dk = step[qkv_.dk];
    if (pooled() || projected()) k = step[key_];
    if (weighted()) k = step[summed_];
    if (pooled() || summary_ != Summary::kNone) dk = step[dkey_];
    return {k + at, step[value_] + at, inner_, inner_, dk + at, step[dvalue_] + at};
  }
  // The spans as queries to their own rows.
  math::JointQueries<Real> span_queries(const sdk::Step& step, int64_t head) const {
    const int64_t at = head * head_dim_;
    const Real* q = pooled() ? step[query_] : step[qkv_.q];
    Real* dq = pooled() ? step[dquery_] : step[qkv_.dq];
    return {q + at, inner_, step[value_] + at, inner_, step[value_lse_] + head * most_, step[dvalue_] + at, dq + at};
  }
  // The same, with keys in place of values: what wsum takes as the key of a span.
  math::JointQueries<Real> summed_queries(const sdk::Step& step, int64_t head) const {
    auto q = span_queries(step, head);
    q.o = step[summed_] + head * head_dim_;
    q.d_o = step[dkey_] + head * head_dim_;
    q.lse = step[summed_lse_] + head * most_;
    return q;
  }
  static math::JointKeys<Real> keys_as_values(math::JointKeys<Real> keys) {
    keys.v = keys.k;
    keys.ldv = keys.ldk;
    keys.dv = keys.dk;
    return keys;
  }
  // Rows of the sequence as queries of one softmax.
  math::JointQueries<Real> row_queries(const sdk::Step& step, int64_t head, int softmax) const {
    auto q = attention_.queries(step, qkv_, head);
    if (spans_.averaged()) q.o = step[part_[size_t(softmax)]] + head * head_dim_;
    if (softmax == 1) q.lse = step[second_lse_] + head * max_len_;
    return q;
  }

  void measure(const sdk::Step& step) const {
    if (!size_correction_) return;
    spans_.sizes(step.len, [&](int64_t slot, int64_t rows) { step[log_size_][slot] = Real(std::log(double(rows))); });
  }

  void mix(const sdk::Step& step) const {
    measure(step);
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      pool(step, head);
      values(step, head, worker);
    });
    if (projected()) summarise(step);
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) { joint(step, head, worker); });
  }

  // kappa = pool of k, rho = pool of q
  void pool(const sdk::Step& step, int64_t head) const {
    if (!pooled()) return;
    const int64_t at = head * head_dim_;
    const Real *q = step[qkv_.q], *k = step[qkv_.k];
    if (deep_sets()) {
      feature(step, head, q, w_span_q_, step[feature_q_]);
      feature(step, head, k, w_span_k_, step[feature_k_]);
      q = step[feature_q_];
      k = step[feature_k_];
    }
    const Pool pool = pool_of(step.len);
    pool.forward(q + at, step[query_] + at, step[best_query_] + at);
    pool.forward(k + at, step[key_] + at, step[best_key_] + at);
  }
  void pool_backward(const sdk::Step& step, int64_t head) const {
    const int64_t at = head * head_dim_;
    const bool deep = deep_sets();
    Real *dq = deep ? step[dfeature_q_] : step[qkv_.dq], *dk = deep ? step[dfeature_k_] : step[qkv_.dk];
    const Pool pool = pool_of(step.len);
    pool.backward(step[key_] + at, step[best_key_] + at, step[dkey_] + at, dk + at, deep);
    pool.backward(step[query_] + at, step[best_query_] + at, step[dquery_] + at, dq + at, deep);
    if (!deep) return;
    // dx += du W^T
    add_product(step, head, step[qkv_.dq], dq, w_span_q_);
    add_product(step, head, step[qkv_.dk], dk, w_span_k_);
  }

  sdk::Matrix<Real> of_head(Real* rows, int64_t head, int64_t len) const {
    return sdk::matrix(rows + head * head_dim_, len, head_dim_, inner_);
  }
  sdk::Matrix<const Real> of_head(const Real* rows, int64_t head, int64_t len) const {
    return sdk::matrix(rows + head * head_dim_, len, head_dim_, inner_);
  }
  // relu(x W)
  void feature(const sdk::Step& step, int64_t head, const Real* x, const sdk::Param& w, Real* out) const {
    step.host.gemm(of_head(out, head, step.len), of_head(x, head, step.len),
                   sdk::matrix(step[w], head_dim_, head_dim_));
    for (int64_t i = 0; i < step.len; ++i) {
      Real* row = out + i * inner_ + head * head_dim_;
      for (int64_t e = 0; e < head_dim_; ++e) row[e] = std::max(row[e], Real(0));
    }
  }
  void add_product(const sdk::Step& step, int64_t head, Real* dx, const Real* du, const sdk::Param& w) const {
    step.host.gemm(of_head(dx, head, step.len), of_head(du, head, step.len),
                   t(sdk::matrix(step[w], head_dim_, head_dim_)), {.beta = 1});
  }
  // dW += x^T du, one head after another
  void features_weight_backward(const sdk::Step& step, int64_t head, const sdk::Grads& grads) const {
    const auto add = [&](const sdk::Param& w, const Real* x, const Real* du) {
      step.host.gemm(sdk::matrix(grads[w], head_dim_, head_dim_), t(of_head(x, head, step.len)),
                     of_head(du, head, step.len), {.beta = 1});
    };
    add(w_span_q_, step[qkv_.q], step[dfeature_q_]);
    add(w_span_k_, step[qkv_.k], step[dfeature_k_]);
  }

  // s = softmax over the span's rows of rho.k, times v;  wsum: kappa = the same weights times k
  void values(const sdk::Step& step, int64_t head, int32_t worker) const {
    const auto keys = attention_.keys(step, qkv_, head);
    const auto q = span_queries(step, head);
    math::joint_clear(q, spans_.slots(step.len), head_dim_);
    if (weighted()) math::joint_clear(summed_queries(step, head), spans_.slots(step.len), head_dim_);
    spans_.members(step.len, [&](const Rows& slots, const Rows& rows, const Mask& mask) {
      const auto edit = [&](const sdk::Scores& s) { mask.apply(s); };
      attention_.merge(step, worker, {head_dim_, attention_.scale(), q, keys, slots, rows}, edit);
      if (!weighted()) return;
      attention_.merge(step, worker,
                       {head_dim_, attention_.scale(), summed_queries(step, head), keys_as_values(keys), slots, rows},
                       edit);
    });
  }
  void values_backward(const sdk::Step& step, int64_t head, int32_t worker) const {
    const auto keys = attention_.keys(step, qkv_, head);
    const auto q = span_queries(step, head);
    const auto ignore = [](const sdk::Scores&) {};
    spans_.members(step.len, [&](const Rows& slots, const Rows& rows, const Mask& mask) {
      const auto edit = [&](const sdk::Scores& s) { mask.apply(s); };
      attention_.add_gradients(step, worker, {head_dim_, attention_.scale(), q, keys, slots, rows}, edit, ignore);
      if (!weighted()) return;
      attention_.add_gradients(
          step, worker, {head_dim_, attention_.scale(), summed_queries(step, head), keys_as_values(keys), slots, rows},
          edit, ignore);
    });
  }

  // z = x + s W, u = layer_norm(z), kappa = u W'
  void summarise(const sdk::Step& step) const {
    const int64_t slots = spans_.slots(step.len);
    Real* z = step[before_norm_];
    std::copy_n(step.x, slots * dim_, z);
    step.host.gemm(sdk::matrix(z, slots, dim_), sdk::matrix(step[value_], slots, inner_),
                   sdk::matrix(step[w_value_], inner_, dim_), {.beta = 1});
    key_of_summary(step);
  }
  void key_of_summary(const sdk::Step& step) const {
    const int64_t slots = spans_.slots(step.len);
    math::layer_norm(slots, dim_, step[before_norm_], step[gain_], step[shift_], kLayerNormEpsilon, step[normed_],
                     step[mean_], step[rstd_]);
    step.host.gemm(sdk::matrix(step[key_], slots, inner_), sdk::matrix(step[normed_], slots, dim_),
                   sdk::matrix(step[w_key_], dim_, inner_));
  }
  void summary_backward(const sdk::Step& step, const sdk::Grads& grads) const {
    const int64_t slots = spans_.slots(step.len);
    Real* du = step[dnormed_];
    const auto dkey = sdk::matrix(step[dkey_], slots, inner_);
    const auto dz = sdk::matrix(du, slots, dim_);
    // kappa = u W'
    step.host.gemm(dz, dkey, t(sdk::matrix(step[w_key_], dim_, inner_)));
    step.host.gemm(sdk::matrix(grads[w_key_], dim_, inner_), t(sdk::matrix(step[normed_], slots, dim_)), dkey,
                   {.beta = 1});
    // u = layer_norm(z)
    math::layer_norm_backward(slots, dim_, step[before_norm_], step[gain_], step[mean_], step[rstd_], du, du,
                              grads[gain_], grads[shift_]);
    // z = x + s W; dx takes dz at the end
    step.host.gemm(sdk::matrix(step[dvalue_], slots, inner_), dz, t(sdk::matrix(step[w_value_], inner_, dim_)),
                   {.beta = 1});
    step.host.gemm(sdk::matrix(grads[w_value_], inner_, dim_), t(sdk::matrix(step[value_], slots, inner_)), dz,
                   {.beta = 1});
  }

  void edit(const sdk::Step& step, Keys kind, const Rows& keys, const Mask& mask, const sdk::Scores& s) const {
    if (kind == Keys::kSpans && size_correction_) {
      for (int64_t r = 0; r < s.rows; ++r) {
        for (int64_t c = 0; c < s.keys; ++c) s.s[r * s.lds + c] += step[log_size_][keys[s.key_begin + c]];
      }
    }
    mask.apply(s);
  }

  // o = one softmax over rows and spans, or the mean of two
  void joint(const sdk::Step& step, int64_t head, int32_t worker) const {
    const int softmaxes = spans_.averaged() ? 2 : 1;
    for (int s = 0; s < softmaxes; ++s) math::joint_clear(row_queries(step, head, s), step.len, head_dim_);
    spans_.joint(step.len, [&](int softmax, const Rows& rows, Keys kind, const Rows& keys, const Mask& mask) {
      const auto array = kind == Keys::kRows ? attention_.keys(step, qkv_, head) : span_keys(step, head);
      attention_.merge(step, worker,
                       {head_dim_, attention_.scale(), row_queries(step, head, softmax), array, rows, keys},
                       [&](const sdk::Scores& s) { edit(step, kind, keys, mask, s); });
    });
    if (softmaxes == 1) return;
    for (int64_t i = 0; i < step.len; ++i) {
      const int64_t at = i * inner_ + head * head_dim_;
      for (int64_t e = at; e < at + head_dim_; ++e) {
        step[qkv_.o][e] = Real(0.5) * (step[part_[0]][e] + step[part_[1]][e]);
      }
    }
  }
  void joint_backward(const sdk::Step& step, int64_t head, int32_t worker) const {
    for (int64_t i = 0; i < (spans_.averaged() ? step.len : 0); ++i) {
      Real* d_o = step[qkv_.d_o] + i * inner_ + head * head_dim_;
      for (int64_t e = 0; e < head_dim_; ++e) d_o[e] *= Real(0.5);
    }
    spans_.joint(step.len, [&](int softmax, const Rows& rows, Keys kind, const Rows& keys, const Mask& mask) {
      const auto array = kind == Keys::kRows ? attention_.keys(step, qkv_, head) : span_keys(step, head);
      attention_.add_gradients(
          step, worker, {head_dim_, attention_.scale(), row_queries(step, head, softmax), array, rows, keys},
          [&](const sdk::Scores& s) { edit(step, kind, keys, mask, s); }, [](const sdk::Scores&) {});
    });
  }

  void clear_gradients(const sdk::Step& step, int64_t head) const {
    const int64_t at = head * head_dim_, slots = spans_.slots(step.len);
    for (const auto& rows : {qkv_.dq, qkv_.dk, qkv_.dv}) attention_.clear_rows(step[rows] + at, step.len);
    attention_.clear_rows(step[dvalue_] + at, slots);
    if (dkey_.index >= 0) attention_.clear_rows(step[dkey_] + at, slots);
    if (dquery_.index >= 0) attention_.clear_rows(step[dquery_] + at, slots);
    if (!deep_sets()) return;
    attention_.clear_rows(step[dfeature_q_] + at, step.len);
    attention_.clear_rows(step[dfeature_k_] + at, step.len);
  }

  int64_t dim_, heads_, head_dim_, inner_, max_len_;
  Abstraction abstraction_;
  Summary summary_;
  bool size_correction_;
  Spans spans_;
  int64_t most_;  // spans
  sdk::Qkv qkv_;
  sdk::JointAttention attention_;
  sdk::Saved<> value_, value_lse_, summed_, summed_lse_, second_lse_;
  std::array<sdk::Saved<>, 2> part_;
  sdk::Scratch<> dvalue_, key_, query_, dkey_, dquery_, log_size_;
  sdk::Scratch<int32_t> best_key_, best_query_;
  sdk::Param w_span_q_, w_span_k_;
  sdk::Scratch<> feature_q_, feature_k_, dfeature_q_, dfeature_k_;
  sdk::Param w_value_, gain_, shift_, w_key_;
  sdk::Saved<> before_norm_, mean_, rstd_;
  sdk::Scratch<> normed_, dnormed_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::Combiner, lra::kInfo)
