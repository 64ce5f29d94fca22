// Identity: attention returns its values, so no row sees another. What is left is the cost and the quality of the rest
// of the model: the "X" line of Choromanski et al. 2021, section 4.1, and the floor that every variant has to beat.
//   v = x W_v,  y = v W_o      (qk = unused: q = x W_q and k = x W_k are computed too, and dropped)
#include <optional>

#include "sdk/qkv.h"

namespace lra {
namespace {

using sdk::Real;

enum class Projections { kNone, kUnused };

constexpr lra_option kOptions[] = {
    sdk::choice("qk",
                "none: no query and key projections; unused: computed in forward and dropped, as a published "
                "measurement may have done",
                "none|unused"),
};

constexpr sdk::Info kInfo{
    .id = "identity",
    .title = "Identity (attention returns V)",
    .paper = "the X line of Choromanski et al. 2021, arXiv:2009.14794",
    .formula = "v = x W_v\ny = v W_o",
    .notes =
        "Rows never meet: only pooling mixes them. With qk=unused the gradients of W_q and W_k are zero and are not "
        "computed.",
    .time = "O(N D^2)",
    .memory = "O(N D)",
    .time_exponent = 1,
    .memory_exponent = 1,
    .flags = LRA_CAUSAL | LRA_BIDIRECTIONAL | LRA_ROW_STOCHASTIC,
    .options = kOptions,
};

class Identity {
 public:
  explicit Identity(sdk::Setup& setup) {
    if (setup.choice<Projections>("qk") == Projections::kUnused) {
      wq_.emplace(setup, "q", setup.dim, setup.inner);
      wk_.emplace(setup, "k", setup.dim, setup.inner, sdk::Init{.align = &wq_->weight});
      dropped_ = setup.scratch("qk", setup.max_len * setup.inner);
    }
    wv_.emplace(setup, "v", setup.dim, setup.inner);
    wo_.emplace(setup, "o", setup.inner, setup.dim, sdk::Init{.init = LRA_INIT_RESIDUAL});
    v_ = setup.saved("v", setup.max_len * setup.inner);
    dv_ = setup.scratch("dv", setup.max_len * setup.inner);
  }

  void forward(const sdk::Step& step, Real* y, Real&) const {
    step.host.parallel_for(step.len, sdk::kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      if (wq_) {
        wq_->forward(step, step.x, step[dropped_], begin, end);
        wk_->forward(step, step.x, step[dropped_], begin, end);
      }
      wv_->forward(step, step.x, step[v_], begin, end);
      wo_->forward(step, step[v_], y, begin, end);
    });
  }

  void backward(const sdk::Step& step, const Real* dy, Real* dx, const sdk::Grads& grads) const {
    step.host.parallel_for(step.len, sdk::kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      wo_->backward_input(step, dy, step[dv_], 0, begin, end);
      wv_->backward_input(step, step[dv_], dx, 0, begin, end);
    });
    step.host.parallel_for(wo_->weight.rows, sdk::kWeightBlock, [&](int64_t begin, int64_t end, int32_t) {
      wo_->backward_weight(step, step[v_], dy, grads, begin, end);
    });
    step.host.parallel_for(wv_->weight.rows, sdk::kWeightBlock, [&](int64_t begin, int64_t end, int32_t) {
      wv_->backward_weight(step, step.x, step[dv_], grads, begin, end);
    });
  }

  sdk::Cost cost(int64_t len) const {
    const double used = wv_->flops(len) + wo_->flops(len);
    return {.forward_flops = used + (wq_ ? wq_->flops(len) + wk_->flops(len) : 0.0), .backward_flops = 2 * used};
  }

 private:
  std::optional<sdk::Linear> wq_, wk_, wv_, wo_;
  sdk::Saved<> v_;
  sdk::Scratch<> dv_, dropped_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::Identity, lra::kInfo)
