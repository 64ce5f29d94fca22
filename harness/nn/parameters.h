// Every learned or stored number of a model: names, shapes, where it lies, how it starts.
//
// Values:    [ trainable ... | buffers ... ]      one array
// Gradients: [ trainable ... | statistics ... ]   one array per lane
// Starting values depend on (seed, name) alone, so parameters that two variants share by name start from the same
// bytes.
#ifndef LRA_NN_PARAMETERS_H
#define LRA_NN_PARAMETERS_H

#include <cstdint>
#include <string>
#include <vector>

#include "abi/attention.h"
#include "core/real.h"
#include "nn/spec.h"

namespace lra::nn {

struct Parameter {
  std::string name;  // "layer0.mixer.wq"
  int64_t rows = 0, cols = 0;
  int32_t kind = LRA_PARAM_TRAINABLE;
  int32_t init = LRA_INIT_ZERO;
  double init_scale = 0;
  int32_t align_with = -1;  // index of an earlier parameter
  bool decay = false;
  bool token_table = false;  // rows are tokens: ModelSpec::token_init applies
  int64_t offset = 0;        // in elements, in the array its kind says

  int64_t size() const { return rows * cols; }
  bool has_gradient() const { return kind != LRA_PARAM_BUFFER; }
};

// What the names of a mixer's parameters begin with: "layer0.mixer.", or for those that all layers share kSharedMixer.
std::string mixer_prefix(int64_t layer);
inline constexpr const char* kSharedMixer = "layers.mixer.";

class Parameters {
 public:
  // Returns the index. LRA_ASSERTs that the name is new.
  int32_t add(Parameter parameter);
  // Fixes all offsets. No add() afterwards.
  void lay_out();

  const std::vector<Parameter>& all() const { return all_; }
  const Parameter& at(int32_t index) const { return all_[static_cast<std::size_t>(index)]; }
  int64_t trainable_size() const { return trainable_; }                // elements
  int64_t values_size() const { return trainable_ + buffers_; }        // elements
  int64_t gradients_size() const { return trainable_ + statistics_; }  // elements

  const Real* value(int32_t index, const Real* values) const { return values + at(index).offset; }
  Real* value(int32_t index, Real* values) const { return values + at(index).offset; }
  Real* gradient(int32_t index, Real* gradients) const { return gradients + at(index).offset; }

  // Writes all trainable values; buffers become 0 (mixers fill theirs in after_step).
  void initialise(const ModelSpec& model, uint64_t seed, Real* values) const;

 private:
  std::vector<Parameter> all_;
  int64_t trainable_ = 0, buffers_ = 0, statistics_ = 0;
};

}  // namespace lra::nn

#endif  // LRA_NN_PARAMETERS_H
