// The encoder's forward and backward pass through its layers, one sequence at a time.
//
// Rows are handled in blocks that stay in cache. Inside a sequence, work is split only where the split cannot change a
// bit: over rows of activations, over rows of a weight gradient; sums over rows run in one fixed order.
#include <cstring>

#include "core/clock.h"
#include "core/error.h"
#include "core/rng.h"
#include "math/elementwise.h"
#include "nn/encoder_parts.h"

namespace lra::nn {

// ---- Forward -----------------------------------------------------------------------------------------------------

Outcome Encoder::forward(Seat& seat, const Example& example) const {
  seat.example = example;
  seat.loss = 0;
  const int parts = input_.pair ? 2 : 1;
  for (int part = 0; part < parts; ++part) encode(seat, part, example);
  Outcome outcome;
  outcome.auxiliary = seat.loss;
  if (input_.next_token) {
    next_tokens(seat, outcome);
  } else {
    outcome.loss = head(seat, example.label);
    const auto scores = logits(seat);
    outcome.hits = std::max_element(scores.begin(), scores.end()) - scores.begin() == example.label ? 1 : 0;
  }
  outcome.loss += outcome.auxiliary;
  return outcome;
}

void Encoder::encode(Seat& seat, int part, const Example& example) const {
  Pass& pass = seat.passes[part];
  const auto tokens = static_cast<int64_t>(example.parts[part].size());
  LRA_ASSERT(tokens >= (input_.next_token ? 2 : 1) && tokens <= input_.max_len);
  pass.rows = rows(tokens);
  embed(seat, pass, part, example);
  if (model_.reversible()) {
    reversible_start(pass);
    for (std::size_t l = 0; l < layers_.size(); ++l) reversible_forward(seat, pass, part, l);
    reversible_end(pass);
  } else {
    for (std::size_t l = 0; l < layers_.size(); ++l) layer_forward(seat, pass, part, l);
  }
  if (!input_.next_token) pool(seat, pass, part);
}

void Encoder::embed(Seat& seat, const Pass& pass, int part, const Example& example) const {
  const int64_t dim = model_.dim;
  Real* x = pass.layers.empty() ? pass.x_last : pass.layers[0].x;
  const Real* table = seat.value(parameters_, tokens_);
  const std::span<const uint16_t> tokens = example.parts[part];
  workers_.for_chunks(pass.rows, 4 * kRowBlock, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      Real* out = x + r * dim;
      const Real* from = nullptr;
      int64_t position = r - (prefix_ - model_.cls_rows());  // the mixer's own rows have none
      if (r < model_.cls_rows()) {
        from = seat.value(parameters_, cls_);
        position = 0;
      } else if (r < prefix_) {
        from = seat.value(parameters_, prefix_rows_) + (r - model_.cls_rows()) * dim;
        position = -1;
      } else {
        const uint16_t token = tokens[static_cast<std::size_t>(r - prefix_)];
        LRA_ASSERT(token < input_.vocab);
        from = table + token * dim;
      }
      if (position < 0 || !add_positions_ || model_.positions == Positions::kNone) {
        std::memcpy(out, from, static_cast<std::size_t>(dim) * sizeof(Real));
      } else if (!positions_.empty()) {
        math::add(dim, from, positions_.data() + position * dim, out);
      } else if (model_.positions == Positions::kLearned) {
        math::add(dim, from, seat.value(parameters_, position_rows_) + position * dim, out);
      } else {
        math::add(dim / 2, from, seat.value(parameters_, position_rows_) + position / axial_width_ * (dim / 2), out);
        math::add(dim / 2, from + dim / 2,
                  seat.value(parameters_, position_columns_) + position % axial_width_ * (dim / 2), out + dim / 2);
      }
    }
    drop(seat, part, kSiteEmbedding, begin, end - begin, dim, x + begin * dim);
  });
}

void Encoder::drop(const Seat& seat, int part, uint64_t site, int64_t first_row, int64_t rows, int64_t width,
                   Real* x) const {
  if (model_.dropout == 0 || !seat.example.training) return;
  const uint64_t key =
      key_of({seed_, name_key("dropout"), seat.example.step, seat.example.number, static_cast<uint64_t>(part), site});
  math::dropout(rows * width, x, model_.dropout, key, static_cast<uint64_t>(first_row * width));
}

