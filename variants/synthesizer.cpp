// Synthesizer: attention whose logits are made from each row alone, or from nothing but positions:
//   P = softmax(B),  o = P V,  B = the sum of the chosen parts, for each head:
//   dense       full        B_ij = relu(x_i W_1 + b_1) . w2_j + b2_j
//               factorized  B_ij = s_i[j mod a] t_i[j div a],  s = x W_a: [N, a],  t = x W_b: [N, b],  a b >= max_len
//   random      learned     B_ij = R_ij           fixed    the same, not trained
//               factorized  B_ij = r1_i . r2_j    (rank numbers each)
//   dot         1           B_ij = q_i . k_j / sqrt(dh)
// Rows are done in tiles of kTile; P is made again in backward from log sum exp, so nothing of N x N is stored:
//   dV += P^T dO,  dS = P o (dO V^T - dO.O),  and dS is the gradient of each part's B
#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

#include "math/feature_rows.h"
#include "sdk/qkv.h"

namespace lra {
namespace {

using sdk::Linear;
using sdk::matrix;
using sdk::Real;
using sdk::t;

enum class Dense { kNone, kFull, kFactorized };
enum class Random { kNone, kLearned, kFixed, kFactorized };

constexpr lra_option kOptions[] = {
    sdk::choice("dense", "logits from each row by two layers, or from products of two short vectors",
                "none|full|factorized", int64_t(Dense::kFull)),
    sdk::choice("random", "logits from positions: a table, or a product of two thin ones",
                "none|learned|fixed|factorized"),
    sdk::integer("rank", "random=factorized: columns of the thin tables", 8, 1, 1 << 14),
    sdk::integer("dot", "1: adds the logits of softmax attention", 0, 0, 1),
};

constexpr sdk::Info kInfo{
    .id = "synthesizer",
    .title = "Synthesizer",
    .paper = "Tay et al. 2021, arXiv:2005.00743",
    .formula =
        "o = softmax(B) V for each head;  B is a sum of\n"
        "dense: relu(x_i W_1 + b_1) . w2_j + b2_j, or s_i[j mod a] t_i[j div a] with s = x W_a, t = x W_b\n"
        "random: R_ij, or r1_i . r2_j;   dot: q_i . k_j / sqrt(dh)",
    .notes =
        "The paper's D is dense=full, FD dense=factorized, R random=learned, FR random=factorized, R+V random=learned\n"
        "dot=1; set dense=none for those without D. Logits are added with weight 1, as in the benchmark's released\n"
        "code, whose published row is R+V whatever its settings say; the paper learns the weights of a mixture.\n"
        "Parameters: w1 [D, H dh]; w2 [max_len, H dh], b2 [H, max_len]; wa [D, H a], wb [D, H b], a the root of\n"
        "max_len; wr [H max_len, max_len], row h max_len + i: H max_len^2 numbers, 134 MB at 4096 rows and 2 heads;\n"
        "wr1, wr2 [max_len, H rank]. Shorter sequences use the first rows and columns. Tables start small, with\n"
        "logits of variance 1 / max_len.",
    .time = "O(N^2 D)",
    .memory = "O(N D); random=learned and fixed: O(H N^2) parameters",
    .time_exponent = 2,
    .memory_exponent = 1,
    .flags = LRA_CAUSAL | LRA_BIDIRECTIONAL | LRA_ROW_STOCHASTIC,
    .options = kOptions,
    .limits =
        "dense=none random=learned dot=1; wr=zero\n"
        "dense=none random=fixed dot=1; wr=zero\n"
        "dense=none random=factorized dot=1; wr1=zero\n"
        "dense=full dot=1; w2=zero b2=zero\n"
        "dense=factorized dot=1; wa=zero ba=zero\n"
        "dense=none dot=1",
};

class Synthesizer {
 public:
  explicit Synthesizer(sdk::Setup& setup)
      : heads_(setup.heads),
        head_dim_(setup.head_dim),
        inner_(setup.inner),
        max_len_(setup.max_len),
        dim_(setup.dim),
        causal_(setup.causal),
        dense_(setup.choice<Dense>("dense")),
        random_(setup.choice<Random>("random")),
        dot_(setup.integer("dot") != 0),
        rank_(setup.integer("rank")),
        a_(int64_t(std::ceil(std::sqrt(double(max_len_))))),
        b_((max_len_ + a_ - 1) / a_),
        lds_((max_len_ + 15) / 16 * 16 + 16) {  // not a power of two: rows would share cache sets
    if (dense_ == Dense::kNone && random_ == Random::kNone && !dot_) {
      throw sdk::Refusal("dense=none, random=none and dot=0 leave no logits; choose at least one of them");
    }
    const auto block = [&](const char* name, int64_t columns) { return setup.saved(name, max_len_ * columns); };
    const auto gradient = [&](const char* name, int64_t columns) { return setup.scratch(name, max_len_ * columns); };
    if (dot_) {
      wq_.emplace(setup, "q", dim_, inner_);
      wk_.emplace(setup, "k", dim_, inner_, sdk::Init{.align = &wq_->weight});
      q_ = block("q", inner_);
      k_ = block("k", inner_);
      dq_ = gradient("dq", inner_);
      dk_ = gradient("dk", inner_);
    }
    wv_.emplace(setup, "v", dim_, inner_);
    wo_.emplace(setup, "o", inner_, dim_, sdk::Init{.init = LRA_INIT_RESIDUAL});
    if (dense_ == Dense::kFull) {
      w1_.emplace(setup, "1", dim_, inner_);
      w2_ = setup.param("w2", max_len_, inner_, normal(1 / double(head_dim_)));
      if (setup.bias) b2_ = setup.param("b2", heads_, max_len_, {.init = LRA_INIT_ZERO});
      hidden_ = block("hidden", inner_);
      dhidden_ = gradient("d hidden", inner_);
    } else if (dense_ == Dense::kFactorized) {
      wa_.emplace(setup, "a", dim_, heads_ * a_);
      wb_.emplace(setup, "b", dim_, heads_ * b_);
      s_ = gradient("s", heads_ * a_);
      t_ = gradient("t", heads_ * b_);
      ds_ = gradient("d s", heads_ * a_);
      dt_ = gradient("d t", heads_ * b_);
    }
    if (random_ == Random::kFactorized) {
      wr1_ = setup.param("wr1", max_len_, heads_ * rank_, normal(1 / std::sqrt(double(rank_ * max_len_))));
      wr2_ = setup.param("wr2", max_len_, heads_ * rank_, normal(1 / std::sqrt(double(rank_ * max_len_))));
    } else if (random_ == Random::kLearned) {
      wr_ = setup.param("wr", heads_ * max_len_, max_len_, normal(1 / double(max_len_)));
    } else if (random_ == Random::kFixed) {
      wr_ = setup.buffer("wr", heads_ * max_len_, max_len_);
    }
    v_ = block("v", inner_);
    o_ = block("o", inner_);
    lse_ = setup.saved("lse", heads_ * max_len_);
    dv_ = gradient("dv", inner_);
    d_o_ = gradient("do", inner_);
    scores_ = setup.scratch_per_worker("scores", kTile * lds_);
    dscores_ = setup.scratch_per_worker("d scores", kTile * lds_);
    ones_ = setup.scratch_per_worker("ones", lds_);
    rows_ = setup.scratch_per_worker("rows", kRowNumbers * kTile);
  }

