// Compressive Transformer: Transformer-XL whose oldest memory is compressed instead of dropped. Rows older than the
// last `memory` before a segment are packed, c at a time, into slots c_g = f(x_gc .. x_gc+c-1); a segment sees the last
// `compressed` slots, its memory and itself:
//   keys of a slot: c_g W_k, c_g W_v;  scores and positions as in sdk/segment_attention.h, a slot counts as one row
//   memory of segment s: rows [E_s, sS),  E_s = c floor(max(0, sS - memory) / c);  slots: those before E_s / c
//   f:  max, mean   of the c rows
//       conv        sum_t x_{gc+t} W_t + b
//       dilated     z' = relu(z_t A_l + z_{t-2^l} B_l + b_l), the last layer without relu, taken at the last row
//       most_used   of the rows that leave the memory after a segment, the 1/c that its rows looked at most
// What f loses is an auxiliary loss, summed over the segments s but the last, old = rows [E_s, E_{s+1}):
//   attention      mean over rows i of segment s and channels of (A(q_i, slots of old) - A(q_i, old))^2,
//                  A: softmax of q.k / sqrt(dh), no positions
//   autoencoding   mean over old and channels of (c_g W_d + b_d - x)^2
// Stop-gradient: the task trains W_k, W_v through memory and slots but neither x nor f there; the auxiliary loss trains
// f (and W_d, b_d) alone. exact_gradients = 1: everything is the derivative of task + auxiliary loss.
#include <array>
#include <bit>
#include <numeric>
#include <optional>

#include "sdk/segment_attention.h"

namespace lra {
namespace {

using math::Rows;
using sdk::matrix;
using sdk::Real;

enum class Compression { kMax, kMean, kConv, kDilated, kMostUsed };
enum class Loss { kNone, kAttention, kAutoencoding };

constexpr lra_option kOptions[] = {
    sdk::integer("segment", "rows of a segment", 128, 1, 1 << 20),
    sdk::integer("memory", "rows seen before the segment; -1: as many as a segment has", -1, -1, 1 << 20),
    sdk::integer("eval_memory", "the same when nothing is trained; -1: as in training", -1, -1, 1 << 20),
    sdk::integer("compressed", "slots seen before the memory; 0: Transformer-XL", 128, 0, 1 << 20),
    sdk::integer("rate", "rows that make one slot", 4, 1, 1 << 10),
    sdk::choice("compression", "how rows make a slot", "max|mean|conv|dilated|most_used", int64_t(Compression::kConv)),
    sdk::choice("aux", "loss of the compression", "none|attention|autoencoding", int64_t(Loss::kAttention)),
    sdk::integer("clamp", "distances beyond it count as it; 0: no limit", 0, 0, 1 << 20),
    sdk::integer("exact_gradients", "1: the derivative of task and auxiliary loss, nothing stopped", 0, 0, 1),
};

constexpr sdk::Info kInfo{
    .id = "compressive",
    .title = "Compressive Transformer",
    .paper = "Rae et al. 2020, arXiv:1911.05507",
    .formula =
        "S_ij = ((q_i + u).k_j + (q_i + v).r_{i-j}) / sqrt(dh) over [slots, memory, segment],  o_i = softmax(S_i) v\n"
        "slots: c_g = f(c rows older than the memory), keys c_g W_k, values c_g W_v\n"
        "aux = mean (A(q, slots) - A(q, rows))^2 or mean (c_g W_d + b_d - rows)^2",
    .notes =
        "See transformer_xl for segments and positions. Memory and slots start empty. Rows that do not fill a group of "
        "`rate` stay in the memory until they do; the last segment is not compressed. A slot counts as one step of "
        "distance. The losses are mean squares (the paper writes norms, which have no gradient at 0), summed over the "
        "compressions of the sequence. attention: per head, q and k with their biases but without u, v and positions, "
        "heads side by side before W_o. Gradients are disjoint unless exact_gradients=1: the task reaches neither the "
        "compression nor the inputs of memory and slots, the auxiliary loss reaches nothing but the compression and "
        "its decoder. With aux=none and exact_gradients=0 a conv keeps its first weights. max, mean and most_used have "
        "no weights: their auxiliary loss is only reported, or trains a decoder. wc of conv: [rate D, D], row t D + e "
        "is channel e of the t-th row of a group; of dilated, layers l < max(1, ceil(log2 rate)): [2 layers D, D], "
        "layer major, first the tap of the row itself, then of the row 2^l before (zero before the first row of all; a "
        "rate that is no power "
        "of two so reads rows of the group before), bc: [1, layers D]; our reading of the paper's dilated "
        "convolutions. wd: [D, rate D]. most_used: average over "
        "heads and rows of the segment after which the rows leave; equal use: the earlier row. pairs leaves out the "
        "auxiliary loss. The paper's memories have 512 to 1536 rows and rates of 2 to 4.",
    .time = "O(N (S + M + C) D), S rows of a segment, M of memory, C slots",
    .memory = "O(N D + (S + M + C) D)",
    .time_exponent = 1,
    .memory_exponent = 1,
    .flags = LRA_OWN_POSITIONS | LRA_CAUSAL | LRA_BIDIRECTIONAL,
    .options = kOptions,
    .limits = "segment={N}; wr=zero u=zero v=zero",
};

// y = x W + b for any number of rows; one product at a time, on the calling thread.
struct Affine {
  sdk::Param w, b;  // b.index -1: none

