// Mean attention: every row gets the average of all values (causal: of those up to itself), whatever queries and keys
// say.
//   o_i = 1/|A(i)| sum over j in A(i) of v_j
#include <algorithm>

#include "sdk/qkv.h"

namespace {

using lra::sdk::Cost, lra::sdk::Qkv, lra::sdk::Real, lra::sdk::Setup, lra::sdk::Step;

constexpr lra::sdk::Info kInfo{
    .id = "mean",
    .title = "Mean attention",
    .paper = "an example",
    .formula = "o_i = mean of v_j over the rows that i may see",
    .time = "O(N D)",
    .memory = "O(N D)",
    .time_exponent = 1,
    .memory_exponent = 1,
    .flags = LRA_CAUSAL | LRA_BIDIRECTIONAL,
};

class Mean {
 public:
  explicit Mean(Setup& setup) : inner_(setup.inner), causal_(setup.causal), sum_(setup.scratch("sum", setup.inner)) {}

  void forward(const Step& step, const Qkv& x) const {
    const Real* v = step[x.v];
    Real* o = step[x.o];
    Real* sum = step[sum_];
    std::fill_n(sum, inner_, Real(0));
    for (int64_t i = 0; i < step.len; ++i) {  // running mean
      for (int64_t c = 0; c < inner_; ++c) o[i * inner_ + c] = (sum[c] += v[i * inner_ + c]) / Real(i + 1);
    }
    if (causal_) return;
    for (int64_t i = 0; i < step.len; ++i) std::copy_n(o + (step.len - 1) * inner_, inner_, o + i * inner_);
  }

  void backward(const Step& step, const Qkv& x) const {
    const Real* d_o = step[x.d_o];
    Real* sum = step[sum_];
    std::fill_n(sum, inner_, Real(0));
    for (int64_t i = step.len - 1; i >= 0; --i) {  // row j receives from every row that sees it
      for (int64_t c = 0; c < inner_; ++c) {
        sum[c] += d_o[i * inner_ + c] / Real(causal_ ? i + 1 : step.len);
        step[x.dv][i * inner_ + c] = sum[c];
      }
    }
    if (!causal_) {
      for (int64_t i = 0; i < step.len; ++i) std::copy_n(sum, inner_, step[x.dv] + i * inner_);
    }
    std::fill_n(step[x.dq], step.len * inner_, Real(0));
    std::fill_n(step[x.dk], step.len * inner_, Real(0));
  }

  Cost cost(int64_t) const { return {}; }

 private:
  int64_t inner_;
  bool causal_;
  lra::sdk::Scratch<> sum_;
};

}  // namespace

LRA_VARIANT(lra::sdk::QkvVariant<Mean>, kInfo)