  void forward(const sdk::Step& step, Real* y, Real&) const {
    project(step);
    attend(step);
    step.host.parallel_for(step.len, sdk::kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      wo_->forward(step, step[o_], y, begin, end);  // y = o W_o
    });
  }

  void mix_values(const sdk::Step& step, const Real* v, Real* o) const {
    project(step);
    std::copy_n(v, step.len * inner_, step[v_]);
    attend(step);
    std::copy_n(step[o_], step.len * inner_, o);
  }

  void backward(const sdk::Step& step, const Real* dy, Real* dx, const sdk::Grads& grads) const {
    const auto rows = [&](auto&& body) {
      step.host.parallel_for(step.len, sdk::kRowBlock, [&](int64_t begin, int64_t end, int32_t) { body(begin, end); });
    };
    // dW += in^T dout of one linear, in blocks of its rows.
    const auto weight = [&](const Linear& linear, const Real* in, const Real* dout) {
      step.host.parallel_for(linear.weight.rows, sdk::kWeightBlock, [&](int64_t begin, int64_t end, int32_t) {
        linear.backward_weight(step, in, dout, grads, begin, end);
      });
    };
    rows([&](int64_t begin, int64_t end) { wo_->backward_input(step, dy, step[d_o_], 0, begin, end); });
    weight(*wo_, step[o_], dy);

    if (dense_ == Dense::kFactorized) rows([&](int64_t begin, int64_t end) { factors(step, begin, end); });
    step.host.parallel_for(heads_, 1,
                           [&](int64_t head, int64_t, int32_t worker) { attend_backward(step, head, worker, grads); });

    rows([&](int64_t begin, int64_t end) {
      wv_->backward_input(step, step[dv_], dx, 0, begin, end);  // v = x W_v
      if (dot_) {                                               // q = x W_q,  k = x W_k
        wq_->backward_input(step, step[dq_], dx, 1, begin, end);
        wk_->backward_input(step, step[dk_], dx, 1, begin, end);
      }
      if (dense_ == Dense::kFull) {  // hidden = relu(x W_1 + b_1)
        math::curve_backward(math::Curve::kRelu, end - begin, inner_, step[hidden_] + begin * inner_, inner_, Real(1),
                             step[dhidden_] + begin * inner_, inner_, step[dhidden_] + begin * inner_, inner_);
        w1_->backward_input(step, step[dhidden_], dx, 1, begin, end);
      } else if (dense_ == Dense::kFactorized) {  // s = x W_a,  t = x W_b
        wa_->backward_input(step, step[ds_], dx, 1, begin, end);
        wb_->backward_input(step, step[dt_], dx, 1, begin, end);
      }
    });
    weight(*wv_, step.x, step[dv_]);
    if (dot_) {
      weight(*wq_, step.x, step[dq_]);
      weight(*wk_, step.x, step[dk_]);
    }
    if (dense_ == Dense::kFull) {
      weight(*w1_, step.x, step[dhidden_]);
    } else if (dense_ == Dense::kFactorized) {
      weight(*wa_, step.x, step[ds_]);
      weight(*wb_, step.x, step[dt_]);
    }
  }

