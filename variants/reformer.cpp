// Reformer: rows attend to rows that fall into the same bucket of a random hash, in several rounds.
//   x_i = row i of x W_qk,  q_i = x_i,  k_j = x_j / |x_j|
//   round r: bucket_r(i) = argmax [R_r x_i; -R_r x_i];  sort rows by (bucket, position), cut into chunks of c rows
//   A_r(i) = {j : bucket_r(j) = bucket_r(i), chunk of i minus chunk of j in 0..look_back}
//   N_ij = number of rounds r with j in A_r(i)
//   o_i = sum_r sum over j in A_r(i), j != i, of exp(q_i.k_j - log N_ij - z_i) v_j,  z_i = log of the sum of the exps
// The rounds are one softmax over all slots (r, j), which is what math/joint_attention.h merges; with log N_ij each
// different key counts once. A row that sees nothing but itself has o_i = v_i. Hashes and orders have no gradient;
//   dx_j = dq_j + (dk_j - (dk_j.k_j) k_j) / |x_j|
//
// Who sees whom is kept as one number per sorted row, its code, which grows by 1 from chunk to chunk and by
// look_back + 1 from bucket to bucket: j is in A_r(i) exactly if code_r(i) - code_r(j) is in 0..look_back.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "math/elementwise.h"
#include "math/feature_rows.h"
#include "math/gemm.h"
#include "sdk/joint_attention.h"
#include "sdk/tied_qkv.h"

