// Exact softmax attention in which each row sees an interval of keys, for all heads of a sequence:
//   o_i = sum_j P_ij v_j,   P_i = softmax over j in [begin(i), end(i)) of q_i.k_j / sqrt(dh)
// Optionally the rows are first dealt out like cards: with groups of b rows, row i goes to group i mod ceil(N / b), and
// each group attends within itself. Kernels: math/attention.h; nothing of size N x N is stored, only log sum exp of
// each row.
#ifndef LRA_SDK_INTERVAL_ATTENTION_H
#define LRA_SDK_INTERVAL_ATTENTION_H

#include <algorithm>
#include <cmath>

#include "math/attention.h"
#include "sdk/qkv.h"

namespace lra::sdk {

class IntervalAttention {
 public:
  // range: what a row sees; its `keys` is set for each sequence. group_rows: b, or 0 for no dealing.
  // Declares "lse" (saved) and "tiles" (scratch).
  IntervalAttention(Setup& setup, const math::KeyRange& range, int64_t group_rows = 0)
      : range_(range),
        group_rows_(group_rows),
        heads_(setup.heads),
        head_dim_(setup.head_dim),
        max_len_(setup.max_len),
        lse_(setup.saved("lse", setup.heads * setup.max_len)) {
    const auto a = shape(rows(setup.max_len, 0));
    tiles_ = setup.scratch_per_worker<std::byte>(
        "tiles", int64_t(std::max(math::attention_forward_scratch(a), math::attention_backward_scratch(a))));
  }

  // o from q, k, v; split over heads, groups and blocks of rows.
  void forward(const Step& step, const Qkv& x) const {
    const int64_t n = groups(step.len);
    const int64_t blocks = (rows(step.len, 0) + kAttentionBlock - 1) / kAttentionBlock;
    step.host.parallel_for(heads_ * n * blocks, 1, [&](int64_t task, int64_t, int32_t worker) {
      const auto a = bind(step, x, task / blocks / n, task / blocks % n);
      const int64_t begin = task % blocks * kAttentionBlock;
      if (begin >= a.queries) return;
      math::attention_forward(a, begin, std::min(begin + kAttentionBlock, a.queries), step.at(tiles_, worker));
    });
  }

  // dq, dk, dv from d_o; split over heads and groups, so that no two tasks add to the same key.
  void backward(const Step& step, const Qkv& x) const {
    const int64_t n = groups(step.len);
    step.host.parallel_for(heads_ * n, 1, [&](int64_t task, int64_t, int32_t worker) {
      const int64_t head = task / n;
      auto a = bind(step, x, head, task % n);
      const int64_t first = head * head_dim_ + task % n * heads_ * head_dim_;
      a.d_o = step[x.d_o] + first;
      a.dq = step[x.dq] + first;
      a.dk = step[x.dk] + first;
      a.dv = step[x.dv] + first;
      math::attention_backward(a, step.at(tiles_, worker));
    });
  }

  // Without the projections.
  Cost cost(int64_t len) const {
    Cost sum;
    for (int64_t g = 0; g < groups(len); ++g) {
      const auto a = shape(rows(len, g));
      sum += {math::attention_forward_flops(a), math::attention_backward_flops(a), double(a.range.pairs(a.queries))};
    }
    const double h = double(heads_);
    return {h * sum.forward_flops, h * sum.backward_flops, h * sum.pairs};
  }

 private:
  // Rows of one forward task.
  static constexpr int64_t kAttentionBlock = 256;

  int64_t groups(int64_t len) const { return group_rows_ == 0 ? 1 : (len + group_rows_ - 1) / group_rows_; }
  // Rows of group g: those i < len with i mod groups == g.
  int64_t rows(int64_t len, int64_t g) const { return (len - g + groups(len) - 1) / groups(len); }

  math::Attention<Real> shape(int64_t n) const {
    math::Attention<Real> a;
    a.queries = n;
    a.head_dim = head_dim_;
    a.scale = Real(1 / std::sqrt(double(head_dim_)));
    a.range = range_;
    a.range.keys = n;
    return a;
  }
  math::Attention<Real> bind(const Step& step, const Qkv& x, int64_t head, int64_t group) const {
    const int64_t inner = heads_ * head_dim_;
    const int64_t n = groups(step.len);
    const int64_t first = head * head_dim_ + group * inner;
    auto a = shape(rows(step.len, group));
    a.q = step[x.q] + first;
    a.k = step[x.k] + first;
    a.v = step[x.v] + first;
    a.o = step[x.o] + first;
    a.ldq = a.ldk = a.ldv = a.ldo = n * inner;
    // Earlier groups are as long as the first, or one row shorter.
    const int64_t full = step.len - n * (rows(step.len, 0) - 1);
    a.lse = step[lse_] + head * max_len_ + group * rows(step.len, 0) - std::max<int64_t>(0, group - full);
    return a;
  }

  math::KeyRange range_;
  int64_t group_rows_, heads_, head_dim_, max_len_;
  Saved<> lse_;
  WorkerScratch<std::byte> tiles_;
};

}  // namespace lra::sdk

#endif  // LRA_SDK_INTERVAL_ATTENTION_H
