// Routing Transformer: rows meet the rows that lie nearest to the same centroid; some heads look at their surroundings.
//   local heads     o_i = sum over |i - j| <= local_window of softmax_j(q_i.k_j / sqrt(dh)) v_j
//   routed heads    r = LayerNorm(q), s = LayerNorm(k), without gain and shift
//                   for each centroid mu_c: Q_c, K_c = the w rows with the largest r.mu_c, s.mu_c
//                   o_i = mean over the c with i in Q_c of sum over j in K_c of softmax_j(r_i.s_j / sqrt(dh)) v_j
// A row that is in no Q_c has o_i = 0. With tied queries and keys Q_c = K_c. Which rows belong to c has no gradient.
// Every row also has one assigned centroid a(i), the one with the largest r_i.mu_c:
//   aux = commitment * mean over all numbers of (r - mu_a)^2, and of (s - mu_a)^2 where keys are their own
//   after each step, n_c and t_c being how many rows c was assigned and their sum:
//   counts = decay counts + (1 - decay) n,  sums = decay sums + (1 - decay) t,  mu_c = sums_c / smoothed counts_c
// Backward of the norm: dq = (dr - mean(dr) - r mean(dr o r)) / std.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "math/attention.h"
#include "math/gemm.h"
#include "sdk/tied_qkv.h"

namespace lra {
namespace {

using sdk::Real;

enum class Keys { kAuto, kTied, kOwn };
enum class Norm { kLayer, kNone };

constexpr lra_option kOptions[] = {
    sdk::integer("clusters", "centroids of a routed head; 0: ceil(sqrt(N))", 0, 0, 1 << 16),
    sdk::integer("window", "rows of a cluster; 0: ceil(N / clusters)", 0, 0, 1 << 20),
    sdk::integer("local_heads", "heads, the first ones, that are not routed; -1: half of them, rounded down", -1, -1,
                 1 << 16),
    sdk::integer("local_window", "rows that a local head sees on each side", 64, 0, 1 << 20),
    sdk::choice("keys", "keys that are the queries (tied), their own ones, or tied in causal runs only",
                "auto|tied|own"),
    sdk::choice("norm", "of routed queries and keys", "layer|none"),
    sdk::number("commitment", "weight of the loss that pulls rows to their centroid", 1e-4, 0, 1e3),
    sdk::number("decay", "of the moving averages that make centroids", 0.999, 0, 1),
};

constexpr sdk::Info kInfo{
    .id = "routing",
    .title = "Routing Transformer",
    .paper = "Roy et al. 2021, arXiv:2003.05997",
    .formula =
        "r = LayerNorm(q), s = LayerNorm(k);  Q_c, K_c: the w rows with the largest r.mu_c, s.mu_c\n"
        "o_i = mean over c with i in Q_c of sum over K_c of softmax_j(r_i.s_j / sqrt(dh)) v_j\n"
        "half of the heads: softmax over |i - j| <= local_window of q_i.k_j / sqrt(dh)",
    .notes =
        "Default: ceil(sqrt(N)) clusters of ceil(N / clusters) rows, the choice that gives N^1.5; a shorter sequence "
        "uses the first centroids. A row may be in several clusters, which are averaged, or in none: then the head "
        "gives 0, so rows of weights sum to 1 or to 0. Exact means: the released code divides by count + 0.01. It "
        "also normalises after scaling, which loses the temperature; here logits are r.s / sqrt(dh).\n"
        "Causal runs need tied queries and keys, as in the paper, and see j <= i, a row itself included; which rows "
        "form a cluster depends on later rows too.\n"
        "Centroids follow moving averages of counts and sums of the rows assigned to them (Laplace smoothing 1e-5), "
        "as in the released code; the paper writes sums without counts. Evaluation does not move them. Step 0: "
        "centroids are normal vectors with counts of 1. Keys of their own are assigned, pulled and counted like "
        "queries.\n"
        "Buffers: centroids and ema_sums [(routed head, cluster), dh], ema_counts [routed head, cluster].",
    .time = "O(N^1.5 D)",
    .memory = "O(N D)",
    .time_exponent = 1.5,
    .memory_exponent = 1,
    .flags = LRA_CAUSAL | LRA_LEAKY_CAUSAL | LRA_BIDIRECTIONAL,
    .options = kOptions,
    .limits = "clusters=1 norm=none local_window={N} keys=tied commitment=0; wq=wqk bq=bqk wk=wqk bk=bqk",
};

class Routing {
 public:
  explicit Routing(sdk::Setup& setup)
      : clusters_(setup.integer("clusters")),
        window_(setup.integer("window")),
        local_heads_(local_heads(setup)),
        routed_heads_(setup.heads - local_heads_),
        local_window_(setup.integer("local_window")),
        tied_(tied(setup)),
        normed_(setup.choice<Norm>("norm") == Norm::kLayer),
        causal_(setup.causal),
        commitment_(setup.number("commitment")),
        decay_(setup.number("decay")),
        max_len_(setup.max_len),
        heads_(setup.heads),
        head_dim_(setup.head_dim),
        inner_(setup.inner),
        max_clusters_(clusters(max_len_)),
        max_slots_(window_ > 0 ? max_clusters_ * window(max_len_) : max_len_ + max_clusters_),
        x_(setup, tied_ ? sdk::TiedQkv::Keys::kTied : sdk::TiedQkv::Keys::kOwn) {
    math::Attention<Real> shapes[] = {local_shape(max_len_), cluster_shape(window(max_len_))};
    size_t bytes = 0;
    for (const auto& a : shapes) {
      bytes = std::max({bytes, math::attention_forward_scratch(a), math::attention_backward_scratch(a)});
    }
    tiles_ = setup.scratch_per_worker<std::byte>("tiles", int64_t(bytes));
    if (local_heads_ > 0) local_lse_ = setup.saved("local_lse", local_heads_ * max_len_);
    if (routed_heads_ == 0) return;
    centroids_ = setup.buffer("centroids", routed_heads_ * max_clusters_, head_dim_);
    ema_counts_ = setup.buffer("ema_counts", routed_heads_, max_clusters_);
    ema_sums_ = setup.buffer("ema_sums", routed_heads_ * max_clusters_, head_dim_);
    counts_ = setup.statistic("counts", routed_heads_, max_clusters_);
    sums_ = setup.statistic("sums", routed_heads_ * max_clusters_, head_dim_);
    slot_o_ = setup.saved("slot_o", routed_heads_ * max_slots_ * head_dim_);
    slot_lse_ = setup.saved("slot_lse", routed_heads_ * max_slots_);
    queries_ = declare(setup, "query_");
    keys_ = tied_ ? queries_ : declare(setup, "key_");
    distance_ = setup.scratch("distance", 2 * routed_heads_);
    likeness_ = setup.scratch_per_worker("likeness", (kClusters + 2) * max_len_);
    gathered_ = setup.scratch_per_worker("gathered", 7 * window(max_len_) * head_dim_);
    cover_ = setup.scratch_per_worker("cover", max_len_);
  }

