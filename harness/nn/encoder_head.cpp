// What is read off the last layer, forward and backward.
//   a label:      z = mean | first | last row of LN(x_L);  logits = head(z), of a pair head([a, b, a b, a - b]) or
//                 head([a, b])
//   next tokens:  logits_i = LN(x_L)_i W + b for every row i;  loss = mean_i (log sum exp(logits_i) -
//   logits_i[t_{i+1}])
#include <cmath>
#include <cstring>
#include <numeric>

#include "core/error.h"
#include "math/elementwise.h"
#include "nn/encoder_parts.h"

namespace lra::nn {
namespace {

// s becomes softmax(s); returns log sum exp(s).
Real softmax(int64_t n, Real* s) {
  const Real largest = *std::max_element(s, s + n);
  for (int64_t c = 0; c < n; ++c) s[c] -= largest;
  math::exp(n, s, s);
  const Real sum = std::accumulate(s, s + n, Real{0});
  math::scale(n, Real{1} / sum, s);
  return largest + std::log(sum);
}

}  // namespace

void Encoder::pool(Seat& seat, const Pass& pass, int part) const {
  const int64_t dim = model_.dim;
  const int64_t first = model_.pool == Pool::kMean ? prefix_ : model_.pool == Pool::kCls ? 0 : pass.rows - 1;
  const int64_t last = model_.pool == Pool::kCls ? 1 : pass.rows;
  Real* pooled = seat.pooled.data() + part * dim;
  std::fill(pooled, pooled + dim, Real{0});
  for (int64_t begin = first; begin < last; begin += kRowBlock) {
    const int64_t count = std::min(kRowBlock, last - begin);
    math::layer_norm(count, dim, pass.x_last + begin * dim, seat.value(parameters_, final_gain_),
                     seat.value(parameters_, final_shift_), static_cast<Real>(model_.norm_eps), seat.rows_scratch,
                     pass.mean_last + begin, pass.rstd_last + begin);
    math::column_sums(count, dim, seat.rows_scratch, dim, pooled);
  }
  math::scale(dim, Real{1} / static_cast<Real>(last - first), pooled);
}

double Encoder::head(Seat& seat, int32_t label) const {
  const auto dim = static_cast<std::size_t>(model_.dim);
  std::vector<Real>& in = seat.head[0];
  std::copy(seat.pooled.begin(), seat.pooled.end(), in.begin());  // [a] or [a, b]
  if (input_.pair && model_.interaction == Interaction::kNli) {
    for (std::size_t c = 0; c < dim; ++c) {
      in[2 * dim + c] = seat.pooled[c] * seat.pooled[dim + c];
      in[3 * dim + c] = seat.pooled[c] - seat.pooled[dim + c];
    }
  }
  for (std::size_t i = 0; i < head_weights_.size(); ++i) {
    multiply(1, head_widths_[i + 1], head_widths_[i], seat.head[i].data(), math::Op::kNone,
             seat.value(parameters_, head_weights_[i]), math::Op::kNone, seat.head[i + 1].data(), 0,
             seat.value(parameters_, head_biases_[i]));
    if (i + 1 == head_weights_.size()) break;
    for (Real& unit : seat.head[i + 1]) unit = std::max(unit, Real{0});
  }
  const std::vector<Real>& scores = seat.head.back();
  LRA_ASSERT(label >= 0 && label < input_.classes);
  const auto largest = static_cast<double>(*std::max_element(scores.begin(), scores.end()));
  double sum = 0;
  for (const Real score : scores) sum += std::exp(static_cast<double>(score) - largest);
  const double log_sum = largest + std::log(sum);
  for (std::size_t c = 0; c < scores.size(); ++c) {
    const double p = std::exp(static_cast<double>(scores[c]) - log_sum);
    seat.head_gradients.back()[c] = static_cast<Real>(p - (static_cast<int32_t>(c) == label ? 1.0 : 0.0));
  }
  return log_sum - static_cast<double>(scores[static_cast<std::size_t>(label)]);
}

std::span<const Real> Encoder::logits(const Seat& seat) const { return seat.head.back(); }

double Encoder::take_mixer_seconds(Seat& seat) { return std::exchange(seat.mixer_seconds, 0.0); }

void Encoder::pool_backward(Seat& seat, const Pass& pass, int part, Real* dx, Real* gradients) const {
  const int64_t dim = model_.dim;
  const int64_t first = model_.pool == Pool::kMean ? prefix_ : model_.pool == Pool::kCls ? 0 : pass.rows - 1;
  const int64_t last = model_.pool == Pool::kCls ? 1 : pass.rows;
  std::memset(dx, 0, static_cast<std::size_t>(pass.rows * dim) * sizeof(Real));
  Real* pooled = seat.pooled_gradient.data() + part * dim;
  math::scale(dim, Real{1} / static_cast<Real>(last - first), pooled);
  for (int64_t r = first; r < last; ++r)
    std::memcpy(dx + r * dim, pooled, static_cast<std::size_t>(dim) * sizeof(Real));
  math::layer_norm_backward(last - first, dim, pass.x_last + first * dim, seat.value(parameters_, final_gain_),
                            pass.mean_last + first, pass.rstd_last + first, dx + first * dim, dx + first * dim,
                            parameters_.gradient(final_gain_, gradients),
                            parameters_.gradient(final_shift_, gradients));
}

void Encoder::head_backward(Seat& seat, Real* gradients) const {
  for (std::size_t i = head_weights_.size(); i-- > 0;) {
    const std::vector<Real>& out = seat.head_gradients[i + 1];
    const int64_t in_width = head_widths_[i];
    const int64_t out_width = head_widths_[i + 1];
    multiply(in_width, out_width, 1, seat.head[i].data(), math::Op::kTranspose, out.data(), math::Op::kNone,
             parameters_.gradient(head_weights_[i], gradients), 1, nullptr);
    math::axpy(out_width, Real{1}, out.data(), parameters_.gradient(head_biases_[i], gradients));
    multiply(1, in_width, out_width, out.data(), math::Op::kNone, seat.value(parameters_, head_weights_[i]),
             math::Op::kTranspose, seat.head_gradients[i].data(), 0, nullptr);
    if (i == 0) break;
    for (std::size_t c = 0; c < seat.head[i].size(); ++c) {
      if (seat.head[i][c] <= 0) seat.head_gradients[i][c] = 0;
    }
  }
  const auto dim = static_cast<std::size_t>(model_.dim);
  const std::vector<Real>& d = seat.head_gradients[0];
  std::copy(d.begin(), d.begin() + static_cast<std::ptrdiff_t>(seat.pooled.size()), seat.pooled_gradient.begin());
  if (input_.pair && model_.interaction == Interaction::kNli) {
    for (std::size_t c = 0; c < dim; ++c) {
      seat.pooled_gradient[c] += d[2 * dim + c] * seat.pooled[dim + c] + d[3 * dim + c];
      seat.pooled_gradient[dim + c] += d[2 * dim + c] * seat.pooled[c] - d[3 * dim + c];
    }
  }
}

// ---- Next tokens

uint16_t Encoder::target(const Seat& seat, int64_t row) const {
  return seat.example.parts[0][static_cast<std::size_t>(row - prefix_ + 1)];
}

std::span<const Real> Encoder::target_losses(const Seat& seat) const {
  if (!input_.next_token) return {};
  return {seat.target_losses.data(), static_cast<std::size_t>(seat.passes[0].rows - prefix_)};
}

void Encoder::next_tokens(Seat& seat, Outcome& outcome) const {
  const Pass& pass = seat.passes[0];
  const int64_t dim = model_.dim, classes = input_.classes, targets = pass.rows - prefix_;
  std::vector<int64_t> hits(static_cast<std::size_t>((targets + kRowBlock - 1) / kRowBlock));
  workers_.for_chunks(targets, kRowBlock, [&](int64_t begin, int64_t end, int worker) {
    Real* normed = seat.rows_scratch + worker * kRowBlock * row_width_;
    Real* scores = normed + kRowBlock * dim;
    const int64_t row = prefix_ + begin;
    row_scores(seat, row, end - begin, normed, scores);
    for (int64_t r = 0; r < end - begin; ++r) {
      Real* s = scores + r * classes;
      const int64_t wanted = target(seat, row + r);
      LRA_ASSERT(wanted < classes);
      const Real score = s[wanted];
      const Real* best = std::max_element(s, s + classes);
      hits[static_cast<std::size_t>(begin / kRowBlock)] += best - s == wanted ? 1 : 0;
      seat.target_losses[static_cast<std::size_t>(begin + r)] = softmax(classes, s) - score;
    }
  });
  for (int64_t i = 0; i < targets; ++i)
    outcome.loss += static_cast<double>(seat.target_losses[static_cast<std::size_t>(i)]);
  outcome.loss /= static_cast<double>(targets);
  outcome.targets = targets;
  outcome.hits = std::accumulate(hits.begin(), hits.end(), int64_t{0});
}

void Encoder::next_tokens_backward(Seat& seat, Real* dx, Real* gradients) const {
  const Pass& pass = seat.passes[0];
  const int64_t dim = model_.dim, classes = input_.classes;
  const Real* weight = seat.value(parameters_, head_weights_[0]);
  const Real share = Real{1} / static_cast<Real>(pass.rows - prefix_);
  Real* normed = seat.rows_scratch;               // [block, D]
  Real* dscores = normed + kBackwardBlock * dim;  // [block, classes]
  std::memset(dx, 0, static_cast<std::size_t>(prefix_ * dim) * sizeof(Real));
  for (int64_t block = prefix_; block < pass.rows; block += kBackwardBlock) {
    const int64_t rows = std::min(kBackwardBlock, pass.rows - block);
    workers_.for_chunks(rows, kRowBlock, [&](int64_t begin, int64_t end, int) {
      const int64_t count = end - begin;
      Real* ds = dscores + begin * classes;
      row_scores(seat, block + begin, count, normed + begin * dim, ds);
      for (int64_t r = 0; r < count; ++r) {
        softmax(classes, ds + r * classes);
        ds[r * classes + target(seat, block + begin + r)] -= 1;
      }
      math::scale(count * classes, share, ds);  // ds = (softmax - one-hot) / rows
      multiply(count, dim, classes, ds, math::Op::kNone, weight, math::Op::kTranspose, dx + (block + begin) * dim, 0,
               nullptr);  // dn = ds W^T
    });
    workers_.for_chunks(dim, kWeightBlock, [&](int64_t begin, int64_t end, int) {
      blas::gemm({.m = end - begin,
                  .n = classes,
                  .k = rows,
                  .a = normed + begin,
                  .lda = dim,
                  .op_a = math::Op::kTranspose,
                  .b = dscores,
                  .ldb = classes,
                  .c = parameters_.gradient(head_weights_[0], gradients) + begin * classes,
                  .ldc = classes,
                  .beta = 1});  // dW += n^T ds
    });
    math::column_sums(rows, classes, dscores, classes, parameters_.gradient(head_biases_[0], gradients));
    math::layer_norm_backward(rows, dim, pass.x_last + block * dim, seat.value(parameters_, final_gain_),
                              pass.mean_last + block, pass.rstd_last + block, dx + block * dim, dx + block * dim,
                              parameters_.gradient(final_gain_, gradients),
                              parameters_.gradient(final_shift_, gradients));
  }
}

void Encoder::row_scores(Seat& seat, int64_t row, int64_t rows, Real* normed, Real* scores) const {
  const Pass& pass = seat.passes[0];
  math::layer_norm(rows, model_.dim, pass.x_last + row * model_.dim, seat.value(parameters_, final_gain_),
                   seat.value(parameters_, final_shift_), static_cast<Real>(model_.norm_eps), normed,
                   pass.mean_last + row, pass.rstd_last + row);
  multiply(rows, input_.classes, model_.dim, normed, math::Op::kNone, seat.value(parameters_, head_weights_[0]),
           math::Op::kNone, scores, 0, seat.value(parameters_, head_biases_[0]));
}

}  // namespace lra::nn
