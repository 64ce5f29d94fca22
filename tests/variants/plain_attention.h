// The formula of softmax attention over any set of visible rows, as loops in double: what kernels are compared with.
//   o_i = sum over j with sees(i, j) of softmax_j(q_i.k_j / sqrt(dh)) v_j for each head,  y = o W_o + b_o
#ifndef LRA_TESTS_VARIANTS_PLAIN_ATTENTION_H
#define LRA_TESTS_VARIANTS_PLAIN_ATTENTION_H

#include <type_traits>

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

// o of all heads from q, k, v: [len, heads * head_dim]; sees(i, j), or sees(i, j, head) where heads differ. A row that
// sees nothing has o = 0.
template <class Sees>
std::vector<double> plain_mixing(const Case& c, const std::vector<double>& q, const std::vector<double>& k,
                                 const std::vector<double>& v, Sees&& sees) {
  const int64_t inner = c.heads * c.head_dim;
  std::vector<double> o(q.size(), 0.0);
  std::vector<double> p(static_cast<std::size_t>(c.len));
  const auto at = [&](int64_t row, int64_t head, int64_t channel) {
    return static_cast<std::size_t>(row * inner + head * c.head_dim + channel);
  };
  const auto visible = [&](int64_t i, int64_t j, [[maybe_unused]] int64_t head) -> bool {
    if constexpr (std::is_invocable_v<Sees, int64_t, int64_t, int64_t>) {
      return sees(i, j, head);
    } else {
      return sees(i, j);
    }
  };
  for (int64_t h = 0; h < c.heads; ++h) {
    for (int64_t i = 0; i < c.len; ++i) {
      double total = 0;
      for (int64_t j = 0; j < c.len; ++j) {
        double logit = 0;
        for (int64_t e = 0; e < c.head_dim; ++e) logit += q[at(i, h, e)] * k[at(j, h, e)];
        p[static_cast<std::size_t>(j)] = visible(i, j, h) ? std::exp(logit / std::sqrt(double(c.head_dim))) : 0.0;
        total += p[static_cast<std::size_t>(j)];
      }
      if (total == 0) continue;
      for (int64_t j = 0; j < c.len; ++j) {
        for (int64_t e = 0; e < c.head_dim; ++e)
          o[at(i, h, e)] += p[static_cast<std::size_t>(j)] / total * v[at(j, h, e)];
      }
    }
  }
  return o;
}

inline Numbers rounded(const std::vector<double>& values) {
  Numbers out(values.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<Real>(values[i]);
  return out;
}

// y of a case whose variant has the parameters of the Qkv helper.
template <class Sees>
Numbers plain_attention(const Case& c, Sees&& sees) {
  const Module m(c);
  const Numbers input = input_of(c);
  const std::vector<double> x(input.begin(), input.end());
  const int64_t inner = c.heads * c.head_dim;
  const auto o = plain_mixing(c, plain_linear(m, x, "q", c.dim, inner), plain_linear(m, x, "k", c.dim, inner),
                              plain_linear(m, x, "v", c.dim, inner), sees);
  return rounded(plain_linear(m, o, "o", inner, c.dim));
}

}  // namespace lra::test

#endif  // LRA_TESTS_VARIANTS_PLAIN_ATTENTION_H
