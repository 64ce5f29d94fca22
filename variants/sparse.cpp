// Sparse factorised attention: each row sees a near set A1 and a far set A2 of O(l + N / l) keys.
//   strided  A1(i) = the l keys i-l+1..i            A2(i) = {j : i - j = 0 modulo l}
//   fixed    A1(i) = the rows of i's block of l     A2(i) = {j : j is one of the c summary rows of its block}
// Causal: and j <= i. Bidirectional strided: |i - j| < l.
//   merged       one softmax over A1 and A2 together, a key in both counted once
//   interleaved  even layers A1, odd layers A2;   heads: even heads A1, odd heads A2
// Tiles: A1 is a band of rows. Strided A2 is a band within each residue class of rows, without the pairs that A1 has;
// fixed A2 is a block of rows against the list of the summary rows of the other blocks.
#include "sdk/band.h"

namespace lra {
namespace {

using math::Rows;
using sdk::Band;
using sdk::Scores;

enum class Pattern { kFixed, kStrided };
enum class Integrate { kMerged, kInterleaved, kHeads };

constexpr lra_option kOptions[] = {
    sdk::choice("pattern", "which far keys a row sees: summary rows of blocks, or every l-th row", "fixed|strided"),
    sdk::choice("integrate", "near and far keys in one softmax, in turns by layer, or in turns by head",
                "merged|interleaved|heads"),
    sdk::integer("stride", "l: near keys of a row, and rows of a block", 128, 1, 1 << 20),
    sdk::integer("columns", "fixed: c, summary rows of a block", 8, 1, 1 << 20),
    sdk::choice("summary", "fixed: the last c rows of a block for every head, or c other rows for each head",
                "shared|distinct"),
    sdk::integer("literal", "1: the paper's sets to the letter: l + 1 near keys (strided), row 0 of a block (fixed)", 0,
                 0, 1),
};

constexpr sdk::Info kInfo{
    .id = "sparse",
    .title = "Sparse Transformer attention",
    .paper = "Child et al. 2019, arXiv:1904.10509",
    .formula =
        "o_i = sum over j in A(i) of softmax_j(q_i.k_j / sqrt(dh)) v_j\n"
        "strided: A1 = {i-l+1..i}, A2 = {j : i-j = 0 mod l};  fixed: A1 = the block of i, A2 = the last c rows of each "
        "block\n"
        "merged: A = A1 + A2;  interleaved: A1 in even layers, A2 in odd ones;  heads: A1 in even heads, A2 in odd "
        "ones",
    .notes =
        "The paper is causal only, and so is the benchmark even where it encodes; here the run decides. Bidirectional "
        "is an extension: strided sees |i-j| < l, fixed sees its block and all summary rows, where the summary of a "
        "short last block is its last c rows.\n"
        "The paper writes l + 1 near keys and summary residues l-c..l; its code has l keys and c residues, the default "
        "here. literal=1 is the text: one more near key, and residue 0 of each block as a summary too. The benchmark "
        "runs pattern=fixed stride=50 columns=10 literal=1 with causal rows on every task.\n"
        "summary=distinct: head h summarises residues l-c(h+1)..l-ch-1, wrapping round, as the paper advises for many "
        "heads.\n"
        "columns: the paper names 8, 16 and 32; 8 keeps the far part small at a few thousand rows. Both patterns cost "
        "O(N sqrt(N)) only with l near sqrt(N).\n"
        "Fixed A2 alone (interleaved, heads) leaves the first rows of a causal sequence without keys: their output "
        "is 0.",
    .time = "O(N (l + c N / l) D)",
    .memory = "O(N D)",
    .time_exponent = 2,
    .memory_exponent = 1,
    .flags = LRA_CAUSAL | LRA_BIDIRECTIONAL,
    .options = kOptions,
    .limits = "stride={N} columns=1\npattern=strided stride={N}\npattern=strided stride=1",
};

class Sparse {
 public:
  explicit Sparse(sdk::Setup& setup)
      : pattern_(setup.choice<Pattern>("pattern")),
        integrate_(setup.choice<Integrate>("integrate")),
        stride_(setup.integer("stride")),
        columns_(setup.integer("columns")),
        distinct_(setup.integer("summary") == 1),
        literal_(setup.integer("literal") == 1),
        causal_(setup.causal),
        layer_(setup.layer),
        heads_(setup.heads),
        attention_(setup, 64, 512) {
    if (pattern_ != Pattern::kFixed) return;
    if (columns_ > stride_) {
      throw sdk::Refusal("columns=" + std::to_string(columns_) + " is more than the " + std::to_string(stride_) +
                         " rows of a block; choose columns <= stride");
    }
    const int64_t blocks = (setup.max_len + stride_ - 1) / stride_;
    list_stride_ = std::min(setup.max_len, blocks * (columns_ + (literal_ ? 1 : 0)));
    list_ = setup.scratch<int32_t>("columns", heads_ * list_stride_);
  }

