// cosFormer: linear attention whose weights fall off with distance like a quarter of a cosine:
//   w_ij = f(q_i).f(k_j) cos(pi (i - j) / 2M),  o_i = sum_j w_ij v_j / max(sum_j w_ij, clamp)       M = N, f = relu
// which is a product of features because cos(a - b) = cos a cos b + sin a sin b:
//   phi(x_i) = [f(x_i) cos a_i, f(x_i) sin a_i],  a_i = pi i / 2M,  m = 2 dh
#include <cmath>
#include <numbers>

#include "math/feature_rows.h"
#include "sdk/kernel_attention.h"

namespace lra {
namespace {

using math::Side;
using sdk::Real;

// Choices of the option `kernel`.
constexpr math::Curve kCurves[] = {math::Curve::kRelu, math::Curve::kElu1};

constexpr lra_option kOptions[] = {
    sdk::choice("kernel", "f: relu, or elu + 1", "relu|elu"),
    sdk::number("clamp", "least denominator", 1e-6, 0, 1),
};

constexpr sdk::Info kInfo{
    .id = "cosformer",
    .title = "cosFormer",
    .paper = "Qin et al. 2022, arXiv:2202.08791",
    .formula =
        "phi(x_i) = [relu(x_i) cos a_i, relu(x_i) sin a_i],  a_i = pi i / 2N\n"
        "S = sum_j phi(k_j) [v_j, 1],  [r_i, z_i] = phi(q_i) S,  o_i = r_i / max(z_i, clamp)",
    .notes =
        "The weights of a row are not negative and sum to 1, but for rows whose relu(q) is 0 everywhere: they give 0.\n"
        "A denominator below `clamp` is a constant for the gradient. Queries and keys are not divided by sqrt(dh).\n"
        "N is the true length of the sequence, with causality too; released code counts padding.",
    .time = "O(N D dh)",
    .memory = "O(N D)",
    .time_exponent = 1,
    .memory_exponent = 1,
    .flags = LRA_CAUSAL | LRA_BIDIRECTIONAL,
    .options = kOptions,
};

class Reweighted : public math::FeatureMap<Real> {
 public:
  // cosine, sine: of a_i for every row; borrowed, null where only sizes are asked for.
  Reweighted(math::Curve curve, int64_t head_dim, const Real* cosine, const Real* sine)
      : curve_(curve), head_dim_(head_dim), cosine_(cosine), sine_(sine) {}

  int64_t features() const override { return 2 * head_dim_; }
  int64_t scratch_elements(int64_t) const override { return 0; }
  Real forward(Side, int64_t row, int64_t rows, const Real* x, int64_t ldx, Real* phi, int64_t ldphi,
               Real*) const override {
    math::curve(curve_, rows, head_dim_, x, ldx, Real(1), Real(0), phi, ldphi);
    math::scale_rows(rows, head_dim_, sine_ + row, phi, ldphi, phi + head_dim_, ldphi);
    math::scale_rows(rows, head_dim_, cosine_ + row, phi, ldphi, phi, ldphi);
    return 0;
  }
  void backward(Side, int64_t row, int64_t rows, const Real* x, int64_t ldx, const Real*, int64_t, Real* dphi,
                int64_t lddphi, Real* dx, int64_t lddx, Real*) const override {
    math::scale_rows(rows, head_dim_, cosine_ + row, dphi, lddphi, dphi, lddphi);
    math::axpy_rows(rows, head_dim_, sine_ + row, dphi + head_dim_, lddphi, dphi, lddphi);
    math::curve_backward(curve_, rows, head_dim_, x, ldx, Real(1), dphi, lddphi, dx, lddx);
  }

 private:
  math::Curve curve_;
  int64_t head_dim_;
  const Real *cosine_, *sine_;
};

class Cosformer {
 public:
  explicit Cosformer(sdk::Setup& setup)
      : curve_(kCurves[setup.integer("kernel")]),
        head_dim_(setup.head_dim),
        max_len_(setup.max_len),
        attention_(setup, Reweighted(curve_, head_dim_, nullptr, nullptr), Real(0), Real(setup.number("clamp"))),
        angles_(setup.scratch("cosines and sines", 2 * max_len_)) {}

  void forward(const sdk::Step& step, const sdk::Qkv& x) const { attention_.forward(step, x, map(step)); }
  void backward(const sdk::Step& step, const sdk::Qkv& x) const { attention_.backward(step, x, map(step)); }
  sdk::Cost cost(int64_t len) const { return attention_.cost(len, Reweighted(curve_, head_dim_, nullptr, nullptr)); }

 private:
  Reweighted map(const sdk::Step& step) const {
    Real *cosine = step[angles_], *sine = cosine + max_len_;
    for (int64_t i = 0; i < step.len; ++i) {
      const double angle = std::numbers::pi * double(i) / double(2 * step.len);
      cosine[i] = Real(std::cos(angle));
      sine[i] = Real(std::sin(angle));
    }
    return {curve_, head_dim_, cosine, sine};
  }

  math::Curve curve_;
  int64_t head_dim_, max_len_;
  sdk::KernelAttention attention_;
  sdk::Scratch<> angles_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::sdk::QkvVariant<lra::Cosformer>, lra::kInfo)
