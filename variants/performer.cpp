// Performer (FAVOR+): random features phi with E[phi(q).phi(k)] = exp(q.k / sqrt(dh)), or any curve f of random
// projections. With x~ = x dh^(-1/4) and u = W x~, W: [p, dh] random, not trained, the same for queries and keys
// and, unless per_head, for all heads:
//   positive       phi = exp(u - |x~|^2/2)                                        m = p
//   hyperbolic     phi = [exp(u), exp(-u)] exp(-|x~|^2/2)                         m = 2p
//   trigonometric  phi = [cos u, sin u] exp(|x~|^2/2)                             m = 2p; may be negative
//   f              phi = m^(-1/2) f(u) + epsilon                                  m = p; generalised kernel
//   f, no projection   phi = f(x) + epsilon                                       m = dh
// o_i = sum_j phi(q_i).phi(k_j) v_j / sum_j phi(q_i).phi(k_j); factors common to all features (m^(-1/2) of the first
// three) cancel in the quotient and are left out. Exponents are taken relative to the largest one: of the row for a
// query, of the tile for keys, whose scales math/feature_attention.h keeps. Backward, with e = phi without epsilon and
// du = dphi o e:
//   positive: dx~ = du W - (sum of du) x~;   trigonometric: du = dphi_sin o cos - dphi_cos o sin, dx~ = du W +
//   (dphi.phi) x~
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "math/feature_rows.h"
#include "sdk/kernel_attention.h"

