// Random Feature Attention: the softmax kernel of queries and keys of length 1, through random sines and cosines:
//   x^ = x / |x|,  u = W x^,  W = W_0 diag(sigma) / tau,  phi(x) = p^(-1/2) [cos u, sin u],   W_0: [p, dh] normal
//   E[phi(q).phi(k)] = exp(-|q^ - k^|^2 / 2 tau^2) = exp(-1 / tau^2) exp(q^.k^ / tau^2)       (sigma = 1)
//   o_i = sum_j phi(q_i).phi(k_j) v_j / (sum_j phi(q_i).phi(k_j) + epsilon)
// sigma: dh numbers for each head, learned; W_0 is drawn for each head, from a fixed pool, and not trained. Backward:
//   du = dphi_sin o phi_cos - dphi_cos o phi_sin,  e = du W_0 / tau,  dsigma = sum of rows e o x^,
//   dx = (I - x^ x^^T) (e o sigma) / |x|
// gate=1, causal: a running sum that forgets, g_i = sigmoid(x_i . w_g + b_g) for each head,
//   S_i = g_i S_{i-1} + (1 - g_i) phi(k_i) [v_i, 1]:  the weight of row j in row i gains the factor
//   (1 - g_j) g_{j+1} .. g_i. In tiles of rows: within a tile as a matrix of decays, before it through S.
#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "math/feature_rows.h"
#include "sdk/kernel_attention.h"

namespace lra {
namespace {

using math::Side;
using sdk::matrix;
using sdk::Real;
using sdk::t;

constexpr lra_option kOptions[] = {
    sdk::integer("projections", "rows p of W; each makes two features", 64, 1, 1 << 15),
    sdk::number("tau", "temperature of the kernel", 1, 1e-3, 1e3),
    sdk::integer("pool", "matrices W_0 is drawn from, no two heads the same; 0: always a fresh one", 500, 0, 1 << 20),
    sdk::integer("redraw", "optimiser steps between two draws; 0: drawn once", 1, 0, int64_t(1) << 40),
    sdk::number("epsilon", "added to the denominator", 1e-6, 0, 1),
    sdk::integer("gate", "1: older rows fade by learned gates; causal only", 0, 0, 1),
    sdk::integer("released", "1: lengths + 1e-3, features 0.1 [cos, sin], denominators of at least 1", 0, 0, 1),
};

constexpr sdk::Info kInfo{
    .id = "rfa",
    .title = "Random Feature Attention",
    .paper = "Peng et al. 2021, arXiv:2103.02143",
    .formula =
        "x^ = x / |x|,  u = W_0 (sigma o x^) / tau,  phi(x) = p^(-1/2) [cos u, sin u]\n"
        "S = sum_j phi(k_j) [v_j, 1],  [r_i, z_i] = phi(q_i) S,  o_i = r_i / (z_i + epsilon)",
    .notes =
        "Parameter sigma: [1, H dh], starts at 1. Buffer projection: [H p, dh], W_0 of head h in rows [h p, (h + 1) "
        "p),\n"
        "drawn at step 0 and every `redraw` steps; evaluation uses the last draw (released code then takes the first\n"
        "matrices of its pool). A row of zeros has x^ = 0.\n"
        "Weights may be negative. released=1 keeps denominators above 1, so that the first causal rows do not sum to\n"
        "1; epsilon has no use then, and there is no gate. gate=1: parameter wg [D, H]; released code has none.",
    .time = "O(N p D)",
    .memory = "O(N D + p D)",
    .time_exponent = 1,
    .memory_exponent = 1,
    .flags = LRA_CAUSAL | LRA_BIDIRECTIONAL,
    .options = kOptions,
};

// What does not change from step to step.
struct Shape {
  int64_t head_dim, projections;
  Real tau;
  Real added_length;  // x^ = x / (|x| + this)
  Real factor;        // of cos and sin
};

class RandomWaves : public math::FeatureMap<Real> {
 public:
  // w0: [p, dh]; w: [dh, wt_stride], (W_0 diag(sigma) / tau)^T; sigma, dsigma: [dh], dsigma only read by backward.
  // Borrowed; null where only sizes are asked for.
  struct Head {
    const Real *w0 = nullptr, *w = nullptr, *sigma = nullptr;
    Real* dsigma = nullptr;
  };
  RandomWaves(const Shape& shape, int64_t w_stride, const Head& head) : s_(shape), w_stride_(w_stride), h_(head) {}

