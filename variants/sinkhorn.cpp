// Sinkhorn attention: blocks of b rows are sorted by a soft permutation, and each block attends to its own rows and to
// those that were sorted to its place. Per head, with n blocks:
//   R = sort net(pooled blocks): [n, n],   L = (R + noise g) / temperature, g Gumbel noise, in training only
//   `iterations` times:  L_uv -= log sum_v exp(L_uv),  then  L_uv -= log sum_u exp(L_uv);   S = exp(L)
//   K'_u = sum_v S_uv K_v,  V'_u = sum_v S_uv V_v      (rows t of the blocks with rows t)
//   rows of block u: one softmax over [K'_u ; K_u];  SortCut: all rows over K'_0 .. K'_(cut-1)
// Sort nets, p_u being the mean of block u:
//   mlp       R_u = relu(p_u(x) W_1 + b_1) W_2^T      bilinear   R_uv = p_u(q).p_v(k) / sqrt(dh)
// If the last block is short, row t that it lacks is a mixture of the other blocks only: its logit gets
//   beta_u = log(sum of S_uv over the blocks that have row t / sum_v S_uv), and it is hidden where that is empty.
// Causal: p_u of queries is the mean of all rows up to the first one of block u, S_uv = 0 for v >= u, column sums run
// over u' <= u only, so that nothing looks ahead; block 0 sees itself only.
// Backward of a normalisation L' = L - lse(L): dL = dL' - exp(L') sum dL'.
#include <algorithm>
#include <cmath>
#include <limits>

#include "math/elementwise.h"
#include "math/gemm.h"
#include "sdk/joint_attention.h"
#include "sdk/qkv.h"