lra_step Encoder::mixer_step(const Seat& seat, const Pass& pass, std::size_t l, const Real* x) const {
  lra_step step{};
  step.struct_size = sizeof(step);
  step.len = pass.rows;
  step.prefix = prefix_;
  step.x = x;
  step.params = seat.mixer_params[l].data();
  step.saved = pass.layers[l].mixer.data();
  step.scratch = seat.mixer_scratch.data();
  step.training = seat.example.training ? 1 : 0;
  step.step = seat.example.step;
  step.example = seat.example.number;
  return step;
}

void Encoder::layer_forward(Seat& seat, Pass& pass, int part, std::size_t l) const {
  const Layer& layer = layers_[l];
  const Pass::LayerBlocks& saved = pass.layers[l];
  const int64_t rows = pass.rows;
  const int64_t dim = model_.dim;
  const int64_t mlp = model_.mlp;
  const auto eps = static_cast<Real>(model_.norm_eps);
  const auto site = [l](uint64_t s) { return kSites * (l + 1) + s; };
  const auto value = [&](int32_t index) { return seat.value(parameters_, index); };
  Real* next = pass.x_after(l);
  Real* normed_rows = next;  // LN(x) is dead before the next layer's input is written over it

  workers_.for_chunks(rows, kRowBlock, [&](int64_t begin, int64_t end, int) {
    math::layer_norm(end - begin, dim, saved.x + begin * dim, value(layer.gain1), value(layer.shift1), eps,
                     normed_rows + begin * dim, saved.mean1 + begin, saved.rstd1 + begin);
  });
  Real auxiliary = 0;
  const double start = wall_seconds();
  layer.mixer->forward(mixer_step(seat, pass, l, normed_rows), saved.x1, &auxiliary);
  seat.mixer_seconds += wall_seconds() - start;
  seat.loss += static_cast<double>(auxiliary);

  workers_.for_chunks(rows, kRowBlock, [&](int64_t begin, int64_t end, int worker) {
    const int64_t count = end - begin;
    Real* normed = seat.rows_scratch + worker * kRowBlock * row_width_;
    Real* out = normed + kRowBlock * dim;
    Real* hidden = out + kRowBlock * dim;
    Real* x1 = saved.x1 + begin * dim;
    Real* h = saved.h + begin * mlp;
    drop(seat, part, site(kSiteMixer), begin, count, dim, x1);
    math::add(count * dim, saved.x + begin * dim, x1, x1);  // x' = x + mix(LN(x))
    math::layer_norm(count, dim, x1, value(layer.gain2), value(layer.shift2), eps, normed, saved.mean2 + begin,
                     saved.rstd2 + begin);
    multiply(count, mlp, dim, normed, math::Op::kNone, value(layer.w1), math::Op::kNone, h, 0,
             value(layer.b1));  // h = W1 LN(x')
    math::gelu(count * mlp, h, hidden,
               model_.activation == Activation::kGeluTanh ? math::Gelu::kTanh : math::Gelu::kErf);
    drop(seat, part, site(kSiteHidden), begin, count, mlp, hidden);
    multiply(count, dim, mlp, hidden, math::Op::kNone, value(layer.w2), math::Op::kNone, out, 0, value(layer.b2));
    drop(seat, part, site(kSiteOutput), begin, count, dim, out);
    math::add(count * dim, x1, out, next + begin * dim);  // x'' = x' + W2 gelu(h)
  });
}

// ---- Backward -------------------------------------------------------------------------------------------------

void Encoder::backward(Seat& seat, Real* gradients) const {
  LRA_ASSERT(seat.example.training);
  if (!input_.next_token) head_backward(seat, gradients);
  const int parts = input_.pair ? 2 : 1;
  for (int part = parts - 1; part >= 0; --part) encode_backward(seat, part, gradients);
}

void Encoder::encode_backward(Seat& seat, int part, Real* gradients) const {
  Pass& pass = seat.passes[part];
  if (input_.next_token) {
    next_tokens_backward(seat, seat.dx, gradients);
  } else {
    pool_backward(seat, pass, part, seat.dx, gradients);
  }
  if (model_.reversible()) {
    reversible_backward(seat, pass, part, seat.dx, gradients);
  } else {
    for (std::size_t l = layers_.size(); l-- > 0;) layer_backward(seat, pass, part, l, seat.dx, gradients);
  }
  embed_backward(seat, pass, part, seat.dx, gradients);
}

