// Transformer-XL: the sequence in segments; a row sees its own segment (causally, or all of it) and the last `memory`
// rows before the segment, whose keys and values carry no gradient to their inputs. Positions are relative:
//   S_ij = ((q_i + u).k_j + (q_i + v).r_{i-j}) / sqrt(dh),  r_d = R_d W_r,  o_i = sum_j softmax_j(S_ij) v_j
//   j from sS - memory to i (causal) or to the end of segment s = floor(i / S)
// R_d are sinusoids of the distance. Stop-gradient: pairs within a segment add to dk, dv, which go to dx and to W_k,
// W_v; pairs with the memory add to dk', dv', which go to W_k, W_v only. Kernels: sdk/segment_attention.h.
#include "sdk/segment_attention.h"

namespace lra {
namespace {

using sdk::Real;

constexpr lra_option kOptions[] = {
    sdk::integer("segment", "rows of a segment", 128, 1, 1 << 20),
    sdk::integer("memory", "rows seen before the segment; -1: as many as a segment has", -1, -1, 1 << 20),
    sdk::integer("eval_memory", "the same when nothing is trained; -1: as in training", -1, -1, 1 << 20),
    sdk::integer("clamp", "distances beyond it count as it; 0: no limit", 0, 0, 1 << 20),
    sdk::integer("exact_gradients", "1: gradients also flow into the inputs of the memory", 0, 0, 1),
};

constexpr sdk::Info kInfo{
    .id = "transformer_xl",
    .title = "Transformer-XL",
    .paper = "Dai et al. 2019, arXiv:1901.02860",
    .formula =
        "S_ij = ((q_i + u).k_j + (q_i + v).r_{i-j}) / sqrt(dh),  r_d = R_d W_r,  o_i = sum_j softmax_j(S_ij) v_j\n"
        "j: own segment (causal: up to i) and `memory` rows before it",
    .notes =
        "The whole sequence is at hand, so a layer computes all its segments at once; the memory of a layer is made of "
        "its inputs, and the result is that of the recurrence. The memory starts empty, as in the released PyTorch "
        "code; the TensorFlow code starts with zero rows that draw attention. exact_gradients=0 is the paper's "
        "stop-gradient: only the gradient of the input differs, that of every weight is the same. Without causality a "
        "row sees all of its segment and the memory before it, never later segments: our reading, distances then go "
        "below 0. R_d: sines in the first half of the D channels, cosines in the second. u, v: [H, dh], of this layer "
        "alone (the released code can share them between layers). The paper's language models use segments of 150 to "
        "512; 128 suits 1K to 4K rows, and eval_memory can be larger without training anew.",
    .time = "O(N (S + M) D), S rows of a segment, M of memory",
    .memory = "O(N D + (S + M) D)",
    .time_exponent = 1,
    .memory_exponent = 1,
    .flags = LRA_OWN_POSITIONS | LRA_CAUSAL | LRA_BIDIRECTIONAL | LRA_ROW_STOCHASTIC,
    .options = kOptions,
    .limits = "segment={N}; wr=zero u=zero v=zero",
};

class TransformerXl {
 public:
  explicit TransformerXl(sdk::Setup& setup)
      : segment_(setup.integer("segment")),
        memory_(setup.integer("memory") < 0 ? segment_ : setup.integer("memory")),
        eval_memory_(setup.integer("eval_memory") < 0 ? memory_ : setup.integer("eval_memory")),
        exact_(setup.integer("exact_gradients") != 0),
        heads_(setup.heads),
        inner_(setup.inner),
        qkv_(setup),
        attention_(setup,
                   {.segment = segment_, .reach = std::max(memory_, eval_memory_), .clamp = setup.integer("clamp")}) {
    if (exact_) return;
    memory_dk_ = setup.scratch("memory_dk", setup.max_len * inner_);
    memory_dv_ = setup.scratch("memory_dv", setup.max_len * inner_);
  }

  void forward(const sdk::Step& step, Real* y, Real&) const {
    qkv_.project(step);
    mix(step);
    qkv_.output(step, y);
  }

  void backward(const sdk::Step& step, const Real* dy, Real* dx, const sdk::Grads& grads) const {
    qkv_.output_backward(step, dy, grads);
    attention_.begin_backward(step, qkv_);
    const int64_t count = step.len * inner_;
    for (const auto& block : {qkv_.dk, qkv_.dv}) std::fill_n(step[block], count, Real(0));
    if (!exact_) {
      for (const auto& block : {memory_dk_, memory_dv_}) std::fill_n(step[block], count, Real(0));
    }
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      const auto own = attention_.keys(step, qkv_, head, step[qkv_.dk], step[qkv_.dv]);
      const auto memory = exact_ ? own : attention_.keys(step, qkv_, head, step[memory_dk_], step[memory_dv_]);
      for (int64_t s = 0; s < attention_.segments(step.len); ++s) {
        attention_.backward(step, qkv_, head, window(step.len, s, memory_), {own, memory, {}}, worker);
      }
    });
    attention_.end_backward(step, qkv_, grads);
    qkv_.project_backward(step, dx, grads);
    if (exact_) return;
    // dW_k += x^T dk', dW_v += x^T dv'; dx is left alone
    const auto &k = qkv_.key_linear(), &v = qkv_.value_linear();
    step.host.parallel_for(k.weight.rows, sdk::kWeightBlock, [&](int64_t begin, int64_t end, int32_t) {
      k.backward_weight(step, step.x, step[memory_dk_], grads, begin, end);
      v.backward_weight(step, step.x, step[memory_dv_], grads, begin, end);
    });
  }

  sdk::Cost cost(int64_t len) const {
    sdk::Cost sum = qkv_.cost(len);
    sum += attention_.positions_cost(len);
    for (int64_t s = 0; s < attention_.segments(len); ++s) sum += attention_.cost(len, window(len, s, memory_));
    if (!exact_) sum.backward_flops += qkv_.key_linear().flops(len) + qkv_.value_linear().flops(len);
    return sum;
  }

  void mix_values(const sdk::Step& step, const Real* v, Real* o) const {
    qkv_.project(step);
    std::copy_n(v, step.len * inner_, step[qkv_.v]);
    mix(step);
    std::copy_n(step[qkv_.o], step.len * inner_, o);
  }

 private:
  sdk::SegmentWindow window(int64_t len, int64_t s, int64_t memory) const {
    const int64_t begin = s * segment_;
    return {.begin = begin, .end = std::min(begin + segment_, len), .memory = std::max<int64_t>(0, begin - memory)};
  }

  void mix(const sdk::Step& step) const {
    attention_.prepare(step, qkv_);
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      const auto keys = attention_.keys(step, qkv_, head, step[qkv_.dk], step[qkv_.dv]);
      for (int64_t s = 0; s < attention_.segments(step.len); ++s) {
        const auto seen = window(step.len, s, step.training() ? memory_ : eval_memory_);
        attention_.forward(step, qkv_, head, seen, {keys, keys, {}}, worker);
      }
    });
  }

  int64_t segment_, memory_, eval_memory_;
  bool exact_;
  int64_t heads_, inner_;
  sdk::Qkv qkv_;
  sdk::SegmentAttention attention_;
  sdk::Scratch<> memory_dk_, memory_dv_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::TransformerXl, lra::kInfo)
