// Softmax attention over any sets of keys, for all heads of a sequence: the variant lists tiles - which rows meet which
// keys - and all tiles of a row share one softmax.
//   o_i = sum_j P_ij v_j,   P_i = softmax over the keys j of all tiles of row i of (q_i.k_j / sqrt(dh) + what edit
//   adds)
// Kernels: math/joint_attention.h. Nothing larger than a tile and the log sum exp of each row is stored.
//
// A variant writes its pattern once, as a function that visits tiles; forward, backward and cost all run it:
//   template <class Visit>
//   void tiles(int64_t len, int64_t head, Visit&& visit) const {
//     visit(math::Rows::range(0, 64), math::Rows::strided(0, 8, len / 8), [](const Scores& s) { s.hide(0, 3); });
//   }
// edit sees the scores of the tile, which is one of the pieces if the tile was too large: s.row_begin and s.key_begin
// say where it lies. It must do the same in forward and in backward.
#ifndef LRA_SDK_JOINT_ATTENTION_H
#define LRA_SDK_JOINT_ATTENTION_H

#include <algorithm>
#include <cmath>
#include <string>

#include "math/joint_attention.h"
#include "sdk/qkv.h"

namespace lra::sdk {

// Scores of one piece of a tile; row r of it is row row_begin + r of the tile, key c is key key_begin + c.
struct Scores : math::JointScores<Real> {
  int64_t row_begin, key_begin;
};

class JointAttention {
 public:
  using Tile = math::JointTile<Real>;

  // Tiles of at most `rows` x `keys`; larger ones are done in pieces of that size. A few hundred keys and a few dozen
  // rows keep a tile in the cache. Declares "lse" (saved) and "tiles" (scratch), with the suffix behind their names.
  // score_dim: numbers of a query and of a key in the variant's own tiles, 0: dh.
  JointAttention(Setup& setup, int64_t rows, int64_t keys, const std::string& suffix = "", int64_t score_dim = 0)
      : rows_(std::max<int64_t>(1, std::min(rows, setup.max_len))),
        keys_(std::max<int64_t>(1, keys)),
        heads_(setup.heads),
        head_dim_(setup.head_dim),
        score_dim_(score_dim),
        max_len_(setup.max_len),
        lse_(setup.saved(("lse" + suffix).c_str(), setup.heads * setup.max_len)),
        tiles_(setup.scratch_per_worker<std::byte>(
            ("tiles" + suffix).c_str(),
            int64_t(math::joint_scratch<Real>(rows_, keys_, std::max(setup.head_dim, score_dim))))) {}

  Real scale() const { return Real(1 / std::sqrt(double(head_dim_))); }
  // The log sum exp of a head: [max_len], for variants that make their own JointQueries.
  Real* lse(const Step& step, int64_t head) const { return step[lse_] + head * max_len_; }

  // One head of the blocks of Qkv, as queries and as keys.
  math::JointQueries<Real> queries(const Step& step, const Qkv& x, int64_t head) const {
    const int64_t first = head * head_dim_, inner = heads_ * head_dim_;
    return {step[x.q] + first, inner, step[x.o] + first, inner, lse(step, head), step[x.d_o] + first,
            step[x.dq] + first};
  }
  math::JointKeys<Real> keys(const Step& step, const Qkv& x, int64_t head) const {
    const int64_t first = head * head_dim_, inner = heads_ * head_dim_;
    return {step[x.k] + first, step[x.v] + first, inner, inner, step[x.dk] + first, step[x.dv] + first};
  }

  // o of every head from q, k, v. tiles(len, head, visit), see above.
  template <class Tiles>
  void forward(const Step& step, const Qkv& x, Tiles&& tiles) const {
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      const auto q = queries(step, x, head);
      const auto k = keys(step, x, head);
      math::joint_clear(q, step.len, head_dim_);
      tiles(step.len, head, [&](const math::Rows& rows, const math::Rows& columns, auto&& edit) {
        merge(step, worker, {head_dim_, scale(), q, k, rows, columns}, edit);
      });
    });
  }
  // dq, dk, dv of every head from d_o.
  template <class Tiles>
  void backward(const Step& step, const Qkv& x, Tiles&& tiles) const {
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      const auto q = queries(step, x, head);
      const auto k = keys(step, x, head);
      for (Real* block : {q.dq, k.dk, k.dv}) clear_rows(block, step.len);
      tiles(step.len, head, [&](const math::Rows& rows, const math::Rows& columns, auto&& edit) {
        add_gradients(step, worker, {head_dim_, scale(), q, k, rows, columns}, edit, [](const Scores&) {});
      });
    });
  }
  // FLOPs of the tiles that `tiles` visits; pairs are for the variant to say.
  template <class Tiles>
  Cost cost(int64_t len, Tiles&& tiles) const {
    Cost sum;
    for (int64_t head = 0; head < heads_; ++head) {
      tiles(len, head, [&](const math::Rows& rows, const math::Rows& columns, auto&&) {
        sum += tile_cost(rows.count, columns.count);
      });
    }
    return sum;
  }

  // For variants with tiles of more than one kind of key: one tile at a time, on the calling worker. The first forward
  // tile of a head follows math::joint_clear; backward adds to dq, dk, dv, which must be cleared before.
  template <class Edit>
  void merge(const Step& step, int32_t worker, const Tile& tile, Edit&& edit) const {
    for_pieces(step, worker, tile, edit,
               [](const Tile& piece, const Scores& s, void* scratch) { math::joint_forward(piece, s, scratch); });
  }
  // feel(scores) reads dS, the gradient of the edited scores, before it is used.
  template <class Edit, class Feel>
  void add_gradients(const Step& step, int32_t worker, const Tile& tile, Edit&& edit, Feel&& feel) const {
    for_pieces(step, worker, tile, edit, [&](const Tile& piece, const Scores& s, void* scratch) {
      math::joint_backward_scores(piece, s, scratch);
      feel(s);
      math::joint_backward_inputs(piece, s, scratch);
    });
  }
  Cost tile_cost(int64_t rows, int64_t keys) const {
    return {.forward_flops = math::joint_forward_flops(rows, keys, head_dim_, score_dim_),
            .backward_flops = math::joint_backward_flops(rows, keys, head_dim_, score_dim_)};
  }
  // Zero for the head's columns of rows [0, count) of a block [.., Q].
  void clear_rows(Real* block, int64_t count) const {
    for (int64_t i = 0; i < count; ++i) std::fill_n(block + i * heads_ * head_dim_, head_dim_, Real(0));
  }

 private:
  template <class Edit, class Use>
  void for_pieces(const Step& step, int32_t worker, const Tile& tile, Edit&& edit, Use&& use) const {
    std::byte* scratch = step.at(tiles_, worker);
    for (int64_t r = 0; r < tile.rows.count; r += rows_) {
      for (int64_t c = 0; c < tile.columns.count; c += keys_) {
        Tile piece = tile;
        piece.rows = tile.rows.part(r, std::min(r + rows_, tile.rows.count));
        piece.columns = tile.columns.part(c, std::min(c + keys_, tile.columns.count));
        const Scores s{math::joint_scores(piece, scratch), r, c};
        edit(s);
        use(piece, s, scratch);
      }
    }
  }

  int64_t rows_, keys_;  // most of one piece
  int64_t heads_, head_dim_, score_dim_, max_len_;
  Saved<> lse_;
  WorkerScratch<std::byte> tiles_;
};

}  // namespace lra::sdk

#endif  // LRA_SDK_JOINT_ATTENTION_H
