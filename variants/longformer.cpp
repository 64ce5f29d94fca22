// Longformer: a sliding window of w keys beside each row, and G global rows, the first of the sequence.
//   row i >= G:  softmax over the keys j < G and j = i + d t, |t| <= w/2, with q, k, v;  d: dilation of the head
//   row i <  G:  softmax over every key, with its own projections q_g, k_g, v_g
// Causal: all of it cut to j <= i. A global key inside a window counts once.
// Backward: dx = dq W_q^T + dk W_k^T + dv W_v^T + dq_g W_qg^T + dk_g W_kg^T + dv_g W_vg^T; rows below G have dq = 0.
#include <optional>

#include "sdk/band.h"

namespace lra {
namespace {

using math::Rows;
using sdk::Band;
using sdk::Grads;
using sdk::Real;
using sdk::Scores;
using sdk::Step;

constexpr lra_option kOptions[] = {
    sdk::integer("window", "w: keys of the window beside the row itself, half on each side; even", 512, 0, 1 << 20),
    sdk::integer("dilation", "d: distance between two keys of the window, in the dilated heads", 1, 1, 1 << 20),
    sdk::integer("dilated_heads", "heads, the last ones, whose window is dilated", 2, 0, 1 << 10),
    sdk::integer("global", "global rows", 1, 0, 1 << 16),
    sdk::choice("global_rows", "the first rows of the sequence, or as many learned rows in front of it",
                "first|prefix"),
    sdk::choice("global_projections", "own projections of global rows, or those of all rows", "separate|shared"),
};

constexpr sdk::Info kInfo{
    .id = "longformer",
    .title = "Longformer",
    .paper = "Beltagy et al. 2020, arXiv:2004.05150",
    .formula =
        "o_i = sum over j in A(i) of softmax_j(q_i.k_j / sqrt(dh)) v_j\n"
        "A(i) = the global rows and i + d t, |t| <= w/2\n"
        "global rows: A(i) = everything, with q_g = x W_qg, k_g = x W_kg, v_g = x W_vg",
    .notes =
        "w is even: w/2 keys on each side and the row itself. Causal: window and global rows are cut to j <= i.\n"
        "global=1 with pool=cls is the paper's setting for classification; with other pools the first token is global. "
        "global_rows=prefix puts learned rows in front, and with them a CLS row is global too (cost then counts it as "
        "an ordinary row).\n"
        "wq_g, wk_g and wv_g are drawn like other linears; the paper starts them as copies of wq, wk and wv, "
        "trained before. global_projections=shared does without them.\n"
        "The paper dilates two heads of the upper layers only; here the last `dilated_heads` heads of every layer.\n"
        "The benchmark's released code has window=512 on every task and never marks a row as global (global=0); its "
        "window has exactly w keys.",
    .time = "O(N (w + G) D)",
    .memory = "O(N D)",
    .time_exponent = 1,
    .memory_exponent = 1,
    .flags = LRA_CAUSAL | LRA_BIDIRECTIONAL | LRA_ROW_STOCHASTIC,
    .options = kOptions,
    .limits =
        "window=4096 global=0\n"
        "window=4096 global_projections=shared\n"
        "window=2 global={N} global_projections=shared\n"
        "window=4096; wq_g=wq wk_g=wk wv_g=wv bq_g=bq bk_g=bk bv_g=bv",
};

// The projections of global rows: q_g of the first G rows, k_g and v_g of all.
struct GlobalProjections {
  explicit GlobalProjections(sdk::Setup& setup, int64_t most)
      : wq(setup, "q_g", setup.dim, setup.inner),
        wk(setup, "k_g", setup.dim, setup.inner),
        wv(setup, "v_g", setup.dim, setup.inner),
        q(setup.saved("q_g", most * setup.inner)),
        k(setup.saved("k_g", setup.max_len * setup.inner)),
        v(setup.saved("v_g", setup.max_len * setup.inner)),
        dq(setup.scratch("dq_g", most * setup.inner)),
        dk(setup.scratch("dk_g", setup.max_len * setup.inner)),
        dv(setup.scratch("dv_g", setup.max_len * setup.inner)) {}

  sdk::Linear wq, wk, wv;
  sdk::Saved<> q, k, v;
  sdk::Scratch<> dq, dk, dv;