  void forward(const sdk::Step& step, const Real* x, Real* y, int64_t rows) const {
    step.host.parallel_for(rows, sdk::kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      step.host.gemm(matrix(y + begin * w.cols, end - begin, w.cols), matrix(x + begin * w.rows, end - begin, w.rows),
                     matrix(step[w], w.rows, w.cols), {.bias = b.index < 0 ? nullptr : step[b]});
    });
  }
  // dx = keep dx + dy W^T
  void backward_input(const sdk::Step& step, const Real* dy, Real* dx, Real keep, int64_t rows) const {
    step.host.parallel_for(rows, sdk::kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      step.host.gemm(matrix(dx + begin * w.rows, end - begin, w.rows), matrix(dy + begin * w.cols, end - begin, w.cols),
                     t(matrix(step[w], w.rows, w.cols)), {.beta = keep});
    });
  }
  // dW += x^T dy,  db += sum over rows of dy
  void backward_weight(const sdk::Step& step, const Real* x, const Real* dy, const sdk::Grads& grads,
                       int64_t rows) const {
    step.host.parallel_for(w.rows, sdk::kWeightBlock, [&](int64_t begin, int64_t end, int32_t) {
      step.host.gemm(matrix(grads[w] + begin * w.cols, end - begin, w.cols),
                     t(matrix(x + begin, rows, end - begin, w.rows)), matrix(dy, rows, w.cols), {.beta = 1});
    });
    if (b.index >= 0) math::column_sums(rows, w.cols, dy, w.cols, grads[b]);
  }
  double flops(int64_t rows) const { return 2.0 * double(rows) * double(w.rows * w.cols); }
};

// Groups of `rate` rows of x: [groups rate, D] -> slots [groups, D], for every f but most_used.
class Compressor {
 public:
  Compressor(sdk::Setup& setup, Compression kind, int64_t rate, int64_t most_slots)
      : kind_(kind), rate_(rate), dim_(setup.dim) {
    if (kind_ == Compression::kConv) {
      conv_ = {setup.param("wc", rate_ * dim_, dim_), setup.param("bc", 1, dim_, {.init = LRA_INIT_ZERO})};
    }
    if (kind_ == Compression::kDilated) {
      layers_ = std::max<int64_t>(1, std::bit_width(uint64_t(rate_ - 1)));
      conv_ = {setup.param("wc", 2 * layers_ * dim_, dim_),
               setup.param("bc", 1, layers_ * dim_, {.init = LRA_INIT_ZERO})};
      hidden_stride_ = most_slots * rate_ * dim_;
      hidden_ = setup.saved("compression_hidden", (layers_ - 1) * hidden_stride_);
      for (size_t i = 0; i < 2; ++i) {
        dhidden_[i] = setup.scratch(i == 0 ? "compression_d0" : "compression_d1", hidden_stride_);
      }
    }
  }

  bool has_weights() const { return kind_ == Compression::kConv || kind_ == Compression::kDilated; }

  void forward(const sdk::Step& step, Real* slots, int64_t groups) const {
    if (kind_ == Compression::kConv) {
      conv_.forward(step, step.x, slots, groups);
    } else if (kind_ == Compression::kDilated) {
      for (int64_t l = 0; l < layers_; ++l) dilated_forward(step, l, slots, groups);
    } else {
      for (int64_t at = 0; at < groups * dim_; ++at) {
        const Real* first = step.x + (at / dim_) * rate_ * dim_ + at % dim_;
        Real result = *first;
        for (int64_t t = 1; t < rate_; ++t) {
          const Real value = first[t * dim_];
          result = kind_ == Compression::kMean ? result + value : std::max(result, value);
        }
        slots[at] = kind_ == Compression::kMean ? result / Real(rate_) : result;
      }
    }
  }

  // Weights += their gradient; dx += that of x unless it is null.
  void backward(const sdk::Step& step, const Real* dslots, Real* dx, const sdk::Grads& grads, int64_t groups) const {
    if (kind_ == Compression::kConv) {
      conv_.backward_weight(step, step.x, dslots, grads, groups);
      if (dx != nullptr) conv_.backward_input(step, dslots, dx, 1, groups);
    } else if (kind_ == Compression::kDilated) {
      for (int64_t l = layers_ - 1; l >= 0; --l) dilated_backward(step, l, dslots, dx, grads, groups);
    } else if (dx != nullptr) {
      pool_backward(step, dslots, dx, groups);
    }
  }