namespace lra {
namespace {

using math::Op;
using math::Rows;
using sdk::Real;

enum class Net { kMlp, kBilinear };

constexpr Real kHidden = -std::numeric_limits<Real>::infinity();

constexpr lra_option kOptions[] = {
    sdk::integer("block", "rows b of a block", 64, 1, 1 << 20),
    sdk::choice("sort", "sort net: two layers on pooled rows, or products of pooled queries and keys", "mlp|bilinear"),
    sdk::integer("iterations", "normalisations of rows and columns", 7, 1, 64),
    sdk::number("temperature", "divides the logits of the sort", 0.75, 1e-3, 1e3),
    sdk::number("noise", "factor of the Gumbel noise in training", 1, 0, 100),
    sdk::integer("cut", "SortCut: all rows see the first sorted blocks only, this many; 0: off", 0, 0, 1 << 20),
};

constexpr sdk::Info kInfo{
    .id = "sinkhorn",
    .title = "Sparse Sinkhorn attention",
    .paper = "Tay et al. 2020, arXiv:2002.11296",
    .formula =
        "S = Sinkhorn((R + g) / temperature), R = relu(pool(x) W_1) W_2^T;  K'_u = sum_v S_uv K_v, V' likewise\n"
        "rows of block u: O = softmax(q [K'_u ; K_u]^T / sqrt(dh)) [V'_u ; V_u]",
    .notes =
        "One softmax over sorted and own block. Pooling is a mean (the paper's sum is a factor of the sort net's "
        "weights). After finitely many iterations columns of S sum to 1 exactly and rows nearly, so weights of a row "
        "of the output sum to 1 nearly. sort=mlp has one output per block and head: [(block, head), D] in sort2, of "
        "which a short sequence uses the first; sort=bilinear adds no parameters.\n"
        "Causal: no learned null block: block 0 attends to itself. Columns are normalised over earlier rows only, "
        "which makes the sort strictly causal but less balanced. SortCut is bidirectional.\n"
        "A block longer than the sequence is the sequence.\n"
        "Sorting costs O(N^2 D / b). With the default block it is a fifth of the module's operations at 4K rows and "
        "half of them at 16K (D = 64); the declared exponent holds from 1K to 16K, beyond it grows to 2 unless the "
        "block grows with sqrt(N).\n"
        "The benchmark's released code sorts by one softmax instead of iterations, sums all blocks whatever the "
        "sort, uses strided blocks, and adds two softmaxes.\n"
        "pairs counts scored slots, sorted rows included.",
    .time = "O(N b D + N^2 D / b)",
    .memory = "O(N D + H (N / b)^2)",
    .time_exponent = 1.4,
    .memory_exponent = 1,
    .flags = LRA_CAUSAL | LRA_BIDIRECTIONAL,
    .options = kOptions,
    .limits = "block={N}",
};

class Sinkhorn {
 public:
  explicit Sinkhorn(sdk::Setup& setup)
      : block_(std::min(setup.integer("block"), setup.max_len)),
        iterations_(setup.integer("iterations")),
        cut_(setup.integer("cut")),
        temperature_(Real(setup.number("temperature"))),
        noise_(Real(setup.number("noise"))),
        net_(setup.choice<Net>("sort")),
        causal_(setup.causal),
        heads_(setup.heads),
        head_dim_(setup.head_dim),
        inner_(setup.inner),
        dim_(setup.dim),
        max_blocks_((setup.max_len + block_ - 1) / block_),
        max_padded_(max_blocks_ * block_),
        x_(setup),
        attention_(setup, 64, 256),
        logits_(setup.saved("sort_logits", heads_ * max_blocks_ * max_blocks_)),
        sorted_k_(setup.saved("sorted_k", heads_ * max_padded_ * head_dim_)),
        sorted_v_(setup.saved("sorted_v", heads_ * max_padded_ * head_dim_)) {
    if (cut_ > 0 && causal_) {
      throw sdk::Refusal("cut=" + std::to_string(cut_) +
                         " lets every row see the first sorted blocks, whenever their rows come; causal runs take "
                         "cut=0");
    }
    const int64_t width = net_ == Net::kMlp ? dim_ : inner_;
    pooled_ = setup.scratch("pooled", 2 * max_blocks_ * width);
    d_logits_ = setup.scratch("d_sort_logits", heads_ * max_blocks_ * max_blocks_);
    if (net_ == Net::kMlp) {
      sort1_ = setup.param("sort1", dim_, dim_);
      if (setup.bias) sort1_bias_ = setup.param("sort1_bias", 1, dim_, {.init = LRA_INIT_ZERO});
      sort2_ = setup.param("sort2", max_blocks_ * heads_, dim_,
                           {.init = LRA_INIT_NORMAL, .scale = 1 / std::sqrt(double(dim_))});
      hidden_ = setup.saved("sort_hidden", max_blocks_ * dim_);
      all_logits_ = setup.scratch("all_sort_logits", max_blocks_ * max_blocks_ * heads_);
      d_hidden_ = setup.scratch("d_sort_hidden", max_blocks_ * dim_);
    }
    // S or the outputs of all half steps; two more for gradients.
    levels_ = setup.scratch_per_worker("levels", (2 * iterations_ + 3) * max_blocks_ * max_blocks_);
    vectors_ = setup.scratch_per_worker("vectors", 4 * max_blocks_);
    gathered_ = setup.scratch_per_worker("gathered", 4 * max_padded_ * head_dim_);
  }

  void forward(const sdk::Step& step, Real* y, Real&) const {
    x_.project(step);
    attend(step);
    x_.output(step, y);
  }
  void mix_values(const sdk::Step& step, const Real* v, Real* o) const {
    x_.project(step);
    std::copy_n(v, step.len * inner_, step[x_.v]);
    attend(step);
    std::copy_n(step[x_.o], step.len * inner_, o);
  }
  void backward(const sdk::Step& step, const Real* dy, Real* dx, const sdk::Grads& grads) const {
    x_.output_backward(step, dy, grads);
    step.host.parallel_for(heads_, 1,
                           [&](int64_t head, int64_t, int32_t worker) { head_backward(step, head, worker); });
    if (net_ == Net::kBilinear) bilinear_backward(step);
    x_.project_backward(step, dx, grads);
    if (net_ == Net::kMlp) mlp_backward(step, dx, grads);
  }

