// Attention of a sequence in segments, with relative positions: rows of a segment see a memory of what came before it
// and their own segment, causally or all of it (Dai et al. 2019, arXiv:1901.02860).
//   S_ij = ((q_i + u).k_j + (q_i + v).r_{i-j}) / sqrt(dh),   r_d = R_d W_r,   o_i = sum_j softmax_j(S_ij) v_j
//   R_d = [sin(d f_0) .. sin(d f_last), cos(d f_0) ..],  f_t = 10000^(-2t/D)
// A memory is a run of rows right before the segment; before it may stand slots, keys that are no rows (a compressed
// memory), each as far from the next as a row. Layer by layer this equals the recurrence segment by segment, because
// the memory of a layer is made of its inputs. Keys of the own segment, of the memory and slots are three arrays, so
// that gradients of each can be kept apart.
//
// A tile of rows needs (q + v).r for all distances between its first row and last key: one product with a range of r,
// whose row i is then added to the scores shifted by i. Backward shifts dS back and multiplies twice:
//   dq_i = sum_j dS_ij (k_j + r_{i-j}) / sqrt(dh),  dr_d = sum_{i-j=d} dS_ij (q_i + v) / sqrt(dh),  dW_r = R^T dr
#ifndef LRA_SDK_SEGMENT_ATTENTION_H
#define LRA_SDK_SEGMENT_ATTENTION_H

#include <algorithm>
#include <cmath>

#include "math/joint_attention.h"
#include "sdk/qkv.h"

namespace lra::sdk {

// One segment and what stands before it.
struct SegmentWindow {
  int64_t begin = 0, end = 0;              // its rows
  int64_t memory = 0;                      // rows [memory, begin) are its memory
  int64_t slots_begin = 0, slots_end = 0;  // slots before the memory, the oldest first
};

// Keys of one head; row j of the sequence is row j of own and of memory.
struct SegmentKeys {
  math::JointKeys<Real> own, memory, slots;
};

class SegmentAttention {
 public:
  // reach: most keys before a segment, memory and slots together. clamp: distances beyond it count as it; 0: none.
  struct Sizes {
    int64_t segment, reach, clamp;
  };

  // Declares "wr", "u", "v", "r", "lse" and scratch.
  SegmentAttention(Setup& setup, const Sizes& sizes)
      : sizes_(sizes),
        causal_(setup.causal),
        dim_(setup.dim),
        heads_(setup.heads),
        head_dim_(setup.head_dim),
        inner_(setup.inner),
        max_len_(setup.max_len),
        wr_(setup.param("wr", setup.dim, setup.inner)),
        u_(setup.param("u", setup.heads, setup.head_dim, {.init = LRA_INIT_NORMAL, .scale = 0.02})),
        v_(setup.param("v", setup.heads, setup.head_dim, {.init = LRA_INIT_NORMAL, .scale = 0.02})),
        r_(setup.saved("r", distances(setup.max_len) * setup.inner)),
        lse_(setup.saved("lse", setup.heads * setup.max_len)),
        positions_(setup.scratch("positions", distances(setup.max_len) * setup.dim)),
        qu_(setup.scratch("qu", setup.max_len * setup.inner)),
        qv_(setup.scratch("qv", setup.max_len * setup.inner)),
        dqu_(setup.scratch("dqu", setup.max_len * setup.inner)),
        dqv_(setup.scratch("dqv", setup.max_len * setup.inner)),
        dr_(setup.scratch("dr", distances(setup.max_len) * setup.inner)),
        tiles_(setup.scratch_per_worker<std::byte>("tiles",
                                                   int64_t(math::joint_scratch<Real>(kRows, kKeys, setup.head_dim)))),
        shifted_(setup.scratch_per_worker("shifted", kRows * (kRows + kKeys))) {}

  Real scale() const { return Real(1 / std::sqrt(double(head_dim_))); }
  int64_t segments(int64_t len) const { return (len + sizes_.segment - 1) / sizes_.segment; }

  // The keys of rows, with gradients to dk, dv: [N, Q].
  math::JointKeys<Real> keys(const Step& step, const Qkv& x, int64_t head, Real* dk, Real* dv) const {
    const int64_t first = head * head_dim_;
    return {step[x.k] + first, step[x.v] + first, inner_, inner_, dk + first, dv + first};
  }

  // ---- Forward: prepare, then every segment for every head.