  // to_x: backward also goes to x.
  sdk::Cost cost(int64_t groups, bool to_x) const {
    if (kind_ == Compression::kConv) {
      return {.forward_flops = conv_.flops(groups), .backward_flops = (to_x ? 2 : 1) * conv_.flops(groups)};
    }
    sdk::Cost sum;
    for (int64_t l = 0; l < layers_; ++l) {
      const Layer a = layer(l, groups);
      const double flops = 2.0 * double(a.rows + a.rows - a.first) * double(dim_ * dim_);
      sum += {.forward_flops = flops, .backward_flops = (to_x || l > 0 ? 2 : 1) * flops};
    }
    return sum;
  }

 private:
  // Row t of the output of a layer reads row offset + t stride of its input, and, from t = first on, the row `reach`
  // before that.
  struct Layer {
    int64_t rows, offset, stride, reach, first;
  };
  Layer layer(int64_t l, int64_t groups) const {
    const bool last = l + 1 == layers_;
    Layer a{.rows = last ? groups : groups * rate_,
            .offset = last ? rate_ - 1 : 0,
            .stride = last ? rate_ : 1,
            .reach = int64_t(1) << l,
            .first = 0};
    a.first = std::min(a.rows, std::max<int64_t>(0, (a.reach - a.offset + a.stride - 1) / a.stride));
    return a;
  }
  const Real* input(const sdk::Step& step, int64_t l) const {
    return l == 0 ? step.x : step[hidden_] + (l - 1) * hidden_stride_;
  }
  // Rows from t on of the input as read by the layer's own tap, or by the one before it.
  template <class T>
  sdk::Matrix<T> own_tap(const Layer& a, T* z) const {
    return matrix(z + a.offset * dim_, a.rows, dim_, a.stride * dim_);
  }
  template <class T>
  sdk::Matrix<T> past_tap(const Layer& a, T* z) const {
    return matrix(z + (a.offset + a.first * a.stride - a.reach) * dim_, a.rows - a.first, dim_, a.stride * dim_);
  }

  // z' = relu(z A + z_before B + b); the last layer has no relu
  void dilated_forward(const sdk::Step& step, int64_t l, Real* slots, int64_t groups) const {
    const Layer a = layer(l, groups);
    const bool last = l + 1 == layers_;
    Real* out = last ? slots : step[hidden_] + l * hidden_stride_;
    const Real *z = input(step, l), *w = step[conv_.w] + 2 * l * dim_ * dim_;
    step.host.gemm(matrix(out, a.rows, dim_), own_tap(a, z), matrix(w, dim_, dim_), {.bias = step[conv_.b] + l * dim_});
    if (a.first < a.rows) {
      step.host.gemm(matrix(out + a.first * dim_, a.rows - a.first, dim_), past_tap(a, z),
                     matrix(w + dim_ * dim_, dim_, dim_), {.beta = 1});
    }
    if (last) return;
    for (int64_t at = 0; at < a.rows * dim_; ++at) out[at] = std::max(out[at], Real(0));
  }
  void dilated_backward(const sdk::Step& step, int64_t l, const Real* dslots, Real* dx, const sdk::Grads& grads,
                        int64_t groups) const {
    const Layer a = layer(l, groups);
    const bool last = l + 1 == layers_;
    const Real *z = input(step, l), *w = step[conv_.w] + 2 * l * dim_ * dim_;
    Real *dw = grads[conv_.w] + 2 * l * dim_ * dim_, *spent = step[dhidden_[size_t((l + 1) % 2)]];
    if (!last) {
      const Real* out = step[hidden_] + l * hidden_stride_;
      for (int64_t at = 0; at < a.rows * dim_; ++at) spent[at] = out[at] > 0 ? spent[at] : Real(0);
    }
    const Real* du = last ? dslots : spent;
    const auto own = matrix(du, a.rows, dim_), past = matrix(du + a.first * dim_, a.rows - a.first, dim_);
    const bool reaches = a.first < a.rows;
    math::column_sums(a.rows, dim_, du, dim_, grads[conv_.b] + l * dim_);
    step.host.gemm(matrix(dw, dim_, dim_), t(own_tap(a, z)), own, {.beta = 1});
    if (reaches) step.host.gemm(matrix(dw + dim_ * dim_, dim_, dim_), t(past_tap(a, z)), past, {.beta = 1});
    Real* dz = l > 0 ? step[dhidden_[size_t(l % 2)]] : dx;
    if (dz == nullptr) return;
    if (l > 0) std::fill_n(dz, groups * rate_ * dim_, Real(0));
    step.host.gemm(own_tap(a, dz), own, t(matrix(w, dim_, dim_)), {.beta = 1});
    if (reaches) step.host.gemm(past_tap(a, dz), past, t(matrix(w + dim_ * dim_, dim_, dim_)), {.beta = 1});
  }