  // Fills the fixed table, once.
  void after_step(const sdk::Step& step, sdk::Buffers buffers) const {
    if (random_ != Random::kFixed || step.number() != 0) return;
    const int64_t count = heads_ * max_len_ * max_len_;
    step.host.normal(0, 0, count, buffers[wr_]);
    math::scale(count, Real(1 / std::sqrt(double(max_len_))), buffers[wr_]);
  }

  sdk::Cost cost(int64_t len) const {
    const double rank = double(rank_), dh = double(head_dim_);
    double linears = wv_->flops(len) + wo_->flops(len), again = 0, logits = 0;
    if (dot_) {
      linears += wq_->flops(len) + wk_->flops(len);
      logits += 2 * dh;
    }
    if (dense_ == Dense::kFull) {
      linears += w1_->flops(len);
      logits += 2 * dh;
    } else if (dense_ == Dense::kFactorized) {
      again = wa_->flops(len) + wb_->flops(len);
      linears += again;
    }
    if (random_ == Random::kFactorized) logits += 2 * rank;
    double scored = 0;
    for (int64_t row = 0; row < len; row += kTile) scored += double(rows_of(len, row) * keys_of(len, row));
    scored *= double(heads_);
    const double pairs = causal_ ? double(len) * double(len + 1) / 2 : double(len) * double(len);
    return {linears + scored * (logits + 2 * dh), 2 * linears + again + scored * (3 * logits + 4 * dh),
            double(heads_) * pairs};
  }