  // r = R W_r, q + u, q + v;  o = 0
  void prepare(const Step& step, const Qkv& x) const {
    const int64_t count = distances(step.len);
    fill_positions(step.len, step[positions_]);
    step.host.parallel_for(count, kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      step.host.gemm(matrix(step[r_] + begin * inner_, end - begin, inner_),
                     matrix<const Real>(step[positions_] + begin * dim_, end - begin, dim_),
                     matrix(step[wr_], dim_, inner_));
    });
    add_biases(step, x);
    for (int64_t head = 0; head < heads_; ++head) math::joint_clear(queries(step, x, head), step.len, head_dim_);
  }
  // o of the rows of one segment.
  void forward(const Step& step, const Qkv& x, int64_t head, const SegmentWindow& window, const SegmentKeys& keys,
               int32_t worker) const {
    tiles(window, [&](const Tile& t) {
      const auto joint = bind(step, x, head, keys, t);
      math::joint_forward(joint, scores(step, head, joint, t, worker), step.at(tiles_, worker));
    });
  }
  // sums[j - first] += sum over the rows i of the segment of P_ij, for rows j in [first, last) of its memory.
  void add_weights(const Step& step, const Qkv& x, int64_t head, const SegmentWindow& window, const SegmentKeys& keys,
                   int64_t first, int64_t last, Real* sums, int32_t worker) const {
    memory_tiles(window, first, last, [&](const Tile& t) {
      const auto joint = bind(step, x, head, keys, t);
      const auto s = scores(step, head, joint, t, worker);
      for (int64_t r = 0; r < t.rows; ++r) {
        Real* row = s.s + r * s.lds;
        for (int64_t c = 0; c < t.keys; ++c) row[c] -= joint.queries.lse[t.row + r];
        math::exp(t.keys, row, row);
        math::axpy(t.keys, Real(1), row, sums + (t.key - first));
      }
    });
  }

  // ---- Backward: begin_backward, every segment for every head, end_backward.

  // q + u, q + v;  dq = 0
  void begin_backward(const Step& step, const Qkv& x) const {
    add_biases(step, x);
    const int64_t count = step.len * inner_;
    for (Real* block : {step[x.dq], step[dqu_], step[dqv_]}) std::fill_n(block, count, Real(0));
    std::fill_n(step[dr_], distances(step.len) * inner_, Real(0));
  }
  // Adds to the gradients that keys names.
  void backward(const Step& step, const Qkv& x, int64_t head, const SegmentWindow& window, const SegmentKeys& keys,
                int32_t worker) const {
    tiles(window, [&](const Tile& t) {
      const auto joint = bind(step, x, head, keys, t);
      const auto s = scores(step, head, joint, t, worker);
      math::joint_backward_scores(joint, s, step.at(tiles_, worker));
      positions_backward(step, head, t, s, worker);
      math::joint_backward_inputs(joint, s, step.at(tiles_, worker));
    });
  }
  // dq += d(q + u) + d(q + v),  du, dv += their sums over rows,  dW_r += R^T dr
  void end_backward(const Step& step, const Qkv& x, const Grads& grads) const {
    const int64_t count = step.len * inner_, rows = distances(step.len);
    math::add(count, step[x.dq], step[dqu_], step[x.dq]);
    math::add(count, step[x.dq], step[dqv_], step[x.dq]);
    math::column_sums(step.len, inner_, step[dqu_], inner_, grads[u_]);
    math::column_sums(step.len, inner_, step[dqv_], inner_, grads[v_]);
    fill_positions(step.len, step[positions_]);
    step.host.parallel_for(dim_, kWeightBlock, [&](int64_t begin, int64_t end, int32_t) {
      step.host.gemm(matrix(grads[wr_] + begin * inner_, end - begin, inner_),
                     t(matrix<const Real>(step[positions_] + begin, rows, end - begin, dim_)),
                     matrix<const Real>(step[dr_], rows, inner_), {.beta = 1});
    });
  }
  // One segment, all heads.
  Cost cost(int64_t len, const SegmentWindow& window) const {
    Cost sum;
    tiles(window, [&](const Tile& t) { sum += cost(len, t); });
    return sum;
  }
  // add_weights of all heads.
  Cost weights_cost(int64_t len, const SegmentWindow& window, int64_t first, int64_t last) const {
    Cost sum;
    memory_tiles(window, first, last, [&](const Tile& t) {
      sum.forward_flops +=
          double(heads_) * 2 * double(t.rows) * double(head_dim_) * double(t.keys + range(len, t).count);
    });
    return sum;
  }
  // r and dW_r.
  Cost positions_cost(int64_t len) const {
    const double product = 2.0 * double(distances(len)) * double(dim_) * double(inner_);
    return {.forward_flops = product, .backward_flops = product};
  }