namespace lra {
namespace {

using math::Side;
using sdk::Real;

enum class Kernel { kPositive, kHyperbolic, kTrigonometric, kCurve };  // kCurve and above: math::Curve, see kCurves
enum class Projection { kOrthogonal, kIid, kNone, kGivens };
enum class Norms { kChi, kSqrt };

// Choices of the option `kernel` from kCurve on.
constexpr math::Curve kCurves[] = {math::Curve::kRelu, math::Curve::kExp,     math::Curve::kSigmoid,
                                   math::Curve::kAbs,  math::Curve::kGelu,    math::Curve::kCos,
                                   math::Curve::kTanh, math::Curve::kIdentity};

constexpr lra_option kOptions[] = {
    sdk::choice("kernel", "softmax kernel by positive, hyperbolic or trigonometric features, or a curve f",
                "positive|hyperbolic|trigonometric|relu|exp|sigmoid|abs|gelu|cos|tanh|identity"),
    sdk::integer("features", "columns m of the feature matrix; hyperbolic and trigonometric use m / 2 projections", 256,
                 1, 1 << 16),
    sdk::choice("projection",
                "orthogonal blocks of dh rows, independent rows, none: f of the raw x, m = dh; or blocks that are "
                "products of random plane rotations",
                "orthogonal|iid|none|givens"),
    sdk::choice("norms",
                "length of a row of W: that of a fresh normal vector, or sqrt(dh) (SMREG with kernel=positive)",
                "chi|sqrt"),
    sdk::integer("redraw", "optimiser steps between two draws of W; 0: drawn once", 1000, 0, int64_t(1) << 40),
    sdk::integer("per_head", "1: a W for each head", 0, 0, 1),
    sdk::number("epsilon", "added to every feature; -1: 0 for the softmax kernels, 1e-3 for a curve", -1, -1, 100),
};

constexpr sdk::Info kInfo{
    .id = "performer",
    .title = "Performer (FAVOR+)",
    .paper = "Choromanski et al. 2021, arXiv:2009.14794",
    .formula =
        "x~ = x dh^(-1/4),  u = W x~,  phi(x) = exp(u - |x~|^2/2)   (kernel=positive; others: see notes)\n"
        "S = sum_j phi(k_j) [v_j, 1],  [r_i, z_i] = phi(q_i) S,  o_i = r_i / z_i",
    .notes =
        "hyperbolic: phi = [e^u, e^-u] e^(-|x~|^2/2); trigonometric: phi = [cos u, sin u] e^(|x~|^2/2), whose "
        "denominators can "
        "come near 0 or below; a curve f (gelu: by tanh): phi = m^(-1/2) f(u) + epsilon, and with projection=none f(x) "
        "+ epsilon on "
        "the raw x, "
        "m = dh (the benchmark's released Performer: kernel=relu, projection=none). Buffer projection: [p, dh], one "
        "row per "
        "direction, shared by queries, keys and heads (per_head=1: [H p, dh], head after head), drawn at step 0 and "
        "every `redraw` steps. projection=givens: blocks of dh rows +-e_r turned by dh ceil(ln dh) rotations in "
        "random planes, each block by its own (the released code turns all alike and draws no signs): orthogonal, and "
        "nearly as evenly spread as the QR form at less work. epsilon is added to "
        "the "
        "features as written in the formula, whatever scale the exponents are computed in. The error of the softmax "
        "kernels "
        "grows like exp(|q + k|^2 / sqrt(dh)): they need small queries and keys.",
    .time = "O(N m D)",
    .memory = "O(N D + m D)",
    .time_exponent = 1,
    .memory_exponent = 1,
    .flags = LRA_CAUSAL | LRA_BIDIRECTIONAL | LRA_ROW_STOCHASTIC,
    .options = kOptions,
};

// What does not change from step to step.
struct Shape {
  Kernel kernel;
  math::Curve curve;
  bool projected;
  int64_t head_dim, features, projections;
  Real epsilon;
};

Shape shape_of(const sdk::Setup& setup) {
  Shape s{};
  const int64_t choice = setup.integer("kernel");
  s.kernel = Kernel(std::min(choice, int64_t(Kernel::kCurve)));
  if (s.kernel == Kernel::kCurve) s.curve = kCurves[choice - int64_t(Kernel::kCurve)];
  s.projected = setup.choice<Projection>("projection") != Projection::kNone;
  s.head_dim = setup.head_dim;
  s.features = s.projected ? setup.integer("features") : s.head_dim;
  s.projections = s.projected ? s.features : 0;
  const double epsilon = setup.number("epsilon");
  s.epsilon = Real(epsilon >= 0 ? epsilon : s.kernel == Kernel::kCurve ? 1e-3 : 0);

  if (!s.projected && s.kernel != Kernel::kCurve) {
    throw sdk::Refusal(
        "projection=none has no random features to estimate the softmax kernel with; choose kernel=relu or "
        "another curve, or projection=orthogonal");
  }
  if (s.kernel == Kernel::kHyperbolic || s.kernel == Kernel::kTrigonometric) {
    if (s.features % 2 != 0) {
      throw sdk::Refusal("features=" + std::to_string(s.features) +
                         " is odd, but each projection of this kernel makes two "
                         "features; choose an even number");
    }
    s.projections = s.features / 2;
  }
  if (s.kernel == Kernel::kTrigonometric && s.epsilon > 0) {
    throw sdk::Refusal(
        "epsilon > 0 is not defined for kernel=trigonometric, whose features have both signs; set epsilon=0");
  }
  return s;
}

class RandomFeatures : public math::FeatureMap<Real> {
 public:
  // w: [p, dh]; wt: its transpose, rows padded to wt_stride. Borrowed; null where only sizes are asked for.
  RandomFeatures(const Shape& shape, const Real* w, const Real* wt, int64_t wt_stride)
      : s_(shape),
        w_(w),
        wt_(wt),
        wt_stride_(wt_stride),
        root_(Real(std::pow(double(shape.head_dim), -0.25))),
        factor_(shape.projected ? Real(1 / std::sqrt(double(shape.features))) : Real(1)) {}

  int64_t features() const override { return s_.features; }
  // The numbers of Rows; for a curve u instead.
  int64_t scratch_elements(int64_t rows) const override {
    return s_.kernel == Kernel::kCurve ? rows * s_.projections : kRowNumbers * rows;
  }

