// The plain case of an attention module: four linears around something done with queries, keys and values.
//   q = x W_q + b_q,  k = x W_k + b_k,  v = x W_v + b_v,   o = idea(q, k, v),   y = o W_o + b_o
// Every product goes through the host in fixed blocks of rows, so results do not depend on the number of threads.
#ifndef LRA_SDK_QKV_H
#define LRA_SDK_QKV_H

#include <algorithm>
#include <string>

#include "math/elementwise.h"
#include "sdk/variant.h"

namespace lra::sdk {

// Rows of a sequence that one chunk of a product handles, and rows of a weight gradient.
inline constexpr int64_t kRowBlock = 192;
inline constexpr int64_t kWeightBlock = 72;

// y = x W + b with W: [in, out], named "w" + name, and b: [out], named "b" + name, if the run wants biases.
// The functions below handle rows [begin, end) and run on the calling thread.
class Linear {
 public:
  Linear(Setup& setup, const std::string& name, int64_t in, int64_t out, Init init = {})
      : weight(setup.param(("w" + name).c_str(), in, out, init)) {
    if (setup.bias) bias = setup.param(("b" + name).c_str(), 1, out, {.init = LRA_INIT_ZERO});
  }

  Param weight, bias;  // bias.index is -1 without biases

  // y = x W + b
  void forward(const Step& step, const Real* x, Real* y, int64_t begin, int64_t end) const {
    const int64_t in = weight.rows, out = weight.cols, rows = end - begin;
    step.host.gemm(matrix(y + begin * out, rows, out), matrix(x + begin * in, rows, in), w(step),
                   {.bias = bias.index < 0 ? nullptr : step[bias]});
  }
  // dx = keep dx + dy W^T
  void backward_input(const Step& step, const Real* dy, Real* dx, Real keep, int64_t begin, int64_t end) const {
    const int64_t in = weight.rows, out = weight.cols, rows = end - begin;
    step.host.gemm(matrix(dx + begin * in, rows, in), matrix(dy + begin * out, rows, out), t(w(step)), {.beta = keep});
  }
  // dW += x^T dy,  db += sum over rows of dy; for rows [begin, end) of W: all N rows of x and dy are summed in one
  // order.
  void backward_weight(const Step& step, const Real* x, const Real* dy, const Grads& grads, int64_t begin,
                       int64_t end) const {
    const int64_t in = weight.rows, out = weight.cols, n = step.len;
    step.host.gemm(matrix(grads[weight] + begin * out, end - begin, out), t(matrix(x + begin, n, end - begin, in)),
                   matrix(dy, n, out), {.beta = 1});
    if (bias.index >= 0 && begin == 0) math::column_sums(n, out, dy, out, grads[bias]);
  }

  // One product of forward; backward does two.
  double flops(int64_t rows) const { return 2.0 * double(rows) * double(weight.rows) * double(weight.cols); }

 private:
  Matrix<const Real> w(const Step& step) const { return matrix(step[weight], weight.rows, weight.cols); }
};

// Declares the linears and the blocks q, k, v, o: [N, Q] (saved) and dq, dk, dv, d_o (scratch), row stride Q. Head h is
// columns [h dh, (h + 1) dh). A variant calls, in this order:
//   forward:  project(step); write o from q, k, v; output(step, y)
//   backward: output_backward(step, dy, grads) gives d_o; write dq, dk, dv; project_backward(step, dx, grads)
class Qkv {
 public:
  // suffix: ends every name, for a module with more than one.
  explicit Qkv(Setup& setup, const std::string& suffix = "")
      : wq_(setup, "q" + suffix, setup.dim, setup.inner),
        wk_(setup, "k" + suffix, setup.dim, setup.inner, {.align = &wq_.weight}),
        wv_(setup, "v" + suffix, setup.dim, setup.inner),
        wo_(setup, "o" + suffix, setup.inner, setup.dim, {.init = LRA_INIT_RESIDUAL}),
        q(setup.saved(("q" + suffix).c_str(), setup.max_len * setup.inner)),
        k(setup.saved(("k" + suffix).c_str(), setup.max_len * setup.inner)),
        v(setup.saved(("v" + suffix).c_str(), setup.max_len * setup.inner)),
        o(setup.saved(("o" + suffix).c_str(), setup.max_len * setup.inner)),
        dq(setup.scratch(("dq" + suffix).c_str(), setup.max_len * setup.inner)),
        dk(setup.scratch(("dk" + suffix).c_str(), setup.max_len * setup.inner)),
        dv(setup.scratch(("dv" + suffix).c_str(), setup.max_len * setup.inner)),
        d_o(setup.scratch(("do" + suffix).c_str(), setup.max_len * setup.inner)) {}

 private:
  Linear wq_, wk_, wv_, wo_;

 public:
  const Saved<> q, k, v, o;
  const Scratch<> dq, dk, dv, d_o;

