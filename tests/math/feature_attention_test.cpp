// Feature attention: hand values, the dense quotient in double, causal against plain prefix sums, gradients by
// differences, rescaling between tiles, rows without a live feature.
#include "math/feature_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/rng.h"
#include "math/gemm.h"

namespace lra::math {
namespace {

using Vector = std::vector<double>;

Vector normals(int64_t n, uint64_t key, double scale = 1) {
  Vector x(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = scale * normal_at(key, i);
  return x;
}

// phi_r(x) = exp(w_r . x) with w fixed: the tile's largest exponent, in bits and rounded up, is the scale, so that
// every tile has another one.
template <class T>
class ExpMap : public FeatureMap<T> {
 public:
  ExpMap(int64_t features, int64_t head_dim, double scale) : m_(features), dh_(head_dim) {
    for (const double w : normals(features * head_dim, 77, scale)) w_.push_back(static_cast<T>(w));
  }
  int64_t features() const override { return m_; }
  int64_t scratch_elements(int64_t) const override { return 0; }
  T forward(Side side, int64_t, int64_t rows, const T* x, int64_t ldx, T* phi, int64_t ldphi, T*) const override {
    T top = -1000;
    for (int64_t i = 0; i < rows; ++i) {
      T row_top = -1000;
      for (int64_t r = 0; r < m_; ++r) row_top = std::max(row_top, std::ceil(exponent(x + i * ldx, r) / T(M_LN2)));
      top = std::max(top, row_top);
      if (side == Side::kQuery) fill(x + i * ldx, phi + i * ldphi, row_top);
    }
    for (int64_t i = 0; i < rows && side == Side::kKey; ++i) fill(x + i * ldx, phi + i * ldphi, top);
    return top;
  }
  void backward(Side, int64_t, int64_t rows, const T*, int64_t, const T* phi, int64_t ldphi, T* dphi, int64_t lddphi,
                T* dx, int64_t lddx, T*) const override {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t c = 0; c < dh_; ++c) {
        T sum = 0;
        for (int64_t r = 0; r < m_; ++r) sum += dphi[i * lddphi + r] * phi[i * ldphi + r] * w(r, c);
        dx[i * lddx + c] = sum;
      }
    }
  }
  T exponent(const T* x, int64_t r) const {
    T sum = 0;
    for (int64_t c = 0; c < dh_; ++c) sum += w(r, c) * x[c];
    return sum;
  }

 private:
  T w(int64_t r, int64_t c) const { return w_[static_cast<std::size_t>(r * dh_ + c)]; }
  void fill(const T* x, T* phi, T top) const {
    for (int64_t r = 0; r < m_; ++r) phi[r] = std::exp(exponent(x, r) - top * T(M_LN2));
  }
  int64_t m_, dh_;
  std::vector<T> w_;
};

// phi(x) = max(x, 0).
template <class T>
class ReluMap : public FeatureMap<T> {
 public:
  explicit ReluMap(int64_t head_dim) : dh_(head_dim) {}
  int64_t features() const override { return dh_; }
  int64_t scratch_elements(int64_t) const override { return 0; }
  T forward(Side, int64_t, int64_t rows, const T* x, int64_t ldx, T* phi, int64_t ldphi, T*) const override {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t c = 0; c < dh_; ++c) phi[i * ldphi + c] = std::max(x[i * ldx + c], T(0));
    }
    return 0;
  }
  void backward(Side, int64_t, int64_t rows, const T*, int64_t, const T* phi, int64_t ldphi, T* dphi, int64_t lddphi,
                T* dx, int64_t lddx, T*) const override {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t c = 0; c < dh_; ++c) dx[i * lddx + c] = phi[i * ldphi + c] > 0 ? dphi[i * lddphi + c] : T(0);
    }
  }

 private:
  int64_t dh_;
};

