// Minibatch Adam (Kingma and Ba 2015) on the convex loss. Rows of a batch are cut into fixed chunks, each with its own
// gradient; the chunks are added in their order, so the sum does not depend on who computed them.
//   dL/ds_c = P(c) - [c = label],   dW_c = dL/ds_c z + l2 W_c,   db_c = dL/ds_c
#include "data/logistic.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numbers>
#include <numeric>

#include "core/error.h"
#include "core/rng.h"

namespace lra::data {
namespace {

constexpr int64_t kChunk = 32;

// Independent partial sums, so that the compiler may use vectors without reordering anything.
float dot(const float* a, const float* b, std::size_t n) {
  constexpr std::size_t kLanes = 16;
  float sums[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  }
  for (std::size_t lane = 0; i < n; ++i, ++lane) sums[lane] += a[i] * b[i];
  return std::accumulate(sums, sums + kLanes, 0.0f);
}

void add_scaled(float* to, float factor, const float* from, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) to[i] += factor * from[i];
}

void softmax(std::span<float> scores) {
  const float most = *std::max_element(scores.begin(), scores.end());
  float sum = 0;
  for (float& score : scores) sum += score = std::exp(score - most);
  for (float& score : scores) score /= sum;
}

}  // namespace

LogisticRegression::LogisticRegression(const LabelledRows& train, int64_t features, int64_t classes,
                                       const LogisticSettings& settings, Workers& workers)
    : features_(features), classes_(classes) {
  LRA_ASSERT(train.size > 0 && features > 0 && classes > 1);
  const auto width = static_cast<std::size_t>(features);
  const auto count = static_cast<std::size_t>(train.size);
  std::vector<float> x(width);

  std::vector<double> sum(width), square_sum(width);
  for (int64_t i = 0; i < train.size; ++i) {
    train.features(i, x);
    for (std::size_t f = 0; f < width; ++f) {
      sum[f] += x[f];
      square_sum[f] += static_cast<double>(x[f]) * x[f];
    }
  }
  mean_.resize(width);
  inverse_scale_.resize(width);
  for (std::size_t f = 0; f < width; ++f) {
    const double mean = sum[f] / static_cast<double>(count);
    const double variance = std::max(square_sum[f] / static_cast<double>(count) - mean * mean, 0.0);
    mean_[f] = static_cast<float>(mean);
    inverse_scale_[f] = variance > 1e-12 ? static_cast<float>(1 / std::sqrt(variance)) : 0.0f;
  }

  const std::size_t biases = static_cast<std::size_t>(classes) * width;  // where b begins
  const std::size_t size = biases + static_cast<std::size_t>(classes);
  weights_.assign(size, 0.0f);
  std::vector<float> first_moment(size), second_moment(size);
  const int64_t batch = std::min(settings.batch, train.size);
  const int64_t lanes = (batch + kChunk - 1) / kChunk;
  std::vector<std::vector<float>> gradients(static_cast<std::size_t>(lanes), std::vector<float>(size));

  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  Rng rng{name_key("logistic")};
  const int64_t batches = train.size / batch;
  const int64_t steps = batches * settings.epochs;
  for (int64_t step = 0; step < steps; ++step) {
    const int64_t first = step % batches * batch;
    if (first == 0) {
      for (std::size_t i = count - 1; i > 0; --i) std::swap(order[i], order[rng.below(static_cast<uint32_t>(i + 1))]);
    }
    workers.for_chunks(batch, kChunk, [&](int64_t begin, int64_t end, int) {
      std::vector<float>& gradient = gradients[static_cast<std::size_t>(begin / kChunk)];
      std::fill(gradient.begin(), gradient.end(), 0.0f);
      std::vector<float> z(width), probabilities(static_cast<std::size_t>(classes));
      for (int64_t i = begin; i < end; ++i) {
        const int64_t row = order[static_cast<std::size_t>(first + i)];
        train.features(row, z);
        standardise(z);
        scores(z, probabilities);
        softmax(probabilities);
        probabilities[static_cast<std::size_t>(train.label(row))] -= 1.0f;
        for (std::size_t c = 0; c < probabilities.size(); ++c) {
          add_scaled(&gradient[c * width], probabilities[c], z.data(), width);
          gradient[biases + c] += probabilities[c];
        }
      }
    });
    std::vector<float>& total = gradients.front();
    for (std::size_t lane = 1; lane < gradients.size(); ++lane)
      add_scaled(total.data(), 1, gradients[lane].data(), size);

    const double progress = static_cast<double>(step) / static_cast<double>(steps);
    const double unbiased_first = 1 - std::pow(0.9, static_cast<double>(step + 1));
    const double unbiased_second = 1 - std::pow(0.999, static_cast<double>(step + 1));
    const auto rate = static_cast<float>(settings.rate * 0.5 * (1 + std::cos(std::numbers::pi * progress)) /
                                         unbiased_first * std::sqrt(unbiased_second));
    const auto decay = static_cast<float>(settings.l2);
    const float per_row = 1.0f / static_cast<float>(batch);
    for (std::size_t i = 0; i < size; ++i) {
      const float gradient = total[i] * per_row + (i < biases ? decay * weights_[i] : 0.0f);
      first_moment[i] += 0.1f * (gradient - first_moment[i]);
      second_moment[i] += 0.001f * (gradient * gradient - second_moment[i]);
      weights_[i] -= rate * first_moment[i] / (std::sqrt(second_moment[i]) + 1e-8f);
    }
  }
}

void LogisticRegression::standardise(std::span<float> x) const {
  for (std::size_t f = 0; f < x.size(); ++f) x[f] = (x[f] - mean_[f]) * inverse_scale_[f];
}

void LogisticRegression::scores(std::span<const float> z, std::span<float> out) const {
  const float* bias = &weights_[out.size() * z.size()];
  for (std::size_t c = 0; c < out.size(); ++c) out[c] = bias[c] + dot(&weights_[c * z.size()], z.data(), z.size());
}

int32_t LogisticRegression::predict(std::span<const float> x) const {
  LRA_ASSERT(static_cast<int64_t>(x.size()) == features_);
  std::vector<float> z(x.begin(), x.end()), out(static_cast<std::size_t>(classes_));
  standardise(z);
  scores(z, out);
  return static_cast<int32_t>(std::max_element(out.begin(), out.end()) - out.begin());
}

double LogisticRegression::accuracy(const LabelledRows& rows, Workers& workers) const {
  LRA_ASSERT(rows.size > 0);
  std::atomic<int64_t> hits{0};
  workers.for_chunks(rows.size, 256, [&](int64_t begin, int64_t end, int) {
    std::vector<float> x(static_cast<std::size_t>(features_));
    for (int64_t i = begin; i < end; ++i) {
      rows.features(i, x);
      hits += predict(x) == rows.label(i);
    }
  });
  return static_cast<double>(hits) / static_cast<double>(rows.size);
}

}  // namespace lra::data