  Real forward(Side side, int64_t, int64_t rows, const Real* x, int64_t ldx, Real* phi, int64_t ldphi,
               Real* scratch) const override {
    switch (s_.kernel) {
      case Kernel::kPositive:
      case Kernel::kHyperbolic:
        return exponential(side, rows, x, ldx, phi, ldphi, Rows(scratch, rows));
      case Kernel::kTrigonometric:
        return trigonometric(side, rows, x, ldx, phi, ldphi, Rows(scratch, rows));
      case Kernel::kCurve:
        if (s_.projected) project(rows, root_, x, ldx, scratch, s_.projections);
        math::curve(s_.curve, rows, s_.features, s_.projected ? scratch : x, s_.projected ? s_.projections : ldx,
                    factor_, s_.epsilon, phi, ldphi);
        return 0;
    }
    return 0;
  }

  void backward(Side, int64_t, int64_t rows, const Real* x, int64_t ldx, const Real* phi, int64_t ldphi, Real* dphi,
                int64_t lddphi, Real* dx, int64_t lddx, Real* scratch) const override {
    switch (s_.kernel) {
      case Kernel::kPositive:
      case Kernel::kHyperbolic:
        return exponential_backward(rows, x, ldx, phi, ldphi, dphi, lddphi, dx, lddx, Rows(scratch, rows));
      case Kernel::kTrigonometric:
        return trigonometric_backward(rows, x, ldx, phi, ldphi, dphi, lddphi, dx, lddx, Rows(scratch, rows));
      case Kernel::kCurve:
        if (!s_.projected) {
          math::curve_backward(s_.curve, rows, s_.features, x, ldx, factor_, dphi, lddphi, dx, lddx);
          return;
        }
        math::curve_backward(s_.curve, rows, s_.features, scratch, s_.projections, factor_, dphi, lddphi, dphi, lddphi);
        project_backward(rows, dphi, lddphi, dx, lddx);
    }
  }

  // Products with W of both sides: forward; in backward they are made again, then two with its transpose.
  sdk::Cost cost(int64_t len) const {
    const double product = 2.0 * double(len) * double(s_.projections) * double(s_.head_dim);
    return {.forward_flops = 2 * product, .backward_flops = 4 * product};
  }

 private:
  static constexpr Real kBits = std::numbers::log2e_v<Real>;
  static constexpr int64_t kRowNumbers = 5;
  struct Rows {
    Rows(Real* scratch, int64_t rows)
        : scale(scratch),
          half_square(scratch + rows),
          whole(scratch + 2 * rows),
          offset(scratch + 3 * rows),
          sum(scratch + 4 * rows) {}
    Real *scale, *half_square, *whole, *offset, *sum;
  };

  // u = alpha W x
  void project(int64_t rows, Real alpha, const Real* x, int64_t ldx, Real* u, int64_t ldu) const {
    math::gemm<Real>({.m = rows,
                      .n = s_.projections,
                      .k = s_.head_dim,
                      .a = x,
                      .lda = ldx,
                      .b = wt_,
                      .ldb = wt_stride_,
                      .c = u,
                      .ldc = ldu,
                      .alpha = alpha});
  }
  // dx = dh^(-1/4) du W
  void project_backward(int64_t rows, const Real* du, int64_t lddu, Real* dx, int64_t lddx) const {
    math::gemm<Real>({.m = rows,
                      .n = s_.head_dim,
                      .k = s_.projections,
                      .a = du,
                      .lda = lddu,
                      .b = w_,
                      .ldb = s_.head_dim,
                      .c = dx,
                      .ldc = lddx,
                      .alpha = root_});
  }
  // half_square = |x~|^2 / 2, in bits.
  void half_squares(int64_t rows, const Real* x, int64_t ldx, Real* half_square) const {
    math::dot_rows(rows, s_.head_dim, x, ldx, x, ldx, half_square);
    for (int64_t r = 0; r < rows; ++r) half_square[r] *= kBits * root_ * root_ / 2;
  }