  sdk::Cost cost(int64_t len) const {
    const Shape s = shape(len);
    const double n = double(s.blocks), h = double(heads_);
    const double net = net_ == Net::kMlp ? 2 * n * double(dim_) * (double(dim_) + n * h) : 2 * n * n * double(inner_);
    const double sort = 2 * double(s.sorted) * n * double(s.block) * double(head_dim_);
    sdk::Cost sum = x_.cost(len);
    sum += {net + 2 * h * sort, 2 * net + 4 * h * sort, 0};
    const auto add = [&](int64_t rows, int64_t keys, double pairs) {
      const sdk::Cost tile = attention_.tile_cost(rows, keys);
      sum += {h * tile.forward_flops, h * tile.backward_flops, h * pairs};
    };
    if (cut_ > 0) add(len, s.sorted * s.block, double(len) * double(s.sorted * s.block));
    for (int64_t u = 0; u < s.blocks && cut_ == 0; ++u) {
      const int64_t rows = s.rows(u);
      if (!causal_ || u > 0) add(rows, s.block, double(rows) * double(s.block));
      add(rows, rows, causal_ ? double(rows) * double(rows + 1) / 2 : double(rows) * double(rows));
    }
    return sum;
  }

 private:
  // The blocks of one sequence.
  struct Shape {
    int64_t len, block, blocks, sorted;  // sorted: how many K'_u are made
    int64_t rows(int64_t u) const { return std::min(block, len - u * block); }
    int64_t last_rows() const { return rows(blocks - 1); }
  };
  Shape shape(int64_t len) const {
    const int64_t block = std::min(block_, len), blocks = (len + block - 1) / block;
    return {len, block, blocks, cut_ > 0 ? std::min(cut_, blocks) : blocks};
  }
  // Blocks that row u of S may take from: [0, sources).
  int64_t sources(const Shape& s, int64_t u) const { return causal_ ? u : s.blocks; }

  void attend(const sdk::Step& step) const {
    if (net_ == Net::kMlp) {
      mlp_forward(step);
    } else {
      bilinear_forward(step);
    }
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) { head_forward(step, head, worker); });
  }

  // ---- Pooling and the sort nets; they write R of all heads to logits [H, n, n].

  // Means of blocks, or in causal runs of all rows up to the first one of the block.
  enum class Pool { kBlock, kPast };
  Pool query_pool() const { return causal_ ? Pool::kPast : Pool::kBlock; }

  static void pool(const Shape& s, Pool kind, const Real* x, int64_t width, Real* p) {
    for (int64_t u = 0; u < s.blocks; ++u, p += width) {
      // The mean up to row u b is made from the one of the block before.
      const int64_t begin = kind == Pool::kBlock ? u * s.block : u == 0 ? 0 : (u - 1) * s.block + 1;
      const int64_t end = kind == Pool::kBlock ? begin + s.rows(u) : u * s.block + 1;
      const Real count = Real(kind == Pool::kBlock ? s.rows(u) : end);
      if (kind == Pool::kPast && u > 0) {
        for (int64_t e = 0; e < width; ++e) p[e] = p[e - width] * (Real(begin) / count);
      } else {
        std::fill_n(p, width, Real(0));
      }
      for (int64_t i = begin; i < end; ++i) math::axpy(width, 1 / count, x + i * width, p);
    }
  }
  // dx += ; dp is changed.
  static void pool_backward(const Shape& s, Pool kind, Real* dp, int64_t width, Real* dx) {
    for (int64_t u = s.blocks - 1; u >= 0; --u) {
      Real* d = dp + u * width;
      const int64_t begin = kind == Pool::kBlock ? u * s.block : u == 0 ? 0 : (u - 1) * s.block + 1;
      const int64_t end = kind == Pool::kBlock ? begin + s.rows(u) : u * s.block + 1;
      const Real count = Real(kind == Pool::kBlock ? s.rows(u) : end);
      for (int64_t i = begin; i < end; ++i) math::axpy(width, 1 / count, d, dx + i * width);
      if (kind == Pool::kPast && u > 0) math::axpy(width, Real(begin) / count, d, d - width);
    }
  }

