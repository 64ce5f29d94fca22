// The formula of softmax attention over any set of visible rows, as loops in double: what kernels are compared with.
//   o_i = sum over j with sees(i, j) of softmax_j(q_i.k_j / sqrt(dh)) v_j for each head,  y = o W_o + b_o
#ifndef LRA_TESTS_VARIANTS_PLAIN_ATTENTION_H
#define LRA_TESTS_VARIANTS_PLAIN_ATTENTION_H

#include "variants/variant_fixture.h"

namespace lra::test {

// y = x W + b of a module's linear, in double.
inline std::vector<double> plain_linear(const Module& m, const std::vector<double>& x, const std::string& name,
                                        int64_t in, int64_t out) {
  const Numbers w = m.param("w" + name);
  const Numbers b = m.has_param("b" + name) ? m.param("b" + name) : Numbers(static_cast<std::size_t>(out), 0);
  const int64_t rows = static_cast<int64_t>(x.size()) / in;
  std::vector<double> y(static_cast<std::size_t>(rows * out));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t c = 0; c < out; ++c) {
      double sum = static_cast<double>(b[static_cast<std::size_t>(c)]);
      for (int64_t k = 0; k < in; ++k) {
        sum += x[static_cast<std::size_t>(i * in + k)] * static_cast<double>(w[static_cast<std::size_t>(k * out + c)]);
      }
      y[static_cast<std::size_t>(i * out + c)] = sum;
    }
  }
  return y;
}

// y of a case whose variant has the parameters of the Qkv helper. A row that sees nothing has o = 0.
template <class Sees>
Numbers plain_attention(const Case& c, Sees&& sees) {
  const Module m(c);
  const Numbers input = input_of(c);
  const std::vector<double> x(input.begin(), input.end());
  const int64_t inner = c.heads * c.head_dim;
  const auto q = plain_linear(m, x, "q", c.dim, inner);
  const auto k = plain_linear(m, x, "k", c.dim, inner);
  const auto v = plain_linear(m, x, "v", c.dim, inner);
  std::vector<double> o(q.size(), 0.0);
  std::vector<double> p(static_cast<std::size_t>(c.len));
  const auto at = [&](int64_t row, int64_t head, int64_t channel) {
    return static_cast<std::size_t>(row * inner + head * c.head_dim + channel);
  };
  for (int64_t h = 0; h < c.heads; ++h) {
    for (int64_t i = 0; i < c.len; ++i) {
      double total = 0;
      for (int64_t j = 0; j < c.len; ++j) {
        double logit = 0;
        for (int64_t e = 0; e < c.head_dim; ++e) logit += q[at(i, h, e)] * k[at(j, h, e)];
        p[static_cast<std::size_t>(j)] = sees(i, j) ? std::exp(logit / std::sqrt(double(c.head_dim))) : 0.0;
        total += p[static_cast<std::size_t>(j)];
      }
      if (total == 0) continue;
      for (int64_t j = 0; j < c.len; ++j) {
        for (int64_t e = 0; e < c.head_dim; ++e)
          o[at(i, h, e)] += p[static_cast<std::size_t>(j)] / total * v[at(j, h, e)];
      }
    }
  }
  const auto y = plain_linear(m, o, "o", inner, c.dim);
  Numbers out(y.size());
  for (std::size_t i = 0; i < y.size(); ++i) out[i] = static_cast<Real>(y[i]);
  return out;
}

}  // namespace lra::test

#endif  // LRA_TESTS_VARIANTS_PLAIN_ATTENTION_H