  // q = x W_q,  k = x W_k,  v = x W_v
  void project(const Step& step) const { project(step, step.x); }
  // The same of another x: [N, D].
  void project(const Step& step, const Real* x) const {
    step.host.parallel_for(step.len, kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      wq_.forward(step, x, step[q], begin, end);
      wk_.forward(step, x, step[k], begin, end);
      wv_.forward(step, x, step[v], begin, end);
    });
  }
  // y = o W_o
  void output(const Step& step, Real* y) const {
    step.host.parallel_for(step.len, kRowBlock,
                           [&](int64_t begin, int64_t end, int32_t) { wo_.forward(step, step[o], y, begin, end); });
  }

  // d_o = dy W_o^T,  dW_o += o^T dy
  void output_backward(const Step& step, const Real* dy, const Grads& grads) const {
    step.host.parallel_for(step.len, kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      wo_.backward_input(step, dy, step[d_o], 0, begin, end);
    });
    step.host.parallel_for(wo_.weight.rows, kWeightBlock, [&](int64_t begin, int64_t end, int32_t) {
      wo_.backward_weight(step, step[o], dy, grads, begin, end);
    });
  }
  // dx = dq W_q^T + dk W_k^T + dv W_v^T,  dW_q += x^T dq,  dW_k += x^T dk,  dW_v += x^T dv
  void project_backward(const Step& step, Real* dx, const Grads& grads) const {
    project_backward(step, step.x, Real(0), dx, grads);
  }
  // The same of another x; dx = keep dx + ...
  void project_backward(const Step& step, const Real* x, Real keep, Real* dx, const Grads& grads) const {
    step.host.parallel_for(step.len, kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      wq_.backward_input(step, step[dq], dx, keep, begin, end);
      wk_.backward_input(step, step[dk], dx, 1, begin, end);
      wv_.backward_input(step, step[dv], dx, 1, begin, end);
    });
    step.host.parallel_for(wq_.weight.rows, kWeightBlock, [&](int64_t begin, int64_t end, int32_t) {
      wq_.backward_weight(step, x, step[dq], grads, begin, end);
      wk_.backward_weight(step, x, step[dk], grads, begin, end);
      wv_.backward_weight(step, x, step[dv], grads, begin, end);
    });
  }

  int64_t inner() const { return wo_.weight.rows; }  // Q
  // For keys and values of other rows than those of the sequence.
  const Linear& key_linear() const { return wk_; }
  const Linear& value_linear() const { return wv_; }

  // The four linears of one sequence of N rows.
  Cost cost(int64_t len) const {
    const double forward = wq_.flops(len) + wk_.flops(len) + wv_.flops(len) + wo_.flops(len);
    return {.forward_flops = forward, .backward_flops = 2 * forward};
  }
};

// A variant that is Qkv around an idea, which then is all there is to write:
//   explicit Idea(Setup& setup)
//   void forward(const Step& step, const Qkv& x) const       writes o from q, k, v
//   void backward(const Step& step, const Qkv& x) const      writes dq, dk, dv from d_o; may take a third argument,
//                                                            const Grads& grads, to add to its own parameters'
//   void input_backward(const Step& step, Real* dx, const Grads& grads) const   only if it reads step.x: adds to dx
//   Cost cost(int64_t len) const                             without the projections
//   void after_step(const Step& step, Buffers buffers) const  only if it has buffers to move
template <class Idea>
class QkvVariant {
 public:
  explicit QkvVariant(Setup& setup) : qkv_(setup), idea_(setup) {}

  void forward(const Step& step, Real* y, Real&) const {
    qkv_.project(step);         // q, k, v = x W
    idea_.forward(step, qkv_);  // o = idea(q, k, v)
    qkv_.output(step, y);       // y = o W_o
  }
  void backward(const Step& step, const Real* dy, Real* dx, const Grads& grads) const {
    qkv_.output_backward(step, dy, grads);
    if constexpr (requires { idea_.backward(step, qkv_, grads); }) {
      idea_.backward(step, qkv_, grads);
    } else {
      idea_.backward(step, qkv_);
    }
    qkv_.project_backward(step, dx, grads);
    if constexpr (requires { idea_.input_backward(step, dx, grads); }) idea_.input_backward(step, dx, grads);
  }
  Cost cost(int64_t len) const {
    Cost sum = qkv_.cost(len);
    return sum += idea_.cost(len);
  }
  void after_step(const Step& step, Buffers buffers) const requires HasAfterStep<Idea> {
    idea_.after_step(step, buffers);
  }
  void mix_values(const Step& step, const Real* v, Real* o) const {
    const int64_t count = step.len * qkv_.inner();
    qkv_.project(step);
    std::copy(v, v + count, step[qkv_.v]);
    idea_.forward(step, qkv_);
    std::copy(step[qkv_.o], step[qkv_.o] + count, o);
  }

 private:
  Qkv qkv_;
  Idea idea_;
};

}  // namespace lra::sdk

#endif  // LRA_SDK_QKV_H