  void mlp_forward(const sdk::Step& step) const {
    const Shape s = shape(step.len);
    const int64_t n = s.blocks;
    Real *p = step[pooled_], *hidden = step[hidden_], *all = step[all_logits_];
    pool(s, query_pool(), step.x, dim_, p);
    step.host.gemm(sdk::matrix(hidden, n, dim_), sdk::matrix(p, n, dim_), sdk::matrix(step[sort1_], dim_, dim_),
                   {.bias = sort1_bias_.index < 0 ? nullptr : step[sort1_bias_]});
    for (int64_t e = 0; e < n * dim_; ++e) hidden[e] = std::max(hidden[e], Real(0));
    step.host.gemm(sdk::matrix(all, n, n * heads_), sdk::matrix(hidden, n, dim_),
                   sdk::t(sdk::matrix(step[sort2_], n * heads_, dim_)));
    for (int64_t h = 0; h < heads_; ++h) {
      for (int64_t uv = 0; uv < n * n; ++uv) step[logits_][h * n * n + uv] = all[uv * heads_ + h];
    }
  }
  void mlp_backward(const sdk::Step& step, Real* dx, const sdk::Grads& grads) const {
    const Shape s = shape(step.len);
    const int64_t n = s.blocks;
    Real *p = step[pooled_], *all = step[all_logits_], *dh = step[d_hidden_];
    const Real* hidden = step[hidden_];
    for (int64_t h = 0; h < heads_; ++h) {
      for (int64_t uv = 0; uv < n * n; ++uv) all[uv * heads_ + h] = step[d_logits_][h * n * n + uv];
    }
    step.host.gemm(sdk::matrix(grads[sort2_], n * heads_, dim_), sdk::t(sdk::matrix(all, n, n * heads_)),
                   sdk::matrix(hidden, n, dim_), {.beta = 1});
    step.host.gemm(sdk::matrix(dh, n, dim_), sdk::matrix(all, n, n * heads_),
                   sdk::matrix(step[sort2_], n * heads_, dim_));
    for (int64_t e = 0; e < n * dim_; ++e) dh[e] = hidden[e] > 0 ? dh[e] : Real(0);
    pool(s, query_pool(), step.x, dim_, p);
    step.host.gemm(sdk::matrix(grads[sort1_], dim_, dim_), sdk::t(sdk::matrix(p, n, dim_)), sdk::matrix(dh, n, dim_),
                   {.beta = 1});
    if (sort1_bias_.index >= 0) math::column_sums(n, dim_, dh, dim_, grads[sort1_bias_]);
    step.host.gemm(sdk::matrix(p, n, dim_), sdk::matrix(dh, n, dim_), sdk::t(sdk::matrix(step[sort1_], dim_, dim_)));
    pool_backward(s, query_pool(), p, dim_, dx);
  }

  void bilinear_forward(const sdk::Step& step) const {
    const Shape s = shape(step.len);
    const int64_t n = s.blocks;
    Real *pq = step[pooled_], *pk = pq + n * inner_;
    pool(s, query_pool(), step[x_.q], inner_, pq);
    pool(s, Pool::kBlock, step[x_.k], inner_, pk);
    for (int64_t h = 0; h < heads_; ++h) {
      step.host.gemm(sdk::matrix(step[logits_] + h * n * n, n, n),
                     sdk::matrix(pq + h * head_dim_, n, head_dim_, inner_),
                     sdk::t(sdk::matrix(pk + h * head_dim_, n, head_dim_, inner_)), {.alpha = attention_.scale()});
    }
  }
  void bilinear_backward(const sdk::Step& step) const {
    const Shape s = shape(step.len);
    const int64_t n = s.blocks;
    // Products of one side need the other side's means: two passes over one block each.
    Real *p = step[pooled_], *d = p + n * inner_;
    const auto side = [&](Pool from_kind, const Real* from, Pool to_kind, Real* to, bool transposed) {
      pool(s, from_kind, from, inner_, p);
      for (int64_t h = 0; h < heads_; ++h) {
        const auto dr = sdk::matrix<const Real>(step[d_logits_] + h * n * n, n, n);
        step.host.gemm(sdk::matrix(d + h * head_dim_, n, head_dim_, inner_), transposed ? sdk::t(dr) : dr,
                       sdk::matrix<const Real>(p + h * head_dim_, n, head_dim_, inner_), {.alpha = attention_.scale()});
      }
      pool_backward(s, to_kind, d, inner_, to);
    };
    side(Pool::kBlock, step[x_.k], query_pool(), step[x_.dq], false);
    side(query_pool(), step[x_.q], Pool::kBlock, step[x_.dk], true);
  }