namespace lra {
namespace {

using sdk::Real;

enum class Logits { kUnit, kUnitScaled, kRaw };
enum class Self { kLast, kAllowed };
enum class Switch { kOff, kOn };

constexpr lra_option kOptions[] = {
    sdk::integer("rounds", "hash rounds R", 4, 1, 64),
    sdk::integer("chunk", "rows c of a chunk of the sorted sequence", 64, 1, 1 << 20),
    sdk::integer("look_back", "earlier chunks that a chunk sees beside itself", 1, 0, 1 << 20),
    sdk::integer("buckets", "buckets of a round, an even number; 0: 2 ceil(N / chunk)", 0, 0, 1 << 16),
    sdk::integer("factor_above", "more buckets than this are hashed as a product of two smaller hashes", 128, 2,
                 1 << 20),
    sdk::choice("same_bucket", "off: a row sees all rows of its chunks, whatever their bucket", "off|on",
                int64_t(Switch::kOn)),
    sdk::choice("count_once", "on: subtract log N_ij, so that a key seen in several rounds counts once", "off|on",
                int64_t(Switch::kOn)),
    sdk::choice("self", "a row sees itself only if it sees nothing else, or like any other", "last|allowed"),
    sdk::choice("logits", "q.k/|k|; q.k/(|k| sqrt(dh)); q.k/sqrt(dh)", "unit|unit_scaled|raw"),
    sdk::choice("rotations", "random directions of each head, or the same for all", "per_head|shared"),
    sdk::integer("redraw", "optimiser steps between two draws of the directions; 0: drawn once", 1, 0,
                 int64_t(1) << 40),
};

constexpr sdk::Info kInfo{
    .id = "reformer",
    .title = "Reformer (LSH attention)",
    .paper = "Kitaev et al. 2020, arXiv:2001.04451",
    .formula =
        "x = X W_qk,  q_i = x_i,  k_j = x_j / |x_j|;  bucket_r(i) = argmax [R_r x_i; -R_r x_i], sorted, in chunks\n"
        "o_i = sum_r sum_j softmax over (r, j) of (q_i.k_j - log N_ij) v_j\n"
        "j: same bucket, same chunk or look_back before, not i itself;  N_ij: rounds in which i sees j",
    .notes =
        "Defaults are the appendix of the paper with chunks of 64 instead of 128 rows: logits without 1 / sqrt(dh) "
        "(keys have length 1; logits=unit_scaled divides as some packages do, logits=raw is the benchmark's plain "
        "product with the usual scale), other buckets masked, log N_ij exact for what is really seen, no wrap from "
        "the first chunk to the last. The paper's penalty of 10^5 on the own key means: only if nothing else is seen; "
        "that is what self=last does, without its rounding. A row with a zero projection has a zero key.\n"
        "Above factor_above buckets b the hash is a pair of smaller ones of about sqrt(b) buckets each, b rounded up; "
        "with one hash the cost would grow like N^2.\n"
        "Causal: j <= i, but which keys are seen depends on the order of all rows, later ones included.\n"
        "Buffer rotations: [(R, H or 1, directions), dh], one row per direction; a sequence uses the first ones of "
        "each head. The benchmark's released code differs: keys are not normalised, logits are multiplied by "
        "sqrt(dh), no W_o, ten chunks whatever the length, heads and positions mixed up.\n"
        "pairs counts the slots that are scored, masked ones included.",
    .time = "O(N R c D)",
    .memory = "O(N (D + R H))",
    .time_exponent = 1,
    .memory_exponent = 1,
    .flags = LRA_CAUSAL | LRA_LEAKY_CAUSAL | LRA_BIDIRECTIONAL | LRA_ROW_STOCHASTIC,
    .options = kOptions,
    .limits = "chunk={N} logits=raw self=allowed same_bucket=off; wq=wqk bq=bqk wk=wqk bk=bqk",
};

// Sizes of the hash of one sequence: first * second buckets, a direction makes two.
struct Hash {
  int64_t first = 2, second = 1;
  int64_t buckets() const { return first * second; }
  int64_t directions() const { return first / 2 + (second > 1 ? second / 2 : 0); }
};

class Reformer {
 public:
  explicit Reformer(sdk::Setup& setup)
      : rounds_(setup.integer("rounds")),
        chunk_(setup.integer("chunk")),
        back_(std::min(setup.integer("look_back"), chunks(setup.max_len) - 1)),
        buckets_(setup.integer("buckets")),
        factor_above_(setup.integer("factor_above")),
        redraw_(setup.integer("redraw")),
        max_len_(setup.max_len),
        heads_(setup.heads),
        head_dim_(setup.head_dim),
        inner_(setup.inner),
        causal_(setup.causal),
        same_bucket_(setup.choice<Switch>("same_bucket") == Switch::kOn),
        count_once_(setup.choice<Switch>("count_once") == Switch::kOn && rounds_ > 1),
        self_last_(setup.choice<Self>("self") == Self::kLast),
        unit_keys_(setup.choice<Logits>("logits") != Logits::kRaw),
        scale_(setup.choice<Logits>("logits") == Logits::kUnit ? Real(1) : Real(1 / std::sqrt(double(head_dim_)))),
        x_(setup, sdk::TiedQkv::Keys::kTied),
        attention_(setup, 64, kKeys),
        order_(setup.saved<int32_t>("order", rounds_ * heads_ * max_len_)),
        code_(setup.saved<int32_t>("code", rounds_ * heads_ * max_len_)) {
    if (buckets_ % 2 != 0) {
      throw sdk::Refusal("buckets=" + std::to_string(buckets_) +
                         " is odd, but each random direction makes two; choose an even number");
    }
    Hash largest;
    for (int64_t n = 1; n <= chunks(max_len_); ++n) {
      const Hash h = hash_of(n * chunk_);
      directions_ = std::max(directions_, h.directions());
      if (h.buckets() > largest.buckets()) largest = h;
    }
    if (double(std::min(largest.buckets(), max_len_)) * double(back_ + 1) + double(chunks(max_len_)) >
        double(std::numeric_limits<int32_t>::max())) {
      throw sdk::Refusal("look_back=" + std::to_string(back_) + " chunks of " + std::to_string(chunk_) +
                         " rows are too many for " + std::to_string(max_len_) +
                         " rows; choose larger chunks or a smaller look_back");
    }
    sets_ = setup.choice<Heads>("rotations") == Heads::kOwn ? heads_ : 1;
    rotations_ = setup.buffer("rotations", rounds_ * sets_ * directions_, head_dim_);
    if (unit_keys_) {
      keys_ = setup.scratch("keys", max_len_ * inner_);
      inverse_norms_ = setup.scratch("inverse_norms", heads_ * max_len_);
    }
    hashed_ = setup.scratch_per_worker("hashed", kHashRows * (directions_ + 1));
    row_buckets_ = setup.scratch_per_worker<int32_t>("row_buckets", max_len_ + largest.buckets() + 1);
    sorted_ = setup.scratch_per_worker("sorted", 4 * max_len_ * head_dim_);
    if (count_once_) row_codes_ = setup.scratch_per_worker<int32_t>("row_codes", rounds_ * (max_len_ + kKeys) + kLane);
  }

