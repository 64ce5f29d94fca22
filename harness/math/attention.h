// Exact softmax attention of one head over intervals of keys, in tiles: no N x N array is ever stored.
//   S_ij = scale q_i.k_j,  P = softmax over j in [begin(i), end(i)),  O = P V,  lse_i = log sum_j exp(S_ij)
// Backward recomputes P from lse (Dao et al. 2022, arXiv:2205.14135, Alg. 1 and 4):
//   D_i = dO_i.O_i,  dV = P^T dO,  dS = P o (dO V^T - D),  dQ = scale dS K,  dK = scale dS^T Q
// A row that sees no key has output 0, lse -inf and gradient 0.
#ifndef LRA_MATH_ATTENTION_H
#define LRA_MATH_ATTENTION_H

#include <cstddef>
#include <cstdint>

namespace lra::math {

// The keys that query row i may see: one interval, both ends non-decreasing in i.
struct KeyRange {
  int64_t keys = 0;          // number of keys
  int64_t left = kNoBound;   // i - left <= j
  int64_t right = kNoBound;  // j <= i + right; 0 is causal
  int64_t block = 0;         // > 0: only blocks [i / block - back, i / block + forward] of this size
  int64_t back = 0, forward = 0;
  int64_t offset = 0;  // row i of this call stands at key position i + offset (keys of a memory come first)
  static constexpr int64_t kNoBound = INT64_MAX / 4;

  int64_t begin(int64_t i) const;
  int64_t end(int64_t i) const;  // >= begin(i)
  // Exact number of (query, key) pairs of rows [0, queries).
  int64_t pairs(int64_t queries) const;

  static KeyRange full(int64_t keys) { return {.keys = keys}; }
  static KeyRange causal(int64_t keys) { return {.keys = keys, .right = 0}; }
};

template <class T>
struct Attention {
  int64_t queries = 0, head_dim = 0;  // head_dim <= 256
  T scale = 1;
  KeyRange range;
  const T *q = nullptr, *k = nullptr, *v = nullptr;  // rows of head_dim values
  int64_t ldq = 0, ldk = 0, ldv = 0;                 // elements from one row to the next
  T* o = nullptr;                                    // [queries, head_dim], ldo; written by forward, read by backward
  int64_t ldo = 0;
  T* lse = nullptr;  // [queries]; written by forward, read by backward
  // Backward only: all overwritten.
  const T* d_o = nullptr;                         // stride ldo
  T *dq = nullptr, *dk = nullptr, *dv = nullptr;  // strides ldq, ldk, ldv
};

// Bytes of scratch (64-byte aligned) for one call; one call needs them all to itself.
template <class T>
size_t attention_forward_scratch(const Attention<T>& a);
template <class T>
size_t attention_backward_scratch(const Attention<T>& a);

// Rows [row_begin, row_end) only, so that a caller may split one head over workers.
template <class T>
void attention_forward(const Attention<T>& a, int64_t row_begin, int64_t row_end, void* scratch);
// All rows of the head.
template <class T>
void attention_backward(const Attention<T>& a, void* scratch);

// FLOPs that forward and backward do for these shapes, tiles at the edge of the interval included.
template <class T>
double attention_forward_flops(const Attention<T>& a);
template <class T>
double attention_backward_flops(const Attention<T>& a);

}  // namespace lra::math

#endif  // LRA_MATH_ATTENTION_H