 private:
  static constexpr int64_t kRows = 64, kKeys = 256;

  enum class Source { kSlots, kMemory, kOwn };
  // Rows [row, row + rows) against keys [key, key + keys) of a source, the first of which stands at `position`.
  struct Tile {
    Source source;
    int64_t row, rows, key, keys, position;
  };
  // Rows of r for the distances of a tile.
  struct Range {
    int64_t first, count;
  };

  // Distances from i to j run from the farthest down to the nearest: row e of r belongs to farthest - e.
  int64_t farthest(int64_t len) const { return std::min(len - 1, sizes_.segment - 1 + sizes_.reach); }
  int64_t nearest(int64_t len) const { return causal_ ? 0 : -(std::min(len, sizes_.segment) - 1); }
  int64_t distances(int64_t len) const { return farthest(len) - nearest(len) + 1; }
  Range range(int64_t len, const Tile& t) const {
    const int64_t far = t.row + t.rows - 1 - t.position;
    return {farthest(len) - far, far - std::max(nearest(len), t.row - t.position - t.keys + 1) + 1};
  }

  // Sines in the first half of the channels, cosines in the second.
  void fill_positions(int64_t len, Real* positions) const {
    const int64_t half = (dim_ + 1) / 2, count = distances(len);
    for (int64_t c = 0; c < half; ++c) {
      const double frequency = std::pow(10000.0, -2.0 * double(c) / double(dim_));
      for (int64_t e = 0; e < count; ++e) {
        const int64_t most = sizes_.clamp == 0 ? max_len_ : sizes_.clamp;
        const double angle = double(std::clamp(farthest(len) - e, -most, most)) * frequency;
        positions[e * dim_ + c] = Real(std::sin(angle));
        if (half + c < dim_) positions[e * dim_ + half + c] = Real(std::cos(angle));
      }
    }
  }
  void add_biases(const Step& step, const Qkv& x) const {
    step.host.parallel_for(step.len, kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      for (int64_t at = begin * inner_; at < end * inner_; at += inner_) {
        math::add(inner_, step[x.q] + at, step[u_], step[qu_] + at);
        math::add(inner_, step[x.q] + at, step[v_], step[qv_] + at);
      }
    });
  }

  template <class Visit>
  void tiles(const SegmentWindow& w, Visit&& visit) const {
    const auto split = [&](Source source, int64_t row, int64_t rows, int64_t begin, int64_t end, int64_t position) {
      for (int64_t key = begin; key < end; key += kKeys) {
        visit(Tile{source, row, rows, key, std::min(kKeys, end - key), position + key - begin});
      }
    };
    for (int64_t row = w.begin; row < w.end; row += kRows) {
      const int64_t rows = std::min(kRows, w.end - row);
      split(Source::kSlots, row, rows, w.slots_begin, w.slots_end, w.memory - (w.slots_end - w.slots_begin));
      split(Source::kMemory, row, rows, w.memory, w.begin, w.memory);
      split(Source::kOwn, row, rows, w.begin, causal_ ? row + rows : w.end, w.begin);
    }
  }
  template <class Visit>
  void memory_tiles(const SegmentWindow& w, int64_t first, int64_t last, Visit&& visit) const {
    for (int64_t row = w.begin; row < w.end; row += kRows) {
      for (int64_t key = first; key < last; key += kKeys) {
        visit(Tile{Source::kMemory, row, std::min(kRows, w.end - row), key, std::min(kKeys, last - key), key});
      }
    }
  }

  math::JointQueries<Real> queries(const Step& step, const Qkv& x, int64_t head) const {
    const int64_t first = head * head_dim_;
    return {step[qu_] + first, inner_, step[x.o] + first, inner_, step[lse_] + head * max_len_, step[x.d_o] + first,
            step[dqu_] + first};
  }
  math::JointTile<Real> bind(const Step& step, const Qkv& x, int64_t head, const SegmentKeys& keys,
                             const Tile& t) const {
    const auto& array = t.source == Source::kSlots ? keys.slots : t.source == Source::kMemory ? keys.memory : keys.own;
    return {head_dim_,
            scale(),
            queries(step, x, head),
            array,
            math::Rows::range(t.row, t.row + t.rows),
            math::Rows::range(t.key, t.key + t.keys)};
  }
  Matrix<const Real> rows_of(const Real* block, int64_t head, int64_t first, int64_t count) const {
    return matrix(block + first * inner_ + head * head_dim_, count, head_dim_, inner_);
  }
  Matrix<Real> rows_of(Real* block, int64_t head, int64_t first, int64_t count) const {
    return matrix(block + first * inner_ + head * head_dim_, count, head_dim_, inner_);
  }
  // Row r of the tile has key c at place shift(r) + c of its distances, as far as there are any.
  static int64_t shift(const Tile& t, int64_t r) { return t.rows - 1 - r; }
  static int64_t common(const Tile& t, const Range& distances, int64_t r) {
    return std::clamp<int64_t>(distances.count - shift(t, r), 0, t.keys);
  }
  // S = ((q + u).k + (q + v).r) / sqrt(dh); causal: hides later keys of the own segment
  math::JointScores<Real> scores(const Step& step, int64_t head, const math::JointTile<Real>& joint, const Tile& t,
                                 int32_t worker) const {
    const auto s = math::joint_scores(joint, step.at(tiles_, worker));
    const Range distances = range(step.len, t);
    Real* shifted = step.at(shifted_, worker);
    step.host.gemm(matrix(shifted, t.rows, distances.count), rows_of(qv(step), head, t.row, t.rows),
                   sdk::t(rows_of(relative(step), head, distances.first, distances.count)), {.alpha = scale()});
    for (int64_t r = 0; r < t.rows; ++r) {
      math::axpy(common(t, distances, r), Real(1), shifted + r * distances.count + shift(t, r), s.s + r * s.lds);
      if (causal_ && t.source == Source::kOwn) s.keep(r, 0, t.row + r - t.position + 1);
    }
    return s;
  }
  // d(q + v) += dS r / sqrt(dh),  dr += dS^T (q + v) / sqrt(dh)
  void positions_backward(const Step& step, int64_t head, const Tile& t, const math::JointScores<Real>& s,
                          int32_t worker) const {
    const Range distances = range(step.len, t);
    Real* shifted = step.at(shifted_, worker);
    std::fill_n(shifted, t.rows * distances.count, Real(0));
    for (int64_t r = 0; r < t.rows; ++r) {
      std::copy_n(s.s + r * s.lds, common(t, distances, r), shifted + r * distances.count + shift(t, r));
    }
    const auto ds = matrix<const Real>(shifted, t.rows, distances.count);
    step.host.gemm(rows_of(step[dqv_], head, t.row, t.rows), ds,
                   rows_of(relative(step), head, distances.first, distances.count), {.alpha = scale(), .beta = 1});
    step.host.gemm(rows_of(step[dr_], head, distances.first, distances.count), sdk::t(ds),
                   rows_of(qv(step), head, t.row, t.rows), {.alpha = scale(), .beta = 1});
  }
  const Real* qv(const Step& step) const { return step[qv_]; }
  const Real* relative(const Step& step) const { return step[r_]; }

  Cost cost(int64_t len, const Tile& t) const {
    const double positions = 2.0 * double(t.rows) * double(range(len, t).count) * double(head_dim_);
    double pairs = double(t.rows) * double(t.keys);
    if (causal_ && t.source == Source::kOwn) {
      pairs = 0;
      for (int64_t r = 0; r < t.rows; ++r) {
        pairs += double(std::clamp<int64_t>(t.row + r - t.position + 1, 0, t.keys));
      }
    }
    const double h = double(heads_);
    return {.forward_flops = h * (math::joint_forward_flops(t.rows, t.keys, head_dim_) + positions),
            .backward_flops = h * (math::joint_backward_flops(t.rows, t.keys, head_dim_) + 3 * positions),
            .pairs = h * pairs};
  }

  Sizes sizes_;
  bool causal_;
  int64_t dim_, heads_, head_dim_, inner_, max_len_;
  Param wr_, u_, v_;
  Saved<> r_, lse_;
  Scratch<> positions_, qu_, qv_, dqu_, dqv_, dr_;
  WorkerScratch<std::byte> tiles_;
  WorkerScratch<> shifted_;
};

}  // namespace lra::sdk

#endif  // LRA_SDK_SEGMENT_ATTENTION_H
