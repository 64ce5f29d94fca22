// Relative attention over keys that stand anywhere, as loops in double: what segment attention is compared with.
//   S_ij = ((q_i + u).k_j + (q_i + v).(R_{i-j} W_r)) / sqrt(dh),  o_i = sum_j softmax_j(S_ij) v_j,  y = o W_o + b_o
#ifndef LRA_TESTS_VARIANTS_PLAIN_SEGMENTS_H
#define LRA_TESTS_VARIANTS_PLAIN_SEGMENTS_H

#include "variants/plain_attention.h"

namespace lra::test {

// Keys that row i sees: rows of `k` and `v` ([rows, H dh]) and where they stand.
struct PlainKey {
  int64_t row, position;
};

class PlainRelative {
 public:
  PlainRelative(const Case& c, const Module& m, const Numbers& x)
      : c_(c),
        m_(m),
        inner_(c.heads * c.head_dim),
        x_(x.begin(), x.end()),
        q_(plain_linear(m, x_, "q", c.dim, inner_)),
        wr_(m.param("wr")),
        u_(m.param("u")),
        v_(m.param("v")) {}

  // [rows, D] -> [rows, H dh]
  std::vector<double> keys(const std::vector<double>& rows) const {
    return plain_linear(m_, rows, "k", c_.dim, inner_);
  }
  std::vector<double> values(const std::vector<double>& rows) const {
    return plain_linear(m_, rows, "v", c_.dim, inner_);
  }
  const std::vector<double>& input() const { return x_; }

  // R_d W_r of one head.
  std::vector<double> relative(int64_t distance, int64_t head, int64_t clamp) const {
    if (clamp > 0) distance = std::clamp(distance, -clamp, clamp);
    const int64_t half = (c_.dim + 1) / 2;
    std::vector<double> r(std::size_t(c_.head_dim), 0.0);
    for (int64_t a = 0; a < c_.dim; ++a) {
      const double angle = double(distance) * std::pow(10000.0, -2.0 * double(a % half) / double(c_.dim));
      const double wave = a < half ? std::sin(angle) : std::cos(angle);
      for (int64_t e = 0; e < c_.head_dim; ++e) {
        r[std::size_t(e)] += wave * double(wr_[std::size_t(a * inner_ + head * c_.head_dim + e)]);
      }
    }
    return r;
  }

  // Weights of row i on its keys, for one head.
  std::vector<double> weights(int64_t i, int64_t head, const std::vector<double>& k, const std::vector<PlainKey>& keys,
                              int64_t clamp) const {
    std::vector<double> w;
    double total = 0;
    for (const PlainKey& key : keys) {
      const auto r = relative(i - key.position, head, clamp);
      double score = 0;
      for (int64_t e = 0; e < c_.head_dim; ++e) {
        const auto at = std::size_t(head * c_.head_dim + e);
        const double q = q_[std::size_t(i * inner_) + at];
        score +=
            (q + double(u_[at])) * k[std::size_t(key.row * inner_) + at] + (q + double(v_[at])) * r[std::size_t(e)];
      }
      w.push_back(std::exp(score / std::sqrt(double(c_.head_dim))));
      total += w.back();
    }
    for (double& each : w) each /= total;
    return w;
  }

  // y of all rows; seen(i) lists the keys of row i among the rows of k and v.
  template <class Seen>
  Numbers output(const std::vector<double>& k, const std::vector<double>& v, int64_t clamp, Seen&& seen) const {
    std::vector<double> o(q_.size(), 0.0);
    for (int64_t i = 0; i < c_.len; ++i) {
      const std::vector<PlainKey> keys = seen(i);
      for (int64_t h = 0; h < c_.heads; ++h) {
        const auto w = weights(i, h, k, keys, clamp);
        for (std::size_t a = 0; a < keys.size(); ++a) {
          for (int64_t e = h * c_.head_dim; e < (h + 1) * c_.head_dim; ++e) {
            o[std::size_t(i * inner_ + e)] += w[a] * v[std::size_t(keys[a].row * inner_ + e)];
          }
        }
      }
    }
    const auto y = plain_linear(m_, o, "o", inner_, c_.dim);
    return {y.begin(), y.end()};
  }

 private:
  Case c_;
  const Module& m_;
  int64_t inner_;
  std::vector<double> x_, q_;
  Numbers wr_, u_, v_;
};

}  // namespace lra::test

#endif  // LRA_TESTS_VARIANTS_PLAIN_SEGMENTS_H