  // ---- Sinkhorn's iterations

  // out = in, rows normalised over their sources. vectors: [4, n].
  void normalise_rows(const Shape& s, const Real* in, Real* out, Real* vectors) const {
    const int64_t n = s.blocks;
    for (int64_t u = 0; u < n; ++u, in += n, out += n) {
      const int64_t count = sources(s, u);
      Real top = kHidden, sum = 0;
      for (int64_t v = 0; v < count; ++v) top = std::max(top, in[v]);
      for (int64_t v = 0; v < count; ++v) vectors[v] = in[v] - top;
      math::exp(count, vectors, vectors);
      for (int64_t v = 0; v < count; ++v) sum += vectors[v];
      const Real lse = top + std::log(sum);
      for (int64_t v = 0; v < n; ++v) out[v] = v < count ? in[v] - lse : kHidden;
    }
  }
  // out = in, columns normalised: over all rows, or in causal runs over the rows up to their own.
  void normalise_columns(const Shape& s, const Real* in, Real* out, Real* vectors) const {
    const int64_t n = s.blocks;
    Real *top = vectors, *sum = vectors + n, *row = vectors + 2 * n;
    std::fill_n(top, n, kHidden);
    std::fill_n(sum, n, Real(0));
    if (causal_) return normalise_past_columns(s, in, out, top, sum);
    for (int64_t u = 0; u < n; ++u) {
      for (int64_t v = 0; v < n; ++v) top[v] = std::max(top[v], in[u * n + v]);
    }
    for (int64_t u = 0; u < n; ++u) {
      for (int64_t v = 0; v < n; ++v) row[v] = in[u * n + v] - top[v];
      math::exp(n, row, row);
      math::add(n, sum, row, sum);
    }
    for (int64_t v = 0; v < n; ++v) top[v] += std::log(sum[v]);
    for (int64_t u = 0; u < n; ++u) {
      for (int64_t v = 0; v < n; ++v) out[u * n + v] = in[u * n + v] - top[v];
    }
  }
  // top = -inf and sum = 0 on entry; they run along with u.
  void normalise_past_columns(const Shape& s, const Real* in, Real* out, Real* top, Real* sum) const {
    const int64_t n = s.blocks;
    for (int64_t u = 0; u < n; ++u) {
      const int64_t count = sources(s, u);
      for (int64_t v = 0; v < count; ++v) {
        const Real l = in[u * n + v];
        if (l > top[v]) {
          sum[v] = sum[v] * std::exp(top[v] - l) + 1;
          top[v] = l;
        } else {
          sum[v] += std::exp(l - top[v]);
        }
        out[u * n + v] = l - (top[v] + std::log(sum[v]));
      }
      std::fill(out + u * n + count, out + (u + 1) * n, kHidden);
    }
  }
  // d is the gradient of out on entry, of the input on return.
  void normalise_rows_backward(const Shape& s, const Real* out, Real* d, Real* vectors) const {
    const int64_t n = s.blocks;
    for (int64_t u = 0; u < n; ++u, out += n, d += n) {
      const int64_t count = sources(s, u);
      Real sum = 0;
      for (int64_t v = 0; v < count; ++v) sum += d[v];
      math::exp(count, out, vectors);
      math::axpy(count, -sum, vectors, d);
    }
  }
  void normalise_columns_backward(const Shape& s, const Real* in, const Real* out, Real* d, Real* vectors) const {
    const int64_t n = s.blocks;
    Real *sum = vectors, *row = vectors + n, *later = vectors + 2 * n;
    std::fill_n(sum, n, Real(0));
    if (!causal_) {
      for (int64_t u = 0; u < n; ++u) math::add(n, sum, d + u * n, sum);
      for (int64_t u = 0; u < n; ++u) {
        math::exp(n, out + u * n, row);
        for (int64_t v = 0; v < n; ++v) d[u * n + v] -= row[v] * sum[v];
      }
      return;
    }
    // out_u = in_u - lse_u, lse_u over u' <= u:  d in_u = d_u - sum over t >= u of d_t exp(in_u - lse_t);
    // sum_u = d_u + exp(lse_u - lse_(u+1)) sum_(u+1) keeps the exponents below 0.
    for (int64_t u = n - 1; u >= 0; --u) {
      for (int64_t v = 0; v < sources(s, u); ++v) {
        const int64_t at = u * n + v;
        const Real lse = in[at] - out[at];
        sum[v] = d[at] + (u + 1 < n ? std::exp(lse - later[v]) * sum[v] : Real(0));
        later[v] = lse;
        d[at] -= std::exp(out[at]) * sum[v];
      }
    }
  }

