// LRA's pre-LN transformer encoder with an exchangeable token mixer (Tay et al. 2021, arXiv:2011.04006, and its
// released code):
//   x_0 = tokens + positions                      (a CLS row and the mixer's own prefix rows in front)
//   x_l' = x_l + mix(LN(x_l))
//   x_{l+1} = x_l' + W2 gelu(W1 LN(x_l') + b1) + b2
//   (reversible layers: encoder_reversible.cpp)
//   z = pool(LN(x_L));  logits = head(z);  loss = cross-entropy + the mixers' auxiliary losses
// Of a task of next tokens every row has logits, head(LN(x_L)), and the loss is the mean over rows.
// One sequence at a time, its true length, no padding. Dropout sits after the embedding, the mixer and both
// feed-forward layers.
#ifndef LRA_NN_ENCODER_H
#define LRA_NN_ENCODER_H

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/parallel.h"
#include "core/real.h"
#include "nn/mixer.h"
#include "nn/parameters.h"
#include "nn/spec.h"

namespace lra::nn {

// One labelled example; a pair has both parts. Tokens are borrowed until the example's backward is done.
struct Example {
  std::span<const uint16_t> parts[2];
  int32_t label = 0;
  uint64_t step = 0;      // optimizer steps done so far
  uint64_t number = 0;    // of the example in the run: with step, the key of its noise
  bool training = false;  // dropout on, backward may follow
};

struct Outcome {
  double loss = 0;  // cross-entropy, the mean over targets, plus auxiliary losses
  double auxiliary = 0;
  int64_t targets = 1;  // 1 label, or one for each row
  int64_t hits = 0;     // targets that were predicted
};

class Encoder {
 public:
  // `workers` may be used inside a sequence by at most `inner_workers` of them. Throws Error(kUsage) for a shape that
  // does not fit, or what the mixer refuses.
  Encoder(const ModelSpec& model, const Input& input, const MixerSource& mixers, uint64_t seed, Workers& workers,
          int inner_workers);
  ~Encoder();

  const ModelSpec& model() const { return model_; }
  const Parameters& parameters() const { return parameters_; }
  // Bytes that one example in flight needs from forward to backward / during a call / fixed tables of the encoder
  // itself.
  std::size_t saved_bytes() const { return saved_bytes_; }
  std::size_t scratch_bytes() const { return scratch_bytes_; }
  std::size_t table_bytes() const { return positions_.size() * sizeof(Real); }
  // FLOPs done so far in this program by the harness's and the mixers' kernels.
  uint64_t kernel_flops() const;
  // Learned numbers of all mixers together.
  int64_t mixer_parameters() const;

  // Everything one example in flight needs. Not shared between threads. saved, scratch: 64-byte aligned, borrowed for
  // its life.
  class Seat;
  std::shared_ptr<Seat> make_seat(const Real* values, void* saved, void* scratch) const;

  Outcome forward(Seat& seat, const Example& example) const;
  // Of the seat's last forward, which must have been a training one; once, because saved blocks are written over as
  // they become dead. gradients: Parameters::gradients_size(), +=.
  void backward(Seat& seat, Real* gradients) const;
  // Logits of the last forward, [classes]. Not of a task of next tokens.
  std::span<const Real> logits(const Seat& seat) const;
  // Cross-entropy of each target of the last forward, in nats. Of a task of next tokens: [tokens - 1]; else empty.
  std::span<const Real> target_losses(const Seat& seat) const;
  // Seconds spent inside mixers since the seat was made or last asked.
  static double take_mixer_seconds(Seat& seat);

  bool has_after_step() const;
  // Lets mixers update their buffers in `values`; statistics come from `gradients`. step: optimizer steps done, 0
  // before the first.
  void after_step(uint64_t step, Real* values, const Real* gradients) const;

  // Analytic FLOPs of one sequence of `tokens` tokens (both parts of a pair counted apart), mixers included.
  double forward_flops(int64_t tokens) const;
  double backward_flops(int64_t tokens) const;
  lra_cost mixer_cost(int64_t tokens) const;  // summed over layers
  // Rows that a sequence of so many tokens has inside; of next tokens, the last one is only a target.
  int64_t rows(int64_t tokens) const { return tokens + prefix_ - (input_.next_token ? 1 : 0); }