  void forward(const sdk::Step& step, Real* y, Real&) const {
    x_.project(step);
    attend(step);
    x_.output(step, y);
  }
  void mix_values(const sdk::Step& step, const Real* v, Real* o) const {
    x_.mix_values(step, v, o, [&] { attend(step); });
  }
  void backward(const sdk::Step& step, const Real* dy, Real* dx, const sdk::Grads& grads) const {
    x_.output_backward(step, dy, grads);
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      make_keys(step, head);
      const auto q = queries(step, head);
      Real *dk = step[x_.dk] + head * head_dim_, *dv = step[x_.dv] + head * head_dim_;
      for (Real* block : {q.dq, dk, dv}) attention_.clear_rows(block, step.len);
      for_rounds(step, head, worker, [&](int64_t round, const int32_t* order, const math::JointKeys<Real>& k) {
        std::fill_n(k.dk, 2 * step.len * head_dim_, Real(0));  // dv as well
        tiles(step, head, round, worker, [&](const math::Rows& rows, const math::Rows& columns, auto&& edit) {
          attention_.add_gradients(step, worker, {head_dim_, scale_, q, k, rows, columns}, edit,
                                   [](const sdk::Scores&) {});
        });
        for (int64_t p = 0; p < step.len; ++p) {
          Real *to_k = dk + order[p] * inner_, *to_v = dv + order[p] * inner_;
          math::add(head_dim_, to_k, k.dk + p * head_dim_, to_k);
          math::add(head_dim_, to_v, k.dv + p * head_dim_, to_v);
        }
      });
      for (int64_t i = 0; i < step.len; ++i) {
        if (!alone(q, i)) continue;
        for (int64_t c = 0; c < head_dim_; ++c) dv[i * inner_ + c] += q.d_o[i * inner_ + c];  // o = v
      }
      if (unit_keys_) normalise_backward(step, head);
    });
    x_.project_backward(step, dx, grads);
  }

  sdk::Cost cost(int64_t len) const {
    sdk::Cost sum;
    for (int64_t u = 0; u < chunks(len); ++u) {
      const int64_t rows = std::min(chunk_, len - u * chunk_);
      const int64_t seen = u * chunk_ + rows - std::max<int64_t>(0, u - back_) * chunk_;
      sum += attention_.tile_cost(rows, seen);
      sum.pairs += double(rows) * double(seen);
    }
    const double slots = double(rounds_) * double(heads_);
    sum = {slots * sum.forward_flops, slots * sum.backward_flops, slots * sum.pairs};
    sum.forward_flops += slots * 2.0 * double(len) * double(hash_of(len).directions()) * double(head_dim_);
    return sum += x_.cost(len);
  }

  // Each head and round has its own stream, so that the first directions do not depend on how many are wanted.
  void after_step(const sdk::Step& step, sdk::Buffers buffers) const {
    const uint64_t every = uint64_t(redraw_), number = step.number();
    if (number != 0 && (every == 0 || number % every != 0)) return;
    const uint64_t draw = number == 0 ? 0 : number / every;
    const int64_t size = directions_ * head_dim_;
    for (int64_t set = 0; set < rounds_ * sets_; ++set) {
      step.host.normal((draw << 20) + uint64_t(set), 0, size, buffers[rotations_] + set * size);
    }
  }

 private:
  enum class Heads { kOwn, kShared };
  static constexpr int64_t kHashRows = 256;  // rows that are hashed at once
  static constexpr int64_t kKeys = 256;      // most keys of a piece of a tile
  static constexpr int64_t kRounds = 64;
  static constexpr int64_t kLane = 4;  // keys that are counted at once
  using Lane [[gnu::vector_size(kLane * sizeof(uint32_t))]] = uint32_t;
  using SignedLane [[gnu::vector_size(kLane * sizeof(int32_t))]] = int32_t;

  int64_t chunks(int64_t len) const { return (len + chunk_ - 1) / chunk_; }