  int64_t features() const override { return 2 * s_.projections; }
  int64_t scratch_elements(int64_t rows) const override { return kRowNumbers * rows; }

  Real forward(Side, int64_t, int64_t rows, const Real* x, int64_t ldx, Real* phi, int64_t ldphi,
               Real* scratch) const override {
    const Rows r(scratch, rows);
    math::dot_rows(rows, s_.head_dim, x, ldx, x, ldx, r.length);
    for (int64_t i = 0; i < rows; ++i) {
      r.length[i] = std::sqrt(r.length[i]);
      const Real divisor = r.length[i] + s_.added_length;
      r.inverse[i] = divisor > 0 ? 1 / divisor : Real(0);
    }
    math::gemm<Real>({.m = rows,
                      .n = s_.projections,
                      .k = s_.head_dim,
                      .a = x,
                      .lda = ldx,
                      .b = h_.w,
                      .ldb = w_stride_,
                      .c = phi,
                      .ldc = ldphi});
    math::scale_rows(rows, s_.projections, r.inverse, phi, ldphi, phi, ldphi);
    std::fill(r.spare, r.spare + rows, s_.factor);
    math::cos_sin_rows(rows, s_.projections, phi, ldphi, r.spare, phi, ldphi, phi + s_.projections, ldphi);
    return 0;
  }

  void backward(Side, int64_t, int64_t rows, const Real* x, int64_t ldx, const Real* phi, int64_t ldphi, Real* dphi,
                int64_t lddphi, Real* dx, int64_t lddx, Real* scratch) const override {
    const int64_t p = s_.projections, dh = s_.head_dim;
    const Rows r(scratch, rows);
    // du = dphi_sin o phi_cos - dphi_cos o phi_sin
    std::fill(r.zero, r.zero + rows, Real(0));
    math::product_rows(rows, p, dphi, lddphi, phi + p, ldphi, r.zero, dphi, lddphi, r.spare);
    math::product_rows(rows, p, dphi + p, lddphi, phi, ldphi, r.zero, dphi + p, lddphi, r.spare);
    std::fill(r.spare, r.spare + rows, Real(-1));
    math::axpy_rows(rows, p, r.spare, dphi, lddphi, dphi + p, lddphi);
    // e = du W_0 / tau
    math::gemm<Real>({.m = rows,
                      .n = dh,
                      .k = p,
                      .a = dphi + p,
                      .lda = lddphi,
                      .b = h_.w0,
                      .ldb = dh,
                      .c = dx,
                      .ldc = lddx,
                      .alpha = 1 / s_.tau});
    for (int64_t i = 0; i < rows; ++i) {
      const Real* from = x + i * ldx;
      Real* to = dx + i * lddx;
      const Real inverse = r.inverse[i];
      Real along = 0;  // x^ . dx^
      for (int64_t c = 0; c < dh; ++c) {
        const Real unit = from[c] * inverse;
        h_.dsigma[c] += to[c] * unit;
        to[c] *= h_.sigma[c];
        along += to[c] * unit;
      }
      const Real back = r.length[i] > 0 ? along * inverse / r.length[i] : Real(0);
      for (int64_t c = 0; c < dh; ++c) to[c] = to[c] * inverse - from[c] * back;
    }
  }

  // Products with W of both sides: forward; in backward they are made again, then two with W_0.
  sdk::Cost cost(int64_t len) const {
    const double product = 2.0 * double(len) * double(s_.projections) * double(s_.head_dim);
    return {.forward_flops = 2 * product, .backward_flops = 4 * product};
  }

 private:
  static constexpr int64_t kRowNumbers = 4;
  struct Rows {
    Rows(Real* scratch, int64_t rows)
        : length(scratch), inverse(scratch + rows), spare(scratch + 2 * rows), zero(scratch + 3 * rows) {}
    Real *length, *inverse, *spare, *zero;
  };