  void project(const Step& step, int64_t global) const {
    wq.forward(step, step.x, step[q], 0, global);
    step.host.parallel_for(step.len, sdk::kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      wk.forward(step, step.x, step[k], begin, end);
      wv.forward(step, step.x, step[v], begin, end);
    });
  }
  // Adds to dx.
  void project_backward(const Step& step, int64_t global, Real* dx, const Grads& grads) const {
    wq.backward_input(step, step[dq], dx, 1, 0, global);
    step.host.parallel_for(step.len, sdk::kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      wk.backward_input(step, step[dk], dx, 1, begin, end);
      wv.backward_input(step, step[dv], dx, 1, begin, end);
    });
    const int64_t dim = wq.weight.rows, inner = wq.weight.cols;
    step.host.gemm(sdk::matrix(grads[wq.weight], dim, inner), t(sdk::matrix(step.x, global, dim)),
                   sdk::matrix<const Real>(step[dq], global, inner), {.beta = 1});
    if (wq.bias.index >= 0) math::column_sums(global, inner, step[dq], inner, grads[wq.bias]);
    step.host.parallel_for(dim, sdk::kWeightBlock, [&](int64_t begin, int64_t end, int32_t) {
      wk.backward_weight(step, step.x, step[dk], grads, begin, end);
      wv.backward_weight(step, step.x, step[dv], grads, begin, end);
    });
  }
  sdk::Cost cost(int64_t len, int64_t global) const {
    const double forward = wq.flops(global) + wk.flops(len) + wv.flops(len);
    return {.forward_flops = forward, .backward_flops = 2 * forward};
  }
};

class Longformer {
 public:
  explicit Longformer(sdk::Setup& setup)
      : half_(setup.integer("window") / 2),
        dilation_(setup.integer("dilation")),
        first_dilated_(setup.heads - setup.integer("dilated_heads")),
        global_(setup.integer("global")),
        prefix_(setup.integer("global_rows") == 1 && global_ > 0),
        causal_(setup.causal),
        heads_(setup.heads),
        head_dim_(setup.head_dim),
        qkv_(setup),
        attention_(setup, 64, 512) {
    if (setup.integer("window") % 2 != 0) {
      throw sdk::Refusal("window=" + std::to_string(setup.integer("window")) +
                         " is odd, but half of it lies on each side of a row; choose an even number");
    }
    if (prefix_) setup.prefix_rows(global_);
    if (global_ > 0 && setup.integer("global_projections") == 0) {
      // One row more than asked for, for the CLS row that may stand before the prefix.
      own_.emplace(setup, std::min(setup.max_len, global_ + (prefix_ ? 1 : 0)));
    }
  }

  void forward(const Step& step, Real* y, Real&) const {
    project(step);
    attend(step);
    qkv_.output(step, y);
  }
  void backward(const Step& step, const Real* dy, Real* dx, const Grads& grads) const {
    qkv_.output_backward(step, dy, grads);
    attend_backward(step);
    qkv_.project_backward(step, dx, grads);
    if (own_) own_->project_backward(step, global(step), dx, grads);
  }
  sdk::Cost cost(int64_t len) const {
    const int64_t g = std::min(global_, len);
    sdk::Cost sum = qkv_.cost(len);
    if (own_) sum += own_->cost(len, g);
    const auto add = [&](const Rows& rows, const Rows& columns, auto&&) {
      sum += attention_.tile_cost(rows.count, columns.count);
    };
    for (int64_t head = 0; head < heads_; ++head) {
      global_tiles(len, g, add);
      local_tiles(len, g, head, add);
      sum.pairs += double(pairs(len, g, head));
    }
    return sum;
  }
  // Both kinds of values are replaced.
  void mix_values(const Step& step, const Real* v, Real* o) const {
    const int64_t count = step.len * qkv_.inner();
    project(step);
    std::copy(v, v + count, step[qkv_.v]);
    if (own_) std::copy(v, v + count, step[own_->v]);
    attend(step);
    std::copy(step[qkv_.o], step[qkv_.o] + count, o);
  }

 private:
  int64_t global(const Step& step) const {
    return std::min(step.len, prefix_ ? std::max(global_, step.prefix()) : global_);
  }

  void project(const Step& step) const {
    qkv_.project(step);
    if (own_) own_->project(step, global(step));
  }