// One head with its memory. Rows are `ld` apart, so that a kernel that assumes dense rows is caught.
template <class T>
struct OneHead {
  OneHead(const FeatureMap<T>& map, int64_t n, int64_t dh, bool causal, T eps = 0) {
    a.rows = n;
    a.head_dim = dh;
    a.causal = causal;
    a.eps = eps;
    a.map = &map;
    a.ld = dh + 3;
    a.ldo = dh + 5;
    for (std::vector<T>* x : {&q, &k, &v, &dq, &dk, &dv}) x->assign(static_cast<std::size_t>(n * a.ld), T(0));
    for (std::vector<T>* x : {&o, &d_o}) x->assign(static_cast<std::size_t>(n * a.ldo), T(0));
    state.assign(static_cast<std::size_t>(feature_state_elements<T>(n, dh, map.features(), causal)), T(NAN));
    a.q = q.data(), a.k = k.data(), a.v = v.data(), a.o = o.data(), a.state = state.data(), a.d_o = d_o.data();
    a.dq = dq.data(), a.dk = dk.data(), a.dv = dv.data();
    scratch.assign(feature_attention_scratch(a) / sizeof(T), T(NAN));
  }
  void set(std::vector<T>& x, int64_t ld, const Vector& values) const {
    for (int64_t i = 0; i < a.rows; ++i) {
      for (int64_t c = 0; c < a.head_dim; ++c) {
        x[static_cast<std::size_t>(i * ld + c)] = static_cast<T>(values[static_cast<std::size_t>(i * a.head_dim + c)]);
      }
    }
  }
  Vector get(const std::vector<T>& x, int64_t ld) const {
    Vector values;
    for (int64_t i = 0; i < a.rows; ++i) {
      for (int64_t c = 0; c < a.head_dim; ++c)
        values.push_back(static_cast<double>(x[static_cast<std::size_t>(i * ld + c)]));
    }
    return values;
  }
  void inputs(const Vector& q_in, const Vector& k_in, const Vector& v_in) {
    set(q, a.ld, q_in), set(k, a.ld, k_in), set(v, a.ld, v_in);
  }
  Vector forward() {
    feature_attention_forward(a, scratch.data());
    return get(o, a.ldo);
  }
  void backward(const Vector& g) {
    set(d_o, a.ldo, g);
    std::fill(scratch.begin(), scratch.end(), T(NAN));  // dead between the calls
    feature_attention_backward(a, scratch.data());
  }

  FeatureAttention<T> a;
  std::vector<T> q, k, v, o, d_o, dq, dk, dv, state, scratch;
};

// O_i = sum_j w_ij v_j / (sum_j w_ij + eps), w_ij given.
template <class Weight>
Vector quotient(int64_t n, int64_t dh, bool causal, double eps, const Vector& v, const Weight& weight) {
  Vector o(static_cast<std::size_t>(n * dh));
  for (int64_t i = 0; i < n; ++i) {
    double sum = eps;
    Vector row(static_cast<std::size_t>(dh));
    for (int64_t j = 0; j < (causal ? i + 1 : n); ++j) {
      const double w = weight(i, j);
      sum += w;
      for (int64_t c = 0; c < dh; ++c) row[static_cast<std::size_t>(c)] += w * v[static_cast<std::size_t>(j * dh + c)];
    }
    for (int64_t c = 0; c < dh; ++c)
      o[static_cast<std::size_t>(i * dh + c)] = sum == 0 ? 0 : row[static_cast<std::size_t>(c)] / sum;
  }
  return o;
}

// exp(w_r.q + w_r.k) summed over r, as one number relative to the row's own largest: safe for any size of scores.
Vector dense_exp(const ExpMap<double>& map, int64_t n, int64_t dh, bool causal, const Vector& q, const Vector& k,
                 const Vector& v) {
  Vector top(static_cast<std::size_t>(n), -1e300);
  const auto score = [&](int64_t i, int64_t j, int64_t r) {
    return map.exponent(q.data() + i * dh, r) + map.exponent(k.data() + j * dh, r);
  };
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < (causal ? i + 1 : n); ++j) {
      for (int64_t r = 0; r < map.features(); ++r) {
        top[static_cast<std::size_t>(i)] = std::max(top[static_cast<std::size_t>(i)], score(i, j, r));
      }
    }
  }
  return quotient(n, dh, causal, 0, v, [&](int64_t i, int64_t j) {
    double w = 0;
    for (int64_t r = 0; r < map.features(); ++r) w += std::exp(score(i, j, r) - top[static_cast<std::size_t>(i)]);
    return w;
  });
}

