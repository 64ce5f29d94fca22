// Keys and queries of spans, pooled from those of their rows: the maximum or the mean, channel by channel.
#ifndef LRA_VARIANTS_COMBINER_POOL_H
#define LRA_VARIANTS_COMBINER_POOL_H

#include "combiner/spans.h"

namespace lra::combiner {

// The keys or the queries of the spans of one head, pooled from those of the rows, channel by channel.
class Pool {
 public:
  // x: rows, out: spans, best: for kMax the row that each channel of a span comes from, -1 for spans without rows.
  // All with row stride ld. order: the rows of x in the order that spans are made of, or null for their own.
  Pool(const Spans& spans, int64_t len, bool mean, int64_t channels, int64_t ld, const int32_t* order)
      : spans_(spans), len_(len), mean_(mean), channels_(channels), ld_(ld), order_(order), slots_(spans.slots(len)) {}

  void forward(const Real* x, Real* out, int32_t* best) const;
  // dx += the gradient of forward; dout is used up. positive: x is a relu, out > 0 says where it passes.
  void backward(const Real* out, const int32_t* best, Real* dout, Real* dx, bool positive) const;

 private:
  int64_t row_of(int64_t place) const { return order_ == nullptr ? place : order_[place]; }
  // out, best = value, token where value is higher than old, else old, row.
  void take_higher(const Real* value, int32_t token, const Real* old, const int32_t* row, Real* out,
                   int32_t* best) const;
  // Weight of the second child in the mean of both.
  Real second_share(int64_t slot, int64_t children, int level) const;
  void mean_backward(Real* dout, Real* dx) const;

  const Spans& spans_;
  int64_t len_;
  bool mean_;
  int64_t channels_, ld_;
  const int32_t* order_;
  int64_t slots_;
};

}  // namespace lra::combiner

#endif  // LRA_VARIANTS_COMBINER_POOL_H