 private:
  static constexpr int64_t kTile = 48;  // a multiple of the register tiles of gemm, 6 and 12 rows
  static constexpr int64_t kRowNumbers = 3;
  // Scores are in bits: e^s = 2^(s log2 e).
  static constexpr Real kBits = std::numbers::log2e_v<Real>;

  static sdk::Init normal(double variance) { return {.init = LRA_INIT_NORMAL, .scale = std::sqrt(variance)}; }

  // Rows of the tile at `row`, and the keys that its last row sees.
  static int64_t rows_of(int64_t len, int64_t row) { return std::min(kTile, len - row); }
  int64_t keys_of(int64_t len, int64_t row) const { return causal_ ? std::min(len, row + kTile) : len; }

  // Rows [first, first + rows) of one head of a block whose rows have `width` numbers for each head.
  template <class T>
  sdk::Matrix<T> part(T* block, int64_t head, int64_t first, int64_t rows, int64_t width) const {
    return matrix(block + (first * heads_ + head) * width, rows, width, heads_ * width);
  }
  template <class T>
  T* table(T* r, int64_t head, int64_t row) const {
    return r + (head * max_len_ + row) * max_len_;
  }

  // s = x W_a,  t = x W_b
  void factors(const sdk::Step& step, int64_t begin, int64_t end) const {
    wa_->forward(step, step.x, step[s_], begin, end);
    wb_->forward(step, step.x, step[t_], begin, end);
  }
  void project(const sdk::Step& step) const {
    step.host.parallel_for(step.len, sdk::kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      wv_->forward(step, step.x, step[v_], begin, end);
      if (dot_) {
        wq_->forward(step, step.x, step[q_], begin, end);
        wk_->forward(step, step.x, step[k_], begin, end);
      }
      if (dense_ == Dense::kFull) {
        Real* hidden = step[hidden_] + begin * inner_;
        w1_->forward(step, step.x, step[hidden_], begin, end);
        math::curve(math::Curve::kRelu, end - begin, inner_, hidden, inner_, Real(1), Real(0), hidden, inner_);
      } else if (dense_ == Dense::kFactorized) {
        factors(step, begin, end);
      }
    });
  }

  // The numbers of a worker while it does one tile.
  struct Tile {
    int64_t head, row, rows, keys;
    Real *s, *ds, *ones;
    Real *one, *two, *zero;  // a number for each row; zero: all 0
  };
  Tile tile_at(const sdk::Step& step, int64_t head, int64_t row, int32_t worker) const {
    Real* numbers = step.at(rows_, worker);
    const Tile tile{head,
                    row,
                    rows_of(step.len, row),
                    keys_of(step.len, row),
                    step.at(scores_, worker),
                    step.at(dscores_, worker),
                    step.at(ones_, worker),
                    numbers,
                    numbers + kTile,
                    numbers + 2 * kTile};
    std::fill_n(tile.ones, tile.keys, Real(1));
    std::fill_n(tile.zero, kTile, Real(0));
    return tile;
  }