  Shape s_;
  int64_t w_stride_;
  Head h_;
};

Shape shape_of(const sdk::Setup& setup) {
  const bool released = setup.integer("released") != 0;
  const int64_t projections = setup.integer("projections");
  return {setup.head_dim, projections, Real(setup.number("tau")), released ? Real(1e-3) : Real(0),
          Real(released ? 0.1 : 1 / std::sqrt(double(projections)))};
}

// The sums of one head with gates, causal:
//   c_i = sum of log g up to row i of the tile,  D_ij = exp(c_i - c_j) (1 - g_j) for j <= i,  w_j = D_lj, l the last
//   row [R, z] = (phi_q phi_k^T o D) [V, 1] + exp(c) o (phi_q S),  o = R / (z + epsilon) S' = exp(c_l) S + phi_k^T (w o
//   [V, 1])                      S: [m, dh + 1], before the tile; S': after it
class GatedSums {
 public:
  GatedSums(sdk::Setup& setup, const RandomWaves& sizes, Real epsilon)
      : heads_(setup.heads),
        dh_(setup.head_dim),
        m_(sizes.features()),
        ld_((m_ + 15) / 16 * 16),
        epsilon_(epsilon),
        map_scratch_(sizes.scratch_elements(kTile)),
        states_per_head_(std::max<int64_t>(0, (setup.max_len + kTile - 1) / kTile - 1)),
        states_(setup.saved("sums", heads_ * states_per_head_ * m_ * (dh_ + 1))),
        tiles_(setup.scratch_per_worker("tiles", Blocks(*this, nullptr).count)) {}

  // What one head reads and writes; gate: logits, row stride H.
  struct Head {
    int64_t head;
    const Real *q, *k, *v, *gate;
    Real* o;
    const Real* d_o = nullptr;
    Real *dq = nullptr, *dk = nullptr, *dv = nullptr, *dgate = nullptr;
  };

  void forward(const sdk::Step& step, const Head& h, const RandomWaves& map, int32_t worker) const {
    const Blocks b(*this, step.at(tiles_, worker));
    for (int64_t row = 0; row < step.len; row += kTile) {
      const int64_t rows = std::min(kTile, step.len - row);
      const Real* before = state(step, h, row);
      read(step.host, h, map, b, row, rows, before);
      for (int64_t i = 0; i < rows; ++i) {
        const Real inverse = inverse_of(b.r[i * (dh_ + 1) + dh_]);
        for (int64_t c = 0; c < dh_; ++c) h.o[(row + i) * stride() + c] = b.r[i * (dh_ + 1) + c] * inverse;
      }
      if (row + kTile >= step.len) continue;
      Real* after = state(step, h, row + kTile);
      const Real kept = std::exp(b.c[rows - 1]);
      for (int64_t e = 0; e < m_ * (dh_ + 1); ++e) after[e] = before == nullptr ? Real(0) : kept * before[e];
      math::scale_rows(rows, dh_ + 1, b.w, b.v1, dh_ + 1, b.gr, dh_ + 1);
      step.host.gemm(matrix(after, m_, dh_ + 1), t(features(b.phi_k, rows)), values(b.gr, rows), {.beta = 1});
    }
  }

