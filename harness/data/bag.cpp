// Counting, and the choice of the pairs worth counting.
#include "data/bag.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace lra::data {

Bag::Bag(int64_t vocab) : vocab_(vocab) { LRA_ASSERT(vocab >= 1); }

Bag::Bag(int64_t vocab, const Split& train, int64_t pairs) : Bag(vocab) {
  const auto all = static_cast<std::size_t>(vocab * vocab);
  std::vector<int64_t> counts(all);
  for (int64_t i = 0; i < std::min(kBaselineRows, train.size()); ++i) {
    for (const int part : {0, 1}) {
      if (part == train.parts()) break;
      const auto tokens = train.tokens(i, part);
      for (std::size_t t = 1; t < tokens.size(); ++t) ++counts[pair_of(tokens[t - 1], tokens[t])];
    }
  }
  std::vector<int32_t> order(all);
  std::iota(order.begin(), order.end(), 0);
  const auto count_of = [&](int32_t pair) { return counts[static_cast<std::size_t>(pair)]; };
  std::ranges::stable_sort(order, std::ranges::greater(), count_of);
  place_.assign(all, -1);
  while (pairs_ < std::min<int64_t>(pairs, vocab * vocab) && count_of(order[static_cast<std::size_t>(pairs_)]) > 0) {
    place_[static_cast<std::size_t>(order[static_cast<std::size_t>(pairs_)])] = static_cast<int32_t>(vocab + pairs_);
    ++pairs_;
  }
}

void Bag::count(std::span<const Token> tokens, std::span<float> x) const {
  LRA_ASSERT(static_cast<int64_t>(x.size()) == size());
  std::fill(x.begin(), x.end(), 0.0f);
  for (const Token token : tokens) x[token] += 1;
  if (pairs_ == 0) return;
  for (std::size_t t = 1; t < tokens.size(); ++t) {
    const int32_t place = place_[pair_of(tokens[t - 1], tokens[t])];
    if (place >= 0) x[static_cast<std::size_t>(place)] += 1;
  }
}

LabelledRows labelled_rows(const Split& split, std::function<void(int64_t i, std::span<float> x)> features,
                           int64_t most) {
  return {std::min(split.size(), most), std::move(features), [&split](int64_t i) { return split.label(i); }};
}

}  // namespace lra::data
