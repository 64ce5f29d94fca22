// Axial attention: the sequence laid out row by row on a grid of w columns, softmax attention along its axes.
//   R(i) = rows of the sequence in i's grid row: floor(j / w) = floor(i / w);   C(i) = in i's column: j = i modulo w
//   union       one softmax over R(i) and C(i) together, i itself counted once
//   sum         y = attention over R + attention over C, each with projections of its own
//   sequential  y = attention over C of (attention over R of x), each with projections of its own
// Causal: R and C are cut to j <= i. Rows in front of the sequence (a CLS row) lie outside the grid: they see, and are
// seen by, everything.
#include <cmath>
#include <optional>

#include "sdk/band.h"

namespace lra {
namespace {

using math::Rows;
using sdk::Band;
using sdk::Grads;
using sdk::Real;
using sdk::Scores;
using sdk::Step;

enum class Mode { kUnion, kSum, kSequential };

constexpr lra_option kOptions[] = {
    sdk::choice("mode", "how the two axes come together", "union|sum|sequential"),
    sdk::integer("width", "columns of the grid; 0: round(sqrt(N))", 0, 0, 1 << 20),
};

constexpr sdk::Info kInfo{
    .id = "axial",
    .title = "Axial attention",
    .paper =
        "Ho et al. 2019, arXiv:1912.12180; mode sum and sequential as in the package axial-attention, mode union "
        "as the axial baseline of Ren et al. 2021, arXiv:2107.05768",
    .formula =
        "R(i): same row of the grid, C(i): same column\n"
        "union: o_i = sum over j in R(i) + C(i) of softmax_j(q_i.k_j / sqrt(dh)) v_j\n"
        "sum: y = A_R(x) + A_C(x);  sequential: y = A_C(A_R(x));  A: softmax attention with its own projections",
    .notes =
        "Set width to the width of the image where there is one. The last row of the grid may be short.\n"
        "The paper alternates layers along rows and along columns. union, the default, costs no more parameters than "
        "softmax attention; sum and sequential double them: wq, wk, wv, wo are those of the rows, wq_column .. "
        "wo_column those of the columns. sequential has no residual between the two.\n"
        "Two axes in turn reach every row from every other only on a complete grid and without causality. The weights "
        "of sum add up to 2.\n"
        "Rows in front of the sequence are no part of the grid: a CLS row sees all and is seen by all (cost counts it "
        "as an ordinary row).",
    .time = "O(N (w + N / w) D), O(N sqrt(N) D) with w = sqrt(N)",
    .memory = "O(N D)",
    .time_exponent = 1.5,
    .memory_exponent = 1,
    .flags = LRA_CAUSAL | LRA_BIDIRECTIONAL,
    .options = kOptions,
    .limits = "width={N}\nwidth=1",
};

// The grid of one sequence: cells are the rows from `front` on.
class Grid {
 public:
  Grid(int64_t width, bool causal, int64_t front, int64_t len)
      : causal_(causal), front_(causal ? 0 : std::min(front, len)), len_(len), cells_(len - front_) {
    const auto side = int64_t(std::lround(std::sqrt(double(cells_))));
    width_ = std::max<int64_t>(1, width > 0 ? std::min(width, cells_) : side);
  }

  // Visits what lies outside the grid: rows in front with everything, both ways.
  template <class Visit>
  void front_tiles(Visit&& visit) const {
    if (front_ == 0) return;
    visit(Rows::range(0, front_), Rows::range(0, len_), [](const Scores&) {});
    if (cells_ > 0) visit(Rows::range(front_, len_), Rows::range(0, front_), [](const Scores&) {});
  }
  template <class Use>
  void rows(Use&& use) const {
    for (int64_t begin = 0; begin < cells_; begin += width_) {
      use(Band{.first = front_ + begin, .count = std::min(width_, cells_ - begin), .right = causal_ ? 0 : Band::kFar});
    }
  }
  // gap 1: without the pairs of a row with itself.
  template <class Use>
  void columns(int64_t gap, Use&& use) const {
    for (int64_t c = 0; c < std::min(width_, cells_); ++c) {
      use(Band{.first = front_ + c,
               .step = width_,
               .count = (cells_ - c + width_ - 1) / width_,
               .right = causal_ ? -gap : Band::kFar,
               .gap = gap});
    }
  }

 private:
  bool causal_;
  int64_t front_, len_, cells_, width_ = 1;
};

class Axial {
 public:
  explicit Axial(sdk::Setup& setup)
      : mode_(setup.choice<Mode>("mode")),
        width_(setup.integer("width")),
        causal_(setup.causal),
        dim_(setup.dim),
        heads_(setup.heads),
        row_(setup),
        row_attention_(setup, 64, 512) {
    if (mode_ == Mode::kUnion) return;
    column_.emplace(setup, "_column");
    column_attention_.emplace(setup, 64, 512, "_column");
    if (mode_ == Mode::kSequential) between_ = setup.saved("between", setup.max_len * dim_);
    other_ = setup.scratch("other", setup.max_len * dim_);
  }

