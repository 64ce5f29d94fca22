// The encoder's shape and starting point: everything about the model that is not the token mixer.
#ifndef LRA_NN_SPEC_H
#define LRA_NN_SPEC_H

#include <cstdint>

#include "core/json_fwd.h"

namespace lra::nn {

// What enters and leaves: from the task.
struct Input {
  int64_t vocab = 0, classes = 0;
  int64_t max_len = 0;            // tokens of one sequence at most
  int64_t height = 0, width = 0;  // > 0: an image, row by row
  bool pair = false;              // an example is two sequences, encoded by the same weights
  bool next_token = false;        // every row predicts the token after it; classes = vocab, there is no label
};

enum class Positions { kLearned, kSinusoidal, kSinusoidal2d, kAxial, kNone };
enum class Pool { kMean, kCls, kLast };
enum class Head { kLinear, kMlp };
enum class Interaction { kNli, kConcat };    // of a pair: [a, b, a*b, a-b] or [a, b]
enum class Init { kScaledNormal, kXavier };  // N(0, 1/in), residual outputs / sqrt(2 layers); or Glorot uniform
enum class TokenInit { kNormal, kSmooth };   // kSmooth: neighbouring gray levels start with similar vectors
enum class Activation { kGeluTanh, kGeluErf };
// kReversible: two streams, and memory for one layer only; see encoder_reversible.cpp.
enum class Residual { kPlain, kReversible };

struct ModelSpec {
  int64_t layers = 2, dim = 64, heads = 2, mlp = 128;
  int64_t qkv_dim = 0;  // inner width of attention, heads * head width; 0: dim
  bool causal = false;
  bool bias = true;  // of the attention projections; the feed-forward and head layers always have them
  Positions positions = Positions::kSinusoidal;
  double position_base = 10000;  // longest wavelength / 2 pi of the sinusoids
  double position_rms = 0.7071;  // root mean square of sinusoids
  double position_std = 0.02;    // of learned and axial tables at the start
  double token_std = 0.5;        // of token vectors at the start
  TokenInit token_init = TokenInit::kNormal;
  Init init = Init::kScaledNormal;
  double qk_alignment = 0;  // in [0, 1): W_k starts as a * W_q + sqrt(1 - a^2) * noise
  Pool pool = Pool::kMean;
  Head head = Head::kLinear;
  int64_t head_hidden = 0;  // 0: mlp
  Interaction interaction = Interaction::kNli;
  Activation activation = Activation::kGeluTanh;
  Residual residual = Residual::kPlain;
  double dropout = 0;  // after the embedding, the mixer and both feed-forward layers
  double norm_eps = 1e-6;

  int64_t inner() const { return qkv_dim > 0 ? qkv_dim : dim; }
  int64_t hidden() const { return head_hidden > 0 ? head_hidden : mlp; }
  int64_t cls_rows() const { return pool == Pool::kCls ? 1 : 0; }
  bool reversible() const { return residual == Residual::kReversible; }
};

// Throws Error(kUsage) naming the field, what was found and what is wanted.
void validate(const ModelSpec& model, const Input& input);

// Names as users write them; unknown or ill-typed fields are Error(kUsage). from_json changes only what the object
// names.
Json to_json(const ModelSpec& model);
void from_json(const Json& json, ModelSpec& model);

}  // namespace lra::nn

#endif  // LRA_NN_SPEC_H
