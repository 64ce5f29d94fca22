// What the sources of the encoder share: a layer's indices, the saved blocks of one sequence, the seat of one example.
// Private to the room.
#ifndef LRA_NN_ENCODER_PARTS_H
#define LRA_NN_ENCODER_PARTS_H

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "blas/blas.h"
#include "core/plan.h"
#include "nn/encoder.h"

namespace lra::nn {

// Multiples of the register tile's rows, large enough to pay for packing a transposed weight.
inline constexpr int64_t kRowBlock = 96;        // rows one worker takes at a time
inline constexpr int64_t kBackwardBlock = 192;  // rows whose feed-forward gradients are summed at once
inline constexpr int64_t kWeightBlock = 72;     // rows of a weight gradient one worker takes at a time

// Sites of dropout within a layer; the embedding has one of its own.
enum Site : uint64_t { kSiteEmbedding = 0, kSiteMixer = 1, kSiteHidden = 2, kSiteOutput = 3, kSites = 4 };

inline std::size_t reals(int64_t count) { return aligned(static_cast<std::size_t>(count) * sizeof(Real)); }

// C = A B, A B^T, ... with leading dimensions equal to widths.
inline void multiply(int64_t m, int64_t n, int64_t k, const Real* a, math::Op op_a, const Real* b, math::Op op_b,
                     Real* c, Real beta, const Real* bias) {
  blas::gemm({.m = m,
              .n = n,
              .k = k,
              .a = a,
              .lda = op_a == math::Op::kNone ? k : m,
              .op_a = op_a,
              .b = b,
              .ldb = op_b == math::Op::kNone ? n : k,
              .op_b = op_b,
              .c = c,
              .ldc = n,
              .beta = beta,
              .bias = bias});
}

struct Encoder::Layer {
  std::unique_ptr<Mixer> mixer;
  std::vector<int32_t> mixer_params;       // indices into parameters_
  std::vector<std::size_t> mixer_saved;    // bytes
  std::vector<std::size_t> mixer_scratch;  // bytes, per worker where per_worker
  std::vector<bool> scratch_per_worker;
  int64_t prefix = 0;
  int32_t gain1 = -1, shift1 = -1, gain2 = -1, shift2 = -1, w1 = -1, b1 = -1, w2 = -1, b2 = -1;
};

// Where one sequence keeps what backward needs.
struct Encoder::Pass {
  struct LayerBlocks {
    Real *x, *x1, *h, *mean1, *rstd1, *mean2, *rstd2;
    std::vector<void*> mixer;
  };
  std::vector<LayerBlocks> layers;
  Real *x_last = nullptr, *mean_last = nullptr, *rstd_last = nullptr;
  int64_t rows = 0;

  // What layer l hands on.
  Real* x_after(std::size_t l) const { return l + 1 < layers.size() ? layers[l + 1].x : x_last; }
};

class Encoder::Seat {
 public:
  const Real* values = nullptr;
  Pass passes[2];
  Example example;
  Real *dx = nullptr, *dy = nullptr;          // [max_rows, D]; dy only with dropout
  Real *d_other = nullptr, *mixed = nullptr;  // [max_rows, D], reversible only: gradient of b, result of a mixer
  Real* rows_scratch = nullptr;               // forward: per worker; backward: one block
  std::vector<void*> mixer_scratch;
  std::vector<std::vector<const Real*>> mixer_params;  // per layer
  std::vector<Real*> mixer_gradients;                  // of one layer, refilled per call
  std::vector<std::vector<Real>> head;                 // inputs of each head layer, then the logits
  std::vector<std::vector<Real>> head_gradients;
  std::vector<Real> pooled, pooled_gradient;  // [parts, D]
  std::vector<Real> target_losses;            // of next tokens, one for each row
  double loss = 0;
  double mixer_seconds = 0;

  const Real* value(const Parameters& parameters, int32_t index) const { return parameters.value(index, values); }
};

}  // namespace lra::nn

#endif  // LRA_NN_ENCODER_PARTS_H
