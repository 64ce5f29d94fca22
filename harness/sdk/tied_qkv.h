// The linears of an attention module that may use one projection for queries and keys:
//   tied   q = k = x W_qk + b_qk               own keys   q = x W_q + b_q,  k = x W_k + b_k
//   v = x W_v + b_v,   o = idea(q, k, v),   y = o W_o + b_o
#ifndef LRA_SDK_TIED_QKV_H
#define LRA_SDK_TIED_QKV_H

#include <algorithm>
#include <optional>

#include "math/elementwise.h"
#include "sdk/qkv.h"

namespace lra::sdk {

// Blocks and order of calls are those of Qkv. Tied: k is the block of q, and the variant writes dq and dk apart;
// project_backward adds them up.
class TiedQkv {
 public:
  enum class Keys { kTied, kOwn };

  TiedQkv(Setup& setup, Keys keys)
      : wq_(setup, keys == Keys::kTied ? "qk" : "q", setup.dim, setup.inner),
        wk_(keys == Keys::kTied ? std::optional<Linear>()
                                : Linear(setup, "k", setup.dim, setup.inner, {.align = &wq_.weight})),
        wv_(setup, "v", setup.dim, setup.inner),
        wo_(setup, "o", setup.inner, setup.dim, {.init = LRA_INIT_RESIDUAL}),
        q(setup.saved(keys == Keys::kTied ? "qk" : "q", setup.max_len * setup.inner)),
        k(keys == Keys::kTied ? q : setup.saved("k", setup.max_len * setup.inner)),
        v(setup.saved("v", setup.max_len * setup.inner)),
        o(setup.saved("o", setup.max_len * setup.inner)),
        dq(setup.scratch("dq", setup.max_len * setup.inner)),
        dk(setup.scratch("dk", setup.max_len * setup.inner)),
        dv(setup.scratch("dv", setup.max_len * setup.inner)),
        d_o(setup.scratch("do", setup.max_len * setup.inner)) {}

 private:
  Linear wq_;
  std::optional<Linear> wk_;
  Linear wv_, wo_;

 public:
  const Saved<> q, k, v, o;
  const Scratch<> dq, dk, dv, d_o;

  int64_t inner() const { return wo_.weight.rows; }  // Q

  void project(const Step& step) const {
    step.host.parallel_for(step.len, kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      wq_.forward(step, step.x, step[q], begin, end);
      if (wk_) wk_->forward(step, step.x, step[k], begin, end);
      wv_.forward(step, step.x, step[v], begin, end);
    });
  }
  void output(const Step& step, Real* y) const {
    step.host.parallel_for(step.len, kRowBlock,
                           [&](int64_t begin, int64_t end, int32_t) { wo_.forward(step, step[o], y, begin, end); });
  }

  void output_backward(const Step& step, const Real* dy, const Grads& grads) const {
    step.host.parallel_for(step.len, kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      wo_.backward_input(step, dy, step[d_o], 0, begin, end);
    });
    step.host.parallel_for(wo_.weight.rows, kWeightBlock, [&](int64_t begin, int64_t end, int32_t) {
      wo_.backward_weight(step, step[o], dy, grads, begin, end);
    });
  }
  void project_backward(const Step& step, Real* dx, const Grads& grads) const {
    step.host.parallel_for(step.len, kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      const int64_t first = begin * inner(), count = (end - begin) * inner();
      if (!wk_) math::add(count, step[dq] + first, step[dk] + first, step[dq] + first);
      wq_.backward_input(step, step[dq], dx, 0, begin, end);
      if (wk_) wk_->backward_input(step, step[dk], dx, 1, begin, end);
      wv_.backward_input(step, step[dv], dx, 1, begin, end);
    });
    step.host.parallel_for(wq_.weight.rows, kWeightBlock, [&](int64_t begin, int64_t end, int32_t) {
      wq_.backward_weight(step, step.x, step[dq], grads, begin, end);
      if (wk_) wk_->backward_weight(step, step.x, step[dk], grads, begin, end);
      wv_.backward_weight(step, step.x, step[dv], grads, begin, end);
    });
  }

  // For mix_values: attend() writes o from q, k and the given values.
  template <class Attend>
  void mix_values(const Step& step, const Real* values, Real* mixed, Attend&& attend) const {
    const int64_t count = step.len * inner();
    project(step);
    std::copy_n(values, count, step[v]);
    attend();
    std::copy_n(step[o], count, mixed);
  }

  Cost cost(int64_t len) const {
    const double forward = wq_.flops(len) + (wk_ ? wk_->flops(len) : 0.0) + wv_.flops(len) + wo_.flops(len);
    return {.forward_flops = forward, .backward_flops = 2 * forward};
  }
};

}  // namespace lra::sdk

#endif  // LRA_SDK_TIED_QKV_H