  // Exponents are in bits: e^a = 2^(a log2 e). The scales are whole bits: they change no digit, so that a causal row
  // stays the same to the last bit when a later row of its tile changes.
  Real exponential(Side side, int64_t rows, const Real* x, int64_t ldx, Real* phi, int64_t ldphi, Rows r) const {
    const bool both = s_.kernel == Kernel::kHyperbolic;
    project(rows, kBits * root_, x, ldx, phi, ldphi);
    half_squares(rows, x, ldx, r.half_square);
    (both ? math::max_abs_rows<Real> : math::max_rows<Real>)(rows, s_.projections, phi, ldphi, r.scale);
    // A row's largest exponent is scale - half_square; its whole bits are split off, so that large norms keep their
    // digits.
    for (int64_t i = 0; i < rows; ++i) {
      r.whole[i] = std::floor(r.half_square[i]);
      r.half_square[i] -= r.whole[i];
      r.scale[i] = std::ceil(r.scale[i] - r.half_square[i]);
    }
    // `down` becomes an exponent of 0. Not below epsilon, which would overflow.
    const Real least = s_.epsilon > 0 ? std::ceil(std::log2(s_.epsilon)) : std::numeric_limits<Real>::lowest();
    Real tile = least;
    for (int64_t i = 0; i < rows; ++i) tile = std::max(tile, r.scale[i] - r.whole[i]);
    for (int64_t i = 0; i < rows; ++i) {
      const Real down = side == Side::kKey ? tile : std::max(r.scale[i] - r.whole[i], least);
      r.whole[i] = std::max(down + r.whole[i], r.scale[i]);
      r.offset[i] = s_.epsilon > 0 ? s_.epsilon * std::exp2(-down) : Real(0);
    }
    if (both) {
      math::exp2_rows(rows, s_.projections, Real(-1), phi, ldphi, r.half_square, r.whole, r.offset,
                      phi + s_.projections, ldphi);
    }
    math::exp2_rows(rows, s_.projections, Real(1), phi, ldphi, r.half_square, r.whole, r.offset, phi, ldphi);
    return tile;
  }
  void exponential_backward(int64_t rows, const Real* x, int64_t ldx, const Real* phi, int64_t ldphi, Real* dphi,
                            int64_t lddphi, Real* dx, int64_t lddx, Rows r) const {
    const int64_t p = s_.projections;
    math::product_rows(rows, p, dphi, lddphi, phi, ldphi, r.offset, dphi, lddphi, r.sum);
    if (s_.kernel == Kernel::kHyperbolic) {
      math::product_rows(rows, p, dphi + p, lddphi, phi + p, ldphi, r.offset, dphi + p, lddphi, r.scale);
      for (int64_t i = 0; i < rows; ++i) r.sum[i] += r.scale[i];
      std::fill(r.scale, r.scale + rows, Real(-1));
      math::axpy_rows(rows, p, r.scale, dphi + p, lddphi, dphi, lddphi);
    }
    project_backward(rows, dphi, lddphi, dx, lddx);
    for (int64_t i = 0; i < rows; ++i) r.sum[i] *= -root_ * root_;
    math::axpy_rows(rows, s_.head_dim, r.sum, x, ldx, dx, lddx);
  }

  Real trigonometric(Side side, int64_t rows, const Real* x, int64_t ldx, Real* phi, int64_t ldphi, Rows r) const {
    project(rows, root_, x, ldx, phi, ldphi);
    half_squares(rows, x, ldx, r.half_square);
    const Real tile = std::ceil(*std::max_element(r.half_square, r.half_square + rows));
    for (int64_t i = 0; i < rows; ++i) {
      const Real whole = std::floor(r.half_square[i]);
      r.scale[i] = side == Side::kKey ? std::exp2(r.half_square[i] - whole) * std::exp2(whole - tile) : Real(1);
    }
    math::cos_sin_rows(rows, s_.projections, phi, ldphi, r.scale, phi, ldphi, phi + s_.projections, ldphi);
    return tile;
  }
  void trigonometric_backward(int64_t rows, const Real* x, int64_t ldx, const Real* phi, int64_t ldphi, Real* dphi,
                              int64_t lddphi, Real* dx, int64_t lddx, Rows r) const {
    const int64_t p = s_.projections;
    math::dot_rows(rows, s_.features, dphi, lddphi, phi, ldphi, r.sum);
    std::fill(r.offset, r.offset + rows, Real(0));
    math::product_rows(rows, p, dphi, lddphi, phi + p, ldphi, r.offset, dphi, lddphi, r.scale);
    math::product_rows(rows, p, dphi + p, lddphi, phi, ldphi, r.offset, dphi + p, lddphi, r.scale);
    std::fill(r.scale, r.scale + rows, Real(-1));
    math::axpy_rows(rows, p, r.scale, dphi, lddphi, dphi + p, lddphi);
    project_backward(rows, dphi + p, lddphi, dx, lddx);
    for (int64_t i = 0; i < rows; ++i) r.sum[i] *= root_ * root_;
    math::axpy_rows(rows, s_.head_dim, r.sum, x, ldx, dx, lddx);
  }

