// Attention through a kernel, as loops in double: what feature attention is compared with.
//   o_i = sum_j w(q_i, k_j) v_j / (sum_j w(q_i, k_j) + eps) for each head, j <= i if causal,  y = o W_o + b_o
#ifndef LRA_TESTS_VARIANTS_PLAIN_FEATURES_H
#define LRA_TESTS_VARIANTS_PLAIN_FEATURES_H

#include <span>

#include "variants/plain_attention.h"

namespace lra::test {

using Row = std::span<const double>;

// y of `m`, which was made from c and has the parameters of the Qkv helper, for input x. weight(head, i, j, q_i, k_j)
// is one weight; denominator(sum of weights) is what the weighted sum is divided by.
template <class Weight, class Denominator>
Numbers plain_weighted_attention(const Case& c, const Module& m, const Numbers& input, Weight&& weight,
                                 Denominator&& denominator) {
  const std::vector<double> x(input.begin(), input.end());
  const int64_t inner = c.heads * c.head_dim, len = static_cast<int64_t>(input.size()) / c.dim;
  const auto q = plain_linear(m, x, "q", c.dim, inner);
  const auto k = plain_linear(m, x, "k", c.dim, inner);
  const auto v = plain_linear(m, x, "v", c.dim, inner);
  const auto row = [&](const std::vector<double>& of, int64_t i, int64_t head) {
    return Row(of).subspan(static_cast<std::size_t>(i * inner + head * c.head_dim),
                           static_cast<std::size_t>(c.head_dim));
  };
  std::vector<double> o(q.size(), 0.0);
  for (int64_t h = 0; h < c.heads; ++h) {
    for (int64_t i = 0; i < len; ++i) {
      double* o_i = o.data() + i * inner + h * c.head_dim;
      double total = 0;
      for (int64_t j = 0; j < (c.causal ? i + 1 : len); ++j) {
        const double w = weight(h, i, j, row(q, i, h), row(k, j, h));
        total += w;
        for (int64_t e = 0; e < c.head_dim; ++e) o_i[e] += w * row(v, j, h)[static_cast<std::size_t>(e)];
      }
      for (int64_t e = 0; e < c.head_dim; ++e) o_i[e] /= denominator(total);
    }
  }
  const auto y = plain_linear(m, o, "o", inner, c.dim);
  return {y.begin(), y.end()};
}

// The same for a kernel(q, k) that knows no positions.
template <class Kernel>
Numbers plain_kernel_attention(const Case& c, const Module& m, const Numbers& input, double eps, Kernel&& kernel) {
  return plain_weighted_attention(
      c, m, input, [&](int64_t, int64_t, int64_t, Row q, Row k) { return kernel(q, k); },
      [&](double sum) { return sum + eps; });
}

inline double inner_product(Row a, Row b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace lra::test

#endif  // LRA_TESTS_VARIANTS_PLAIN_FEATURES_H