  void backward(const sdk::Step& step, const Head& h, const RandomWaves& map, int32_t worker) const {
    const Blocks b(*this, step.at(tiles_, worker));
    const int64_t width = dh_ + 1;
    for (int64_t row = (step.len - 1) / kTile * kTile; row >= 0; row -= kTile) {
      const int64_t rows = std::min(kTile, step.len - row);
      const bool last = row + kTile >= step.len;
      const Real* before = state(step, h, row);
      read(step.host, h, map, b, row, rows, before);
      std::fill_n(b.dc, kTile, Real(0));
      std::fill_n(b.drest, kTile, Real(0));
      // o = R / z
      for (int64_t i = 0; i < rows; ++i) {
        const Real *d_o = h.d_o + (row + i) * stride(), *o = h.o + (row + i) * stride();
        const Real inverse = inverse_of(b.r[i * width + dh_]);
        Real sum = 0;
        for (int64_t c = 0; c < dh_; ++c) {
          b.gr[i * width + c] = d_o[c] * inverse;
          sum += d_o[c] * o[c];
        }
        b.gr[i * width + dh_] = -sum * inverse;
      }
      // Near: [R, z] = (P o D) [V, 1], P = phi_q phi_k^T; p holds P o D.
      step.host.gemm(square(b.dp, rows), values(b.gr, rows), t(values(b.v1, rows)));
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j <= i; ++j) {
          const int64_t at = i * kTile + j;
          const Real change = b.dp[at] * b.p[at];
          b.dc[i] += change;
          b.dc[j] -= change;
          b.drest[j] += change;
          b.dp[at] *= b.decay[at];
        }
        std::fill(b.dp + i * kTile + i + 1, b.dp + i * kTile + rows, Real(0));
      }
      step.host.gemm(features(b.dphi, rows), square(b.dp, rows), features(b.phi_k, rows));
      // Far: [R, z] += exp(c) o X, X = phi_q S; r becomes dX.
      if (before != nullptr) {
        for (int64_t i = 0; i < rows; ++i) {
          const Real factor = std::exp(b.c[i]);
          Real sum = 0;
          for (int64_t c = 0; c < width; ++c) {
            sum += b.gr[i * width + c] * b.x[i * width + c];
            b.r[i * width + c] = factor * b.gr[i * width + c];
          }
          b.dc[i] += factor * sum;
        }
        step.host.gemm(features(b.dphi, rows), values(b.r, rows), t(matrix(before, m_, width)), {.beta = 1});
      }
      map.backward(math::Side::kQuery, row, rows, h.q + row * stride(), stride(), b.phi_q, ld_, b.dphi, ld_,
                   h.dq + row * stride(), stride(), b.scratch_q);
      step.host.gemm(features(b.dphi, rows), t(square(b.dp, rows)), features(b.phi_q, rows));
      step.host.gemm(values(b.dv1, rows), t(square(b.p, rows)), values(b.gr, rows));
      // S' = exp(c_l) S + phi_k^T (w o [V, 1])
      const Real kept = std::exp(b.c[rows - 1]);
      if (!last) {
        const auto ds = matrix(b.ds, m_, width);
        step.host.gemm(values(b.x, rows), features(b.phi_k, rows), ds);
        for (int64_t j = 0; j < rows; ++j) {
          Real sum = 0;
          for (int64_t c = 0; c < width; ++c) {
            sum += b.x[j * width + c] * b.v1[j * width + c];
            b.dv1[j * width + c] += b.w[j] * b.x[j * width + c];
            b.x[j * width + c] = b.w[j] * b.v1[j * width + c];
          }
          b.dc[rows - 1] += b.w[j] * sum;
          b.dc[j] -= b.w[j] * sum;
          b.drest[j] += b.w[j] * sum;
        }
        step.host.gemm(features(b.dphi, rows), values(b.x, rows), t(ds), {.beta = 1});
        Real sum = 0;
        for (int64_t e = 0; before != nullptr && e < m_ * width; ++e) sum += before[e] * b.ds[e];
        b.dc[rows - 1] += kept * sum;
      }
      map.backward(math::Side::kKey, row, rows, h.k + row * stride(), stride(), b.phi_k, ld_, b.dphi, ld_,
                   h.dk + row * stride(), stride(), b.scratch_k);
      for (int64_t i = 0; i < rows; ++i) std::copy_n(b.dv1 + i * width, dh_, h.dv + (row + i) * stride());
      if (before != nullptr) {  // dS = exp(c_l) dS' + phi_q^T dX
        math::scale(m_ * width, kept, b.ds);
        step.host.gemm(matrix(b.ds, m_, width), t(features(b.phi_q, rows)), values(b.r, rows),
                       {.beta = last ? Real(0) : Real(1)});
      }
      // c_i = sum of log g up to i;  d log g / da = 1 - g,  d log(1 - g) / da = -g
      Real sum = 0;
      for (int64_t i = rows - 1; i >= 0; --i) {
        const Real g = 1 / (1 + std::exp(-h.gate[(row + i) * heads_]));
        sum += b.dc[i];
        h.dgate[(row + i) * heads_] = sum * (1 - g) - b.drest[i] * g;
      }
    }
  }

