// Combiner: every row reaches every row it may see, a few of them directly and the others through spans. A span W has a
// key and a query of its own, pooled from its rows (pool: maximum, mean, or the maximum of relu(x W)), and a value that
// does not depend on who asks:
//   kappa_W = pool of k_j,  rho_W = pool of q_j,  s_W = sum_{j in W} softmax_j(rho_W.k_j / sqrt(dh)) v_j
//   o_i = sum_{j direct} p_ij v_j + sum_W p_iW s_W,   p_i = one softmax over q_i.k_j / sqrt(dh) and q_i.kappa_W /
//   sqrt(dh)
// Direct rows and spans of row i = (r, c) on a grid of `width` columns, causal (bidirectional in brackets):
//   fixed             own span up to i [all of it]; every earlier [other] span of `span` rows
//   logsparse         i and, at level t, its sibling block (i >> t) ^ 1 of 2^t rows if it lies before i [always]
//   axial_vertical    own row and column; of each other column the rows above r [and the rows below r]
//   axial_horizontal  own row and column; each row above without column c [each other row, left and right of c]
//   axial_rowmajor    own row; each row above, asked as (row, c): rho = q_(row,c), kappa = k_(row,c) or a summary
//   mixture           the mean of vertical and horizontal; `released`: one softmax over both, rows split as [..]
//   routing           fixed on the rows of a head in the order of clusters of their keys; bidirectional only:
//                     r = (k - mean(k)) / std(k); one after another, centroid c takes of the rows that are still free
//                     the `span` with the largest r.mu_c. mu_c: moving average of the rows that were in c
// Spans and rows are two kinds of keys of one joint softmax (math/joint_attention.h); the span values are a joint
// attention themselves, with rho as queries. Only s, o and their normalisers are saved, the pools are taken again by
// backward: dkappa goes to the row that was the maximum, channel by channel, and drho likewise.
// The patterns are in combiner/spans.h, the clusters in combiner/clusters.h, the pools in combiner/pool.h.
#include <array>
#include <optional>

#include "combiner/clusters.h"
#include "combiner/pool.h"
#include "sdk/joint_attention.h"

