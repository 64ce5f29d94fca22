// Small mixers for tests of the encoder: real parameters, real gradients, no plugin.
#ifndef LRA_TESTS_NN_TOY_MIXER_H
#define LRA_TESTS_NN_TOY_MIXER_H

#include <memory>

#include "nn/mixer.h"

namespace lra::nn {

// y_i = (x_i + mean of all rows) W;  auxiliary loss = 0.01 sum of squares of W, as a mixer with a loss of its own would
// have.
class MeanMixer : public Mixer {
 public:
  MeanMixer(const lra_config& config, Declarer& declarer, int64_t prefix_rows, bool shared) : dim_(config.dim) {
    lra_param_spec w{};
    w.struct_size = sizeof(w);
    w.name = "w";
    w.rows = w.cols = dim_;
    w.init = LRA_INIT_RESIDUAL;
    w.align_with = -1;
    w.decay = 1;
    w.shared = shared ? 1 : 0;
    declarer.param(w);
    mean_ = declarer.saved("mean", static_cast<std::size_t>(dim_) * sizeof(Real));
    row_ = declarer.scratch("row", static_cast<std::size_t>(dim_) * sizeof(Real), false);
    declarer.prefix_rows(prefix_rows);
  }
  void forward(const lra_step& s, Real* y, Real* aux) const override {
    Real* mean = static_cast<Real*>(s.saved[mean_]);
    const Real* w = s.params[0];
    for (int64_t c = 0; c < dim_; ++c) {
      Real sum = 0;
      for (int64_t i = 0; i < s.len; ++i) sum += s.x[i * dim_ + c];
      mean[c] = sum / static_cast<Real>(s.len);
    }
    for (int64_t i = 0; i < s.len; ++i) {
      for (int64_t o = 0; o < dim_; ++o) {
        Real sum = 0;
        for (int64_t c = 0; c < dim_; ++c) sum += (s.x[i * dim_ + c] + mean[c]) * w[c * dim_ + o];
        y[i * dim_ + o] = sum;
      }
    }
    for (int64_t i = 0; i < dim_ * dim_; ++i) *aux += Real(0.01) * w[i] * w[i];
  }
  void backward(const lra_step& s, const Real* dy, Real* dx, Real* const* dparams) const override {
    const Real* mean = static_cast<const Real*>(s.saved[mean_]);
    Real* dmean = static_cast<Real*>(s.scratch[row_]);
    const Real* w = s.params[0];
    for (int64_t c = 0; c < dim_; ++c) dmean[c] = 0;
    for (int64_t i = 0; i < s.len; ++i) {
      for (int64_t c = 0; c < dim_; ++c) {
        Real d = 0;
        for (int64_t o = 0; o < dim_; ++o) {
          d += dy[i * dim_ + o] * w[c * dim_ + o];
          dparams[0][c * dim_ + o] += (s.x[i * dim_ + c] + mean[c]) * dy[i * dim_ + o];
        }
        dx[i * dim_ + c] = d;
        dmean[c] += d / static_cast<Real>(s.len);
      }
    }
    for (int64_t i = 0; i < s.len; ++i) {
      for (int64_t c = 0; c < dim_; ++c) dx[i * dim_ + c] += dmean[c];
    }
    for (int64_t i = 0; i < dim_ * dim_; ++i) dparams[0][i] += Real(0.02) * w[i];
  }
  lra_cost cost(int64_t len) const override {
    const double flops = 2.0 * static_cast<double>(len * dim_ * dim_);
    return {sizeof(lra_cost), flops, 2 * flops, 0};
  }
  bool has_after_step() const override { return false; }
  void after_step(const lra_step&, Real* const*) const override {}

 private:
  int64_t dim_;
  int32_t mean_, row_;
};

// shared: all layers use one array.
inline MixerSource mean_mixers(int64_t prefix_rows = 0, bool shared = false) {
  MixerSource source;
  source.make = [prefix_rows, shared](const lra_config& config, Declarer& declarer) {
    return std::make_unique<MeanMixer>(config, declarer, prefix_rows, shared);
  };
  return source;
}

// Declares the four projections of plain attention and computes nothing: for counting parameters.
class CountingMixer : public Mixer {
 public:
  CountingMixer(const lra_config& config, Declarer& declarer) {
    const int64_t inner = config.heads * config.head_dim;
    for (const char* name : {"wq", "wk", "wv", "wo"}) {
      lra_param_spec w{};
      w.struct_size = sizeof(w);
      w.name = name;
      w.rows = name[1] == 'o' ? inner : config.dim;
      w.cols = name[1] == 'o' ? config.dim : inner;
      w.init = LRA_INIT_LINEAR;
      w.align_with = name[1] == 'k' ? 0 : -1;
      declarer.param(w);
    }
  }
  void forward(const lra_step&, Real*, Real*) const override {}
  void backward(const lra_step&, const Real*, Real*, Real* const*) const override {}
  lra_cost cost(int64_t) const override { return {sizeof(lra_cost), 0, 0, 0}; }
  bool has_after_step() const override { return false; }
  void after_step(const lra_step&, Real* const*) const override {}
};

inline MixerSource counting_mixers() {
  MixerSource source;
  source.make = [](const lra_config& config, Declarer& declarer) {
    return std::make_unique<CountingMixer>(config, declarer);
  };
  return source;
}

}  // namespace lra::nn

#endif  // LRA_TESTS_NN_TOY_MIXER_H