  void forward(const sdk::Step& step, Real* y, Real& aux) const {
    x_.project(step);
    attend(step);
    x_.output(step, y);
    if (routed_heads_ == 0) return;
    double sum = 0;
    for (int64_t i = 0; i < sets() * routed_heads_; ++i) sum += double(step[distance_][i]);
    aux += Real(commitment_ * sum / numbers(step.len));
  }
  void mix_values(const sdk::Step& step, const Real* v, Real* o) const {
    x_.mix_values(step, v, o, [&] { attend(step); });
  }
  void backward(const sdk::Step& step, const Real* dy, Real* dx, const sdk::Grads& grads) const {
    x_.output_backward(step, dy, grads);
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      if (head < local_heads_) {
        local_backward(step, head, worker);
      } else {
        routed_backward(step, head - local_heads_, worker, grads);
      }
    });
    x_.project_backward(step, dx, grads);
  }

  sdk::Cost cost(int64_t len) const {
    const auto local = local_shape(len);
    const auto cluster = cluster_shape(window(len));
    const double l = double(local_heads_), c = double(routed_heads_) * double(clusters(len));
    sdk::Cost sum = x_.cost(len);
    return sum += {l * math::attention_forward_flops(local) + c * math::attention_forward_flops(cluster) +
                       c * double(sets()) * 2.0 * double(len) * double(head_dim_),
                   l * math::attention_backward_flops(local) + c * math::attention_backward_flops(cluster),
                   l * double(local.range.pairs(len)) + c * double(cluster.range.pairs(cluster.queries))};
  }