void Encoder::layer_backward(Seat& seat, Pass& pass, int part, std::size_t l, Real* dx, Real* gradients) const {
  feed_forward_backward(seat, pass, part, l, dx, dx, gradients);  // dx is now the gradient of x'
  // Two saved blocks are dead by now: the next layer's input, and x' of this one.
  mixer_backward(seat, pass, part, l, {.dy = dx, .normed = pass.x_after(l), .dn = pass.layers[l].x1, .dx = dx},
                 gradients);
}

void Encoder::mixer_backward(Seat& seat, const Pass& pass, int part, std::size_t l, const MixerRows& io,
                             Real* gradients) const {
  const Layer& layer = layers_[l];
  const Pass::LayerBlocks& saved = pass.layers[l];
  const int64_t rows = pass.rows;
  const int64_t dim = model_.dim;
  const auto value = [&](int32_t index) { return seat.value(parameters_, index); };
  const Real* dy = io.dy;
  if (model_.dropout > 0) {
    std::memcpy(seat.dy, dy, static_cast<std::size_t>(rows * dim) * sizeof(Real));
    drop(seat, part, kSites * (l + 1) + kSiteMixer, 0, rows, dim, seat.dy);
    dy = seat.dy;
  }
  Real* normed_rows = io.normed;
  Real* dn_rows = io.dn;
  Real* dx = io.dx;
  workers_.for_chunks(rows, kRowBlock, [&](int64_t begin, int64_t end, int) {
    math::layer_norm(end - begin, dim, saved.x + begin * dim, value(layer.gain1), value(layer.shift1),
                     static_cast<Real>(model_.norm_eps), normed_rows + begin * dim, saved.mean1 + begin,
                     saved.rstd1 + begin);
  });
  for (std::size_t i = 0; i < layer.mixer_params.size(); ++i) {
    const int32_t index = layer.mixer_params[i];
    seat.mixer_gradients[i] = parameters_.at(index).has_gradient() ? parameters_.gradient(index, gradients) : nullptr;
  }
  const double start = wall_seconds();
  layer.mixer->backward(mixer_step(seat, pass, l, normed_rows), dy, dn_rows, seat.mixer_gradients.data());
  seat.mixer_seconds += wall_seconds() - start;
  // dx = dx' + LN'(dn), in cache-sized blocks; the gains' gradients are summed in row order.
  for (int64_t begin = 0; begin < rows; begin += kBackwardBlock) {
    const int64_t count = std::min(kBackwardBlock, rows - begin);
    Real* dn = dn_rows + begin * dim;
    math::layer_norm_backward(count, dim, saved.x + begin * dim, value(layer.gain1), saved.mean1 + begin,
                              saved.rstd1 + begin, dn, dn, parameters_.gradient(layer.gain1, gradients),
                              parameters_.gradient(layer.shift1, gradients));
    math::add(count * dim, dx + begin * dim, dn, dx + begin * dim);
  }
}