  Shape s_;
  const Real *w_, *wt_;
  int64_t wt_stride_;
  Real root_, factor_;  // dh^(-1/4); m^(-1/2)
};

class Performer {
 public:
  explicit Performer(sdk::Setup& setup)
      : shape_(shape_of(setup)),
        projection_kind_(setup.choice<Projection>("projection")),
        norms_(setup.choice<Norms>("norms")),
        redraw_(setup.integer("redraw")),
        wt_stride_((shape_.projections + 15) / 16 * 16),
        attention_(setup, RandomFeatures(shape_, nullptr, nullptr, 0), Real(0)),
        heads_(setup.heads),
        draws_(setup.integer("per_head") != 0 ? heads_ : 1) {
    if (!shape_.projected) return;
    projection_ = setup.buffer("projection", draws_ * shape_.projections, shape_.head_dim);
    transposed_ = setup.scratch("projection transposed", draws_ * shape_.head_dim * wt_stride_);
  }

  void forward(const sdk::Step& step, const sdk::Qkv& x) const {
    transpose(step);
    attention_.forward_each(step, x, [&](int64_t head) { return map(step, head); });
  }
  void backward(const sdk::Step& step, const sdk::Qkv& x) const {
    transpose(step);
    attention_.backward_each(step, x, [&](int64_t head) { return map(step, head); });
  }
  sdk::Cost cost(int64_t len) const {
    const RandomFeatures sizes(shape_, nullptr, nullptr, 0);
    const sdk::Cost one = sizes.cost(len);
    sdk::Cost sum = attention_.cost(len, sizes);
    return sum +=
           {.forward_flops = double(heads_) * one.forward_flops, .backward_flops = double(heads_) * one.backward_flops};
  }

  // A new W at step 0 and every `redraw` steps.
  void after_step(const sdk::Step& step, sdk::Buffers buffers) const {
    if (!shape_.projected) return;
    const uint64_t every = uint64_t(redraw_), number = step.number();
    if (number != 0 && (every == 0 || number % every != 0)) return;
    const uint64_t draw = number == 0 ? 0 : number / every;
    const int64_t p = shape_.projections, dh = shape_.head_dim;
    for (int64_t head = 0; head < draws_; ++head) {
      Real* w = buffers[projection_] + head * p * dh;
      if (projection_kind_ == Projection::kGivens) {
        rotate(step.host, 2 * draw, head, w);
      } else {
        step.host.normal(2 * draw, uint64_t(head * p * dh), p * dh, w);
      }
      if (projection_kind_ == Projection::kIid && norms_ == Norms::kChi) continue;
      for (int64_t r = 0; r < p; ++r) {
        if (projection_kind_ == Projection::kOrthogonal) make_orthogonal(w, r);
        Real* row = w + r * dh;
        const double length =
            norms_ == Norms::kSqrt ? std::sqrt(double(dh)) : chi(step.host, 2 * draw + 1, head * p + r);
        const double scale = length / std::sqrt(dot(row, row));
        for (int64_t c = 0; c < dh; ++c) row[c] *= Real(scale);
      }
    }
  }