  void after_step(const sdk::Step& step, sdk::Buffers buffers) const {
    if (routed_heads_ == 0) return;
    const int64_t size = max_clusters_ * head_dim_;
    for (int64_t head = 0; head < routed_heads_; ++head) {
      Real* centroid = buffers[centroids_] + head * size;
      Real* ema_sum = buffers[ema_sums_] + head * size;
      Real* ema_count = buffers[ema_counts_] + head * max_clusters_;
      if (step.number() == 0) {
        step.host.normal(uint64_t(head), 0, size, centroid);
        std::copy_n(centroid, size, ema_sum);
        std::fill_n(ema_count, max_clusters_, Real(1));
        continue;
      }
      const Real* sum = buffers[sums_] + head * size;
      const Real* count = buffers[counts_] + head * max_clusters_;
      const Real keep = Real(decay_), add = Real(1 - decay_);
      double total = 0;
      for (int64_t c = 0; c < max_clusters_; ++c) {
        ema_count[c] = keep * ema_count[c] + add * count[c];
        total += double(ema_count[c]);
      }
      for (int64_t e = 0; e < size; ++e) ema_sum[e] = keep * ema_sum[e] + add * sum[e];
      for (int64_t c = 0; c < max_clusters_; ++c) {
        const double smoothed =
            (double(ema_count[c]) + kSmoothing) / (total + double(max_clusters_) * kSmoothing) * total;
        if (!(smoothed > 0)) continue;
        for (int64_t e = c * head_dim_; e < (c + 1) * head_dim_; ++e) centroid[e] = Real(double(ema_sum[e]) / smoothed);
      }
    }
  }

 private:
  static constexpr double kSmoothing = 1e-5;
  static constexpr double kEpsilon = 1e-6;  // of the norm
  static constexpr int64_t kClusters = 8;   // compared with all rows at once

  // What forward keeps of the queries or the keys of the routed heads.
  struct Side {
    sdk::Saved<int32_t> members;   // [head, cluster, w], rising within a cluster
    sdk::Saved<int32_t> assigned;  // [head, max_len]: a(i)
    sdk::Saved<> inverse_std;      // [head, max_len]
  };
  Side declare(sdk::Setup& setup, const std::string& name) const {
    Side side;
    side.members = setup.saved<int32_t>((name + "members").c_str(), routed_heads_ * max_slots_);
    side.assigned = setup.saved<int32_t>((name + "assigned").c_str(), routed_heads_ * max_len_);
    if (normed_) side.inverse_std = setup.saved((name + "inverse_std").c_str(), routed_heads_ * max_len_);
    return side;
  }

  static int64_t local_heads(const sdk::Setup& setup) {
    const int64_t wanted = setup.integer("local_heads");
    if (wanted > setup.heads) {
      throw sdk::Refusal("local_heads=" + std::to_string(wanted) + " is more than the " + std::to_string(setup.heads) +
                         " heads there are; choose at most as many");
    }
    return wanted < 0 ? setup.heads / 2 : wanted;
  }
  static bool tied(const sdk::Setup& setup) {
    const auto keys = setup.choice<Keys>("keys");
    if (keys == Keys::kOwn && setup.causal) {
      throw sdk::Refusal(
          "keys=own has clusters of queries that may come before all of their keys; causal runs take keys=tied");
    }
    return keys == Keys::kTied || (keys == Keys::kAuto && setup.causal);
  }

  int64_t clusters(int64_t len) const {
    if (clusters_ > 0) return clusters_;
    auto root = int64_t(std::sqrt(double(len)));
    while (root * root < len) ++root;
    return root;
  }
  int64_t window(int64_t len) const {
    if (window_ > 0) return std::min(window_, len);
    return (len + clusters(len) - 1) / clusters(len);
  }
  int64_t sets() const { return tied_ ? 1 : 2; }
  // In the mean of the commitment loss.
  double numbers(int64_t len) const { return double(sets() * routed_heads_ * head_dim_) * double(len); }

