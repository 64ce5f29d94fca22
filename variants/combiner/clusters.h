// Learned spans (pattern=routing): the rows of a head sorted into clusters of `span` rows, by their keys, around
// centroids that move.
//   r = (k - mean(k)) / sqrt(variance(k) + 1e-6)
//   cluster c = 0, 1, ..: of the rows that are still free the `span` with the largest r.mu_c, of equal ones the first;
//   the last cluster is what is left. Inside a cluster rows keep the order of the sequence.
//   after each step, n_c and t_c being how many rows the batch had in c and the sum of their r:
//   counts = decay counts + (1 - decay) n,  sums = decay sums + (1 - decay) t,  mu_c = sums_c / counts_c
// A centroid that had no row in a step stays. The choice has no gradient.
#ifndef LRA_VARIANTS_COMBINER_CLUSTERS_H
#define LRA_VARIANTS_COMBINER_CLUSTERS_H

#include "combiner/spans.h"

namespace lra::combiner {

class Clusters {
 public:
  // Declares "order" (saved), the buffers centroids, ema_sums and ema_counts, the statistics sums and counts, scratch.
  Clusters(sdk::Setup& setup, const Spans& spans);

  // Finds the clusters of one head. k: its keys, [N, dh] with row stride Q.
  void sort(const sdk::Step& step, int64_t head, int32_t worker, const Real* k) const;
  // Backward, after sort of the same step: adds the rows of each cluster to the statistics of the head.
  void add_statistics(const sdk::Step& step, int64_t head, int32_t worker, const Real* k,
                      const sdk::Grads& grads) const;
  void after_step(const sdk::Step& step, const sdk::Buffers& buffers) const;

  // After sort: the rows of the sequence, cluster after cluster. [N]
  const int32_t* order(const sdk::Step& step, int64_t head) const { return step[order_] + head * max_len_; }

  // Of one head.
  sdk::Cost cost(int64_t len) const;

 private:
  // r of one row.
  void normalise(const Real* k, Real* r) const;
  // Moves the `size` rows with the largest likeness from the `count` free ones to `taken`; both stay in order.
  // ranks: [2 count]
  static void take(const Real* likeness, int64_t size, int32_t* free, int64_t count, Real* ranks, int32_t* taken);

  Spans spans_;
  double decay_;
  int64_t max_len_, heads_, head_dim_, inner_;
  int64_t max_clusters_;
  sdk::Saved<int32_t> order_;                                     // [head, max_len]
  sdk::Param centroids_, ema_sums_, ema_counts_, sums_, counts_;  // [(head, cluster), dh] and [head, cluster]
  sdk::WorkerScratch<> normed_, likeness_;
  sdk::WorkerScratch<int32_t> free_;
};

}  // namespace lra::combiner

#endif  // LRA_VARIANTS_COMBINER_CLUSTERS_H