  void forward(const sdk::Step& step, const sdk::Qkv& x) const {
    const int32_t* columns = list_columns(step);
    attention_.forward(step, x, [&](int64_t len, int64_t head, auto&& visit) { tiles(columns, len, head, visit); });
  }
  void backward(const sdk::Step& step, const sdk::Qkv& x) const {
    const int32_t* columns = list_columns(step);
    attention_.backward(step, x, [&](int64_t len, int64_t head, auto&& visit) { tiles(columns, len, head, visit); });
  }
  sdk::Cost cost(int64_t len) const {
    sdk::Cost sum =
        attention_.cost(len, [&](int64_t n, int64_t head, auto&& visit) { tiles(nullptr, n, head, visit); });
    for (int64_t head = 0; head < heads_; ++head) sum.pairs += double(pairs(len, head));
    return sum;
  }

 private:
  bool sees_near(int64_t head) const { return part(head) != 1; }
  bool sees_far(int64_t head) const { return part(head) != 0; }
  // 0: A1, 1: A2, -1: both.
  int64_t part(int64_t head) const {
    if (integrate_ == Integrate::kMerged) return -1;
    return (integrate_ == Integrate::kHeads ? head : layer_) % 2;
  }

  // ---- Strided
  Band near_strided(int64_t len) const { return {.count = len, .left = reach(), .right = causal_ ? 0 : reach()}; }
  // Residue class t; distances below `gap` classes are near.
  Band far_strided(int64_t len, int64_t t, int64_t head) const {
    const int64_t gap = sees_near(head) ? reach() / stride_ + 1 : 0;
    return {.first = t,
            .step = stride_,
            .count = (len - t + stride_ - 1) / stride_,
            .right = causal_ ? -gap : Band::kFar,
            .gap = gap};
  }
  int64_t reach() const { return literal_ ? stride_ : stride_ - 1; }

  // ---- Fixed
  Band near_fixed(int64_t begin, int64_t end) const {
    return {.first = begin, .count = end - begin, .right = causal_ ? 0 : Band::kFar};
  }
  // Is row `offset` of a block of `rows` rows a summary row? Causal: whatever comes later, so a block counts as whole.
  bool is_summary(int64_t head, int64_t offset, int64_t rows) const {
    const int64_t size = causal_ ? stride_ : rows;
    if (columns_ >= size || (literal_ && offset == 0)) return true;
    const int64_t last = distinct_ ? columns_ * head : 0;  // the c rows end so many before the block does, wrapping
    return (size - 1 - offset - last % size + size) % size < columns_;
  }
  int64_t summary_rows(int64_t head, int64_t rows) const {
    int64_t count = 0;
    for (int64_t offset = 0; offset < rows; ++offset) count += is_summary(head, offset, rows) ? 1 : 0;
    return count;
  }
  // The summary rows of each head, in order.
  const int32_t* list_columns(const sdk::Step& step) const {
    if (pattern_ != Pattern::kFixed) return nullptr;
    for (int64_t head = 0; head < heads_; ++head) {
      int32_t* next = step[list_] + head * list_stride_;
      for (int64_t j = 0; j < step.len; ++j) {
        const int64_t begin = j / stride_ * stride_;
        if (is_summary(head, j - begin, std::min(stride_, step.len - begin))) *next++ = int32_t(j);
      }
    }
    return step[list_];
  }

