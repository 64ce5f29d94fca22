// Intervals of keys, and entry to the attention kernels.
#include "math/attention.h"

#include <algorithm>

#include "core/error.h"
#include "math/gemm.h"
#include "math/isa/attention_table.h"

namespace lra::math {
namespace {

// n / d towards minus infinity, d > 0.
int64_t floor_divide(int64_t n, int64_t d) { return n / d - (n % d < 0 ? 1 : 0); }

template <class T>
const AttentionTable<T>& picked() {
  static const auto& table = LRA_PICK(attention_table<T>);
  return table;
}

// Products of head_dim multiply-adds per pair: S and P V; backward S, dP, dV, dK, dQ.
constexpr double kForwardFlops = 2 * 2;
constexpr double kBackwardFlops = 2 * 5;

template <class T>
double flops(const Attention<T>& a, double per_pair, int64_t pairs) {
  return per_pair * static_cast<double>(a.head_dim) * static_cast<double>(pairs);
}

}  // namespace

int64_t KeyRange::begin(int64_t i) const {
  const int64_t position = i + offset;
  int64_t first = std::max<int64_t>(0, position - left);
  if (block > 0) first = std::max(first, (floor_divide(position, block) - back) * block);
  return std::min(first, keys);
}

int64_t KeyRange::end(int64_t i) const {
  const int64_t position = i + offset;
  int64_t last = std::min(keys, position + right + 1);
  if (block > 0) last = std::min(last, (floor_divide(position, block) + forward + 1) * block);
  return std::max(last, begin(i));
}

int64_t KeyRange::pairs(int64_t queries) const {
  int64_t sum = 0;
  for (int64_t i = 0; i < queries; ++i) sum += end(i) - begin(i);
  return sum;
}

template <class T>
size_t attention_forward_scratch(const Attention<T>& a) {
  return picked<T>().forward_scratch(a);
}
template <class T>
size_t attention_backward_scratch(const Attention<T>& a) {
  return picked<T>().backward_scratch(a);
}

template <class T>
void attention_forward(const Attention<T>& a, int64_t row_begin, int64_t row_end, void* scratch) {
  LRA_ASSERT(a.head_dim >= 1 && a.head_dim <= 256);
  LRA_ASSERT(row_begin >= 0 && row_begin <= row_end && row_end <= a.queries);
  picked<T>().forward(a, row_begin, row_end, scratch);
  count_flops(static_cast<uint64_t>(flops(a, kForwardFlops, picked<T>().forward_pairs(a, row_begin, row_end))));
}
template <class T>
void attention_backward(const Attention<T>& a, void* scratch) {
  LRA_ASSERT(a.head_dim >= 1 && a.head_dim <= 256);
  picked<T>().backward(a, scratch);
  count_flops(static_cast<uint64_t>(attention_backward_flops(a)));
}

template <class T>
double attention_forward_flops(const Attention<T>& a) {
  return flops(a, kForwardFlops, picked<T>().forward_pairs(a, 0, a.queries));
}
template <class T>
double attention_backward_flops(const Attention<T>& a) {
  return flops(a, kBackwardFlops, picked<T>().backward_pairs(a));
}

#define LRA_INSTANTIATE(T)                                                          \
  template size_t attention_forward_scratch<T>(const Attention<T>&);                \
  template size_t attention_backward_scratch<T>(const Attention<T>&);               \
  template void attention_forward<T>(const Attention<T>&, int64_t, int64_t, void*); \
  template void attention_backward<T>(const Attention<T>&, void*);                  \
  template double attention_forward_flops<T>(const Attention<T>&);                  \
  template double attention_backward_flops<T>(const Attention<T>&);
LRA_INSTANTIATE(float)
LRA_INSTANTIATE(double)
#undef LRA_INSTANTIATE

}  // namespace lra::math