  // One head, without the work of the map.
  sdk::Cost cost(int64_t len) const {
    sdk::Cost sum;
    const double m = double(m_), width = double(dh_ + 1);
    for (int64_t row = 0; row < len; row += kTile) {
      const double n = double(std::min(kTile, len - row)), before = row > 0 ? 1 : 0, after = row + kTile < len ? 1 : 0;
      sum += {.forward_flops = 2 * n * n * (m + width) + 2 * n * m * width * (before + after),
              .backward_flops = 6 * n * n * (m + width) + 2 * n * m * width * (3 * before + 2 * after)};
    }
    return sum;
  }

 private:
  static constexpr int64_t kTile = 48;

  // The scratch of one tile; with base = nullptr only `count` means something.
  struct Blocks {
    Blocks(const GatedSums& s, Real* base) : next(base) {
      phi_q = take(kTile * s.ld_);
      phi_k = take(kTile * s.ld_);
      dphi = take(kTile * s.ld_);
      scratch_q = take(s.map_scratch_);
      scratch_k = take(s.map_scratch_);
      v1 = take(kTile * (s.dh_ + 1));
      dv1 = take(kTile * (s.dh_ + 1));
      r = take(kTile * (s.dh_ + 1));
      gr = take(kTile * (s.dh_ + 1));
      x = take(kTile * (s.dh_ + 1));
      p = take(kTile * kTile);
      dp = take(kTile * kTile);
      decay = take(kTile * kTile);
      ds = take(s.m_ * (s.dh_ + 1));
      c = take(kTile);
      rest = take(kTile);
      w = take(kTile);
      dc = take(kTile);
      drest = take(kTile);
    }
    Real* take(int64_t n) {
      Real* block = next;
      if (next != nullptr) next += (n + 15) / 16 * 16;
      count += (n + 15) / 16 * 16;
      return block;
    }

    Real* next;
    int64_t count = 0;
    Real *phi_q, *phi_k, *dphi, *scratch_q, *scratch_k;
    Real *v1, *dv1, *r, *gr, *x;  // [kTile, dh + 1]: [V, 1] and its gradient, [R, z] and its gradient, phi_q S
    Real *p, *dp, *decay;         // [kTile, kTile]
    Real* ds;                     // [m, dh + 1]
    Real *c, *rest, *w;           // [kTile]: c, log(1 - g), w
    Real *dc, *drest;
  };

  int64_t stride() const { return heads_ * dh_; }
  template <class T>
  sdk::Matrix<T> features(T* block, int64_t rows) const {
    return matrix(block, rows, m_, ld_);
  }
  template <class T>
  sdk::Matrix<T> values(T* block, int64_t rows) const {
    return matrix(block, rows, dh_ + 1);
  }
  template <class T>
  sdk::Matrix<T> square(T* block, int64_t rows) const {
    return matrix(block, rows, rows, kTile);
  }
  // S before a tile's first row; null before the first tile.
  Real* state(const sdk::Step& step, const Head& h, int64_t row) const {
    if (row == 0) return nullptr;
    return step[states_] + (h.head * states_per_head_ + row / kTile - 1) * m_ * (dh_ + 1);
  }
  Real inverse_of(Real z) const { return z + epsilon_ == 0 ? Real(0) : 1 / (z + epsilon_); }

