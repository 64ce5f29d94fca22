// BigBird: block-sparse softmax attention with global, window and random blocks.
//   mode itc, blocks of b rows, n = ceil(N / b) of them, the last may be short:
//     blocks 0 and n-1 see everything and are seen by all;  block i sees 0, i-1, i, i+1, n-1 and r random others
//   mode etc, P learned global rows in front:
//     rows < P see everything;  the others see the P global rows and the rows within `radius`
// A block reached twice counts once. One softmax per row.
// The random blocks of block i of n are made from numbers u_0..u_{r-1} in [0, 1), drawn once per head and block: the
// t-th is the floor(u_t m)-th of the m blocks, in ascending order, that block i does not see yet. So one draw serves
// sequences of every length.
#include <algorithm>
#include <array>

#include "sdk/band.h"

namespace lra {
namespace {

using math::Rows;
using sdk::Band;
using sdk::Real;
using sdk::Scores;

enum class Mode { kItc, kEtc };

constexpr int64_t kMostRandom = 64;

constexpr lra_option kOptions[] = {
    sdk::choice("mode", "global blocks of the sequence itself, or learned global rows in front of it", "itc|etc"),
    sdk::integer("block", "itc: b, rows of a block", 64, 1, 1 << 20),
    sdk::integer("random", "itc: r, random blocks that a block sees", 3, 0, kMostRandom),
    sdk::integer("globals", "etc: P, learned global rows in front of the sequence", 128, 1, 1 << 16),
    sdk::integer("radius", "etc: rows seen on each side", 84, 0, 1 << 20),
};

constexpr sdk::Info kInfo{
    .id = "bigbird",
    .title = "BigBird",
    .paper = "Zaheer et al. 2020, arXiv:2007.14062; mode etc: Ainslie et al. 2020, arXiv:2004.08483",
    .formula =
        "o_i = sum over j in A(i) of softmax_j(q_i.k_j / sqrt(dh)) v_j\n"
        "itc, block I of n: {0, I-1, I, I+1, n-1} and r random blocks; blocks 0 and n-1: everything\n"
        "etc: the P global rows and |i-j| <= radius; a global row: everything",
    .notes =
        "Bidirectional only: global rows see the whole sequence.\n"
        "Fewer than 5 + 2r blocks: full attention. A short last block is still global.\n"
        "Buffer random_blocks: [H, (blocks of max_len) r], uniforms in [0, 1), block major, drawn before the first "
        "step and never again. With u_0..u_(r-1) the numbers of a block, its t-th random block is the floor(u_t m)-th "
        "of the m blocks it does not see yet, in ascending order and counting from 0; another length of the sequence "
        "reads the same numbers.\n"
        "The benchmark's released code draws only among the first 1024 rows, always appends padding that takes the "
        "place of the last global block, and counts a block twice where the draw repeats one.\n"
        "mode=etc: one set of projections for global and long rows, no relative position labels, no random blocks; the "
        "paper has 256 global rows at 4096, here 128. All rows in front of the sequence are global, a CLS row too "
        "(cost then counts it as an ordinary row).",
    .time = "O(N b (5 + r) D)",
    .memory = "O(N D)",
    .time_exponent = 1,
    .memory_exponent = 1,
    .flags = LRA_BIDIRECTIONAL | LRA_ROW_STOCHASTIC,
    .options = kOptions,
    .limits = "block={N}\nmode=etc radius={N}",
};

class BigBird {
 public:
  explicit BigBird(sdk::Setup& setup)
      : mode_(setup.choice<Mode>("mode")),
        block_(setup.integer("block")),
        random_(setup.integer("random")),
        globals_(setup.integer("globals")),
        radius_(setup.integer("radius")),
        heads_(setup.heads),
        attention_(setup, 64, 512) {
    if (mode_ == Mode::kEtc) {
      setup.prefix_rows(globals_);
    } else if (random_ > 0) {
      draws_ = setup.buffer("random_blocks", heads_, blocks(setup.max_len) * random_);
    }
  }

  void after_step(const sdk::Step& step, sdk::Buffers buffers) const {
    if (step.number() > 0 || draws_.index < 0) return;
    for (int64_t head = 0; head < heads_; ++head) {
      step.host.uniform(uint64_t(head), 0, draws_.cols, buffers[draws_] + head * draws_.cols);
    }
  }