void Encoder::feed_forward_backward(Seat& seat, const Pass& pass, int part, std::size_t l, const Real* d_out_rows,
                                    Real* dx, Real* gradients) const {
  const Layer& layer = layers_[l];
  const Pass::LayerBlocks& saved = pass.layers[l];
  const int64_t dim = model_.dim;
  const int64_t mlp = model_.mlp;
  const auto form = model_.activation == Activation::kGeluTanh ? math::Gelu::kTanh : math::Gelu::kErf;
  const auto site = [l](uint64_t s) { return kSites * (l + 1) + s; };
  const auto value = [&](int32_t index) { return seat.value(parameters_, index); };
  const auto gradient = [&](int32_t index) { return parameters_.gradient(index, gradients); };
  Real* normed = seat.rows_scratch;             // [block, D]
  Real* d_out = normed + kBackwardBlock * dim;  // [block, D]
  Real* dn = d_out + kBackwardBlock * dim;      // [block, D]
  Real* hidden = dn + kBackwardBlock * dim;     // [block, M]
  Real* dh = hidden + kBackwardBlock * mlp;     // [block, M]

  for (int64_t block = 0; block < pass.rows; block += kBackwardBlock) {
    const int64_t rows = std::min(kBackwardBlock, pass.rows - block);
    workers_.for_chunks(rows, kRowBlock, [&](int64_t begin, int64_t end, int) {
      const int64_t count = end - begin;
      const int64_t row = block + begin;
      const Real* h = saved.h + row * mlp;
      Real* g = hidden + begin * mlp;
      Real* dg = dh + begin * mlp;
      Real* df = d_out + begin * dim;
      math::layer_norm(count, dim, saved.x1 + row * dim, value(layer.gain2), value(layer.shift2),
                       static_cast<Real>(model_.norm_eps), normed + begin * dim, saved.mean2 + row, saved.rstd2 + row);
      math::gelu(count * mlp, h, g, form);
      drop(seat, part, site(kSiteHidden), row, count, mlp, g);
      std::memcpy(df, d_out_rows + row * dim, static_cast<std::size_t>(count * dim) * sizeof(Real));
      drop(seat, part, site(kSiteOutput), row, count, dim, df);
      multiply(count, mlp, dim, df, math::Op::kNone, value(layer.w2), math::Op::kTranspose, dg, 0,
               nullptr);  // dg = df W2^T
      drop(seat, part, site(kSiteHidden), row, count, mlp, dg);
      math::gelu_backward(count * mlp, h, dg, dg, form);  // dh = dg gelu'(h)
      multiply(count, dim, mlp, dg, math::Op::kNone, value(layer.w1), math::Op::kTranspose, dn + begin * dim, 0,
               nullptr);  // dn = dh W1^T
    });
    // Weight gradients: each worker owns some rows of the result and sums over the block's rows in order.
    workers_.for_chunks(mlp, kWeightBlock, [&](int64_t begin, int64_t end, int) {
      blas::gemm({.m = end - begin,
                  .n = dim,
                  .k = rows,
                  .a = hidden + begin,
                  .lda = mlp,
                  .op_a = math::Op::kTranspose,
                  .b = d_out,
                  .ldb = dim,
                  .c = gradient(layer.w2) + begin * dim,
                  .ldc = dim,
                  .beta = 1});  // dW2 += g^T df
    });
    workers_.for_chunks(dim, kWeightBlock, [&](int64_t begin, int64_t end, int) {
      blas::gemm({.m = end - begin,
                  .n = mlp,
                  .k = rows,
                  .a = normed + begin,
                  .lda = dim,
                  .op_a = math::Op::kTranspose,
                  .b = dh,
                  .ldb = mlp,
                  .c = gradient(layer.w1) + begin * mlp,
                  .ldc = mlp,
                  .beta = 1});  // dW1 += n^T dh
    });
    math::column_sums(rows, dim, d_out, dim, gradient(layer.b2));
    math::column_sums(rows, mlp, dh, mlp, gradient(layer.b1));
    math::layer_norm_backward(rows, dim, saved.x1 + block * dim, value(layer.gain2), saved.mean2 + block,
                              saved.rstd2 + block, dn, dn, gradient(layer.gain2), gradient(layer.shift2));
    math::add(rows * dim, dx + block * dim, dn, dx + block * dim);  // dx' = dx'' + LN'(dn)
  }
}

void Encoder::embed_backward(Seat& seat, const Pass& pass, int part, Real* dx, Real* gradients) const {
  const int64_t dim = model_.dim;
  drop(seat, part, kSiteEmbedding, 0, pass.rows, dim, dx);
  Real* table = parameters_.gradient(tokens_, gradients);
  for (int64_t r = 0; r < pass.rows; ++r) {
    const Real* d = dx + r * dim;
    int64_t position = r - (prefix_ - model_.cls_rows());
    if (r < model_.cls_rows()) {
      math::axpy(dim, Real{1}, d, parameters_.gradient(cls_, gradients));
      position = 0;
    } else if (r < prefix_) {
      math::axpy(dim, Real{1}, d, parameters_.gradient(prefix_rows_, gradients) + (r - model_.cls_rows()) * dim);
      position = -1;
    } else {
      math::axpy(dim, Real{1}, d, table + seat.example.parts[part][static_cast<std::size_t>(r - prefix_)] * dim);
    }
    if (position < 0 || position_rows_ < 0) continue;
    if (model_.positions == Positions::kLearned) {
      math::axpy(dim, Real{1}, d, parameters_.gradient(position_rows_, gradients) + position * dim);
    } else {
      math::axpy(dim / 2, Real{1}, d,
                 parameters_.gradient(position_rows_, gradients) + position / axial_width_ * (dim / 2));
      math::axpy(dim / 2, Real{1}, d + dim / 2,
                 parameters_.gradient(position_columns_, gradients) + position % axial_width_ * (dim / 2));
    }
  }
}

}  // namespace lra::nn