void expect_near(const Vector& found, const Vector& wanted, double tolerance) {
  ASSERT_EQ(found.size(), wanted.size());
  for (std::size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], wanted[i], tolerance) << "element " << i;
}

TEST(FeatureAttention, WeighsTheValuesByTheProductsOfFeatures) {
  // phi(q) = 1, phi(k) = 1 and 3: O = (1 * 10 + 3 * 20) / 4.
  const ReluMap<double> map(1);
  OneHead<double> run(map, 2, 1, false);
  run.inputs({1, 2}, {1, 3}, {10, 20});
  expect_near(run.forward(), {17.5, 17.5}, 1e-14);
  run.backward({1, 0});
  // dO/dv_j = 1/4, 3/4; dO/dk_j = (v_j - O) / 4; dO/dq = 0, for a factor of the query cancels.
  expect_near(run.get(run.dv, run.a.ld), {0.25, 0.75}, 1e-14);
  expect_near(run.get(run.dk, run.a.ld), {-7.5 / 4, 2.5 / 4}, 1e-14);
  expect_near(run.get(run.dq, run.a.ld), {0, 0}, 1e-14);
}

TEST(FeatureAttention, CausalRowsWithEqualFeaturesAverageTheirPast) {
  const int64_t n = 230;
  const ReluMap<double> map(2);
  OneHead<double> run(map, n, 2, true);
  Vector ones(static_cast<std::size_t>(2 * n), 1.0), v(static_cast<std::size_t>(2 * n));
  v[0] = 1;  // the first row's first channel
  run.inputs(ones, ones, v);
  const Vector o = run.forward();
  for (int64_t t = 0; t < n; ++t)
    EXPECT_NEAR(o[static_cast<std::size_t>(2 * t)], 1.0 / static_cast<double>(t + 1), 1e-15);
}

TEST(FeatureAttention, EqualsTheDenseQuotientForEveryLength) {
  const int64_t dh = 5;
  const ExpMap<double> map(19, dh, 0.7);
  for (const bool causal : {false, true}) {
    for (const int64_t n : {1, 2, 71, 72, 73, 144, 250}) {
      OneHead<double> run(map, n, dh, causal);
      const Vector q = normals(n * dh, 1), k = normals(n * dh, 2), v = normals(n * dh, 3);
      run.inputs(q, k, v);
      expect_near(run.forward(), dense_exp(map, n, dh, causal, q, k, v), 1e-12);
    }
  }
}

TEST(FeatureAttention, TheLastCausalRowEqualsTheLastRowWithoutCausality) {
  const int64_t n = 200, dh = 8;
  const ExpMap<double> map(32, dh, 0.5);
  OneHead<double> causal(map, n, dh, true), full(map, n, dh, false);
  for (OneHead<double>* run : {&causal, &full}) run->inputs(normals(n * dh, 1), normals(n * dh, 2), normals(n * dh, 3));
  const Vector a = causal.forward(), b = full.forward();
  for (int64_t c = (n - 1) * dh; c < n * dh; ++c)
    EXPECT_NEAR(a[static_cast<std::size_t>(c)], b[static_cast<std::size_t>(c)], 1e-13);
}