namespace lra {
namespace {

using namespace combiner;

enum class Abstraction { kMax, kMean, kDeepSets };
enum class Summary { kNone, kWeighted, kProjected };

constexpr lra_option kOptions[] = {
    sdk::choice("pattern", "which rows are seen directly and which as spans",
                "fixed|logsparse|axial_vertical|axial_horizontal|axial_rowmajor|mixture|routing"),
    sdk::integer("span", "fixed and routing: rows of a span; 0: the root of N, rounded", 0, 0, 1 << 20),
    sdk::integer("width", "axial and mixture: columns of the grid; 0: the root of N, rounded", 0, 0, 1 << 20),
    sdk::choice("abstraction", "how the rows of a span make its key and its query", "max|mean|deepsets"),
    sdk::integer("size_correction", "1: adds log of its rows to the score of a span", 0, 0, 1),
    sdk::choice("summary",
                "axial_rowmajor: key of a span, that of its row in the own column, their weighted sum, or "
                "a projection of the values",
                "none|wsum|proj"),
    sdk::integer("released", "mixture: 1: one softmax over the spans of both, as in the released code", 0, 0, 1),
    sdk::number("decay", "routing: of the moving averages that make centroids", 0.999, 0, 1),
};

constexpr sdk::Info kInfo{
    .id = "combiner",
    .title = "Combiner",
    .paper = "Ren et al. 2021, arXiv:2107.05768",
    .formula =
        "kappa_W = max of k_j, rho_W = max of q_j, s_W = sum_{j in W} softmax_j(rho_W.k_j / sqrt(dh)) v_j\n"
        "o_i = sum_{j direct} p_ij v_j + sum_W p_iW s_W,  p_i = softmax over q_i.k_j / sqrt(dh), q_i.kappa_W / "
        "sqrt(dh)\n"
        "pattern=routing: W_c, c = 0, 1, ..: of the rows in no W yet the `span` with the largest LayerNorm(k).mu_c",
    .notes =
        "Spans and direct rows of a row partition what it may see, except with released=1, where rows off its own row "
        "and column count twice. Scores of spans lack the log of their size, so spans weigh less than in full "
        "attention; size_correction=1 adds it. The last span or grid row may be short. fixed and logsparse are the "
        "paper's when causal; without causality logsparse takes the sibling blocks of the enclosing binary tree and "
        "axial patterns the own row and column with the rest split above/below or left/right, which is our reading. "
        "axial_rowmajor is causal only, and so is released=1. axial_rowmajor has no pooling: summary=none takes the "
        "key of the span's row in the column of the query, wsum the sum of its keys weighted as its values, proj "
        "layer_norm(x + s W) W' as the released code does by default (without its dropout); w_summary: [Q, D], "
        "w_summary_k: [D, Q]. With a pooled key it would equal fixed with span = width. deepsets: relu(x W), W: [dh, "
        "dh] shared by heads (w_span_k, w_span_q), then the maximum. Equal maxima: the first row takes the gradient. "
        "pairs counts direct rows and spans of each row and the rows of each span.\n"
        "routing is the paper's Combiner-Routing: own cluster direct, every other cluster a span. How clusters are "
        "made is our reading: the N rows of each head are cut into ceil(N / span) clusters of `span` rows, the last of "
        "which may be short: each centroid in turn takes the nearest of the rows that are left, by their keys, "
        "normalised without gain; of equal ones the first. Bidirectional only, since causally every row would need "
        "spans of its own in all other clusters. The choice has no gradient, and there is no commitment loss. "
        "Centroids follow moving averages of counts and sums of the rows of their cluster; evaluation does not move "
        "them, and one without rows in a step stays. Step 0: normal vectors with counts of 1. A shorter sequence uses "
        "the first centroids. Buffers: centroids and ema_sums [(head, cluster), dh], ema_counts [head, cluster].",
    .time = "O(N sqrt(N) D); logsparse O(N log(N) D)",
    .memory = "O(N D)",
    .time_exponent = 1.5,
    .memory_exponent = 1,
    .flags = LRA_CAUSAL | LRA_BIDIRECTIONAL | LRA_ROW_STOCHASTIC,
    .options = kOptions,
    .limits = "pattern=fixed span={N}\npattern=fixed span=1\npattern=routing span={N}\npattern=routing span=1",
};

constexpr Real kLayerNormEpsilon = Real(1e-6);
class Combiner {
 public:
  explicit Combiner(sdk::Setup& setup)
      : dim_(setup.dim),
        heads_(setup.heads),
        head_dim_(setup.head_dim),
        inner_(setup.inner),
        max_len_(setup.max_len),
        abstraction_(setup.choice<Abstraction>("abstraction")),
        summary_(setup.choice<Summary>("summary")),
        size_correction_(setup.integer("size_correction") != 0),
        spans_(setup),
        most_(spans_.most_slots(setup.max_len)),
        qkv_(setup),
        attention_(setup, kBlock, 4 * kBlock),
        value_(setup.saved("span_values", most_ * inner_)),
        value_lse_(setup.saved("span_lse", heads_ * most_)),
        dvalue_(setup.scratch("span_dvalues", most_ * inner_)) {
    const int64_t slots = most_ * inner_, rows = max_len_ * inner_;
    if (pooled()) {
      key_ = setup.scratch("span_keys", slots);
      query_ = setup.scratch("span_queries", slots);
      dquery_ = setup.scratch("span_dqueries", slots);
      best_key_ = setup.scratch<int32_t>("span_best_keys", slots);
      best_query_ = setup.scratch<int32_t>("span_best_queries", slots);
    }
    if (!pooled() && summary_ == Summary::kWeighted) {
      summed_ = setup.saved("span_keys", slots);
      summed_lse_ = setup.saved("span_key_lse", heads_ * most_);
    }
    if (projected()) {
      key_ = setup.scratch("span_keys", slots);
      w_value_ = setup.param("w_summary", inner_, dim_);
      gain_ = setup.param("summary_gain", 1, dim_, {.init = LRA_INIT_ONE});
      shift_ = setup.param("summary_shift", 1, dim_, {.init = LRA_INIT_ZERO});
      w_key_ = setup.param("w_summary_k", dim_, inner_);
      before_norm_ = setup.saved("summary", most_ * dim_);
      mean_ = setup.saved("summary_mean", most_);
      rstd_ = setup.saved("summary_rstd", most_);
      normed_ = setup.scratch("summary_normed", most_ * dim_);
      dnormed_ = setup.scratch("summary_dnormed", most_ * dim_);
    }
    if (pooled() || summary_ != Summary::kNone) dkey_ = setup.scratch("span_dkeys", slots);
    if (deep_sets()) {
      w_span_q_ = setup.param("w_span_q", head_dim_, head_dim_);
      w_span_k_ = setup.param("w_span_k", head_dim_, head_dim_);
      feature_q_ = setup.scratch("feature_q", rows);
      feature_k_ = setup.scratch("feature_k", rows);
      dfeature_q_ = setup.scratch("feature_dq", rows);
      dfeature_k_ = setup.scratch("feature_dk", rows);
    }
    if (size_correction_) log_size_ = setup.scratch("span_log_size", most_);
    if (spans_.averaged()) {
      for (size_t s = 0; s < 2; ++s) part_[s] = setup.saved(s == 0 ? "vertical" : "horizontal", rows);
      second_lse_ = setup.saved("horizontal_lse", heads_ * max_len_);
    }
    if (spans_.pattern() == Pattern::kRouting) clusters_.emplace(setup, spans_);
  }

