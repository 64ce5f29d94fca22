// A text without its order: how often each token, and each of the commonest pairs of neighbours, occurs in it. What
// logistic regression makes of these counts is the baseline of every task on text.
#ifndef LRA_DATA_BAG_H
#define LRA_DATA_BAG_H

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "data/logistic.h"
#include "data/task.h"

namespace lra::data {

class Bag {
 public:
  explicit Bag(int64_t vocab);
  // Counts also the `pairs` commonest pairs of neighbours in the first examples of `train`.
  Bag(int64_t vocab, const Split& train, int64_t pairs);

  int64_t size() const { return vocab_ + pairs_; }
  // x: [size()], overwritten by counts: tokens, then pairs.
  void count(std::span<const Token> tokens, std::span<float> x) const;

 private:
  std::size_t pair_of(Token first, Token second) const { return first * static_cast<std::size_t>(vocab_) + second; }

  int64_t vocab_;
  int64_t pairs_ = 0;
  std::vector<int32_t> place_;  // [vocab^2] of a pair in x, or -1
};

// Enough rows for a baseline, in seconds at any length of the texts.
inline constexpr int64_t kBaselineRows = 20000;
// The first rows of a split, with features(i, x) of example i.
LabelledRows labelled_rows(const Split& split, std::function<void(int64_t i, std::span<float> x)> features,
                           int64_t most = kBaselineRows);

}  // namespace lra::data

#endif  // LRA_DATA_BAG_H