  void forward(const Step& step, Real* y, Real&) const {
    attend(step);
    if (mode_ == Mode::kSequential) {
      column_->output(step, y);
      return;
    }
    row_.output(step, y);
    if (mode_ == Mode::kUnion) return;
    column_->output(step, step[other_]);
    math::add(step.len * dim_, y, step[other_], y);
  }

  void backward(const Step& step, const Real* dy, Real* dx, const Grads& grads) const {
    const auto column_backward = [&](const Real* x, Real keep, Real* to) {
      column_->output_backward(step, dy, grads);
      column_attention_->backward(step, *column_, column_tiles(step.prefix()));
      column_->project_backward(step, x, keep, to, grads);
    };
    const auto row_backward = [&](const Real* d_rows) {
      row_.output_backward(step, d_rows, grads);
      row_attention_.backward(step, row_, row_tiles(step.prefix()));
      row_.project_backward(step, dx, grads);
    };
    if (mode_ == Mode::kSequential) {
      column_backward(step[between_], 0, step[other_]);
      row_backward(step[other_]);
    } else {
      row_backward(dy);
      if (mode_ == Mode::kSum) column_backward(step.x, 1, dx);
    }
  }

  sdk::Cost cost(int64_t len) const {
    sdk::Cost sum = row_.cost(len);
    sum += row_attention_.cost(len, row_tiles(0));
    if (column_) {
      sum += column_->cost(len);
      sum += column_attention_->cost(len, column_tiles(0));
    }
    const Grid grid(width_, causal_, 0, len);
    const auto count = [&](const Band& band) { sum.pairs += double(heads_ * band.pairs()); };
    grid.rows(count);
    grid.columns(gap(), count);
    return sum;
  }

  // sequential: first along rows, then along columns, without the projections between.
  void mix_values(const Step& step, const Real* v, Real* o) const {
    const int64_t count = step.len * row_.inner();
    attend(step);
    std::copy(v, v + count, step[row_.v]);
    attend_rows(step);
    std::copy(step[row_.o], step[row_.o] + count, o);
    if (!column_) return;
    std::copy(mode_ == Mode::kSum ? v : o, (mode_ == Mode::kSum ? v : o) + count, step[column_->v]);
    attend_columns(step);
    if (mode_ == Mode::kSum) {
      math::add(count, o, step[column_->o], o);
    } else {
      std::copy(step[column_->o], step[column_->o] + count, o);
    }
  }

 private:
  // union: the rows' softmax has the columns in it, whose pairs of a row with itself it already has.
  int64_t gap() const { return mode_ == Mode::kUnion ? 1 : 0; }

  // q, k, v, o of both axes.
  void attend(const Step& step) const {
    row_.project(step);
    attend_rows(step);
    if (mode_ == Mode::kUnion) return;
    if (mode_ == Mode::kSequential) row_.output(step, step[between_]);
    column_->project(step, mode_ == Mode::kSequential ? step[between_] : step.x);
    attend_columns(step);
  }
  void attend_rows(const Step& step) const { row_attention_.forward(step, row_, row_tiles(step.prefix())); }
  void attend_columns(const Step& step) const {
    column_attention_->forward(step, *column_, column_tiles(step.prefix()));
  }

  // Visits the tiles of a sequence with `front` rows before its grid.
  struct Tiles {
    int64_t width;
    bool causal, rows, columns;
    int64_t gap, front;

    template <class Visit>
    void operator()(int64_t len, int64_t, Visit&& visit) const {
      const Grid grid(width, causal, front, len);
      const auto tiles = [&](const Band& band) { band.tiles(visit); };
      grid.front_tiles(visit);
      if (rows) grid.rows(tiles);
      if (columns) grid.columns(gap, tiles);
    }
  };
  Tiles row_tiles(int64_t front) const { return {width_, causal_, true, mode_ == Mode::kUnion, gap(), front}; }
  Tiles column_tiles(int64_t front) const { return {width_, causal_, false, true, gap(), front}; }

  Mode mode_;
  int64_t width_;
  bool causal_;
  int64_t dim_, heads_;
  sdk::Qkv row_;
  sdk::JointAttention row_attention_;
  std::optional<sdk::Qkv> column_;
  std::optional<sdk::JointAttention> column_attention_;
  sdk::Saved<> between_;
  sdk::Scratch<> other_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::Axial, lra::kInfo)