  void forward(const sdk::Step& step, Real* y, Real&) const {
    qkv_.project(step);
    mix(step);
    qkv_.output(step, y);
  }

  void backward(const sdk::Step& step, const Real* dy, Real* dx, const sdk::Grads& grads) const {
    qkv_.output_backward(step, dy, grads);
    measure(step);
    if (projected()) key_of_summary(step);
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      pool(step, head);
      clear_gradients(step, head);
      joint_backward(step, head, worker);
    });
    if (projected()) summary_backward(step, grads);
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      values_backward(step, head, worker);
      if (pooled()) pool_backward(step, head);
      if (clusters_) clusters_->add_statistics(step, head, worker, step[qkv_.k] + head * head_dim_, grads);
    });
    for (int64_t head = 0; head < (deep_sets() ? heads_ : 0); ++head) features_weight_backward(step, head, grads);
    qkv_.project_backward(step, dx, grads);
    // z = x + s W
    if (projected()) math::add(spans_.slots(step.len) * dim_, dx, step[dnormed_], dx);
  }

  sdk::Cost cost(int64_t len) const {
    sdk::Cost one;
    spans_.members(len, [&](const Rows& slots, const Rows& rows, const Mask& mask) {
      one += attention_.tile_cost(slots.count, rows.count);
      if (weighted()) one += attention_.tile_cost(slots.count, rows.count);
      one.pairs += double(mask.count(slots.count, rows.count));
    });
    spans_.joint(len, [&](int, const Rows& rows, Keys, const Rows& keys, const Mask& mask) {
      one += attention_.tile_cost(rows.count, keys.count);
      one.pairs += double(mask.count(rows.count, keys.count));
    });
    if (deep_sets()) {  // backward takes the features again
      const double features = 4.0 * double(len) * double(head_dim_ * head_dim_);
      one += {.forward_flops = features, .backward_flops = 3 * features};
    }
    if (clusters_) one += clusters_->cost(len);
    const double h = double(heads_);
    sdk::Cost sum = qkv_.cost(len);
    sum += {h * one.forward_flops, h * one.backward_flops, h * one.pairs};
    if (projected()) {
      const double product = 2.0 * double(spans_.slots(len)) * double(inner_ * dim_);
      sum += {.forward_flops = 2 * product, .backward_flops = 5 * product};
    }
    return sum;
  }

  void after_step(const sdk::Step& step, sdk::Buffers buffers) const {
    if (clusters_) clusters_->after_step(step, buffers);
  }

  void mix_values(const sdk::Step& step, const Real* v, Real* o) const {
    if (projected()) {
      throw sdk::Refusal("summary=proj makes keys of the values, so the output is not linear in them; use summary=wsum",
                         LRA_UNSUPPORTED);
    }
    qkv_.project(step);
    std::copy(v, v + step.len * inner_, step[qkv_.v]);
    mix(step);
    std::copy(step[qkv_.o], step[qkv_.o] + step.len * inner_, o);
  }

 private:
  bool pooled() const { return spans_.pattern() != Pattern::kRowMajor; }
  bool deep_sets() const { return pooled() && abstraction_ == Abstraction::kDeepSets; }
  bool weighted() const { return !pooled() && summary_ == Summary::kWeighted; }
  bool projected() const { return !pooled() && summary_ == Summary::kProjected; }

  Pool pool_of(const sdk::Step& step, int64_t head) const {
    const int32_t* order = clusters_ ? clusters_->order(step, head) : nullptr;
    return {spans_, step.len, abstraction_ == Abstraction::kMean, head_dim_, inner_, order};
  }
  // A range of rows of the pattern as rows of the sequence.
  Rows in_order(const sdk::Step& step, int64_t head, const Rows& rows) const {
    return clusters_ ? Rows::listed(clusters_->order(step, head) + rows.first, rows.count) : rows;
  }

  // The spans as keys of one head.
  math::JointKeys<Real> span_keys(const sdk::Step& step, int64_t head) const {
    const int64_t at = head * head_dim_;
    const Real* k = step[qkv_.k];
    Real* dk = step[qkv_.dk];
    if (pooled() || projected()) k = step[key_];
    if (weighted()) k = step[summed_];
    if (pooled() || summary_ != Summary::kNone) dk = step[dkey_];
    return {k + at, step[value_] + at, inner_, inner_, dk + at, step[dvalue_] + at};
  }
  // The spans as queries to their own rows.
  math::JointQueries<Real> span_queries(const sdk::Step& step, int64_t head) const {
    const int64_t at = head * head_dim_;
    const Real* q = pooled() ? step[query_] : step[qkv_.q];
    Real* dq = pooled() ? step[dquery_] : step[qkv_.dq];
    return {q + at, inner_, step[value_] + at, inner_, step[value_lse_] + head * most_, step[dvalue_] + at, dq + at};
  }
  // The same, with keys in place of values: what wsum takes as the key of a span.
  math::JointQueries<Real> summed_queries(const sdk::Step& step, int64_t head) const {
    auto q = span_queries(step, head);
    q.o = step[summed_] + head * head_dim_;
    q.d_o = step[dkey_] + head * head_dim_;
    q.lse = step[summed_lse_] + head * most_;
    return q;
  }
  static math::JointKeys<Real> keys_as_values(math::JointKeys<Real> keys) {
    keys.v = keys.k;
    keys.ldv = keys.ldk;
    keys.dv = keys.dk;
    return keys;
  }
  // Rows of the sequence as queries of one softmax.
  math::JointQueries<Real> row_queries(const sdk::Step& step, int64_t head, int softmax) const {
    auto q = attention_.queries(step, qkv_, head);
    if (spans_.averaged()) q.o = step[part_[size_t(softmax)]] + head * head_dim_;
    if (softmax == 1) q.lse = step[second_lse_] + head * max_len_;
    return q;
  }

  void measure(const sdk::Step& step) const {
    if (!size_correction_) return;
    spans_.sizes(step.len, [&](int64_t slot, int64_t rows) { step[log_size_][slot] = Real(std::log(double(rows))); });
  }

  void mix(const sdk::Step& step) const {
    measure(step);
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      if (clusters_) clusters_->sort(step, head, worker, step[qkv_.k] + head * head_dim_);
      pool(step, head);
      values(step, head, worker);
    });
    if (projected()) summarise(step);
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) { joint(step, head, worker); });
  }

  // kappa = pool of k, rho = pool of q
  void pool(const sdk::Step& step, int64_t head) const {
    if (!pooled()) return;
    const int64_t at = head * head_dim_;
    const Real *q = step[qkv_.q], *k = step[qkv_.k];
    if (deep_sets()) {
      feature(step, head, q, w_span_q_, step[feature_q_]);
      feature(step, head, k, w_span_k_, step[feature_k_]);
      q = step[feature_q_];
      k = step[feature_k_];
    }
    const Pool pool = pool_of(step, head);
    pool.forward(q + at, step[query_] + at, step[best_query_] + at);
    pool.forward(k + at, step[key_] + at, step[best_key_] + at);
  }
  void pool_backward(const sdk::Step& step, int64_t head) const {
    const int64_t at = head * head_dim_;
    const bool deep = deep_sets();
    Real *dq = deep ? step[dfeature_q_] : step[qkv_.dq], *dk = deep ? step[dfeature_k_] : step[qkv_.dk];
    const Pool pool = pool_of(step, head);
    pool.backward(step[key_] + at, step[best_key_] + at, step[dkey_] + at, dk + at, deep);
    pool.backward(step[query_] + at, step[best_query_] + at, step[dquery_] + at, dq + at, deep);
    if (!deep) return;
    // dx += du W^T
    add_product(step, head, step[qkv_.dq], dq, w_span_q_);
    add_product(step, head, step[qkv_.dk], dk, w_span_k_);
  }

  sdk::Matrix<Real> of_head(Real* rows, int64_t head, int64_t len) const {
    return sdk::matrix(rows + head * head_dim_, len, head_dim_, inner_);
  }
  sdk::Matrix<const Real> of_head(const Real* rows, int64_t head, int64_t len) const {
    return sdk::matrix(rows + head * head_dim_, len, head_dim_, inner_);
  }
  // relu(x W)
  void feature(const sdk::Step& step, int64_t head, const Real* x, const sdk::Param& w, Real* out) const {
    step.host.gemm(of_head(out, head, step.len), of_head(x, head, step.len),
                   sdk::matrix(step[w], head_dim_, head_dim_));
    for (int64_t i = 0; i < step.len; ++i) {
      Real* row = out + i * inner_ + head * head_dim_;
      for (int64_t e = 0; e < head_dim_; ++e) row[e] = std::max(row[e], Real(0));
    }
  }
  void add_product(const sdk::Step& step, int64_t head, Real* dx, const Real* du, const sdk::Param& w) const {
    step.host.gemm(of_head(dx, head, step.len), of_head(du, head, step.len),
                   t(sdk::matrix(step[w], head_dim_, head_dim_)), {.beta = 1});
  }
  // dW += x^T du, one head after another
  void features_weight_backward(const sdk::Step& step, int64_t head, const sdk::Grads& grads) const {
    const auto add = [&](const sdk::Param& w, const Real* x, const Real* du) {
      step.host.gemm(sdk::matrix(grads[w], head_dim_, head_dim_), t(of_head(x, head, step.len)),
                     of_head(du, head, step.len), {.beta = 1});
    };
    add(w_span_q_, step[qkv_.q], step[dfeature_q_]);
    add(w_span_k_, step[qkv_.k], step[dfeature_k_]);
  }

  // s = softmax over the span's rows of rho.k, times v;  wsum: kappa = the same weights times k
  void values(const sdk::Step& step, int64_t head, int32_t worker) const {
    const auto keys = attention_.keys(step, qkv_, head);
    const auto q = span_queries(step, head);
    math::joint_clear(q, spans_.slots(step.len), head_dim_);
    if (weighted()) math::joint_clear(summed_queries(step, head), spans_.slots(step.len), head_dim_);
    spans_.members(step.len, [&](const Rows& slots, const Rows& places, const Mask& mask) {
      const Rows rows = in_order(step, head, places);
      const auto edit = [&](const sdk::Scores& s) { mask.apply(s); };
      attention_.merge(step, worker, {head_dim_, attention_.scale(), q, keys, slots, rows}, edit);
      if (!weighted()) return;
      attention_.merge(step, worker,
                       {head_dim_, attention_.scale(), summed_queries(step, head), keys_as_values(keys), slots, rows},
                       edit);
    });
  }
  void values_backward(const sdk::Step& step, int64_t head, int32_t worker) const {
    const auto keys = attention_.keys(step, qkv_, head);
    const auto q = span_queries(step, head);
    const auto ignore = [](const sdk::Scores&) {};
    spans_.members(step.len, [&](const Rows& slots, const Rows& places, const Mask& mask) {
      const Rows rows = in_order(step, head, places);
      const auto edit = [&](const sdk::Scores& s) { mask.apply(s); };
      attention_.add_gradients(step, worker, {head_dim_, attention_.scale(), q, keys, slots, rows}, edit, ignore);
      if (!weighted()) return;
      attention_.add_gradients(
          step, worker, {head_dim_, attention_.scale(), summed_queries(step, head), keys_as_values(keys), slots, rows},
          edit, ignore);
    });
  }

  // z = x + s W, u = layer_norm(z), kappa = u W'
  void summarise(const sdk::Step& step) const {
    const int64_t slots = spans_.slots(step.len);
    Real* z = step[before_norm_];
    std::copy_n(step.x, slots * dim_, z);
    step.host.gemm(sdk::matrix(z, slots, dim_), sdk::matrix(step[value_], slots, inner_),
                   sdk::matrix(step[w_value_], inner_, dim_), {.beta = 1});
    key_of_summary(step);
  }
  void key_of_summary(const sdk::Step& step) const {
    const int64_t slots = spans_.slots(step.len);
    math::layer_norm(slots, dim_, step[before_norm_], step[gain_], step[shift_], kLayerNormEpsilon, step[normed_],
                     step[mean_], step[rstd_]);
    step.host.gemm(sdk::matrix(step[key_], slots, inner_), sdk::matrix(step[normed_], slots, dim_),
                   sdk::matrix(step[w_key_], dim_, inner_));
  }
  void summary_backward(const sdk::Step& step, const sdk::Grads& grads) const {
    const int64_t slots = spans_.slots(step.len);
    Real* du = step[dnormed_];
    const auto dkey = sdk::matrix(step[dkey_], slots, inner_);
    const auto dz = sdk::matrix(du, slots, dim_);
    // kappa = u W'
    step.host.gemm(dz, dkey, t(sdk::matrix(step[w_key_], dim_, inner_)));
    step.host.gemm(sdk::matrix(grads[w_key_], dim_, inner_), t(sdk::matrix(step[normed_], slots, dim_)), dkey,
                   {.beta = 1});
    // u = layer_norm(z)
    math::layer_norm_backward(slots, dim_, step[before_norm_], step[gain_], step[mean_], step[rstd_], du, du,
                              grads[gain_], grads[shift_]);
    // z = x + s W; dx takes dz at the end
    step.host.gemm(sdk::matrix(step[dvalue_], slots, inner_), dz, t(sdk::matrix(step[w_value_], inner_, dim_)),
                   {.beta = 1});
    step.host.gemm(sdk::matrix(grads[w_value_], inner_, dim_), t(sdk::matrix(step[value_], slots, inner_)), dz,
                   {.beta = 1});
  }

  void edit(const sdk::Step& step, Keys kind, const Rows& keys, const Mask& mask, const sdk::Scores& s) const {
    if (kind == Keys::kSpans && size_correction_) {
      for (int64_t r = 0; r < s.rows; ++r) {
        for (int64_t c = 0; c < s.keys; ++c) s.s[r * s.lds + c] += step[log_size_][keys[s.key_begin + c]];
      }
    }
    mask.apply(s);
  }

  sdk::JointAttention::Tile tile(const sdk::Step& step, int64_t head, int softmax, const Rows& rows, Keys kind,
                                 const Rows& keys) const {
    const bool spans = kind == Keys::kSpans;
    return {head_dim_,
            attention_.scale(),
            row_queries(step, head, softmax),
            spans ? span_keys(step, head) : attention_.keys(step, qkv_, head),
            in_order(step, head, rows),
            spans ? keys : in_order(step, head, keys)};
  }

  // o = one softmax over rows and spans, or the mean of two
  void joint(const sdk::Step& step, int64_t head, int32_t worker) const {
    const int softmaxes = spans_.averaged() ? 2 : 1;
    for (int s = 0; s < softmaxes; ++s) math::joint_clear(row_queries(step, head, s), step.len, head_dim_);
    spans_.joint(step.len, [&](int softmax, const Rows& rows, Keys kind, const Rows& keys, const Mask& mask) {
      attention_.merge(step, worker, tile(step, head, softmax, rows, kind, keys),
                       [&](const sdk::Scores& s) { edit(step, kind, keys, mask, s); });
    });
    if (softmaxes == 1) return;
    for (int64_t i = 0; i < step.len; ++i) {
      const int64_t at = i * inner_ + head * head_dim_;
      for (int64_t e = at; e < at + head_dim_; ++e) {
        step[qkv_.o][e] = Real(0.5) * (step[part_[0]][e] + step[part_[1]][e]);
      }
    }
  }
  void joint_backward(const sdk::Step& step, int64_t head, int32_t worker) const {
    for (int64_t i = 0; i < (spans_.averaged() ? step.len : 0); ++i) {
      Real* d_o = step[qkv_.d_o] + i * inner_ + head * head_dim_;
      for (int64_t e = 0; e < head_dim_; ++e) d_o[e] *= Real(0.5);
    }
    spans_.joint(step.len, [&](int softmax, const Rows& rows, Keys kind, const Rows& keys, const Mask& mask) {
      attention_.add_gradients(
          step, worker, tile(step, head, softmax, rows, kind, keys),
          [&](const sdk::Scores& s) { edit(step, kind, keys, mask, s); }, [](const sdk::Scores&) {});
    });
  }

  void clear_gradients(const sdk::Step& step, int64_t head) const {
    const int64_t at = head * head_dim_, slots = spans_.slots(step.len);
    for (const auto& rows : {qkv_.dq, qkv_.dk, qkv_.dv}) attention_.clear_rows(step[rows] + at, step.len);
    attention_.clear_rows(step[dvalue_] + at, slots);
    if (dkey_.index >= 0) attention_.clear_rows(step[dkey_] + at, slots);
    if (dquery_.index >= 0) attention_.clear_rows(step[dquery_] + at, slots);
    if (!deep_sets()) return;
    attention_.clear_rows(step[dfeature_q_] + at, step.len);
    attention_.clear_rows(step[dfeature_k_] + at, step.len);
  }

  int64_t dim_, heads_, head_dim_, inner_, max_len_;
  Abstraction abstraction_;
  Summary summary_;
  bool size_correction_;
  Spans spans_;
  std::optional<Clusters> clusters_;  // pattern=routing
  int64_t most_;                      // spans
  sdk::Qkv qkv_;
  sdk::JointAttention attention_;
  sdk::Saved<> value_, value_lse_, summed_, summed_lse_, second_lse_;
  std::array<sdk::Saved<>, 2> part_;
  sdk::Scratch<> dvalue_, key_, query_, dkey_, dquery_, log_size_;
  sdk::Scratch<int32_t> best_key_, best_query_;
  sdk::Param w_span_q_, w_span_k_;
  sdk::Scratch<> feature_q_, feature_k_, dfeature_q_, dfeature_k_;
  sdk::Param w_value_, gain_, shift_, w_key_;
  sdk::Saved<> before_norm_, mean_, rstd_;
  sdk::Scratch<> normed_, dnormed_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::Combiner, lra::kInfo)