  void pool_backward(const sdk::Step& step, const Real* dslots, Real* dx, int64_t groups) const {
    for (int64_t at = 0; at < groups * dim_; ++at) {
      const int64_t first = (at / dim_) * rate_ * dim_ + at % dim_;
      int64_t top = 0;
      for (int64_t t = 0; t < rate_; ++t) {
        if (kind_ == Compression::kMean) dx[first + t * dim_] += dslots[at] / Real(rate_);
        if (step.x[first + t * dim_] > step.x[first + top * dim_]) top = t;
      }
      if (kind_ == Compression::kMax) dx[first + top * dim_] += dslots[at];
    }
  }

  Compression kind_;
  int64_t rate_, dim_;
  Affine conv_;
  int64_t layers_ = 0, hidden_stride_ = 0;
  sdk::Saved<> hidden_;
  std::array<sdk::Scratch<>, 2> dhidden_;
};

class Compressive {
 public:
  explicit Compressive(sdk::Setup& setup)
      : segment_(setup.integer("segment")),
        memory_(setup.integer("memory") < 0 ? segment_ : setup.integer("memory")),
        eval_memory_(setup.integer("eval_memory") < 0 ? memory_ : setup.integer("eval_memory")),
        compressed_(setup.integer("compressed")),
        rate_(setup.integer("rate")),
        kind_(setup.choice<Compression>("compression")),
        loss_(compressed_ == 0 ? Loss::kNone : setup.choice<Loss>("aux")),
        exact_(setup.integer("exact_gradients") != 0),
        dim_(setup.dim),
        heads_(setup.heads),
        head_dim_(setup.head_dim),
        inner_(setup.inner),
        max_len_(setup.max_len),
        most_slots_(compressed_ == 0 ? 0 : max_len_ / rate_),
        qkv_(setup),
        attention_(setup, {.segment = segment_,
                           .reach = std::max(memory_, eval_memory_) + (compressed_ == 0 ? 0 : rate_ - 1) + compressed_,
                           .clamp = setup.integer("clamp")}) {
    if (compressed_ > 0 && std::min(memory_, eval_memory_) < segment_) {
      throw sdk::Refusal("memory=" + std::to_string(std::min(memory_, eval_memory_)) +
                         " is shorter than segment=" + std::to_string(segment_) +
                         ", but rows are compressed after they have been memory for a whole segment; choose memory and "
                         "eval_memory of at least segment, or compressed=0");
    }
    if (!exact_) {
      memory_dk_ = setup.scratch("memory_dk", max_len_ * inner_);
      memory_dv_ = setup.scratch("memory_dv", max_len_ * inner_);
    }
    if (compressed_ == 0) return;
    slots_ = setup.saved("slots", most_slots_ * dim_);
    slot_k_ = setup.saved("slot_k", most_slots_ * inner_);
    slot_v_ = setup.saved("slot_v", most_slots_ * inner_);
    dslots_ = setup.scratch("dslots", most_slots_ * dim_);
    dslot_k_ = setup.scratch("slot_dk", most_slots_ * inner_);
    dslot_v_ = setup.scratch("slot_dv", most_slots_ * inner_);
    compressor_.emplace(setup, kind_, rate_, most_slots_);
    if (kind_ == Compression::kMostUsed) {
      chosen_ = setup.saved<int32_t>("chosen", most_slots_);
      use_ = setup.scratch("use", heads_ * max_len_);
      order_ = setup.scratch<int32_t>("order", max_len_);
    }
    if (loss_ == Loss::kAttention) {
      wanted_ = setup.saved("aux_wanted", max_len_ * inner_);
      found_ = setup.saved("aux_found", max_len_ * inner_);
      wanted_lse_ = setup.saved("aux_wanted_lse", heads_ * max_len_);
      found_lse_ = setup.saved("aux_found_lse", heads_ * max_len_);
      dfound_ = setup.scratch("aux_dfound", max_len_ * inner_);
      aux_tiles_ =
          setup.scratch_per_worker<std::byte>("aux_tiles", int64_t(math::joint_scratch<Real>(kRows, kKeys, head_dim_)));
      if (!exact_) {
        aux_dq_ = setup.scratch("aux_dq", max_len_ * inner_);
        aux_dk_ = setup.scratch("aux_dk", most_slots_ * inner_);
        aux_dv_ = setup.scratch("aux_dv", most_slots_ * inner_);
      }
    }
    if (loss_ == Loss::kAutoencoding) {
      decoder_ = {setup.param("wd", dim_, rate_ * dim_), setup.param("bd", 1, rate_ * dim_, {.init = LRA_INIT_ZERO})};
      decoded_ = setup.saved("decoded", most_slots_ * rate_ * dim_);
      ddecoded_ = setup.scratch("ddecoded", most_slots_ * rate_ * dim_);
    }
  }

