// Starting values.
//   LINEAR    scaled_normal: N(0, 1/in)             xavier: U(+-sqrt(6 / (in + out)))
//   RESIDUAL  scaled_normal: N(0, 1/in) / sqrt(2 layers)   xavier: as LINEAR
//   aligned   a * other + sqrt(1 - a^2) * own draw
//   smooth token table: e[v] = sum_k a_k cos(pi k v / V) / sqrt(terms), k = 0..3: neighbours start close
#include "nn/parameters.h"

#include <cmath>
#include <numbers>

#include "core/error.h"
#include "core/rng.h"

namespace lra::nn {
namespace {

constexpr int64_t kSmoothTerms = 4;

double standard_deviation(const Parameter& p, const ModelSpec& model) {
  if (p.init == LRA_INIT_NORMAL) return p.init_scale;
  const double linear = 1.0 / std::sqrt(static_cast<double>(p.rows));
  return p.init == LRA_INIT_RESIDUAL ? linear / std::sqrt(2.0 * static_cast<double>(model.layers)) : linear;
}

// Half width of the uniform draw, or 0 where the draw is normal.
double uniform_bound(const Parameter& p, const ModelSpec& model) {
  if (p.init == LRA_INIT_UNIFORM) return p.init_scale;
  if (p.init == LRA_INIT_NORMAL || model.init == Init::kScaledNormal) return 0;
  return std::sqrt(6.0 / static_cast<double>(p.rows + p.cols));
}

void smooth_table(const Parameter& p, uint64_t key, Real* out) {
  for (int64_t v = 0; v < p.rows; ++v) {
    for (int64_t c = 0; c < p.cols; ++c) {
      double sum = 0;
      for (int64_t k = 0; k < kSmoothTerms; ++k) {
        const double wave = std::cos(std::numbers::pi * static_cast<double>(k * v) / static_cast<double>(p.rows));
        sum += normal_at(key, static_cast<uint64_t>(k * p.cols + c)) * wave * (k == 0 ? 1.0 : std::numbers::sqrt2);
      }
      out[v * p.cols + c] = static_cast<Real>(p.init_scale * sum / std::sqrt(static_cast<double>(kSmoothTerms)));
    }
  }
}

}  // namespace

std::string mixer_prefix(int64_t layer) { return "layer" + std::to_string(layer) + ".mixer."; }

int32_t Parameters::add(Parameter parameter) {
  for (const Parameter& other : all_) LRA_ASSERT(other.name != parameter.name);
  all_.push_back(std::move(parameter));
  return static_cast<int32_t>(all_.size() - 1);
}

void Parameters::lay_out() {
  // Each array starts on a cache line, as the contract promises for every block.
  const auto place = [](Parameter& p, int64_t& end) {
    constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(Real));
    p.offset = end;
    end += (p.size() + kLine - 1) / kLine * kLine;
  };
  trainable_ = 0;
  for (Parameter& p : all_) {
    if (p.kind == LRA_PARAM_TRAINABLE) place(p, trainable_);
  }
  int64_t values_end = trainable_;
  int64_t gradients_end = trainable_;
  for (Parameter& p : all_) {
    if (p.kind == LRA_PARAM_BUFFER) place(p, values_end);
    if (p.kind == LRA_PARAM_STATISTIC) place(p, gradients_end);
  }
  buffers_ = values_end - trainable_;
  statistics_ = gradients_end - trainable_;
}

void Parameters::initialise(const ModelSpec& model, uint64_t seed, Real* values) const {
  for (int64_t i = 0; i < values_size(); ++i) values[i] = 0;
  for (const Parameter& p : all_) {
    if (p.kind != LRA_PARAM_TRAINABLE || p.init == LRA_INIT_ZERO) continue;
    Real* out = values + p.offset;
    const uint64_t key = key_of({seed, name_key("init"), name_key(p.name)});
    if (p.token_table && model.token_init == TokenInit::kSmooth) {
      smooth_table(p, key, out);
      continue;
    }
    const double bound = uniform_bound(p, model);
    const double deviation = p.init == LRA_INIT_ONE ? 0 : standard_deviation(p, model);
    for (int64_t i = 0; i < p.size(); ++i) {
      const auto index = static_cast<uint64_t>(i);
      if (p.init == LRA_INIT_ONE) {
        out[i] = 1;
      } else {
        out[i] =
            static_cast<Real>(bound > 0 ? bound * (2 * uniform_at(key, index) - 1) : deviation * normal_at(key, index));
      }
    }
    if (p.align_with >= 0 && model.qk_alignment > 0) {
      const Parameter& other = at(p.align_with);
      LRA_ASSERT(other.size() == p.size() && other.kind == LRA_PARAM_TRAINABLE);
      const double a = model.qk_alignment;
      const double rest = std::sqrt(1 - a * a);
      for (int64_t i = 0; i < p.size(); ++i) out[i] = static_cast<Real>(a * values[other.offset + i] + rest * out[i]);
    }
  }
}

}  // namespace lra::nn
