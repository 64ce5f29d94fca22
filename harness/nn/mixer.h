// The token-mixing sublayer as the encoder sees it. The plugin room provides mixers; the encoder knows nothing of
// libraries.
#ifndef LRA_NN_MIXER_H
#define LRA_NN_MIXER_H

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "abi/attention.h"
#include "core/real.h"

namespace lra::nn {

// What a mixer asks for while it is made; see lra_declarer for the meaning of each call. Throws Error on nonsense.
class Declarer {
 public:
  virtual ~Declarer() = default;
  virtual int32_t param(const lra_param_spec& spec) = 0;
  virtual int32_t saved(const std::string& name, std::size_t bytes) = 0;
  virtual int32_t scratch(const std::string& name, std::size_t bytes, bool per_worker) = 0;
  virtual void prefix_rows(int64_t rows) = 0;
};

// Immutable after it is made; forward and backward run on several threads at once, each with a step of its own.
// They throw Error with the mixer's own sentence.
class Mixer {
 public:
  virtual ~Mixer() = default;
  virtual void forward(const lra_step& step, Real* y, Real* aux_loss) const = 0;
  virtual void backward(const lra_step& step, const Real* dy, Real* dx, Real* const* dparams) const = 0;
  virtual lra_cost cost(int64_t len) const = 0;
  virtual bool has_after_step() const = 0;
  virtual void after_step(const lra_step& step, Real* const* buffers) const = 0;
};

struct MixerSource {
  // config.options is left null: the source knows the values.
  std::function<std::unique_ptr<Mixer>(const lra_config& config, Declarer& declarer)> make;
  bool own_positions = false;
  // FLOPs done by the mixers' own kernels so far; 0 if they only use the harness's.
  std::function<uint64_t()> kernel_flops = [] { return uint64_t{0}; };
};

}  // namespace lra::nn

#endif  // LRA_NN_MIXER_H