  void forward(const sdk::Step& step, const sdk::Qkv& x) const {
    const Real* u = draws_.index < 0 ? nullptr : step[draws_];
    const int64_t front = std::max(globals_, step.prefix());
    attention_.forward(step, x, [&](int64_t len, int64_t head, auto&& visit) { tiles(u, front, len, head, visit); });
  }
  void backward(const sdk::Step& step, const sdk::Qkv& x) const {
    const Real* u = draws_.index < 0 ? nullptr : step[draws_];
    const int64_t front = std::max(globals_, step.prefix());
    attention_.backward(step, x, [&](int64_t len, int64_t head, auto&& visit) { tiles(u, front, len, head, visit); });
  }
  sdk::Cost cost(int64_t len) const {
    // Any draw has as many rows: random blocks are whole ones.
    sdk::Cost sum =
        attention_.cost(len, [&](int64_t n, int64_t head, auto&& visit) { tiles(nullptr, globals_, n, head, visit); });
    sum.pairs = double(heads_ * (mode_ == Mode::kItc ? pairs_itc(len) : pairs_etc(len)));
    return sum;
  }

 private:
  // The blocks that one block sees, ascending.
  struct Seen {
    std::array<int64_t, 5 + kMostRandom> block;
    int64_t count = 0;

    void add(int64_t b) {
      int64_t at = count;
      while (at > 0 && block[size_t(at - 1)] >= b) --at;
      if (at < count && block[size_t(at)] == b) return;
      for (int64_t i = count; i > at; --i) block[size_t(i)] = block[size_t(i - 1)];
      block[size_t(at)] = b;
      ++count;
    }
    // The index-th block that is not among them.
    int64_t missing(int64_t index) const {
      for (int64_t i = 0; i < count && block[size_t(i)] <= index; ++i) ++index;
      return index;
    }
  };

  int64_t blocks(int64_t len) const { return (len + block_ - 1) / block_; }
  // Is everything visible because there are too few blocks to choose from?
  bool is_full(int64_t n) const { return n < 5 + 2 * random_; }

  // draws: r numbers of this head for each block; null stands for zeros.
  Seen seen(const Real* draws, int64_t i, int64_t n) const {
    Seen s;
    for (const int64_t b : {int64_t(0), i - 1, i, i + 1, n - 1}) s.add(b);
    for (int64_t t = 0; t < random_; ++t) {
      const int64_t rest = n - s.count;
      const Real u = draws == nullptr ? Real(0) : draws[i * random_ + t];
      s.add(s.missing(std::min(int64_t(u * Real(rest)), rest - 1)));
    }
    return s;
  }

  // front: global rows of mode etc.
  template <class Visit>
  void tiles(const Real* draws, int64_t front, int64_t len, int64_t head, Visit&& visit) const {
    const auto everything = [](const Scores&) {};
    if (mode_ == Mode::kEtc) {
      const int64_t p = std::min(front, len);
      visit(Rows::range(0, p), Rows::range(0, len), everything);
      if (p == len) return;
      visit(Rows::range(p, len), Rows::range(0, p), everything);
      long_rows(p, len).tiles(visit);
      return;
    }
    const int64_t n = blocks(len);
    if (is_full(n)) {
      visit(Rows::range(0, len), Rows::range(0, len), everything);
      return;
    }
    for (int64_t i = 0; i < n; ++i) {
      const Rows rows = Rows::range(i * block_, std::min((i + 1) * block_, len));
      if (i == 0 || i == n - 1) {
        visit(rows, Rows::range(0, len), everything);
        continue;
      }
      const Seen s = seen(draws == nullptr ? nullptr : draws + head * draws_.cols, i, n);
      for (int64_t at = 0, next = 0; at < s.count; at = next) {  // neighbours in one tile
        for (next = at + 1; next < s.count && s.block[size_t(next)] == s.block[size_t(next - 1)] + 1;) ++next;
        visit(rows, Rows::range(s.block[size_t(at)] * block_, std::min((s.block[size_t(next - 1)] + 1) * block_, len)),
              everything);
      }
    }
  }
  Band long_rows(int64_t front, int64_t len) const {
    return {.first = front, .count = len - front, .left = radius_, .right = radius_};
  }

  int64_t pairs_itc(int64_t len) const {
    const int64_t n = blocks(len), last = len - (n - 1) * block_;
    if (is_full(n)) return len * len;
    int64_t sum = (block_ + last) * len;  // the global blocks
    for (int64_t i = 1; i < n - 1; ++i) {
      const int64_t whole = seen(nullptr, i, n).count - 1;  // all but the last block
      sum += block_ * (whole * block_ + last);
    }
    return sum;
  }
  int64_t pairs_etc(int64_t len) const {
    const int64_t p = std::min(globals_, len);
    return p * len + (len - p) * p + long_rows(p, len).pairs();
  }

  Mode mode_;
  int64_t block_, random_, globals_, radius_;  // b, r, P, radius
  int64_t heads_;
  sdk::JointAttention attention_;
  sdk::Param draws_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::sdk::QkvVariant<lra::BigBird>, lra::kInfo)