  // Features, [V, 1], decays, P o D, X and [R, z] of one tile.
  void read(const sdk::Host& host, const Head& h, const RandomWaves& map, const Blocks& b, int64_t row, int64_t rows,
            const Real* before) const {
    map.forward(math::Side::kQuery, row, rows, h.q + row * stride(), stride(), b.phi_q, ld_, b.scratch_q);
    map.forward(math::Side::kKey, row, rows, h.k + row * stride(), stride(), b.phi_k, ld_, b.scratch_k);
    Real sum = 0;
    for (int64_t i = 0; i < rows; ++i) {
      std::copy_n(h.v + (row + i) * stride(), dh_, b.v1 + i * (dh_ + 1));
      b.v1[i * (dh_ + 1) + dh_] = 1;
      const Real a = h.gate[(row + i) * heads_], rest = std::log1p(std::exp(-std::abs(a)));
      b.c[i] = sum += std::min(a, Real(0)) - rest;  // log g
      b.rest[i] = std::min(-a, Real(0)) - rest;     // log(1 - g)
    }
    host.gemm(square(b.p, rows), features(b.phi_q, rows), t(features(b.phi_k, rows)));
    for (int64_t i = 0; i < rows; ++i) {
      Real *decay = b.decay + i * kTile, *p = b.p + i * kTile;
      for (int64_t j = 0; j <= i; ++j) decay[j] = b.c[i] - b.c[j] + b.rest[j];
      math::exp(i + 1, decay, decay);
      for (int64_t j = 0; j <= i; ++j) p[j] *= decay[j];
      std::fill(p + i + 1, p + rows, Real(0));
    }
    std::copy_n(b.decay + (rows - 1) * kTile, rows, b.w);
    host.gemm(values(b.r, rows), square(b.p, rows), values(b.v1, rows));
    if (before == nullptr) return;
    host.gemm(values(b.x, rows), features(b.phi_q, rows), matrix(before, m_, dh_ + 1));
    for (int64_t i = 0; i < rows; ++i) {
      math::axpy(dh_ + 1, std::exp(b.c[i]), b.x + i * (dh_ + 1), b.r + i * (dh_ + 1));
    }
  }

  int64_t heads_, dh_, m_, ld_;
  Real epsilon_;
  int64_t map_scratch_, states_per_head_;
  sdk::Saved<> states_;
  sdk::WorkerScratch<> tiles_;
};

class Rfa {
 public:
  explicit Rfa(sdk::Setup& setup)
      : shape_(shape_of(setup)),
        heads_(setup.heads),
        pool_(setup.integer("pool")),
        redraw_(setup.integer("redraw")),
        w_stride_((shape_.projections + 15) / 16 * 16),
        sigma_(setup.param("sigma", 1, heads_ * shape_.head_dim, {.init = LRA_INIT_ONE})),
        projection_(setup.buffer("projection", heads_ * shape_.projections, shape_.head_dim)),
        w_(setup.scratch("w", heads_ * shape_.head_dim * w_stride_)) {
    const bool released = setup.integer("released") != 0;
    if (pool_ != 0 && pool_ < heads_) {
      throw sdk::Refusal("a pool of " + std::to_string(pool_) + " matrices is too small for " + std::to_string(heads_) +
                         " heads; choose pool=0 or at least one matrix for each head");
    }
    if (setup.integer("gate") == 0) {
      attention_.emplace(setup, sizes(), released ? Real(0) : Real(setup.number("epsilon")), Real(released));
      return;
    }
    if (!setup.causal) {
      throw sdk::Refusal("gate=1 sums over the rows before, and this run is not causal; choose gate=0 or --causal");
    }
    if (released) throw sdk::Refusal("released=1 has no gate; choose one of gate=1 and released=1");
    gate_.emplace(setup, "g", setup.dim, heads_);
    gates_ = setup.saved("gates", setup.max_len * heads_);
    dgates_ = setup.scratch("d gates", setup.max_len * heads_);
    gated_.emplace(setup, sizes(), Real(setup.number("epsilon")));
  }