 private:
  struct Layer;
  struct Pass;  // where the saved blocks of one sequence lie

  double head_flops(int64_t tokens) const;  // one product of each head layer
  void declare_model();
  void declare_layers(const MixerSource& mixers, int inner_workers);
  void make_position_table();
  void lay_out_memory(int inner_workers);
  int32_t add_parameter(const std::string& name, int64_t rows, int64_t cols, int32_t init, double scale, bool decay);

  void encode(Seat& seat, int part, const Example& example) const;
  void encode_backward(Seat& seat, int part, Real* gradients) const;
  void embed(Seat& seat, const Pass& pass, int part, const Example& example) const;
  void embed_backward(Seat& seat, const Pass& pass, int part, Real* dx, Real* gradients) const;
  void layer_forward(Seat& seat, Pass& pass, int part, std::size_t l) const;
  void layer_backward(Seat& seat, Pass& pass, int part, std::size_t l, Real* dx, Real* gradients) const;
  // dx += the gradient through LN and feed-forward layers of d_out_rows, which may be dx.
  void feed_forward_backward(Seat& seat, const Pass& pass, int part, std::size_t l, const Real* d_out_rows, Real* dx,
                             Real* gradients) const;
  // dx += the gradient through LN and mixer of dy, which may be dx; normed and dn are room for [N, D].
  struct MixerRows {
    const Real* dy;
    Real *normed, *dn, *dx;
  };
  void mixer_backward(Seat& seat, const Pass& pass, int part, std::size_t l, const MixerRows& io,
                      Real* gradients) const;
  void reversible_start(const Pass& pass) const;
  void reversible_end(const Pass& pass) const;
  void reversible_forward(Seat& seat, const Pass& pass, int part, std::size_t l) const;
  void reversible_backward(Seat& seat, const Pass& pass, int part, Real* dx, Real* gradients) const;
  double add_mixed(Seat& seat, const Pass& pass, int part, std::size_t l, Real sign) const;
  void add_fed_forward(Seat& seat, const Pass& pass, int part, std::size_t l, Real sign) const;
  void pool(Seat& seat, const Pass& pass, int part) const;
  void pool_backward(Seat& seat, const Pass& pass, int part, Real* dx, Real* gradients) const;
  double head(Seat& seat, int32_t label) const;
  void next_tokens(Seat& seat, Outcome& outcome) const;
  void next_tokens_backward(Seat& seat, Real* dx, Real* gradients) const;
  // Logits of rows [row, row + rows): normed [rows, D] and scores [rows, classes] are written.
  void row_scores(Seat& seat, int64_t row, int64_t rows, Real* normed, Real* scores) const;
  // Row r of the sequence predicts this token.
  uint16_t target(const Seat& seat, int64_t row) const;
  void head_backward(Seat& seat, Real* gradients) const;
  void drop(const Seat& seat, int part, uint64_t site, int64_t first_row, int64_t rows, int64_t width, Real* x) const;
  lra_step mixer_step(const Seat& seat, const Pass& pass, std::size_t l, const Real* x) const;

  ModelSpec model_;
  Input input_;
  uint64_t seed_;
  Workers& workers_;
  Parameters parameters_;
  std::vector<Layer> layers_;
  std::vector<Real> positions_;  // sinusoids [rows, D]; empty for learned ones
  int64_t prefix_ = 0;           // CLS plus the mixer's own rows
  int64_t max_rows_ = 0;
  bool add_positions_ = true;
  std::function<uint64_t()> mixer_kernel_flops_;
  int32_t tokens_ = -1, cls_ = -1, prefix_rows_ = -1, position_rows_ = -1, position_columns_ = -1;
  int64_t axial_width_ = 0;  // columns of the axial grid
  int32_t final_gain_ = -1, final_shift_ = -1;
  std::vector<int64_t> head_widths_;  // in, hidden ..., classes
  std::vector<int32_t> head_weights_, head_biases_;
  std::vector<std::size_t> mixer_scratch_;  // bytes of each scratch index of layer 0; layers agree or take the larger
  int64_t row_width_ = 0;                   // scratch elements of one row in forward
  std::size_t saved_bytes_ = 0, scratch_bytes_ = 0, pass_bytes_ = 0;
};

}  // namespace lra::nn

#endif  // LRA_NN_ENCODER_H
