// Backward:  dv = P^T do,  dP = do v^T,  dS = P o (dP - rowsum(dP o P)),  dq = dS k / sqrt(dh),  dk = dS^T q /
// sqrt(dh).
#include "check/plain_softmax.h"

#include <algorithm>
#include <cmath>

namespace lra::check {
namespace {

using Doubles = PlainSoftmax::Doubles;

// A row-major matrix.
struct View {
  const Doubles& data;
  int64_t cols;
  double operator()(int64_t r, int64_t c) const { return data[static_cast<std::size_t>(r * cols + c)]; }
};

// y = x W + b
Doubles linear(const Doubles& x, const Doubles& w, const Doubles* b, int64_t in, int64_t out) {
  const int64_t rows = static_cast<int64_t>(x.size()) / in;
  Doubles y(static_cast<std::size_t>(rows * out));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t c = 0; c < out; ++c) {
      double sum = b == nullptr ? 0 : (*b)[static_cast<std::size_t>(c)];
      for (int64_t k = 0; k < in; ++k) sum += View{x, in}(i, k) * View{w, out}(k, c);
      y[static_cast<std::size_t>(i * out + c)] = sum;
    }
  }
  return y;
}

// dx += dy W^T
void add_linear_backward(const Doubles& dy, const Doubles& w, int64_t in, int64_t out, Doubles& dx) {
  const int64_t rows = static_cast<int64_t>(dy.size()) / out;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t k = 0; k < in; ++k) {
      for (int64_t c = 0; c < out; ++c)
        dx[static_cast<std::size_t>(i * in + k)] += View{dy, out}(i, c) * View{w, out}(k, c);
    }
  }
}

}  // namespace

PlainSoftmax::Result PlainSoftmax::run(const Doubles& x, const Doubles& dy) const {
  const int64_t inner = heads * head_dim;
  const auto bias = [&](const char* name) {
    const auto found = params.find(name);
    return found == params.end() ? nullptr : &found->second;
  };
  const Doubles q = linear(x, params.at("wq"), bias("bq"), dim, inner);
  const Doubles k = linear(x, params.at("wk"), bias("bk"), dim, inner);
  const Doubles v = linear(x, params.at("wv"), bias("bv"), dim, inner);
  Doubles o(q.size()), d_o(q.size()), dq(q.size()), dk(q.size()), dv(q.size());
  add_linear_backward(dy, params.at("wo"), inner, dim, d_o);

  const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
  Doubles p(static_cast<std::size_t>(rows)), dp(p.size());
  for (int64_t h = 0; h < heads; ++h) {
    const auto at = [&](int64_t row, int64_t c) { return static_cast<std::size_t>(row * inner + h * head_dim + c); };
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t keys = causal ? i + 1 : rows;
      double most = -1e300, total = 0, mean = 0;
      for (int64_t j = 0; j < keys; ++j) {
        double logit = 0;
        for (int64_t c = 0; c < head_dim; ++c) logit += scale * q[at(i, c)] * k[at(j, c)];
        p[static_cast<std::size_t>(j)] = logit;
        most = std::max(most, logit);
      }
      for (int64_t j = 0; j < keys; ++j)
        total += p[static_cast<std::size_t>(j)] = std::exp(p[static_cast<std::size_t>(j)] - most);
      for (int64_t j = 0; j < keys; ++j) {
        const double weight = p[static_cast<std::size_t>(j)] /= total;
        double slope = 0;
        for (int64_t c = 0; c < head_dim; ++c) {
          o[at(i, c)] += weight * v[at(j, c)];
          dv[at(j, c)] += weight * d_o[at(i, c)];
          slope += d_o[at(i, c)] * v[at(j, c)];
        }
        dp[static_cast<std::size_t>(j)] = slope;
        mean += weight * slope;
      }
      for (int64_t j = 0; j < keys; ++j) {
        const double ds = scale * p[static_cast<std::size_t>(j)] * (dp[static_cast<std::size_t>(j)] - mean);
        for (int64_t c = 0; c < head_dim; ++c) {
          dq[at(i, c)] += ds * k[at(j, c)];
          dk[at(j, c)] += ds * q[at(i, c)];
        }
      }
    }
  }
  Result out{linear(o, params.at("wo"), bias("bo"), inner, dim), Doubles(x.size())};
  add_linear_backward(dq, params.at("wq"), dim, inner, out.dx);
  add_linear_backward(dk, params.at("wk"), dim, inner, out.dx);
  add_linear_backward(dv, params.at("wv"), dim, inner, out.dx);
  return out;
}

}  // namespace lra::check
