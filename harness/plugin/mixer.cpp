// Instance on one side, nn::Mixer on the other: passes declarations on and calls through.
#include "plugin/mixer.h"

#include "plugin/host.h"
#include "plugin/instance.h"

namespace lra {
namespace {

class VariantMixer : public nn::Mixer {
 public:
  VariantMixer(const Variant& variant, Workers& workers, uint64_t seed, const lra_config& config,
               const std::vector<double>& options)
      : host_(workers, seed, config.layer),
        instance_(variant, host_,
                  {.max_len = config.max_len,
                   .dim = config.dim,
                   .heads = config.heads,
                   .head_dim = config.head_dim,
                   .layer = config.layer,
                   .layer_count = config.layer_count,
                   .causal = config.causal != 0,
                   .bias = config.bias != 0},
                  options) {}

  void declare(nn::Declarer& declarer) const {
    const Declarations& own = instance_.declarations();
    for (const DeclaredParam& p : own.params) {
      declarer.param({.struct_size = sizeof(lra_param_spec),
                      .name = p.name.c_str(),
                      .rows = p.rows,
                      .cols = p.cols,
                      .kind = p.kind,
                      .init = p.init,
                      .init_scale = p.init_scale,
                      .align_with = p.align_with,
                      .decay = p.decay ? 1 : 0,
                      .shared = p.shared ? 1 : 0});
    }
    for (const DeclaredBlock& block : own.saved) declarer.saved(block.name, block.bytes);
    for (const DeclaredBlock& block : own.scratch) declarer.scratch(block.name, block.bytes, block.per_worker);
    declarer.prefix_rows(own.prefix_rows);
  }

  void forward(const lra_step& step, Real* y, Real* aux_loss) const override { instance_.forward(step, y, aux_loss); }
  void backward(const lra_step& step, const Real* dy, Real* dx, Real* const* dparams) const override {
    instance_.backward(step, dy, dx, dparams);
  }
  lra_cost cost(int64_t len) const override { return instance_.cost(len); }
  bool has_after_step() const override { return instance_.variant().table.after_step != nullptr; }
  void after_step(const lra_step& step, Real* const* buffers) const override { instance_.after_step(step, buffers); }

 private:
  Host host_;
  Instance instance_;
};

}  // namespace

nn::MixerSource mixer_source(const Variant& variant, const Options& options, Workers& workers, uint64_t seed) {
  nn::MixerSource source;
  source.own_positions = variant.own_positions;
  source.kernel_flops = variant.table.kernel_flops;
  source.make = [&variant, &workers, seed, values = options.values()](const lra_config& config,
                                                                      nn::Declarer& declarer) {
    auto mixer = std::make_unique<VariantMixer>(variant, workers, seed, config, values);
    mixer->declare(declarer);
    return std::unique_ptr<nn::Mixer>(std::move(mixer));
  };
  return source;
}

}  // namespace lra