  // The L of all half steps follow each other in `levels`; S is written behind them and returned.
  Real* sinkhorn(const sdk::Step& step, const Shape& s, int64_t head, int32_t worker) const {
    const int64_t size = s.blocks * s.blocks;
    Real* level = step.at(levels_, worker);
    std::copy_n(step[logits_] + head * size, size, level);
    for (int64_t i = 0; i < iterations_; ++i, level += 2 * size) {
      normalise_rows(s, level, level + size, step.at(vectors_, worker));
      normalise_columns(s, level + size, level + 2 * size, step.at(vectors_, worker));
    }
    math::exp(size, level, level + size);
    return level + size;
  }
  // dS, behind S, becomes the gradient of R.
  void sinkhorn_backward(const sdk::Step& step, const Shape& s, const Real* permutation, Real* d,
                         int32_t worker) const {
    const int64_t size = s.blocks * s.blocks;
    for (int64_t uv = 0; uv < size; ++uv) d[uv] *= permutation[uv];
    const Real* level = permutation - size;
    for (int64_t i = 0; i < iterations_; ++i, level -= 2 * size) {
      normalise_columns_backward(s, level - size, level, d, step.at(vectors_, worker));
      normalise_rows_backward(s, level - size, d, step.at(vectors_, worker));
    }
    math::scale(size, 1 / temperature_, d);
  }

  // ---- One head

  // beta_u: [n], what the rows that a short last block lacks get; 0 is not read where all blocks are full.
  void short_block_bias(const Shape& s, const Real* permutation, Real* beta) const {
    for (int64_t u = 0; u < s.sorted; ++u) {
      Real others = 0;
      for (int64_t v = 0; v + 1 < s.blocks; ++v) others += permutation[u * s.blocks + v];
      beta[u] = others > 0 ? std::log(others / (others + permutation[(u + 1) * s.blocks - 1])) : kHidden;
    }
  }
  bool has_short_block(const Shape& s) const { return !causal_ && s.last_rows() < s.block; }

  // [n, b dh]: the head's columns of a block [N, Q], zeros where the last block is short.
  void gather(const Shape& s, const Real* x, Real* out) const {
    for (int64_t i = 0; i < s.len; ++i) std::copy_n(x + i * inner_, head_dim_, out + i * head_dim_);
    std::fill_n(out + s.len * head_dim_, (s.blocks * s.block - s.len) * head_dim_, Real(0));
  }
  void scatter(const Shape& s, const Real* from, Real* x) const {
    for (int64_t i = 0; i < s.len; ++i) {
      for (int64_t e = 0; e < head_dim_; ++e) x[i * inner_ + e] += from[i * head_dim_ + e];
    }
  }

  math::JointQueries<Real> queries(const sdk::Step& step, int64_t head) const {
    return attention_.queries(step, x_, head);
  }
  math::JointKeys<Real> sorted_keys(const sdk::Step& step, int64_t head, Real* dk, Real* dv) const {
    const int64_t first = head * max_padded_ * head_dim_;
    return {step[sorted_k_] + first, step[sorted_v_] + first, head_dim_, head_dim_, dk, dv};
  }

