// Plain float64 loops of the kernels: the formula and nothing else. Every fast kernel is tested against these.
#ifndef LRA_TESTS_MATH_REFERENCE_H
#define LRA_TESTS_MATH_REFERENCE_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "math/attention.h"
#include "math/gemm.h"

namespace lra::math::reference {

using Doubles = std::vector<double>;

// n values of the unit normal distribution times `scale`, rounded to T.
template <class T>
std::vector<T> random_values(int64_t n, uint64_t seed, double scale = 1) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<double> normal;
  std::vector<T> x(static_cast<size_t>(n));
  for (T& value : x) value = static_cast<T>(scale * normal(engine));
  return x;
}

// C [m, n], contiguous, of the product that g describes; g.c is read where beta is not 0.
template <class T>
Doubles gemm(const Gemm<T>& g) {
  Doubles c(static_cast<size_t>(g.m * g.n));
  for (int64_t i = 0; i < g.m; ++i) {
    for (int64_t j = 0; j < g.n; ++j) {
      double sum = 0;
      for (int64_t p = 0; p < g.k; ++p) {
        const T a = g.op_a == Op::kNone ? g.a[i * g.lda + p] : g.a[p * g.lda + i];
        const T b = g.op_b == Op::kNone ? g.b[p * g.ldb + j] : g.b[j * g.ldb + p];
        sum += static_cast<double>(a) * static_cast<double>(b);
      }
      sum *= static_cast<double>(g.alpha);
      if (g.beta != 0) sum += static_cast<double>(g.beta) * static_cast<double>(g.c[i * g.ldc + j]);
      if (g.bias != nullptr) sum += static_cast<double>(g.bias[j]);
      c[static_cast<size_t>(i * g.n + j)] = sum;
    }
  }
  return c;
}

// True if query row i sees key j, straight from the definition of KeyRange.
inline bool sees(const KeyRange& range, int64_t i, int64_t j) {
  const int64_t position = i + range.offset;
  if (j < 0 || j >= range.keys || j < position - range.left || j > position + range.right) return false;
  if (range.block <= 0) return true;
  const int64_t distance = j / range.block - position / range.block;
  return -range.back <= distance && distance <= range.forward;
}

// Contiguous results of attention and, if d_o is given, of its gradient.
struct AttentionResult {
  Doubles o, lse, dq, dk, dv;
};

template <class T>
AttentionResult attention(const Attention<T>& a) {
  const int64_t n = a.queries, keys = a.range.keys, d = a.head_dim;
  const auto at = [d](int64_t row, int64_t column) { return static_cast<size_t>(row * d + column); };
  const auto dot = [d](const T* x, const T* y) {
    double sum = 0;
    for (int64_t c = 0; c < d; ++c) sum += static_cast<double>(x[c]) * static_cast<double>(y[c]);
    return sum;
  };
  AttentionResult r;
  r.o.assign(static_cast<size_t>(n * d), 0);
  r.dq = r.o;
  r.dk.assign(static_cast<size_t>(keys * d), 0);
  r.dv = r.dk;
  r.lse.assign(static_cast<size_t>(n), -std::numeric_limits<double>::infinity());
  const double scale = static_cast<double>(a.scale);
  Doubles p(static_cast<size_t>(keys)), dp(static_cast<size_t>(keys));
  for (int64_t i = 0; i < n; ++i) {
    double top = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t j = 0; j < keys; ++j) {
      p[static_cast<size_t>(j)] = scale * dot(a.q + i * a.ldq, a.k + j * a.ldk);
      if (sees(a.range, i, j)) top = std::max(top, p[static_cast<size_t>(j)]);
    }
    for (int64_t j = 0; j < keys; ++j) {
      double& p_j = p[static_cast<size_t>(j)];
      p_j = sees(a.range, i, j) ? std::exp(p_j - top) : 0;
      sum += p_j;
    }
    if (sum == 0) continue;
    r.lse[static_cast<size_t>(i)] = top + std::log(sum);
    double delta = 0;
    for (int64_t j = 0; j < keys; ++j) {
      double& p_j = p[static_cast<size_t>(j)];
      p_j /= sum;
      for (int64_t c = 0; c < d; ++c) r.o[at(i, c)] += p_j * static_cast<double>(a.v[j * a.ldv + c]);
      if (a.d_o == nullptr) continue;
      dp[static_cast<size_t>(j)] = dot(a.d_o + i * a.ldo, a.v + j * a.ldv);
      delta += p_j * dp[static_cast<size_t>(j)];
    }
    if (a.d_o == nullptr) continue;
    for (int64_t j = 0; j < keys; ++j) {
      const double p_j = p[static_cast<size_t>(j)], ds = p_j * (dp[static_cast<size_t>(j)] - delta);
      for (int64_t c = 0; c < d; ++c) {
        r.dv[at(j, c)] += p_j * static_cast<double>(a.d_o[i * a.ldo + c]);
        r.dq[at(i, c)] += scale * ds * static_cast<double>(a.k[j * a.ldk + c]);
        r.dk[at(j, c)] += scale * ds * static_cast<double>(a.q[i * a.ldq + c]);
      }
    }
  }
  return r;
}

}  // namespace lra::math::reference

#endif  // LRA_TESTS_MATH_REFERENCE_H