  Hash hash_of(int64_t len) const {
    const int64_t wanted = buckets_ > 0 ? buckets_ : 2 * chunks(len);
    if (wanted <= factor_above_) return {wanted, 1};
    const auto first = int64_t(2 * std::ceil(std::sqrt(double(wanted)) / 2));
    return {first, 2 * ((wanted + 2 * first - 1) / (2 * first))};
  }

  void attend(const sdk::Step& step) const {
    step.host.parallel_for(rounds_ * heads_, 1, [&](int64_t task, int64_t, int32_t worker) {
      sort_rows(step, task / heads_, task % heads_, worker);
    });
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      make_keys(step, head);
      const auto q = queries(step, head);
      math::joint_clear(q, step.len, head_dim_);
      for_rounds(step, head, worker, [&](int64_t round, const int32_t*, const math::JointKeys<Real>& k) {
        tiles(step, head, round, worker, [&](const math::Rows& rows, const math::Rows& columns, auto&& edit) {
          attention_.merge(step, worker, {head_dim_, scale_, q, k, rows, columns}, edit);
        });
      });
      const Real* v = step[x_.v] + head * head_dim_;
      for (int64_t i = 0; i < step.len; ++i) {
        if (alone(q, i)) std::copy_n(v + i * inner_, head_dim_, q.o + i * inner_);
      }
    });
  }

  // ---- Hash and order

  // The place of the largest of [u, -u].
  static int32_t argmax(const Real* u, int64_t n, Real top) {
    for (int64_t c = 0; c < n; ++c) {
      if (u[c] == top) return int32_t(c);
    }
    for (int64_t c = 0; c < n; ++c) {
      if (u[c] == -top) return int32_t(n + c);
    }
    return 0;
  }

  // bucket: [N]
  void hash_rows(const sdk::Step& step, int64_t round, int64_t head, int32_t worker, int32_t* bucket) const {
    const Hash hash = hash_of(step.len);
    const int64_t first = hash.first / 2, second = hash.directions() - first;
    const int64_t set = round * sets_ + (sets_ > 1 ? head : 0);
    Real* u = step.at(hashed_, worker);
    Real* top = u + kHashRows * directions_;
    for (int64_t begin = 0; begin < step.len; begin += kHashRows) {
      const int64_t rows = std::min(kHashRows, step.len - begin), ldu = hash.directions();
      math::gemm<Real>({.m = rows,
                        .n = ldu,
                        .k = head_dim_,
                        .a = step[x_.q] + begin * inner_ + head * head_dim_,
                        .lda = inner_,
                        .b = step[rotations_] + set * directions_ * head_dim_,
                        .ldb = head_dim_,
                        .op_b = math::Op::kTranspose,
                        .c = u,
                        .ldc = ldu});
      math::max_abs_rows(rows, first, u, ldu, top);
      for (int64_t r = 0; r < rows; ++r) bucket[begin + r] = argmax(u + r * ldu, first, top[r]);
      if (second == 0) continue;
      math::max_abs_rows(rows, second, u + first, ldu, top);
      for (int64_t r = 0; r < rows; ++r) {
        bucket[begin + r] += int32_t(hash.first) * argmax(u + r * ldu + first, second, top[r]);
      }
    }
  }

  // order and code of one round of one head: rows counted into their buckets, in the order of their positions.
  void sort_rows(const sdk::Step& step, int64_t round, int64_t head, int32_t worker) const {
    int32_t* bucket = step.at(row_buckets_, worker);
    int32_t* start = bucket + max_len_;
    hash_rows(step, round, head, worker, bucket);
    std::fill_n(start, hash_of(step.len).buckets() + 1, 0);
    for (int64_t i = 0; i < step.len; ++i) ++start[bucket[i] + 1];
    for (int64_t b = 0; b < hash_of(step.len).buckets(); ++b) start[b + 1] += start[b];
    int32_t* order = step[order_] + (round * heads_ + head) * max_len_;
    for (int64_t i = 0; i < step.len; ++i) order[start[bucket[i]]++] = int32_t(i);

    int32_t* code = step[code_] + (round * heads_ + head) * max_len_;
    int32_t last = 0;
    for (int64_t p = 0; p < step.len; ++p) {
      if (same_bucket_ && p > 0 && bucket[order[p]] != bucket[order[p - 1]]) {
        last += int32_t(back_ + 1);
      } else if (p > 0 && p % chunk_ == 0) {
        ++last;
      }
      code[p] = last;
    }
  }

  // ---- Attention

  math::JointQueries<Real> queries(const sdk::Step& step, int64_t head) const {
    const int64_t first = head * head_dim_;
    return {step[x_.q] + first, inner_, step[x_.o] + first, inner_, attention_.lse(step, head), step[x_.d_o] + first,
            step[x_.dq] + first};
  }
  bool alone(const math::JointQueries<Real>& q, int64_t i) const { return self_last_ && std::isinf(q.lse[i]); }

  // k = x / |x|
  void make_keys(const sdk::Step& step, int64_t head) const {
    if (!unit_keys_) return;
    const Real* x = step[x_.q] + head * head_dim_;
    Real* inverse = step[inverse_norms_] + head * max_len_;
    math::dot_rows(step.len, head_dim_, x, inner_, x, inner_, inverse);
    for (int64_t i = 0; i < step.len; ++i) inverse[i] = inverse[i] > 0 ? 1 / std::sqrt(inverse[i]) : Real(0);
    math::scale_rows(step.len, head_dim_, inverse, x, inner_, step[keys_] + head * head_dim_, inner_);
  }
  // dx = (dk - (dk.k) k) / |x|, in place
  void normalise_backward(const sdk::Step& step, int64_t head) const {
    const Real* inverse = step[inverse_norms_] + head * max_len_;
    for (int64_t i = 0; i < step.len; ++i) {
      const int64_t at = i * inner_ + head * head_dim_;
      const Real* k = step[keys_] + at;
      Real* dk = step[x_.dk] + at;
      Real along = 0;
      for (int64_t c = 0; c < head_dim_; ++c) along += dk[c] * k[c];
      for (int64_t c = 0; c < head_dim_; ++c) dk[c] = (dk[c] - along * k[c]) * inverse[i];
    }
  }

  // use(round, order, the head's keys and values in that order, with room for their gradients)
  template <class Use>
  void for_rounds(const sdk::Step& step, int64_t head, int32_t worker, Use&& use) const {
    const int64_t first = head * head_dim_, size = step.len * head_dim_;
    const Real* k = (unit_keys_ ? step[keys_] : step[x_.k]) + first;
    const Real* v = step[x_.v] + first;
    Real* space = step.at(sorted_, worker);
    for (int64_t r = 0; count_once_ && r < rounds_; ++r) {
      const int64_t at = (r * heads_ + head) * max_len_;
      int32_t* row_codes = step.at(row_codes_, worker) + r * max_len_;
      for (int64_t p = 0; p < step.len; ++p) row_codes[step[order_][at + p]] = step[code_][at + p];
    }
    for (int64_t r = 0; r < rounds_; ++r) {
      const int32_t* order = step[order_] + (r * heads_ + head) * max_len_;
      for (int64_t p = 0; p < step.len; ++p) {
        std::copy_n(k + order[p] * inner_, head_dim_, space + p * head_dim_);
        std::copy_n(v + order[p] * inner_, head_dim_, space + size + p * head_dim_);
      }
      use(r, order, {space, space + size, head_dim_, head_dim_, space + 2 * size, space + 3 * size});
    }
  }

  // One tile for each chunk of a round: its rows, and the sorted keys that it may see.
  template <class Visit>
  void tiles(const sdk::Step& step, int64_t head, int64_t r, int32_t worker, Visit&& visit) const {
    int32_t* row_codes = count_once_ ? step.at(row_codes_, worker) : nullptr;  // [R, N], then [R, kKeys]
    const int64_t at = (r * heads_ + head) * max_len_;
    const int32_t *order = step[order_] + at, *code = step[code_] + at;
    for (int64_t u = 0; u < chunks(step.len); ++u) {
      const int64_t begin = u * chunk_, end = std::min(begin + chunk_, step.len);
      const int64_t first_key = std::max<int64_t>(0, u - back_) * chunk_;
      visit(math::Rows::listed(order + begin, end - begin), math::Rows::range(first_key, end),
            [&](const sdk::Scores& s) {
              const int64_t row = begin + s.row_begin, key = first_key + s.key_begin;
              hide_unseen(s, order, code, row, key);
              if (count_once_) subtract_log_counts(s, order, code, row_codes, row, key);
            });
    }
  }

  // Keys [first, last) of a piece that row p sees, both as places in the order: rising with p.
  struct Seen {
    int64_t first = 0, last = 0;
  };
  void advance(Seen& seen, const int32_t* code, int64_t p, int64_t key, int64_t keys) const {
    while (seen.first < keys && code[key + seen.first] < code[p] - back_) ++seen.first;
    while (seen.last < keys && code[key + seen.last] <= code[p]) ++seen.last;
  }

  void hide_unseen(const sdk::Scores& s, const int32_t* order, const int32_t* code, int64_t row, int64_t key) const {
    Seen seen;
    for (int64_t r = 0; r < s.rows; ++r) {
      const int64_t p = row + r;
      advance(seen, code, p, key, s.keys);
      s.keep(r, seen.first, seen.last);
      const int64_t own = p - key;
      if (self_last_ && own >= 0 && own < s.keys) s.hide(r, own);
      for (int64_t c = seen.first; causal_ && c < seen.last; ++c) {
        if (order[key + c] > order[p]) s.hide(r, c);
      }
    }
  }

  // S_ij -= log N_ij for what is seen in this round.
  void subtract_log_counts(const sdk::Scores& s, const int32_t* order, const int32_t* code, int32_t* row_codes,
                           int64_t row, int64_t key) const {
    int32_t* key_codes = row_codes + rounds_ * max_len_;
    for (int64_t r = 0; r < rounds_; ++r) {
      for (int64_t c = 0; c < s.keys; ++c) key_codes[r * kKeys + c] = row_codes[r * max_len_ + order[key + c]];
    }
    Real logs[kRounds + 1];
    for (int64_t n = 0; n <= rounds_; ++n) logs[n] = std::log(Real(std::max<int64_t>(n, 1)));
    Seen seen;
    // 0 <= d <= back as one comparison, and a signed one, which every instruction set has: d + 2^31 <= back + 2^31.
    constexpr uint32_t kShift = uint32_t(1) << 31;
    const auto most = int32_t(uint32_t(back_) + kShift);
    uint32_t of_row[kRounds], counts[kLane];
    for (int64_t r = 0; r < s.rows; ++r) {
      advance(seen, code, row + r, key, s.keys);
      for (int64_t other = 0; other < rounds_; ++other) {
        of_row[other] = uint32_t(row_codes[other * max_len_ + order[row + r]]) + kShift;
      }
      Real* row_scores = s.s + r * s.lds;
      for (int64_t first = seen.first; first < seen.last; first += kLane) {
        Lane count{};
        for (int64_t other = 0; other < rounds_; ++other) {
          // Reads up to a lane beyond the last key: into the codes of the next round, or the end of the block.
          Lane of_key;
          std::memcpy(&of_key, key_codes + other * kKeys + first, sizeof(of_key));
          // All bits of a lane, -1, where the difference of codes is in 0..back.
          count -= std::bit_cast<Lane>(std::bit_cast<SignedLane>(of_row[other] - of_key) <= most);
        }
        std::memcpy(counts, &count, sizeof(count));
        const int64_t n = std::min(kLane, seen.last - first);
        for (int64_t c = 0; c < n; ++c) row_scores[first + c] -= logs[counts[c]];
      }
    }
  }

  int64_t rounds_, chunk_, back_, buckets_, factor_above_, redraw_;
  int64_t max_len_, heads_, head_dim_, inner_;
  bool causal_, same_bucket_, count_once_, self_last_, unit_keys_;
  Real scale_;
  sdk::TiedQkv x_;
  sdk::JointAttention attention_;
  sdk::Saved<int32_t> order_, code_;  // [R, H, max_len]
  int64_t directions_ = 0;            // of one hash, for the largest N
  int64_t sets_ = 1;                  // rotations of one round: H, or 1 for all heads
  sdk::Param rotations_;
  sdk::Scratch<> keys_, inverse_norms_;  // only for unit keys
  sdk::WorkerScratch<> hashed_, sorted_;
  sdk::WorkerScratch<int32_t> row_buckets_, row_codes_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::Reformer, lra::kInfo)