TEST(FeatureAttention, RescalesExactlyWhenScoresOfTilesDifferByHundreds) {
  const int64_t n = 300, dh = 3;
  const ExpMap<double> map(6, dh, 1.0);
  const Vector q = normals(n * dh, 1), v = normals(n * dh, 3);
  for (const bool causal : {false, true}) {
    for (const double sign : {1.0, -1.0}) {
      // Keys grow (or shrink) from tile to tile; in one absolute scale exp would overflow from the second tile on.
      Vector k = normals(n * dh, 2);
      for (int64_t j = 0; j < n; ++j) {
        for (int64_t c = 0; c < dh; ++c) {
          const double tile = static_cast<double>(sign > 0 ? j / 72 : 4 - j / 72);
          k[static_cast<std::size_t>(j * dh + c)] += 400 * tile * normal_at(5, static_cast<uint64_t>(c));
        }
      }
      OneHead<double> run(map, n, dh, causal);
      run.inputs(q, k, v);
      expect_near(run.forward(), dense_exp(map, n, dh, causal, q, k, v), 1e-11);
    }
  }
}

TEST(FeatureAttention, AddsEpsilonToTheTrueDenominatorWhateverTheScale) {
  const int64_t n = 130, dh = 4;
  const ReluMap<double> map(dh);
  for (const bool causal : {false, true}) {
    const Vector q = normals(n * dh, 1), k = normals(n * dh, 2), v = normals(n * dh, 3);
    OneHead<double> run(map, n, dh, causal, 0.25);
    run.inputs(q, k, v);
    expect_near(run.forward(),
                quotient(n, dh, causal, 0.25, v,
                         [&](int64_t i, int64_t j) {
                           double w = 0;
                           for (int64_t c = 0; c < dh; ++c) {
                             w += std::max(q[static_cast<std::size_t>(i * dh + c)], 0.0) *
                                  std::max(k[static_cast<std::size_t>(j * dh + c)], 0.0);
                           }
                           return w;
                         }),
                1e-12);
  }
}

TEST(FeatureAttention, ARowWithoutALiveFeatureGivesZeroAndPassesNoGradient) {
  const int64_t n = 120, dh = 4;
  const ReluMap<double> map(dh);
  for (const bool causal : {false, true}) {
    OneHead<double> run(map, n, dh, causal);
    Vector q = normals(n * dh, 1), k = normals(n * dh, 2);
    for (int64_t c = 0; c < dh; ++c) q[static_cast<std::size_t>(7 * dh + c)] = -1;  // row 7 is dead
    for (int64_t c = 0; c < dh; ++c) k[static_cast<std::size_t>(c)] = -1;  // causal: row 0 sees a dead key only
    run.inputs(q, k, normals(n * dh, 3));
    const Vector o = run.forward();
    Vector g = normals(n * dh, 4);
    run.backward(g);
    const Vector dq = run.get(run.dq, run.a.ld);
    for (int64_t c = 0; c < dh; ++c) {
      EXPECT_EQ(o[static_cast<std::size_t>(7 * dh + c)], 0);
      EXPECT_EQ(dq[static_cast<std::size_t>(7 * dh + c)], 0);
      if (causal) {
        EXPECT_EQ(o[static_cast<std::size_t>(c)], 0);
      }
    }
    for (const std::vector<double>* x : {&run.dq, &run.dk, &run.dv}) {
      for (const double d : *x) ASSERT_TRUE(std::isfinite(d));
    }
  }
}

TEST(FeatureAttention, BackwardIsTheDirectionalDerivative) {
  const int64_t dh = 6;
  const double h = 1e-5;
  const ExpMap<double> map(21, dh, 0.6);
  for (const bool causal : {false, true}) {
    for (const int64_t n : {1, 7, 72, 100, 250}) {
      const Vector q = normals(n * dh, 1), k = normals(n * dh, 2, 1.5), v = normals(n * dh, 3);
      const Vector g = normals(n * dh, 4), along = normals(3 * n * dh, 5);
      OneHead<double> run(map, n, dh, causal);
      const auto loss = [&](double t) {
        Vector qt = q, kt = k, vt = v;
        for (std::size_t i = 0; i < q.size(); ++i) {
          qt[i] += t * along[i];
          kt[i] += t * along[q.size() + i];
          vt[i] += t * along[2 * q.size() + i];
        }
        run.inputs(qt, kt, vt);
        const Vector o = run.forward();
        double sum = 0;
        for (std::size_t i = 0; i < o.size(); ++i) sum += g[i] * o[i];
        return sum;
      };
      const double numeric = (loss(h) - loss(-h)) / (2 * h);
      loss(0);
      run.backward(g);
      const Vector dq = run.get(run.dq, run.a.ld), dk = run.get(run.dk, run.a.ld), dv = run.get(run.dv, run.a.ld);
      double analytic = 0;
      for (std::size_t i = 0; i < q.size(); ++i) {
        analytic += dq[i] * along[i] + dk[i] * along[q.size() + i] + dv[i] * along[2 * q.size() + i];
      }
      EXPECT_NEAR(analytic, numeric, 1e-7 * (1 + std::abs(numeric))) << "rows " << n << " causal " << causal;
    }
  }
}