  // columns: see list_columns; null where only the shapes of the tiles matter.
  template <class Visit>
  void tiles(const int32_t* columns, int64_t len, int64_t head, Visit&& visit) const {
    if (pattern_ == Pattern::kFixed) {
      fixed_tiles(columns == nullptr ? nullptr : columns + head * list_stride_, len, head, visit);
      return;
    }
    if (sees_near(head)) near_strided(len).tiles(visit);
    for (int64_t t = 0; sees_far(head) && t < std::min(stride_, len); ++t) far_strided(len, t, head).tiles(visit);
  }
  template <class Visit>
  void fixed_tiles(const int32_t* columns, int64_t len, int64_t head, Visit&& visit) const {
    const auto listed = [&](int64_t begin, int64_t end) {
      return columns == nullptr ? Rows::range(begin, end) : Rows::listed(columns + begin, end - begin);
    };
    const auto everything = [](const Scores&) {};
    const int64_t whole = summary_rows(head, stride_);
    const int64_t all = len / stride_ * whole + summary_rows(head, len % stride_);
    for (int64_t begin = 0, own = 0; begin < len; begin += stride_, own += whole) {
      const int64_t end = std::min(begin + stride_, len), next = std::min(own + whole, all);
      const Rows rows = Rows::range(begin, end);
      if (sees_near(head)) near_fixed(begin, end).tiles(visit);
      if (!sees_far(head)) continue;
      if (own > 0) visit(rows, listed(0, own), everything);
      if (!sees_near(head) && next > own) {
        const Rows own_columns = listed(own, next);
        visit(rows, own_columns, [this, begin, own_columns](const Scores& s) {
          for (int64_t r = 0; causal_ && r < s.rows; ++r) {
            for (int64_t c = 0; c < s.keys; ++c) {
              if (own_columns[s.key_begin + c] > begin + s.row_begin + r) s.hide(r, c);
            }
          }
        });
      }
      if (!causal_ && all > next) visit(rows, listed(next, all), everything);
    }
  }

  int64_t pairs(int64_t len, int64_t head) const {
    int64_t sum = 0;
    if (pattern_ == Pattern::kStrided) {
      if (sees_near(head)) sum += near_strided(len).pairs();
      for (int64_t t = 0; sees_far(head) && t < std::min(stride_, len); ++t) sum += far_strided(len, t, head).pairs();
      return sum;
    }
    const int64_t whole = summary_rows(head, stride_), blocks = len / stride_, rest = len % stride_;
    const int64_t all = blocks * whole + summary_rows(head, rest);
    for (int64_t begin = 0, before = 0; begin < len; begin += stride_, before += whole) {
      const int64_t rows = std::min(stride_, len - begin);
      if (sees_near(head)) sum += near_fixed(begin, begin + rows).pairs();
      if (!sees_far(head)) continue;
      sum += rows * before;
      if (!causal_) sum += rows * (all - before - summary_rows(head, rows));
      for (int64_t offset = 0; !sees_near(head) && offset < rows; ++offset) {
        if (is_summary(head, offset, rows)) sum += causal_ ? rows - offset : rows;
      }
    }
    return sum;
  }

  Pattern pattern_;
  Integrate integrate_;
  int64_t stride_, columns_;  // l, c
  bool distinct_, literal_, causal_;
  int64_t layer_, heads_;
  sdk::JointAttention attention_;
  int64_t list_stride_ = 0;
  sdk::Scratch<int32_t> list_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::sdk::QkvVariant<lra::Sparse>, lra::kInfo)