  // S = B log2(e)
  void score(const sdk::Step& step, const Tile& tile) const {
    const auto s = matrix(tile.s, tile.rows, tile.keys, lds_);
    for (int64_t i = 0; i < tile.rows; ++i) std::fill_n(tile.s + i * lds_, tile.keys, Real(0));
    const auto product = [&](const Real* left, const Real* right, int64_t width, Real scale) {
      step.host.gemm(s, part(left, tile.head, tile.row, tile.rows, width),
                     t(part(right, tile.head, 0, tile.keys, width)), {.alpha = scale * kBits, .beta = 1});
    };
    if (dot_) product(step[q_], step[k_], head_dim_, scale());
    if (random_ == Random::kFactorized) product(step[wr1_], step[wr2_], rank_, 1);
    if (dense_ == Dense::kFull) product(step[hidden_], step[w2_], head_dim_, 1);
    for (int64_t i = 0; i < tile.rows; ++i) {
      Real* row = tile.s + i * lds_;
      if (b2_.index >= 0) math::axpy(tile.keys, kBits, step[b2_] + tile.head * max_len_, row);
      if (wr_.index >= 0) math::axpy(tile.keys, kBits, table(step[wr_], tile.head, tile.row + i), row);
      if (dense_ != Dense::kFactorized) continue;
      const Real* s_i = step[s_] + ((tile.row + i) * heads_ + tile.head) * a_;
      const Real* t_i = step[t_] + ((tile.row + i) * heads_ + tile.head) * b_;
      for (int64_t j = 0; j < tile.keys; j += a_) {
        math::axpy(std::min(a_, tile.keys - j), kBits * t_i[j / a_], s_i, row + j);
      }
    }
    // Stands in for keys that a row does not see until exponentiate() clears them: no largest value of the row changes.
    for (int64_t i = 0; causal_ && i < tile.rows; ++i) {
      Real* row = tile.s + i * lds_;
      std::fill(row + tile.row + i + 1, row + tile.keys, row[tile.row + i]);
    }
  }
  // P = 2^(S - minus) in place
  void exponentiate(const Tile& tile, const Real* minus) const {
    math::exp2_rows(tile.rows, tile.keys, Real(1), tile.s, lds_, minus, tile.zero, tile.zero, tile.s, lds_);
    for (int64_t i = 0; causal_ && i < tile.rows; ++i) {
      std::fill(tile.s + i * lds_ + tile.row + i + 1, tile.s + i * lds_ + tile.keys, Real(0));
    }
  }

  void attend(const sdk::Step& step) const {
    const int64_t tiles = (step.len + kTile - 1) / kTile;
    step.host.parallel_for(heads_ * tiles, 1, [&](int64_t task, int64_t, int32_t worker) {
      const Tile tile = tile_at(step, task / tiles, task % tiles * kTile, worker);
      const auto o = part(step[o_], tile.head, tile.row, tile.rows, head_dim_);
      score(step, tile);
      math::max_rows(tile.rows, tile.keys, tile.s, lds_, tile.one);
      exponentiate(tile, tile.one);
      math::dot_rows<Real>(tile.rows, tile.keys, tile.s, lds_, tile.ones, 0, tile.two);
      step.host.gemm(o, matrix<const Real>(tile.s, tile.rows, tile.keys, lds_),
                     part<const Real>(step[v_], tile.head, 0, tile.keys, head_dim_));
      Real* lse = step[lse_] + tile.head * max_len_ + tile.row;
      for (int64_t i = 0; i < tile.rows; ++i) {
        lse[i] = tile.one[i] + std::log2(tile.two[i]);
        tile.two[i] = 1 / tile.two[i];
      }
      math::scale_rows(tile.rows, head_dim_, tile.two, o.data, o.stride, o.data, o.stride);
    });
  }