  // visit(rows, keys, whether they are the sorted ones).
  template <class Visit>
  void tiles(const Shape& s, Visit&& visit) const {
    if (cut_ > 0) return visit(Rows::range(0, s.len), Rows::range(0, s.sorted * s.block), true);
    for (int64_t u = 0; u < s.blocks; ++u) {
      const int64_t begin = u * s.block;
      const Rows rows = Rows::range(begin, begin + s.rows(u));
      if (sources(s, u) > 0) visit(rows, Rows::range(begin, begin + s.block), true);
      visit(rows, rows, false);
    }
  }
  // Calls use(u, number of a key of the piece) for the sorted rows that a short last block lacks.
  template <class Use>
  void for_lacking(const Shape& s, const Rows& keys, const sdk::Scores& piece, Use&& use) const {
    for (int64_t c = 0; c < piece.keys; ++c) {
      const int64_t place = keys.first + piece.key_begin + c;
      if (place % s.block >= s.last_rows()) use(place / s.block, c);
    }
  }
  void edit(const Shape& s, const Rows& keys, bool sorted, const Real* beta, const sdk::Scores& piece) const {
    for (int64_t r = 0; causal_ && !sorted && r < piece.rows; ++r) {
      piece.keep(r, 0, piece.row_begin + r + 1 - piece.key_begin);
    }
    if (!sorted || !has_short_block(s)) return;
    for_lacking(s, keys, piece, [&](int64_t u, int64_t c) {
      for (int64_t r = 0; r < piece.rows; ++r) piece.s[r * piece.lds + c] += beta[u];
    });
  }

  void head_forward(const sdk::Step& step, int64_t head, int32_t worker) const {
    const Shape s = shape(step.len);
    const int64_t n = s.blocks, width = s.block * head_dim_;
    Real* logits = step[logits_] + head * n * n;
    if (step.training() && noise_ > 0) add_noise(step, head, n * n, logits, step.at(levels_, worker));
    math::scale(n * n, 1 / temperature_, logits);
    const Real* permutation = sinkhorn(step, s, head, worker);
    Real* beta = step.at(vectors_, worker);
    if (has_short_block(s)) short_block_bias(s, permutation, beta);

    // K' = S K,  V' = S V
    const auto q = queries(step, head);
    const auto own = attention_.keys(step, x_, head);
    const auto sorted = sorted_keys(step, head, nullptr, nullptr);
    Real* space = step.at(gathered_, worker);
    for (const bool values : {false, true}) {
      gather(s, values ? own.v : own.k, space);
      math::gemm<Real>({.m = s.sorted,
                        .n = width,
                        .k = n,
                        .a = permutation,
                        .lda = n,
                        .b = space,
                        .ldb = width,
                        .c = step[values ? sorted_v_ : sorted_k_] + head * max_padded_ * head_dim_,
                        .ldc = width});
    }
    math::joint_clear(q, step.len, head_dim_);
    tiles(s, [&](const Rows& rows, const Rows& keys, bool is_sorted) {
      attention_.merge(step, worker, {head_dim_, attention_.scale(), q, is_sorted ? sorted : own, rows, keys},
                       [&](const sdk::Scores& piece) { edit(s, keys, is_sorted, beta, piece); });
    });
  }

  // x += noise * -log(-log(uniform))
  void add_noise(const sdk::Step& step, int64_t head, int64_t count, Real* x, Real* space) const {
    step.host.uniform(step.noise_stream(uint64_t(head)), 0, count, space);
    for (int64_t i = 0; i < count; ++i) {
      const Real u = std::max(space[i], std::numeric_limits<Real>::min());
      x[i] -= noise_ * std::log(-std::log(u));
    }
  }

