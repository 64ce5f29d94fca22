// Balanced clusters, one centroid after another: O(N sqrt(N)) products of a key and a centroid, and as many steps of
// selection.
#include "combiner/clusters.h"

#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "math/gemm.h"

namespace lra::combiner {
namespace {

constexpr Real kEpsilon = Real(1e-6);
constexpr int64_t kTogether = 8;  // centroids that are compared with all rows at once

}  // namespace

Clusters::Clusters(sdk::Setup& setup, const Spans& spans)
    : spans_(spans),
      decay_(setup.number("decay")),
      max_len_(setup.max_len),
      heads_(setup.heads),
      head_dim_(setup.head_dim),
      inner_(setup.inner),
      max_clusters_(spans.most_slots(setup.max_len)),
      order_(setup.saved<int32_t>("order", heads_ * max_len_)),
      centroids_(setup.buffer("centroids", heads_ * max_clusters_, head_dim_)),
      ema_sums_(setup.buffer("ema_sums", heads_ * max_clusters_, head_dim_)),
      ema_counts_(setup.buffer("ema_counts", heads_, max_clusters_)),
      sums_(setup.statistic("sums", heads_ * max_clusters_, head_dim_)),
      counts_(setup.statistic("counts", heads_, max_clusters_)),
      normed_(setup.scratch_per_worker("normed_keys", max_len_ * head_dim_)),
      likeness_(setup.scratch_per_worker("likeness", (kTogether + 2) * max_len_)),
      free_(setup.scratch_per_worker<int32_t>("free_rows", max_len_)) {}

void Clusters::sort(const sdk::Step& step, int64_t head, int32_t worker, const Real* k) const {
  const int64_t n = step.len, size = spans_.rows_of_span(n), last = spans_.slots(n) - 1;
  const Real* centroids = step[centroids_] + head * max_clusters_ * head_dim_;
  Real *r = step.at(normed_, worker), *likeness = step.at(likeness_, worker);  // [N, dh], [kTogether, N]
  int32_t *free = step.at(free_, worker), *next = step[order_] + head * max_len_;
  std::iota(free, free + n, 0);
  for (int64_t i = 0; i < n && last > 0; ++i) normalise(k + i * inner_, r + i * head_dim_);
  int64_t count = n;
  for (int64_t first = 0; first < last; first += kTogether) {
    const int64_t together = std::min(kTogether, last - first);
    math::gemm<Real>({.m = together,
                      .n = n,
                      .k = head_dim_,
                      .a = centroids + first * head_dim_,
                      .lda = head_dim_,
                      .b = r,
                      .ldb = head_dim_,
                      .op_b = math::Op::kTranspose,
                      .c = likeness,
                      .ldc = n});
    for (int64_t c = 0; c < together; ++c) {
      take(likeness + c * n, size, free, count, likeness + kTogether * n, next);
      next += size;
      count -= size;
    }
  }
  std::copy_n(free, count, next);
}

void Clusters::take(const Real* likeness, int64_t size, int32_t* free, int64_t count, Real* ranks, int32_t* taken) {
  constexpr Real kLeast = -std::numeric_limits<Real>::infinity();
  Real* like = ranks + count;
  for (int64_t f = 0; f < count; ++f) {
    const Real value = likeness[free[f]];
    like[f] = std::isnan(value) ? kLeast : value;  // overflow: no order otherwise
  }
  std::copy_n(like, count, ranks);
  std::nth_element(ranks, ranks + size - 1, ranks + count, std::greater<>());
  const Real least = ranks[size - 1];
  int64_t equal = size;  // of those that are just `least`
  for (int64_t f = 0; f < count; ++f) equal -= like[f] > least ? 1 : 0;
  int32_t* kept = free;
  for (int64_t f = 0; f < count; ++f) {
    const bool chosen = like[f] > least || (like[f] == least && equal-- > 0);
    *(chosen ? taken : kept)++ = free[f];
  }
}

void Clusters::add_statistics(const sdk::Step& step, int64_t head, int32_t worker, const Real* k,
                              const sdk::Grads& grads) const {
  const int64_t size = spans_.rows_of_span(step.len), first = head * max_clusters_;
  const int32_t* row = order(step, head);
  Real* r = step.at(normed_, worker);
  for (int64_t i = 0; i < step.len; ++i) {
    const int64_t c = first + i / size;
    Real* sum = grads[sums_] + c * head_dim_;
    normalise(k + row[i] * inner_, r);
    for (int64_t e = 0; e < head_dim_; ++e) sum[e] += r[e];
    grads[counts_][c] += 1;
  }
}

void Clusters::after_step(const sdk::Step& step, const sdk::Buffers& buffers) const {
  Real *centroids = buffers[centroids_], *ema_sums = buffers[ema_sums_], *ema_counts = buffers[ema_counts_];
  if (step.number() == 0) {
    const int64_t of_head = max_clusters_ * head_dim_;
    for (int64_t head = 0; head < heads_; ++head) {
      step.host.normal(uint64_t(head), 0, of_head, centroids + head * of_head);
    }
    std::copy_n(centroids, heads_ * of_head, ema_sums);
    std::fill_n(ema_counts, heads_ * max_clusters_, Real(1));
    return;
  }
  const Real keep = Real(decay_), add = Real(1 - decay_);
  for (int64_t c = 0; c < heads_ * max_clusters_; ++c) {
    const Real count = buffers[counts_][c];
    if (count == 0) continue;
    ema_counts[c] = keep * ema_counts[c] + add * count;
    for (int64_t e = c * head_dim_; e < (c + 1) * head_dim_; ++e) {
      ema_sums[e] = keep * ema_sums[e] + add * buffers[sums_][e];
      centroids[e] = ema_sums[e] / ema_counts[c];
    }
  }
}

sdk::Cost Clusters::cost(int64_t len) const {
  return {.forward_flops = 2.0 * double(len) * double(head_dim_) * double(spans_.slots(len) - 1)};
}

void Clusters::normalise(const Real* k, Real* r) const {
  const Real n = Real(head_dim_);
  Real mean = 0, square = 0;
  for (int64_t e = 0; e < head_dim_; ++e) mean += k[e] / n;
  for (int64_t e = 0; e < head_dim_; ++e) square += (k[e] - mean) * (k[e] - mean) / n;
  const Real inverse_std = 1 / std::sqrt(square + kEpsilon);
  for (int64_t e = 0; e < head_dim_; ++e) r[e] = (k[e] - mean) * inverse_std;
}

}  // namespace lra::combiner
