// Attention through a feature map, for all heads of a sequence: softmax's exp(q.k) replaced by phi(q).phi(k), so that
// the sum over keys is taken once and read by every query:
//   S = sum_j phi(k_j) [v_j, 1],   [r_i, z_i] = phi(q_i) S,   o_i = r_i / (z_i + eps)      causal: the sum runs over j
//   <= i
// Kernels: math/feature_attention.h; nothing of size N x N or N x m is stored, only S (causal: one per tile of rows).
#ifndef LRA_SDK_KERNEL_ATTENTION_H
#define LRA_SDK_KERNEL_ATTENTION_H

#include "math/feature_attention.h"
#include "sdk/qkv.h"

namespace lra::sdk {

class KernelAttention {
 public:
  using Map = math::FeatureMap<Real>;

  // map: read for its sizes only; forward and backward are given one with its numbers bound. eps: added to the
  // denominator; least: see math::FeatureAttention. Declares "sums" (saved) and "tiles" (scratch).
  KernelAttention(Setup& setup, const Map& map, Real eps, Real least = 0)
      : heads_(setup.heads), head_dim_(setup.head_dim), causal_(setup.causal), eps_(eps), least_(least) {
    state_stride_ = math::feature_state_elements<Real>(setup.max_len, head_dim_, map.features(), causal_);
    state_ = setup.saved("sums", heads_ * state_stride_);
    tiles_ = setup.scratch_per_worker<std::byte>("tiles",
                                                 int64_t(math::feature_attention_scratch(shape(setup.max_len, map))));
  }

  // o from q, k, v; split over heads. One map for all heads, or map_of(head) for each.
  void forward(const Step& step, const Qkv& x, const Map& map) const {
    forward_each(step, x, [&](int64_t) -> const Map& { return map; });
  }
  template <class MapOf>
  void forward_each(const Step& step, const Qkv& x, MapOf&& map_of) const {
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      const auto& map = map_of(head);
      math::feature_attention_forward(bind(step, x, map, head), step.at(tiles_, worker));
    });
  }
  // dq, dk, dv from d_o.
  void backward(const Step& step, const Qkv& x, const Map& map) const {
    backward_each(step, x, [&](int64_t) -> const Map& { return map; });
  }
  template <class MapOf>
  void backward_each(const Step& step, const Qkv& x, MapOf&& map_of) const {
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      const auto& map = map_of(head);
      auto a = bind(step, x, map, head);
      a.d_o = step[x.d_o] + head * head_dim_;
      a.dq = step[x.dq] + head * head_dim_;
      a.dk = step[x.dk] + head * head_dim_;
      a.dv = step[x.dv] + head * head_dim_;
      math::feature_attention_backward(a, step.at(tiles_, worker));
    });
  }

  // Sums and reads, without the work of the map.
  Cost cost(int64_t len, const Map& map) const {
    const auto a = shape(len, map);
    return {.forward_flops = double(heads_) * math::feature_attention_forward_flops(a),
            .backward_flops = double(heads_) * math::feature_attention_backward_flops(a)};
  }

 private:
  math::FeatureAttention<Real> shape(int64_t len, const Map& map) const {
    math::FeatureAttention<Real> a;
    a.rows = len;
    a.head_dim = head_dim_;
    a.causal = causal_;
    a.eps = eps_;
    a.least = least_;
    a.map = &map;
    return a;
  }
  math::FeatureAttention<Real> bind(const Step& step, const Qkv& x, const Map& map, int64_t head) const {
    auto a = shape(step.len, map);
    a.q = step[x.q] + head * head_dim_;
    a.k = step[x.k] + head * head_dim_;
    a.v = step[x.v] + head * head_dim_;
    a.o = step[x.o] + head * head_dim_;
    a.ld = a.ldo = heads_ * head_dim_;
    a.state = step[state_] + head * state_stride_;
    return a;
  }

  int64_t heads_, head_dim_;
  bool causal_;
  Real eps_, least_;
  int64_t state_stride_;
  Saved<> state_;
  WorkerScratch<std::byte> tiles_;
};

}  // namespace lra::sdk

#endif  // LRA_SDK_KERNEL_ATTENTION_H
