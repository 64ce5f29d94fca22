// Kernel-feature attention of one head: softmax's exp(q.k) replaced by phi_q(q).phi_k(k), so the sum over keys is taken
// once.
//   S = sum_j phi_k(k_j) [v_j, 1],   [R_i, z_i] = phi_q(q_i) S,   O_i = R_i / (z_i + eps)
// (Katharopoulos et al. 2020, arXiv:2006.16236; Choromanski et al. 2021, arXiv:2009.14794.) Features are made tile by
// tile in cache and never stored for the whole sequence. Causal: prefix sums over chunks of rows.
#ifndef LRA_MATH_FEATURE_ATTENTION_H
#define LRA_MATH_FEATURE_ATTENTION_H

#include <cstddef>
#include <cstdint>

namespace lra::math {

enum class Side { kQuery, kKey };

// The feature map phi, called on tiles of rows. Implementations are stateless and thread-safe.
template <class T>
class FeatureMap {
 public:
  virtual ~FeatureMap() = default;
  // Number of features m.
  virtual int64_t features() const = 0;
  // Scratch elements (T) that the calls below need for one tile of `rows` rows.
  virtual int64_t scratch_elements(int64_t rows) const = 0;
  // phi: [rows, m], row stride ldphi >= m. x: [rows, head_dim], row stride ldx; `row` is the position of the first row.
  // Returns a finite scale s: the true features are phi * 2^s. Keys: one s for the tile. Queries: s is ignored, any
  // positive factor per row cancels in the quotient. With whole s the choice of s changes no digit of the result.
  virtual T forward(Side side, int64_t row, int64_t rows, const T* x, int64_t ldx, T* phi, int64_t ldphi,
                    T* scratch) const = 0;
  // dx: [rows, head_dim], row stride lddx, overwritten. phi and scratch as forward left them for this tile (s counts as
  // a constant); dphi: the gradient of phi, may be overwritten.
  virtual void backward(Side side, int64_t row, int64_t rows, const T* x, int64_t ldx, const T* phi, int64_t ldphi,
                        T* dphi, int64_t lddphi, T* dx, int64_t lddx, T* scratch) const = 0;
};

template <class T>
struct FeatureAttention {
  int64_t rows = 0, head_dim = 0;
  bool causal = false;
  T eps = 0;    // added to the denominator, which is that of true features of the keys
  T least = 0;  // > 0: a denominator below this is replaced by it, and has no gradient
  const FeatureMap<T>* map = nullptr;
  const T *q = nullptr, *k = nullptr, *v = nullptr;
  int64_t ld = 0;  // row stride of q, k, v, dq, dk, dv
  T* o = nullptr;  // written by forward, read by backward
  int64_t ldo = 0;
  T* state = nullptr;                             // feature_state_elements(); written by forward, read by backward
  const T* d_o = nullptr;                         // stride ldo
  T *dq = nullptr, *dk = nullptr, *dv = nullptr;  // overwritten
};

// Elements of `state` that forward saves: one S without causality, one per chunk with it.
template <class T>
int64_t feature_state_elements(int64_t rows, int64_t head_dim, int64_t features, bool causal);
// Bytes of scratch (64-byte aligned) for forward or backward; one call needs them all to itself.
template <class T>
size_t feature_attention_scratch(const FeatureAttention<T>& a);
template <class T>
void feature_attention_forward(const FeatureAttention<T>& a, void* scratch);
template <class T>
void feature_attention_backward(const FeatureAttention<T>& a, void* scratch);

// FLOPs of the sums and reads, without those of the map itself.
template <class T>
double feature_attention_forward_flops(const FeatureAttention<T>& a);
template <class T>
double feature_attention_backward_flops(const FeatureAttention<T>& a);

}  // namespace lra::math

#endif  // LRA_MATH_FEATURE_ATTENTION_H