TEST(FeatureAttention, EpsilonIsPartOfTheGradient) {
  const int64_t n = 110, dh = 4;
  const double h = 1e-6;
  const ReluMap<double> map(dh);
  for (const bool causal : {false, true}) {
    const Vector q = normals(n * dh, 1), k = normals(n * dh, 2), v = normals(n * dh, 3), g = normals(n * dh, 4);
    const Vector along = normals(n * dh, 5, 0.1);
    OneHead<double> run(map, n, dh, causal, 0.5);
    const auto loss = [&](double t) {
      Vector qt = q;
      for (std::size_t i = 0; i < q.size(); ++i) qt[i] += t * along[i];
      run.inputs(qt, k, v);
      const Vector o = run.forward();
      double sum = 0;
      for (std::size_t i = 0; i < o.size(); ++i) sum += g[i] * o[i];
      return sum;
    };
    const double numeric = (loss(h) - loss(-h)) / (2 * h);
    loss(0);
    run.backward(g);
    const Vector dq = run.get(run.dq, run.a.ld);
    double analytic = 0;
    for (std::size_t i = 0; i < q.size(); ++i) analytic += dq[i] * along[i];
    EXPECT_NEAR(analytic, numeric, 1e-7 * (1 + std::abs(numeric)));
  }
}

TEST(FeatureAttention, FloatFollowsDouble) {
  const int64_t n = 500, dh = 32;
  const ExpMap<float> narrow(64, dh, 0.2);
  const ExpMap<double> wide(64, dh, 0.2);
  for (const bool causal : {false, true}) {
    OneHead<float> f(narrow, n, dh, causal);
    OneHead<double> d(wide, n, dh, causal);
    const Vector q = normals(n * dh, 1), k = normals(n * dh, 2), v = normals(n * dh, 3), g = normals(n * dh, 4);
    f.inputs(q, k, v);
    d.inputs(q, k, v);
    expect_near(f.forward(), d.forward(), 1e-5);
    f.backward(g);
    d.backward(g);
    expect_near(f.get(f.dq, f.a.ld), d.get(d.dq, d.a.ld), 1e-4);
    expect_near(f.get(f.dk, f.a.ld), d.get(d.dk, d.a.ld), 1e-4);
    expect_near(f.get(f.dv, f.a.ld), d.get(d.dv, d.a.ld), 1e-4);
  }
}

TEST(FeatureAttention, CountsTheWorkItDoes) {
  const int64_t dh = 8;
  const ExpMap<double> map(24, dh, 0.3);
  for (const bool causal : {false, true}) {
    for (const int64_t n : {50, 72, 300}) {
      OneHead<double> run(map, n, dh, causal);
      run.inputs(normals(n * dh, 1), normals(n * dh, 2), normals(n * dh, 3));
      const uint64_t start = kernel_flops();
      run.forward();
      const uint64_t middle = kernel_flops();
      run.backward(normals(n * dh, 4));
      EXPECT_EQ(static_cast<double>(middle - start), feature_attention_forward_flops(run.a));
      EXPECT_EQ(static_cast<double>(kernel_flops() - middle), feature_attention_backward_flops(run.a));
    }
  }
}

}  // namespace
}  // namespace lra::math