  // dV and the gradients of the logits' parts, one head.
  void attend_backward(const sdk::Step& step, int64_t head, int32_t worker, const sdk::Grads& grads) const {
    const auto clear = [&](Real* block) {
      for (int64_t i = 0; i < step.len; ++i) std::fill_n(block + i * inner_ + head * head_dim_, head_dim_, Real(0));
    };
    clear(step[dv_]);
    if (dot_) clear(step[dk_]);
    for (int64_t row = 0; row < step.len; row += kTile) {
      const Tile tile = tile_at(step, head, row, worker);
      score(step, tile);
      exponentiate(tile, step[lse_] + head * max_len_ + row);
      const sdk::Matrix<const Real> p = matrix(tile.s, tile.rows, tile.keys, lds_);
      const auto ds = matrix(tile.ds, tile.rows, tile.keys, lds_);
      const auto o = part<const Real>(step[o_], head, row, tile.rows, head_dim_);
      const auto d_o = part<const Real>(step[d_o_], head, row, tile.rows, head_dim_);
      const auto v = part<const Real>(step[v_], head, 0, tile.keys, head_dim_);
      // o = P V
      step.host.gemm(part(step[dv_], head, 0, tile.keys, head_dim_), t(p), d_o, {.beta = 1});
      step.host.gemm(ds, d_o, t(v));
      // P = softmax(B):  dS = P o (dP - dO.O)
      math::dot_rows(tile.rows, head_dim_, d_o.data, d_o.stride, o.data, o.stride, tile.one);
      math::product_rows(tile.rows, tile.keys, tile.s, lds_, tile.ds, lds_, tile.one, tile.ds, lds_, tile.two);
      score_backward(step, tile, grads);
    }
  }
  void score_backward(const sdk::Step& step, const Tile& tile, const sdk::Grads& grads) const {
    const sdk::Matrix<const Real> ds = matrix(tile.ds, tile.rows, tile.keys, lds_);
    // S = scale left right^T:  dleft = keep dleft + scale dS right,  dright += scale dS^T left
    const auto product = [&](const Real* left, const Real* right, Real* dleft, Real* dright, int64_t width, Real scale,
                             Real keep) {
      step.host.gemm(part(dleft, tile.head, tile.row, tile.rows, width), ds,
                     part(right, tile.head, 0, tile.keys, width), {.alpha = scale, .beta = keep});
      step.host.gemm(part(dright, tile.head, 0, tile.keys, width), t(ds),
                     part(left, tile.head, tile.row, tile.rows, width), {.alpha = scale, .beta = 1});
    };
    if (dot_) product(step[q_], step[k_], step[dq_], step[dk_], head_dim_, scale(), 0);
    if (random_ == Random::kFactorized) product(step[wr1_], step[wr2_], grads[wr1_], grads[wr2_], rank_, 1, 1);
    if (dense_ == Dense::kFull) product(step[hidden_], step[w2_], step[dhidden_], grads[w2_], head_dim_, 1, 0);
    if (b2_.index >= 0) math::column_sums(tile.rows, tile.keys, tile.ds, lds_, grads[b2_] + tile.head * max_len_);
    for (int64_t i = 0; i < tile.rows; ++i) {
      const Real* row = tile.ds + i * lds_;
      if (random_ == Random::kLearned) {
        math::axpy(tile.keys, Real(1), row, table(grads[wr_], tile.head, tile.row + i));
      }
      if (dense_ != Dense::kFactorized) continue;
      const int64_t at = (tile.row + i) * heads_ + tile.head;
      const Real *s_i = step[s_] + at * a_, *t_i = step[t_] + at * b_;
      Real *ds_i = step[ds_] + at * a_, *dt_i = step[dt_] + at * b_;
      std::fill_n(ds_i, a_, Real(0));
      std::fill_n(dt_i, b_, Real(0));
      for (int64_t j = 0; j < tile.keys; j += a_) {
        const int64_t width = std::min(a_, tile.keys - j);
        math::axpy(width, t_i[j / a_], row + j, ds_i);
        math::dot_rows(1, width, row + j, width, s_i, width, dt_i + j / a_);
      }
    }
  }

  Real scale() const { return Real(1 / std::sqrt(double(head_dim_))); }

  int64_t heads_, head_dim_, inner_, max_len_, dim_;
  bool causal_;
  Dense dense_;
  Random random_;
  bool dot_;
  int64_t rank_;
  int64_t a_, b_;  // lengths of s_i and t_i
  int64_t lds_;    // of a tile of scores
  std::optional<Linear> wq_, wk_, wv_, wo_, w1_, wa_, wb_;
  sdk::Param w2_, b2_, wr_, wr1_, wr2_;
  sdk::Saved<> q_, k_, v_, o_, hidden_, lse_;
  sdk::Scratch<> dq_, dk_, dv_, d_o_, dhidden_, s_, t_, ds_, dt_;
  sdk::WorkerScratch<> scores_, dscores_, ones_, rows_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::Synthesizer, lra::kInfo)
