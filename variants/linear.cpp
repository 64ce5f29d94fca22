// Linear attention: the feature map elu + 1 on the raw queries and keys, m = dh features.
//   phi(x) = x + 1 above 0, e^x below;   o_i = sum_j phi(q_i).phi(k_j) v_j / (sum_j phi(q_i).phi(k_j) + eps)
#include "math/feature_rows.h"
#include "sdk/kernel_attention.h"

namespace lra {
namespace {

using sdk::Real;

constexpr lra_option kOptions[] = {
    sdk::number("eps", "added to the denominator", 1e-6, 0, 1),
};

constexpr sdk::Info kInfo{
    .id = "linear",
    .title = "Linear attention (elu + 1)",
    .paper = "Katharopoulos et al. 2020, arXiv:2006.16236",
    .formula =
        "phi(x) = elu(x) + 1\n"
        "S = sum_j phi(k_j) [v_j, 1],  [r_i, z_i] = phi(q_i) S,  o_i = r_i / (z_i + eps)",
    .notes = "Queries and keys are not divided by sqrt(dh). Causal: sums over chunks of rows, exact.",
    .time = "O(N D dh)",
    .memory = "O(N D)",
    .time_exponent = 1,
    .memory_exponent = 1,
    .flags = LRA_CAUSAL | LRA_BIDIRECTIONAL,
    .options = kOptions,
};

class Elu1 : public math::FeatureMap<Real> {
 public:
  explicit Elu1(int64_t head_dim) : head_dim_(head_dim) {}
  int64_t features() const override { return head_dim_; }
  int64_t scratch_elements(int64_t) const override { return 0; }
  Real forward(math::Side, int64_t, int64_t rows, const Real* x, int64_t ldx, Real* phi, int64_t ldphi,
               Real*) const override {
    math::curve(math::Curve::kElu1, rows, head_dim_, x, ldx, Real(1), Real(0), phi, ldphi);
    return 0;
  }
  void backward(math::Side, int64_t, int64_t rows, const Real* x, int64_t ldx, const Real*, int64_t, Real* dphi,
                int64_t lddphi, Real* dx, int64_t lddx, Real*) const override {
    math::curve_backward(math::Curve::kElu1, rows, head_dim_, x, ldx, Real(1), dphi, lddphi, dx, lddx);
  }

 private:
  int64_t head_dim_;
};

class Linear {
 public:
  explicit Linear(sdk::Setup& setup) : map_(setup.head_dim), attention_(setup, map_, Real(setup.number("eps"))) {}

  void forward(const sdk::Step& step, const sdk::Qkv& x) const { attention_.forward(step, x, map_); }
  void backward(const sdk::Step& step, const sdk::Qkv& x) const { attention_.backward(step, x, map_); }
  sdk::Cost cost(int64_t len) const { return attention_.cost(len, map_); }

 private:
  Elu1 map_;
  sdk::KernelAttention attention_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::sdk::QkvVariant<lra::Linear>, lra::kInfo)