  void forward(const sdk::Step& step, Real* y, Real& aux) const {
    qkv_.project(step);
    mix(step, nullptr);
    qkv_.output(step, y);
    const int64_t groups = groups_of(step.len, memory_of(step));
    if (!step.training() || groups == 0) return;
    if (loss_ == Loss::kAttention) aux += attention_loss(step);
    if (loss_ == Loss::kAutoencoding) aux += autoencoding_loss(step, groups);
  }

  void mix_values(const sdk::Step& step, const Real* v, Real* o) const {
    const bool from_values = kind_ == Compression::kMean || kind_ == Compression::kMostUsed;
    if (!from_values && groups_of(step.len, memory_of(step)) > 0) {
      throw sdk::Refusal(
          "slots compress rows and not their values, so the output is not linear in the values; use "
          "compression=mean or most_used",
          LRA_UNSUPPORTED);
    }
    qkv_.project(step);
    std::copy_n(v, step.len * inner_, step[qkv_.v]);
    mix(step, v);
    std::copy_n(step[qkv_.o], step.len * inner_, o);
  }

  void backward(const sdk::Step& step, const Real* dy, Real* dx, const sdk::Grads& grads) const {
    const int64_t groups = groups_of(step.len, memory_);
    qkv_.output_backward(step, dy, grads);
    attention_.begin_backward(step, qkv_);
    clear_gradients(step, groups);
    const bool reconstructs = loss_ == Loss::kAttention && groups > 0;
    if (reconstructs) attention_loss_backward(step);
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      for (int64_t s = 0; s < attention_.segments(step.len); ++s) {
        attention_.backward(step, qkv_, head, window(step.len, s, memory_), keys(step, head), worker);
      }
      if (reconstructs) reconstruct_backward(step, head, worker);
    });
    attention_.end_backward(step, qkv_, grads);
    qkv_.project_backward(step, dx, grads);
    if (!exact_) {
      // dW_k += x^T dk', dW_v += x^T dv' of the memory; dx is left alone
      key_affine().backward_weight(step, step.x, step[memory_dk_], grads, step.len);
      value_affine().backward_weight(step, step.x, step[memory_dv_], grads, step.len);
    }
    if (groups == 0) return;
    key_affine().backward_weight(step, step[slots_], step[dslot_k_], grads, groups);
    value_affine().backward_weight(step, step[slots_], step[dslot_v_], grads, groups);
    if (!slots_have_gradient()) return;
    std::fill_n(step[dslots_], groups * dim_, Real(0));
    if (exact_ || loss_ == Loss::kAttention) {
      key_affine().backward_input(step, step[exact_ ? dslot_k_ : aux_dk_], step[dslots_], 1, groups);
      value_affine().backward_input(step, step[exact_ ? dslot_v_ : aux_dv_], step[dslots_], 1, groups);
    }
    if (loss_ == Loss::kAutoencoding) autoencoding_backward(step, dx, grads, groups);
    if (kind_ != Compression::kMostUsed) {
      compressor_->backward(step, step[dslots_], exact_ ? dx : nullptr, grads, groups);
    } else if (exact_) {
      for (int64_t g = 0; g < groups; ++g) {
        math::axpy(dim_, Real(1), step[dslots_] + g * dim_, dx + step[chosen_][g] * dim_);
      }
    }
  }

  sdk::Cost cost(int64_t len) const {
    const int64_t groups = groups_of(len, memory_), segments = attention_.segments(len);
    sdk::Cost sum = qkv_.cost(len);
    sum += attention_.positions_cost(len);
    for (int64_t s = 0; s < segments; ++s) sum += attention_.cost(len, window(len, s, memory_));
    if (!exact_) sum.backward_flops += key_affine().flops(len) + value_affine().flops(len);
    const double slots = key_affine().flops(groups) + value_affine().flops(groups);
    sum += {.forward_flops = slots, .backward_flops = slots};
    if (exact_ || loss_ == Loss::kAttention) sum.backward_flops += slots;
    if (compressed_ == 0) return sum;
    if (compressor_->has_weights()) {
      const sdk::Cost f = compressor_->cost(groups, exact_);
      sum += {.forward_flops = f.forward_flops, .backward_flops = slots_have_gradient() ? f.backward_flops : 0};
    }
    for (int64_t s = 0; s + 1 < segments; ++s) {
      const int64_t first = boundary(s, memory_), last = boundary(s + 1, memory_);
      if (kind_ == Compression::kMostUsed) {
        sum += attention_.weights_cost(len, window(len, s, memory_), first, last);
      }
      if (loss_ != Loss::kAttention) continue;
      const double h = double(heads_);
      const int64_t found = (last - first) / rate_, both = found + last - first;
      sum += {.forward_flops = h * math::joint_forward_flops(segment_, both, head_dim_),
              .backward_flops = h * math::joint_backward_flops(segment_, exact_ ? both : found, head_dim_)};
    }
    if (loss_ == Loss::kAutoencoding) {
      sum += {.forward_flops = decoder_.flops(groups), .backward_flops = 2 * decoder_.flops(groups)};
    }
    return sum;
  }

 private:
  static constexpr int64_t kRows = 64, kKeys = 256;

  int64_t memory_of(const sdk::Step& step) const { return step.training() ? memory_ : eval_memory_; }

  // o of all rows. v: values that stand in the place of x W_v, from which those of the slots follow too, or null.
  void mix(const sdk::Step& step, const Real* v) const {
    const int64_t memory = memory_of(step);
    const int64_t groups = groups_of(step.len, memory), segments = attention_.segments(step.len);
    attention_.prepare(step, qkv_);
    if (kind_ == Compression::kMostUsed) {
      // What a segment looked at decides what later ones find.
      for (int64_t s = 0; s < segments; ++s) {
        step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
          attention_.forward(step, qkv_, head, window(step.len, s, memory), keys(step, head), worker);
          if (compressed_ > 0 && s + 1 < segments) measure_use(step, head, s, memory, worker);
        });
        if (compressed_ > 0 && s + 1 < segments) choose(step, s, memory, v);
      }
    } else {
      if (groups > 0) {
        compressor_->forward(step, step[slots_], groups);
        project_slots(step, 0, groups);
        if (v != nullptr) take_means(step, v, groups);
      }
      step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
        for (int64_t s = 0; s < segments; ++s) {
          attention_.forward(step, qkv_, head, window(step.len, s, memory), keys(step, head), worker);
        }
      });
    }
  }
  // Slots that are means of rows have the mean of their values.
  void take_means(const sdk::Step& step, const Real* v, int64_t groups) const {
    std::fill_n(step[slot_v_], groups * inner_, Real(0));
    for (int64_t row = 0; row < groups * rate_; ++row) {
      math::axpy(inner_, Real(1) / Real(rate_), v + row * inner_, step[slot_v_] + row / rate_ * inner_);
    }
  }

  // First row of the memory of segment s; rows before it are in slots.
  int64_t boundary(int64_t s, int64_t memory) const {
    const int64_t left = std::max<int64_t>(0, s * segment_ - memory);
    return compressed_ == 0 ? left : left / rate_ * rate_;
  }
  sdk::SegmentWindow window(int64_t len, int64_t s, int64_t memory) const {
    sdk::SegmentWindow w{
        .begin = s * segment_, .end = std::min((s + 1) * segment_, len), .memory = boundary(s, memory)};
    if (compressed_ > 0) {
      w.slots_end = w.memory / rate_;
      w.slots_begin = std::max<int64_t>(0, w.slots_end - compressed_);
    }
    return w;
  }
  int64_t groups_of(int64_t len, int64_t memory) const {
    return compressed_ == 0 || len == 0 ? 0 : boundary(attention_.segments(len) - 1, memory) / rate_;
  }
  // Whether anything but W_k, W_v learns from the slots.
  bool slots_have_gradient() const { return exact_ || loss_ != Loss::kNone; }

  Affine key_affine() const { return {qkv_.key_linear().weight, qkv_.key_linear().bias}; }
  Affine value_affine() const { return {qkv_.value_linear().weight, qkv_.value_linear().bias}; }

  sdk::SegmentKeys keys(const sdk::Step& step, int64_t head) const {
    const auto own = attention_.keys(step, qkv_, head, step[qkv_.dk], step[qkv_.dv]);
    const auto memory = exact_ ? own : attention_.keys(step, qkv_, head, step[memory_dk_], step[memory_dv_]);
    return {own, memory, compressed_ > 0 ? slot_keys(step, head, dslot_k_, dslot_v_) : math::JointKeys<Real>{}};
  }
  math::JointKeys<Real> slot_keys(const sdk::Step& step, int64_t head, const sdk::Scratch<>& dk,
                                  const sdk::Scratch<>& dv) const {
    const int64_t at = head * head_dim_;
    return {step[slot_k_] + at, step[slot_v_] + at, inner_, inner_, step[dk] + at, step[dv] + at};
  }
  void project_slots(const sdk::Step& step, int64_t first, int64_t last) const {
    const Real* slots = step[slots_] + first * dim_;
    key_affine().forward(step, slots, step[slot_k_] + first * inner_, last - first);
    value_affine().forward(step, slots, step[slot_v_] + first * inner_, last - first);
  }

  // ---- most_used

  void measure_use(const sdk::Step& step, int64_t head, int64_t s, int64_t memory, int32_t worker) const {
    const int64_t first = boundary(s, memory), last = boundary(s + 1, memory);
    Real* use = step[use_] + head * max_len_;
    std::fill_n(use, last - first, Real(0));
    attention_.add_weights(step, qkv_, head, window(step.len, s, memory), keys(step, head), first, last, use, worker);
  }
  void choose(const sdk::Step& step, int64_t s, int64_t memory, const Real* v) const {
    const int64_t first = boundary(s, memory), last = boundary(s + 1, memory), count = (last - first) / rate_;
    if (count == 0) return;
    Real* use = step[use_];
    for (int64_t head = 1; head < heads_; ++head) math::axpy(last - first, Real(1), use + head * max_len_, use);
    int32_t* order = step[order_];
    std::iota(order, order + (last - first), 0);
    std::nth_element(order, order + count, order + (last - first),
                     [&](int32_t a, int32_t b) { return use[a] > use[b] || (use[a] == use[b] && a < b); });
    std::sort(order, order + count);
    for (int64_t g = 0; g < count; ++g) {
      const int64_t row = first + order[g], slot = first / rate_ + g;
      step[chosen_][slot] = int32_t(row);
      std::copy_n(step.x + row * dim_, dim_, step[slots_] + slot * dim_);
    }
    project_slots(step, first / rate_, last / rate_);
    for (int64_t slot = first / rate_; v != nullptr && slot < last / rate_; ++slot) {
      std::copy_n(v + step[chosen_][slot] * inner_, inner_, step[slot_v_] + slot * inner_);
    }
  }

  // ---- Auxiliary losses

  // visit(rows, keys) for tiles of a segment's rows and keys [first, last).
  template <class Visit>
  static void aux_tiles(const sdk::SegmentWindow& w, int64_t first, int64_t last, Visit&& visit) {
    for (int64_t row = w.begin; row < w.end; row += kRows) {
      for (int64_t key = first; key < last; key += kKeys) {
        visit(Rows::range(row, std::min(row + kRows, w.end)), Rows::range(key, std::min(key + kKeys, last)));
      }
    }
  }
  // visit(window, first, last old row) for segments after which rows are compressed.
  template <class Visit>
  void compressions(int64_t len, Visit&& visit) const {
    for (int64_t s = 0; s + 1 < attention_.segments(len); ++s) {
      const int64_t first = boundary(s, memory_), last = boundary(s + 1, memory_);
      if (first < last) visit(window(len, s, memory_), first, last);
    }
  }
  math::JointQueries<Real> aux_queries(const sdk::Step& step, int64_t head, const sdk::Saved<>& o,
                                       const sdk::Saved<>& lse) const {
    const int64_t at = head * head_dim_;
    return {step[qkv_.q] + at,
            inner_,
            step[o] + at,
            inner_,
            step[lse] + head * max_len_,
            step[dfound_] + at,
            step[exact_ ? qkv_.dq : aux_dq_] + at};
  }

  // wanted = A(q, old), found = A(q, slots of old); the mean square of their difference
  Real attention_loss(const sdk::Step& step) const {
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      void* scratch = step.at(aux_tiles_, worker);
      const auto wanted = aux_queries(step, head, wanted_, wanted_lse_),
                 found = aux_queries(step, head, found_, found_lse_);
      const auto merge = [&](const math::JointTile<Real>& tile) {
        math::joint_forward(tile, math::joint_scores(tile, scratch), scratch);
      };
      math::joint_clear(wanted, step.len, head_dim_);
      math::joint_clear(found, step.len, head_dim_);
      const auto all = keys(step, head);
      compressions(step.len, [&](const sdk::SegmentWindow& w, int64_t first, int64_t last) {
        aux_tiles(w, first, last, [&](const Rows& rows, const Rows& columns) {
          merge({head_dim_, attention_.scale(), wanted, all.memory, rows, columns});
        });
        aux_tiles(w, first / rate_, last / rate_, [&](const Rows& rows, const Rows& columns) {
          merge({head_dim_, attention_.scale(), found, all.slots, rows, columns});
        });
      });
    });
    double sum = 0;
    compressions(step.len, [&](const sdk::SegmentWindow& w, int64_t, int64_t) {
      double squares = 0;
      for (int64_t at = w.begin * inner_; at < w.end * inner_; ++at) {
        const double difference = double(step[found_][at]) - double(step[wanted_][at]);
        squares += difference * difference;
      }
      sum += squares / double((w.end - w.begin) * inner_);
    });
    return Real(sum);
  }
  // dfound = 2 (found - wanted) / count
  void attention_loss_backward(const sdk::Step& step) const {
    compressions(step.len, [&](const sdk::SegmentWindow& w, int64_t, int64_t) {
      const Real factor = Real(2 / double((w.end - w.begin) * inner_));
      for (int64_t at = w.begin * inner_; at < w.end * inner_; ++at) {
        step[dfound_][at] = factor * (step[found_][at] - step[wanted_][at]);
      }
    });
  }
  // d of slots; exact: of everything, with dwanted = -dfound
  void reconstruct_backward(const sdk::Step& step, int64_t head, int32_t worker) const {
    void* scratch = step.at(aux_tiles_, worker);
    const auto add = [&](const math::JointTile<Real>& tile) {
      const auto s = math::joint_scores(tile, scratch);
      math::joint_backward_scores(tile, s, scratch);
      math::joint_backward_inputs(tile, s, scratch);
    };
    const auto slots = exact_ ? slot_keys(step, head, dslot_k_, dslot_v_) : slot_keys(step, head, aux_dk_, aux_dv_);
    compressions(step.len, [&](const sdk::SegmentWindow& w, int64_t first, int64_t last) {
      aux_tiles(w, first / rate_, last / rate_, [&](const Rows& rows, const Rows& columns) {
        add({head_dim_, attention_.scale(), aux_queries(step, head, found_, found_lse_), slots, rows, columns});
      });
      if (!exact_) return;
      for (int64_t i = w.begin; i < w.end; ++i) {
        math::scale(head_dim_, Real(-1), step[dfound_] + i * inner_ + head * head_dim_);
      }
      aux_tiles(w, first, last, [&](const Rows& rows, const Rows& columns) {
        add({head_dim_, attention_.scale(), aux_queries(step, head, wanted_, wanted_lse_), keys(step, head).memory,
             rows, columns});
      });
    });
  }

  // decoded = slots W_d + b_d; the mean square of decoded - x
  Real autoencoding_loss(const sdk::Step& step, int64_t groups) const {
    decoder_.forward(step, step[slots_], step[decoded_], groups);
    double sum = 0;
    compressions(step.len, [&](const sdk::SegmentWindow&, int64_t first, int64_t last) {
      double squares = 0;
      for (int64_t at = first * dim_; at < last * dim_; ++at) {
        const double difference = double(step[decoded_][at]) - double(step.x[at]);
        squares += difference * difference;
      }
      sum += squares / double((last - first) * dim_);
    });
    return Real(sum);
  }
  void autoencoding_backward(const sdk::Step& step, Real* dx, const sdk::Grads& grads, int64_t groups) const {
    Real* d = step[ddecoded_];
    compressions(step.len, [&](const sdk::SegmentWindow&, int64_t first, int64_t last) {
      const Real factor = Real(2 / double((last - first) * dim_));
      for (int64_t at = first * dim_; at < last * dim_; ++at) d[at] = factor * (step[decoded_][at] - step.x[at]);
    });
    decoder_.backward_weight(step, step[slots_], d, grads, groups);
    decoder_.backward_input(step, d, step[dslots_], 1, groups);
    if (exact_) math::axpy(groups * rate_ * dim_, Real(-1), d, dx);
  }

  void clear_gradients(const sdk::Step& step, int64_t groups) const {
    const auto clear = [&](const sdk::Scratch<>& block, int64_t rows) {
      if (block.index >= 0) std::fill_n(step[block], rows * inner_, Real(0));
    };
    for (const auto& block : {qkv_.dk, qkv_.dv, memory_dk_, memory_dv_, aux_dq_}) clear(block, step.len);
    for (const auto& block : {dslot_k_, dslot_v_, aux_dk_, aux_dv_}) clear(block, groups);
  }

  int64_t segment_, memory_, eval_memory_, compressed_, rate_;
  Compression kind_;
  Loss loss_;
  bool exact_;
  int64_t dim_, heads_, head_dim_, inner_, max_len_, most_slots_;
  sdk::Qkv qkv_;
  sdk::SegmentAttention attention_;
  std::optional<Compressor> compressor_;  // none if nothing is compressed
  sdk::Scratch<> memory_dk_, memory_dv_, dslots_, dslot_k_, dslot_v_;
  sdk::Saved<> slots_, slot_k_, slot_v_;
  sdk::Saved<int32_t> chosen_;
  sdk::Scratch<> use_;
  sdk::Scratch<int32_t> order_;
  sdk::Saved<> wanted_, found_, wanted_lse_, found_lse_;
  sdk::Scratch<> dfound_, aux_dq_, aux_dk_, aux_dv_;
  sdk::WorkerScratch<std::byte> aux_tiles_;
  Affine decoder_;
  sdk::Saved<> decoded_;
  sdk::Scratch<> ddecoded_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::Compressive, lra::kInfo)
