// One softmax over keys that come in tiles: for sets of keys that are no interval - blocks, strides, buckets, graphs,
// summaries of spans, memories. A row may have any number of tiles; all of them share its normaliser.
//   P_ij = exp(S_ij - lse_i),   lse_i = log sum over the keys of all tiles of exp(S_ij),   o_i = sum P_ij v_j
// A tile is a dense block of scores S = scale q k^T, which the caller may edit before it is used: -inf hides a pair,
// any other change is a bias. Forward merges tiles one after another:
//   m = max_j S_ij,  l = sum_j exp(S_ij - m),  lse' = log(exp(lse) + l exp(m))
//   o_i = o_i exp(lse - lse') + exp(m - lse') sum_j exp(S_ij - m) v_j
// Backward needs only the final lse and o, tile by tile in any order, and adds up:
//   D_i = dO_i.o_i,  dV += P^T dO,  dS = P o (dO V^T - D),  dQ += scale dS K,  dK += scale dS^T Q
// Between dS and its products the caller may read dS, for the gradient of its edit.
#ifndef LRA_MATH_JOINT_ATTENTION_H
#define LRA_MATH_JOINT_ATTENTION_H

#include <cstddef>
#include <cstdint>

namespace lra::math {

// Which rows of an array: list[r], or first + r * step where there is no list. A list must not name a row twice.
struct Rows {
  int64_t count = 0;
  const int32_t* list = nullptr;
  int64_t first = 0, step = 1;

  int64_t operator[](int64_t r) const { return list != nullptr ? list[r] : first + r * step; }
  // Rows [begin, end) of this selection.
  Rows part(int64_t begin, int64_t end) const {
    if (list != nullptr) return {end - begin, list + begin, 0, 1};
    return {end - begin, nullptr, first + begin * step, step};
  }

  static Rows range(int64_t begin, int64_t end) { return {end - begin, nullptr, begin, 1}; }
  static Rows strided(int64_t first, int64_t step, int64_t count) { return {count, nullptr, first, step}; }
  static Rows listed(const int32_t* list, int64_t count) { return {count, list, 0, 1}; }
};

// The arrays of the queries of one head; row i of o belongs to lse[i].
template <class T>
struct JointQueries {
  const T* q = nullptr;
  int64_t ldq = 0;  // elements from one row to the next; also of dq
  T* o = nullptr;
  int64_t ldo = 0;  // also of d_o
  T* lse = nullptr;
  // Backward only.
  const T* d_o = nullptr;
  T* dq = nullptr;  // added to
};

// An array of keys with values: the rows of the sequence, or summaries, or a memory.
template <class T>
struct JointKeys {
  const T *k = nullptr, *v = nullptr;
  int64_t ldk = 0, ldv = 0;  // also of dk, dv
  // Backward only; added to.
  T *dk = nullptr, *dv = nullptr;
};

template <class T>
struct JointTile {
  int64_t head_dim = 0;
  T scale = 1;
  JointQueries<T> queries;
  JointKeys<T> keys;
  Rows rows, columns;  // which queries, which keys
  // Numbers of a query and of a key, where values have another width; 0: head_dim.
  int64_t score_dim = 0;

  int64_t score_width() const { return score_dim > 0 ? score_dim : head_dim; }
};

// The tile's numbers between the calls; all in the scratch.
template <class T>
struct JointScores {
  int64_t rows, keys, lds;
  T* s;            // [rows, keys], row stride lds: S, later dS
  const T *q, *k;  // [rows, score_width] and [keys, score_width]; strides ldq, ldk
  int64_t ldq, ldk;

  // Hides all keys of row r outside [first, last).
  void keep(int64_t r, int64_t first, int64_t last) const {
    T* row = s + r * lds;
    constexpr T kHidden = -static_cast<T>(__builtin_inf());
    for (int64_t c = 0; c < first && c < keys; ++c) row[c] = kHidden;
    for (int64_t c = last > 0 ? last : 0; c < keys; ++c) row[c] = kHidden;
  }
  void hide(int64_t r, int64_t c) const { s[r * lds + c] = -static_cast<T>(__builtin_inf()); }
};

// Bytes of scratch (64-byte aligned) for tiles of up to rows x keys; one thread at a time. width: the larger of
// head_dim and score_dim.
template <class T>
size_t joint_scratch(int64_t rows, int64_t keys, int64_t width);

// o = 0, lse = -inf for the first `count` rows: before the first tile of forward.
template <class T>
void joint_clear(const JointQueries<T>& queries, int64_t count, int64_t head_dim);
// S = scale q k^T; the caller edits it, in the same way in forward and in backward.
template <class T>
JointScores<T> joint_scores(const JointTile<T>& tile, void* scratch);
// Merges the tile into o and lse. S is lost.
template <class T>
void joint_forward(const JointTile<T>& tile, const JointScores<T>& scores, void* scratch);
// S becomes dS; dv is added to.
template <class T>
void joint_backward_scores(const JointTile<T>& tile, const JointScores<T>& scores, void* scratch);
// From dS: dq and dk are added to.
template <class T>
void joint_backward_inputs(const JointTile<T>& tile, const JointScores<T>& scores, void* scratch);

// FLOPs of the products of one tile. score_dim 0: head_dim.
constexpr double joint_forward_flops(int64_t rows, int64_t keys, int64_t head_dim, int64_t score_dim = 0) {
  return 2.0 * double(rows) * double(keys) * double(head_dim + (score_dim > 0 ? score_dim : head_dim));
}
constexpr double joint_backward_flops(int64_t rows, int64_t keys, int64_t head_dim, int64_t score_dim = 0) {
  return 2.0 * double(rows) * double(keys) * double(2 * head_dim + 3 * (score_dim > 0 ? score_dim : head_dim));
}

}  // namespace lra::math

#endif  // LRA_MATH_JOINT_ATTENTION_H
