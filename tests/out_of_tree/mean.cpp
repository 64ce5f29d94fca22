// Mean attention: every row gets the average of the values it may see, whatever queries and keys say; its own value
// counts `self` times.
//   o_i = (sum over j in A(i) of v_j + (self - 1) v_i) / (|A(i)| + self - 1),   A(i): all rows, or those up to i
#include <algorithm>

#include "sdk/qkv.h"

namespace lra {
namespace {

using sdk::Real;

constexpr lra_option kOptions[] = {
    sdk::number("self", "how often a row counts its own value", 1, 1, 1000),
};

constexpr sdk::Info kInfo{
    .id = "mean",
    .title = "Mean attention",
    .paper = "an example",
    .formula = "o_i = (sum of v_j over the rows that i may see + (self - 1) v_i) / (their number + self - 1)",
    .notes = "Queries and keys are computed and not looked at.",
    .time = "O(N D)",
    .memory = "O(N D)",
    .time_exponent = 1,
    .memory_exponent = 1,
    .flags = LRA_CAUSAL | LRA_BIDIRECTIONAL | LRA_ROW_STOCHASTIC,
    .options = kOptions,
};

class MeanAttention {
 public:
  explicit MeanAttention(sdk::Setup& setup)
      : inner_(setup.inner),
        causal_(setup.causal),
        extra_(Real(setup.number("self")) - 1),
        sum_(setup.scratch("sum", setup.inner)) {}

  void forward(const sdk::Step& step, const sdk::Qkv& x) const {
    const Real* v = step[x.v];
    Real* sum = step[sum_];
    std::fill_n(sum, inner_, Real(0));
    for (int64_t i = 0; i < step.len && !causal_; ++i) add(1, v + i * inner_, sum);
    for (int64_t i = 0; i < step.len; ++i) {
      if (causal_) add(1, v + i * inner_, sum);
      Real* o = step[x.o] + i * inner_;
      for (int64_t c = 0; c < inner_; ++c) o[c] = (sum[c] + extra_ * v[i * inner_ + c]) / divisor(step, i);
    }
  }

  // dv_j = sum over the rows i that see j of d_o_i / divisor_i, its own counted again (self - 1) times.
  void backward(const sdk::Step& step, const sdk::Qkv& x) const {
    const Real* d_o = step[x.d_o];
    Real* sum = step[sum_];
    std::fill_n(sum, inner_, Real(0));
    for (int64_t i = 0; i < step.len && !causal_; ++i) add(1 / divisor(step, i), d_o + i * inner_, sum);
    for (int64_t i = step.len - 1; i >= 0; --i) {
      if (causal_) add(1 / divisor(step, i), d_o + i * inner_, sum);
      Real* dv = step[x.dv] + i * inner_;
      for (int64_t c = 0; c < inner_; ++c) dv[c] = sum[c] + extra_ * d_o[i * inner_ + c] / divisor(step, i);
    }
    std::fill_n(step[x.dq], step.len * inner_, Real(0));
    std::fill_n(step[x.dk], step.len * inner_, Real(0));
  }

  // No product of matrices and no pair of query and key; the projections are counted by QkvVariant.
  sdk::Cost cost(int64_t) const { return {}; }

 private:
  void add(Real weight, const Real* row, Real* sum) const {
    for (int64_t c = 0; c < inner_; ++c) sum[c] += weight * row[c];
  }
  Real divisor(const sdk::Step& step, int64_t i) const { return Real(causal_ ? i + 1 : step.len) + extra_; }

  int64_t inner_;
  bool causal_;
  Real extra_;  // self - 1
  sdk::Scratch<> sum_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::sdk::QkvVariant<lra::MeanAttention>, lra::kInfo)