  // o of every head.
  void attend(const Step& step) const {
    const int64_t g = global(step);
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      const auto merge_into = [&](const Arrays& a) {
        return [&step, worker, a, this](const Rows& rows, const Rows& columns, auto&& edit) {
          attention_.merge(step, worker, {head_dim_, attention_.scale(), a.queries, a.keys, rows, columns}, edit);
        };
      };
      const Arrays a = arrays(step, head);
      math::joint_clear(a.queries, step.len, head_dim_);
      global_tiles(step.len, g, merge_into(global_arrays(step, head)));
      local_tiles(step.len, g, head, merge_into(a));
    });
  }
  void attend_backward(const Step& step) const {
    const int64_t g = global(step);
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      const auto add_to = [&](const Arrays& a) {
        return [&step, worker, a, this](const Rows& rows, const Rows& columns, auto&& edit) {
          attention_.add_gradients(step, worker, {head_dim_, attention_.scale(), a.queries, a.keys, rows, columns},
                                   edit, [](const Scores&) {});
        };
      };
      const Arrays a = arrays(step, head), of_global = global_arrays(step, head);
      clear(a, step.len, step.len);
      if (own_) clear(of_global, g, step.len);
      global_tiles(step.len, g, add_to(of_global));
      local_tiles(step.len, g, head, add_to(a));
    });
  }

  struct Arrays {
    math::JointQueries<Real> queries;
    math::JointKeys<Real> keys;
  };
  Arrays arrays(const Step& step, int64_t head) const {
    return {attention_.queries(step, qkv_, head), attention_.keys(step, qkv_, head)};
  }
  void clear(const Arrays& a, int64_t rows, int64_t keys) const {
    attention_.clear_rows(a.queries.dq, rows);
    attention_.clear_rows(a.keys.dk, keys);
    attention_.clear_rows(a.keys.dv, keys);
  }
  // What global rows are computed with: the same o and lse, other q, k and v.
  Arrays global_arrays(const Step& step, int64_t head) const {
    Arrays a = arrays(step, head);
    if (!own_) return a;
    const int64_t first = head * head_dim_;
    a.queries.q = step[own_->q] + first;
    a.queries.dq = step[own_->dq] + first;
    a.keys.k = step[own_->k] + first;
    a.keys.v = step[own_->v] + first;
    a.keys.dk = step[own_->dk] + first;
    a.keys.dv = step[own_->dv] + first;
    return a;
  }

  // Rows below g.
  template <class Visit>
  void global_tiles(int64_t len, int64_t g, Visit&& visit) const {
    if (causal_) {
      global_causal(g).tiles(visit);
    } else if (g > 0) {
      visit(Rows::range(0, g), Rows::range(0, len), [](const Scores&) {});
    }
  }
  // The other rows.
  template <class Visit>
  void local_tiles(int64_t len, int64_t g, int64_t head, Visit&& visit) const {
    if (g > 0 && g < len) visit(Rows::range(g, len), Rows::range(0, g), [](const Scores&) {});
    for (int64_t t = 0; t < std::min(dilation(head), len - g); ++t) window(len, g, head, t).tiles(visit);
  }
  Band global_causal(int64_t g) const { return {.count = g, .right = 0}; }
  // Rows g + t, g + t + d, ...
  Band window(int64_t len, int64_t g, int64_t head, int64_t t) const {
    const int64_t d = dilation(head);
    return {.first = g + t, .step = d, .count = (len - g - t + d - 1) / d, .left = half_, .right = causal_ ? 0 : half_};
  }
  int64_t dilation(int64_t head) const { return head >= first_dilated_ ? dilation_ : 1; }

  int64_t pairs(int64_t len, int64_t g, int64_t head) const {
    int64_t sum = causal_ ? global_causal(g).pairs() : g * len;
    sum += (len - g) * g;
    for (int64_t t = 0; t < std::min(dilation(head), len - g); ++t) sum += window(len, g, head, t).pairs();
    return sum;
  }

  int64_t half_, dilation_, first_dilated_;  // w / 2, d, the first dilated head
  int64_t global_;                           // G
  bool prefix_, causal_;
  int64_t heads_, head_dim_;
  sdk::Qkv qkv_;
  sdk::JointAttention attention_;
  std::optional<GlobalProjections> own_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::Longformer, lra::kInfo)