  void head_backward(const sdk::Step& step, int64_t head, int32_t worker) const {
    const Shape s = shape(step.len);
    const int64_t n = s.blocks, width = s.block * head_dim_, size = s.blocks * s.block * head_dim_;
    Real* permutation = sinkhorn(step, s, head, worker);
    Real* d_permutation = permutation + n * n;
    Real *beta = step.at(vectors_, worker) + 2 * n, *d_beta = beta + n;
    if (has_short_block(s)) short_block_bias(s, permutation, beta);
    std::fill_n(d_beta, n, Real(0));

    Real* space = step.at(gathered_, worker);
    Real *d_sorted_k = space + 2 * size, *d_sorted_v = space + 3 * size;
    std::fill_n(d_sorted_k, 2 * size, Real(0));
    const auto q = queries(step, head);
    const auto own = attention_.keys(step, x_, head);
    const auto sorted = sorted_keys(step, head, d_sorted_k, d_sorted_v);
    for (Real* block : {q.dq, own.dk, own.dv}) attention_.clear_rows(block, step.len);
    tiles(s, [&](const Rows& rows, const Rows& keys, bool is_sorted) {
      attention_.add_gradients(
          step, worker, {head_dim_, attention_.scale(), q, is_sorted ? sorted : own, rows, keys},
          [&](const sdk::Scores& piece) { edit(s, keys, is_sorted, beta, piece); },
          [&](const sdk::Scores& piece) {
            if (!is_sorted || !has_short_block(s)) return;
            for_lacking(s, keys, piece, [&](int64_t u, int64_t c) {
              for (int64_t r = 0; r < piece.rows; ++r) d_beta[u] += piece.s[r * piece.lds + c];
            });
          });
    });

    // K' = S K:  dS = dK' K^T,  dK += S^T dK'; the same for V
    std::fill_n(d_permutation, n * n, Real(0));
    for (const bool values : {false, true}) {
      const Real* d_sorted = values ? d_sorted_v : d_sorted_k;
      gather(s, values ? own.v : own.k, space);
      math::gemm<Real>({.m = s.sorted,
                        .n = n,
                        .k = width,
                        .a = d_sorted,
                        .lda = width,
                        .b = space,
                        .ldb = width,
                        .op_b = Op::kTranspose,
                        .c = d_permutation,
                        .ldc = n,
                        .beta = 1});
      math::gemm<Real>({.m = n,
                        .n = width,
                        .k = s.sorted,
                        .a = permutation,
                        .lda = n,
                        .op_a = Op::kTranspose,
                        .b = d_sorted,
                        .ldb = width,
                        .c = space + size,
                        .ldc = width});
      scatter(s, space + size, values ? own.dv : own.dk);
    }
    if (has_short_block(s)) short_block_bias_backward(s, permutation, d_beta, d_permutation);
    sinkhorn_backward(step, s, permutation, d_permutation, worker);
    std::copy_n(d_permutation, n * n, step[d_logits_] + head * n * n);
  }
  // beta = log(others) - log(others + last)
  void short_block_bias_backward(const Shape& s, const Real* permutation, const Real* d_beta, Real* d) const {
    for (int64_t u = 0; u < s.sorted; ++u) {
      Real others = 0;
      for (int64_t v = 0; v + 1 < s.blocks; ++v) others += permutation[u * s.blocks + v];
      if (!(others > 0)) continue;
      const Real all = others + permutation[(u + 1) * s.blocks - 1];
      for (int64_t v = 0; v < s.blocks; ++v) {
        d[u * s.blocks + v] += d_beta[u] * ((v + 1 < s.blocks ? 1 / others : Real(0)) - 1 / all);
      }
    }
  }

  int64_t block_, iterations_, cut_;
  Real temperature_, noise_;
  Net net_;
  bool causal_;
  int64_t heads_, head_dim_, inner_, dim_, max_blocks_, max_padded_;
  sdk::Qkv x_;
  sdk::JointAttention attention_;
  sdk::Saved<> logits_;               // [H, n, n]: R, then L before the iterations
  sdk::Saved<> sorted_k_, sorted_v_;  // [H, n b, dh]
  sdk::Scratch<> pooled_, d_logits_;
  // Of sort=mlp.
  sdk::Param sort1_, sort1_bias_, sort2_;
  sdk::Saved<> hidden_;
  sdk::Scratch<> all_logits_, d_hidden_;  // [n, n H], [n, D]
  sdk::WorkerScratch<> levels_, vectors_, gathered_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::Sinkhorn, lra::kInfo)