  math::Attention<Real> shape(int64_t rows) const {
    math::Attention<Real> a;
    a.queries = rows;
    a.head_dim = head_dim_;
    a.scale = Real(1 / std::sqrt(double(head_dim_)));
    a.range = causal_ ? math::KeyRange::causal(rows) : math::KeyRange::full(rows);
    return a;
  }
  math::Attention<Real> local_shape(int64_t len) const {
    auto a = shape(len);
    a.range.left = local_window_;
    a.range.right = causal_ ? 0 : local_window_;
    a.ldq = a.ldk = a.ldv = a.ldo = inner_;
    return a;
  }
  math::Attention<Real> cluster_shape(int64_t rows) const {
    auto a = shape(rows);
    a.ldq = a.ldk = a.ldv = a.ldo = head_dim_;
    return a;
  }

  void attend(const sdk::Step& step) const {
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      if (head < local_heads_) {
        math::attention_forward(local(step, head), 0, step.len, step.at(tiles_, worker));
      } else {
        routed_forward(step, head - local_heads_, worker);
      }
    });
  }

  // ---- Local heads

  math::Attention<Real> local(const sdk::Step& step, int64_t head) const {
    auto a = local_shape(step.len);
    const int64_t first = head * head_dim_;
    a.q = step[x_.q] + first;
    a.k = step[x_.k] + first;
    a.v = step[x_.v] + first;
    a.o = step[x_.o] + first;
    a.lse = step[local_lse_] + head * max_len_;
    return a;
  }
  void local_backward(const sdk::Step& step, int64_t head, int32_t worker) const {
    auto a = local(step, head);
    const int64_t first = head * head_dim_;
    a.d_o = step[x_.d_o] + first;
    a.dq = step[x_.dq] + first;
    a.dk = step[x_.dk] + first;
    a.dv = step[x_.dv] + first;
    math::attention_backward(a, step.at(tiles_, worker));
  }

  // ---- Routed heads; head counts from the first of them, a block's channels start at channel(head).

  int64_t channel(int64_t head) const { return (local_heads_ + head) * head_dim_; }

  // Calls use(cluster, its attention) with gathered rows, bound for forward.
  template <class Use>
  void for_clusters(const sdk::Step& step, int64_t head, int32_t worker, Use&& use) const {
    const int64_t w = window(step.len), size = w * head_dim_, at = channel(head);
    Real* space = step.at(gathered_, worker);
    for (int64_t c = 0; c < clusters(step.len); ++c) {
      auto a = cluster_shape(w);
      a.q = space;
      a.k = space + size;
      a.v = space + 2 * size;
      gather(step[x_.q] + at, members(step, queries_, head, c), w, space);
      gather(step[x_.k] + at, members(step, keys_, head, c), w, space + size);
      gather(step[x_.v] + at, members(step, keys_, head, c), w, space + 2 * size);
      a.o = step[slot_o_] + (head * max_slots_ + c * w) * head_dim_;
      a.lse = step[slot_lse_] + head * max_slots_ + c * w;
      use(c, a, space + 3 * size);
    }
  }
  const int32_t* members(const sdk::Step& step, const Side& side, int64_t head, int64_t c) const {
    return step[side.members] + head * max_slots_ + c * window(step.len);
  }
  void gather(const Real* x, const int32_t* rows, int64_t count, Real* out) const {
    for (int64_t r = 0; r < count; ++r) std::copy_n(x + rows[r] * inner_, head_dim_, out + r * head_dim_);
  }
  void scatter(const Real* from, const int32_t* rows, int64_t count, Real* x) const {
    for (int64_t r = 0; r < count; ++r) {
      for (int64_t e = 0; e < head_dim_; ++e) x[rows[r] * inner_ + e] += from[r * head_dim_ + e];
    }
  }
  // 1 / number of clusters that row i is in as a query: [N].
  const Real* shares(const sdk::Step& step, int64_t head, int32_t worker) const {
    Real* cover = step.at(cover_, worker);
    std::fill_n(cover, step.len, Real(0));
    const int32_t* member = members(step, queries_, head, 0);
    for (int64_t s = 0; s < clusters(step.len) * window(step.len); ++s) cover[member[s]] += 1;
    for (int64_t i = 0; i < step.len; ++i) cover[i] = 1 / cover[i];  // not read where 0
    return cover;
  }

  void routed_forward(const sdk::Step& step, int64_t head, int32_t worker) const {
    route(step, head, worker, queries_, step[x_.q], step[distance_] + head);
    if (!tied_) route(step, head, worker, keys_, step[x_.k], step[distance_] + routed_heads_ + head);
    const Real* share = shares(step, head, worker);
    Real* o = step[x_.o] + channel(head);
    clear(o, step.len);
    for_clusters(step, head, worker, [&](int64_t c, const math::Attention<Real>& a, Real*) {
      math::attention_forward(a, 0, a.queries, step.at(tiles_, worker));
      const int32_t* row = members(step, queries_, head, c);
      for (int64_t r = 0; r < a.queries; ++r) {
        for (int64_t e = 0; e < head_dim_; ++e) o[row[r] * inner_ + e] += share[row[r]] * a.o[r * head_dim_ + e];
      }
    });
  }

  void routed_backward(const sdk::Step& step, int64_t head, int32_t worker, const sdk::Grads& grads) const {
    const Real* share = shares(step, head, worker);
    const int64_t at = channel(head);
    for (const auto& block : {x_.dq, x_.dk, x_.dv}) clear(step[block] + at, step.len);
    for_clusters(step, head, worker, [&](int64_t c, math::Attention<Real> a, Real* space) {
      const int64_t w = a.queries, size = w * head_dim_;
      const int32_t* row = members(step, queries_, head, c);
      for (int64_t r = 0; r < w; ++r) {
        const Real* d_o = step[x_.d_o] + at + row[r] * inner_;
        for (int64_t e = 0; e < head_dim_; ++e) space[r * head_dim_ + e] = share[row[r]] * d_o[e];
      }
      a.d_o = space;
      a.dq = space + size;
      a.dk = space + 2 * size;
      a.dv = space + 3 * size;
      math::attention_backward(a, step.at(tiles_, worker));
      const int32_t* key = members(step, keys_, head, c);
      scatter(a.dq, row, w, step[x_.dq] + at);
      scatter(a.dk, key, w, step[x_.dk] + at);
      scatter(a.dv, key, w, step[x_.dv] + at);
    });
    assigned_backward(step, head, queries_, step[x_.q] + at, step[x_.dq] + at, grads);
    if (!tied_) assigned_backward(step, head, keys_, step[x_.k] + at, step[x_.dk] + at, grads);
    if (!normed_) return;
    normalise_backward(step, head, queries_, step[x_.q] + at, step[x_.dq] + at);
    normalise_backward(step, head, keys_, step[x_.k] + at, step[x_.dk] + at);
  }

  // Normalises the head's rows in place, finds the members of each cluster and the centroid of each row.
  void route(const sdk::Step& step, int64_t head, int32_t worker, const Side& side, Real* block, Real* distance) const {
    Real* x = block + channel(head);
    if (normed_) normalise(x, step.len, step[side.inverse_std] + head * max_len_);
    Real* likeness = step.at(likeness_, worker);  // [kClusters, N]
    Real* sorted = likeness + kClusters * max_len_;
    Real* best = sorted + max_len_;
    int32_t* assigned = step[side.assigned] + head * max_len_;
    std::fill_n(best, step.len, -std::numeric_limits<Real>::infinity());
    std::fill_n(assigned, step.len, 0);
    const int64_t n = step.len, all = clusters(n), w = window(n);
    const Real* centroids = step[centroids_] + head * max_clusters_ * head_dim_;
    for (int64_t first = 0; first < all; first += kClusters) {
      const int64_t count = std::min(kClusters, all - first);
      math::gemm<Real>({.m = count,
                        .n = n,
                        .k = head_dim_,
                        .a = centroids + first * head_dim_,
                        .lda = head_dim_,
                        .b = x,
                        .ldb = inner_,
                        .op_b = math::Op::kTranspose,
                        .c = likeness,
                        .ldc = n});
      for (int64_t c = 0; c < count; ++c) {
        Real* like = likeness + c * n;
        for (int64_t i = 0; i < n; ++i) {
          if (std::isnan(like[i])) like[i] = -std::numeric_limits<Real>::infinity();  // overflow: no order otherwise
          if (like[i] > best[i]) {
            best[i] = like[i];
            assigned[i] = int32_t(first + c);
          }
        }
        int32_t* chosen = step[side.members] + head * max_slots_ + (first + c) * w;
        std::copy_n(like, n, sorted);
        std::nth_element(sorted, sorted + w - 1, sorted + n, std::greater<>());
        choose(like, n, sorted[w - 1], w, chosen);
      }
    }
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) {
      const Real* mu = centroids + assigned[i] * head_dim_;
      for (int64_t e = 0; e < head_dim_; ++e) {
        const double apart = double(x[i * inner_ + e]) - double(mu[e]);
        sum += apart * apart;
      }
    }
    *distance = Real(sum);
  }
  // The w rows with the largest likeness, `least` being the smallest of them; of equal ones the first.
  static void choose(const Real* like, int64_t n, Real least, int64_t w, int32_t* chosen) {
    int64_t equal = w;  // of those that are just `least`
    for (int64_t i = 0; i < n; ++i) equal -= like[i] > least ? 1 : 0;
    for (int64_t i = 0; i < n; ++i) {
      if (like[i] > least || (like[i] == least && equal-- > 0)) *chosen++ = int32_t(i);
    }
  }

  // dr += gradient of the commitment loss; sums of the assigned rows for after_step.
  void assigned_backward(const sdk::Step& step, int64_t head, const Side& side, const Real* r, Real* dr,
                         const sdk::Grads& grads) const {
    const Real factor = Real(2 * commitment_ / numbers(step.len));
    const int64_t first = head * max_clusters_;
    for (int64_t i = 0; i < step.len; ++i) {
      const int64_t c = first + step[side.assigned][head * max_len_ + i];
      const Real* mu = step[centroids_] + c * head_dim_;
      Real* sum = grads[sums_] + c * head_dim_;
      for (int64_t e = 0; e < head_dim_; ++e) {
        dr[i * inner_ + e] += factor * (r[i * inner_ + e] - mu[e]);
        sum[e] += r[i * inner_ + e];
      }
      grads[counts_][c] += 1;
    }
  }

  // x = (x - mean) / sqrt(variance + epsilon)
  void normalise(Real* x, int64_t rows, Real* inverse_std) const {
    const Real n = Real(head_dim_);
    for (int64_t i = 0; i < rows; ++i, x += inner_) {
      Real mean = 0, square = 0;
      for (int64_t e = 0; e < head_dim_; ++e) mean += x[e] / n;
      for (int64_t e = 0; e < head_dim_; ++e) square += (x[e] - mean) * (x[e] - mean) / n;
      inverse_std[i] = 1 / std::sqrt(square + Real(kEpsilon));
      for (int64_t e = 0; e < head_dim_; ++e) x[e] = (x[e] - mean) * inverse_std[i];
    }
  }
  // dx = (dr - mean(dr) - r mean(dr o r)) / std, in place
  void normalise_backward(const sdk::Step& step, int64_t head, const Side& side, const Real* r, Real* dr) const {
    const Real* inverse_std = step[side.inverse_std] + head * max_len_;
    const Real n = Real(head_dim_);
    for (int64_t i = 0; i < step.len; ++i, r += inner_, dr += inner_) {
      Real mean = 0, along = 0;
      for (int64_t e = 0; e < head_dim_; ++e) {
        mean += dr[e] / n;
        along += dr[e] * r[e] / n;
      }
      for (int64_t e = 0; e < head_dim_; ++e) dr[e] = (dr[e] - mean - r[e] * along) * inverse_std[i];
    }
  }

  // Zero for one head's columns.
  void clear(Real* block, int64_t rows) const {
    for (int64_t i = 0; i < rows; ++i) std::fill_n(block + i * inner_, head_dim_, Real(0));
  }

  int64_t clusters_, window_, local_heads_, routed_heads_, local_window_;
  bool tied_, normed_, causal_;
  double commitment_, decay_;
  int64_t max_len_, heads_, head_dim_, inner_, max_clusters_;
  int64_t max_slots_;  // clusters * window, at most
  sdk::TiedQkv x_;
  sdk::WorkerScratch<std::byte> tiles_;
  sdk::Saved<> local_lse_;
  // Of routed heads.
  sdk::Param centroids_, ema_counts_, ema_sums_, counts_, sums_;
  sdk::Saved<> slot_o_, slot_lse_;
  Side queries_, keys_;
  sdk::Scratch<> distance_;  // [set, head]: sum of (r - mu)^2
  sdk::WorkerScratch<> likeness_, gathered_, cover_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::Routing, lra::kInfo)