 private:
  double dot(const Real* a, const Real* b) const {
    double sum = 0;
    for (int64_t c = 0; c < shape_.head_dim; ++c) sum += double(a[c]) * double(b[c]);
    return sum;
  }
  // Takes from row r its shares of the earlier rows of its block of dh (Gram-Schmidt, which from normal rows gives a
  // uniformly random frame).
  void make_orthogonal(Real* w, int64_t r) const {
    const int64_t dh = shape_.head_dim;
    Real* row = w + r * dh;
    // A second pass removes what rounding left of the first.
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t earlier = r / dh * dh; earlier < r; ++earlier) {
        const Real* other = w + earlier * dh;
        const double share = dot(row, other) / dot(other, other);
        for (int64_t c = 0; c < dh; ++c) row[c] -= Real(share * double(other[c]));
      }
    }
  }
  // Blocks of rows +-e_r, turned by dh ceil(ln dh) rotations in random planes (i, j).
  void rotate(const sdk::Host& host, uint64_t stream, int64_t head, Real* w) const {
    const int64_t p = shape_.projections, dh = shape_.head_dim;
    const int64_t turns = dh * int64_t(std::ceil(std::log(double(dh)))), blocks = (p + dh - 1) / dh;
    uint64_t offset = uint64_t(head * blocks * (dh + 3 * turns));
    const auto next = [&] {
      Real u = 0;
      host.uniform(stream, offset++, 1, &u);
      return double(u);
    };
    std::fill_n(w, p * dh, Real(0));
    for (int64_t first = 0; first < blocks * dh; first += dh) {
      const int64_t end = std::min(first + dh, p);
      for (int64_t r = 0; r < dh; ++r) {
        const Real sign = next() < 0.5 ? Real(-1) : Real(1);
        if (first + r < end) w[(first + r) * dh + r] = sign;
      }
      for (int64_t turn = 0; turn < turns; ++turn) {
        const int64_t i = int64_t(next() * double(dh)), other = int64_t(next() * double(dh - 1));
        const int64_t j = other < i ? other : other + 1;
        const double angle = 2 * std::numbers::pi * next(), cosine = std::cos(angle), sine = std::sin(angle);
        for (int64_t r = first; r < end; ++r) {
          Real &a = w[r * dh + i], &b = w[r * dh + j];
          const double turned = cosine * double(a) - sine * double(b);
          b = Real(sine * double(a) + cosine * double(b));
          a = Real(turned);
        }
      }
    }
  }
  // Length of the r-th normal vector of dh numbers of a stream.
  double chi(const sdk::Host& host, uint64_t stream, int64_t r) const {
    double sum = 0;
    for (int64_t c = 0; c < shape_.head_dim; ++c) {
      Real z = 0;
      host.normal(stream, uint64_t(r * shape_.head_dim + c), 1, &z);
      sum += double(z) * double(z);
    }
    return std::sqrt(sum);
  }

  void transpose(const sdk::Step& step) const {
    const int64_t p = shape_.projections, dh = shape_.head_dim;
    for (int64_t head = 0; shape_.projected && head < draws_; ++head) {
      math::transpose(p, dh, step[projection_] + head * p * dh, dh, step[transposed_] + head * dh * wt_stride_,
                      wt_stride_);
    }
  }
  RandomFeatures map(const sdk::Step& step, int64_t head) const {
    if (!shape_.projected) return {shape_, nullptr, nullptr, 0};
    const int64_t own = draws_ == 1 ? 0 : head, dh = shape_.head_dim;
    return {shape_, step[projection_] + own * shape_.projections * dh, step[transposed_] + own * dh * wt_stride_,
            wt_stride_};
  }

  Shape shape_;
  Projection projection_kind_;
  Norms norms_;
  int64_t redraw_, wt_stride_;
  sdk::KernelAttention attention_;
  int64_t heads_, draws_;  // draws: of W, one or one for each head
  sdk::Param projection_;
  sdk::Scratch<> transposed_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::sdk::QkvVariant<lra::Performer>, lra::kInfo)
