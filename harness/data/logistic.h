// Multinomial logistic regression: the cheap predictor that a learned encoder has to beat.
//   P(class | x) = softmax(W z + b),  z = (x - mean) / scale,  loss = cross-entropy + l2 / 2 |W|^2
#ifndef LRA_DATA_LOGISTIC_H
#define LRA_DATA_LOGISTIC_H

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/parallel.h"

namespace lra::data {

// Labelled rows, made on demand. Both functions are called from several threads at once.
struct LabelledRows {
  int64_t size = 0;
  std::function<void(int64_t i, std::span<float> x)> features;  // writes every entry of x
  std::function<int32_t(int64_t i)> label;
};

struct LogisticSettings {
  int epochs = 20;
  int64_t batch = 512;
  double rate = 3e-3;  // Adam's step, falling to 0 along a half cosine
  double l2 = 1e-5;
};

class LogisticRegression {
 public:
  // Fits `train` (at least one row) with x of `features` entries and labels 0 .. classes - 1. The result is the same to
  // the bit for any number of workers.
  LogisticRegression(const LabelledRows& train, int64_t features, int64_t classes, const LogisticSettings& settings,
                     Workers& workers);

  // x: [features], as given by LabelledRows::features.
  int32_t predict(std::span<const float> x) const;
  // Share of rows whose label is predicted.
  double accuracy(const LabelledRows& rows, Workers& workers) const;
  // W [classes, features] for standardised features, then b [classes].
  const std::vector<float>& weights() const { return weights_; }

 private:
  void standardise(std::span<float> x) const;
  // out: [classes]; z: standardised.
  void scores(std::span<const float> z, std::span<float> out) const;

  int64_t features_, classes_;
  std::vector<float> mean_, inverse_scale_;  // [features]
  std::vector<float> weights_;
};

}  // namespace lra::data

#endif  // LRA_DATA_LOGISTIC_H