  void forward(const sdk::Step& step, const sdk::Qkv& x) const {
    if (attention_) return attention_->forward_each(step, x, [&](int64_t head) { return map(step, head, nullptr); });
    step.host.parallel_for(step.len, sdk::kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      gate_->forward(step, step.x, step[gates_], begin, end);
    });
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      gated_->forward(step, bind(step, x, head), map(step, head, nullptr), worker);
    });
  }
  void backward(const sdk::Step& step, const sdk::Qkv& x, const sdk::Grads& grads) const {
    if (attention_) {
      return attention_->backward_each(step, x, [&](int64_t head) { return map(step, head, grads[sigma_]); });
    }
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      GatedSums::Head h = bind(step, x, head);
      const int64_t first = head * shape_.head_dim;
      h.d_o = step[x.d_o] + first;
      h.dq = step[x.dq] + first;
      h.dk = step[x.dk] + first;
      h.dv = step[x.dv] + first;
      h.dgate = step[dgates_] + head;
      gated_->backward(step, h, map(step, head, grads[sigma_]), worker);
    });
  }
  // g = sigmoid(x W_g + b_g)
  void input_backward(const sdk::Step& step, Real* dx, const sdk::Grads& grads) const {
    if (!gate_) return;
    step.host.parallel_for(step.len, sdk::kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      gate_->backward_input(step, step[dgates_], dx, 1, begin, end);
    });
    gate_->backward_weight(step, step.x, step[dgates_], grads, 0, gate_->weight.rows);
  }
  sdk::Cost cost(int64_t len) const {
    const double h = double(heads_);
    const auto times = [](double n, const sdk::Cost& c) -> sdk::Cost {
      return {n * c.forward_flops, n * c.backward_flops, n * c.pairs};
    };
    sdk::Cost sum = times(h, sizes().cost(len));
    if (attention_) return sum += attention_->cost(len, sizes());
    sum += {.forward_flops = gate_->flops(len), .backward_flops = 2 * gate_->flops(len)};
    return sum += times(h, gated_->cost(len));
  }

  // New W_0 at step 0 and every `redraw` steps. A matrix of the pool is never stored: its number is its random stream.
  void after_step(const sdk::Step& step, sdk::Buffers buffers) const {
    const uint64_t every = uint64_t(redraw_), number = step.number();
    if (number != 0 && (every == 0 || number % every != 0)) return;
    const uint64_t draw = number == 0 ? 0 : number / every;
    const int64_t count = shape_.projections * shape_.head_dim;
    const std::vector<uint64_t> chosen = choose(step.host, draw);
    for (int64_t h = 0; h < heads_; ++h) {
      step.host.normal(2 * chosen[size_t(h)], 0, count, buffers[projection_] + h * count);
    }
  }

 private:
  RandomWaves sizes() const { return {shape_, w_stride_, {}}; }

  // A number for each head, all different.
  std::vector<uint64_t> choose(const sdk::Host& host, uint64_t draw) const {
    std::vector<uint64_t> chosen;
    for (uint64_t tried = 0; int64_t(chosen.size()) < heads_; ++tried) {
      uint64_t one = draw * uint64_t(heads_) + tried;
      if (pool_ != 0) {
        Real u = 0;
        host.uniform(2 * draw + 1, tried, 1, &u);
        one = std::min(uint64_t(double(u) * double(pool_)), uint64_t(pool_ - 1));
      }
      if (std::find(chosen.begin(), chosen.end(), one) == chosen.end()) chosen.push_back(one);
    }
    return chosen;
  }

  GatedSums::Head bind(const sdk::Step& step, const sdk::Qkv& x, int64_t head) const {
    const int64_t first = head * shape_.head_dim;
    return {head, step[x.q] + first, step[x.k] + first, step[x.v] + first, step[gates_] + head, step[x.o] + first};
  }

  // Of one head, whose share of w this writes.
  RandomWaves map(const sdk::Step& step, int64_t head, Real* dsigma) const {
    const int64_t dh = shape_.head_dim, p = shape_.projections;
    const Real *w0 = step[projection_] + head * p * dh, *sigma = step[sigma_] + head * dh;
    Real* w = step[w_] + head * dh * w_stride_;
    math::transpose(p, dh, w0, dh, w, w_stride_);
    for (int64_t c = 0; c < dh; ++c) math::scale(p, sigma[c] / shape_.tau, w + c * w_stride_);
    return {shape_, w_stride_, {w0, w, sigma, dsigma == nullptr ? nullptr : dsigma + head * dh}};
  }

  Shape shape_;
  int64_t heads_, pool_, redraw_, w_stride_;
  sdk::Param sigma_, projection_;
  sdk::Scratch<> w_;
  std::optional<sdk::KernelAttention> attention_;  // without gates
  std::optional<GatedSums> gated_;                 // with them
  std::optional<sdk::Linear> gate_;
  sdk::Saved<> gates_;
  sdk::Scratch<> dgates_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::sdk::QkvVariant<lra::Rfa>, lra::kInfo)
