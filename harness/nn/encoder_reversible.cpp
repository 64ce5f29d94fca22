// Layers whose inputs can be computed from their outputs, so that one layer's saved blocks serve them all (Gomez et al.
// 2017, arXiv:1707.04585; in transformers Kitaev et al. 2020, arXiv:2001.04451):
//   a = b = x_0;   in each layer a += mix(LN(b)), then b += W2 gelu(W1 LN(a) + b1) + b2;   x_L = (a + b) / 2
// Backward goes the other way: b -= FF(LN(a)) gives the b that the layer saw, a -= mix(LN(b)) the a. All noise is a
// function of the example, so that both are what they were up to rounding.
//   FF:  da += LN'(FF'(db));   mix:  db += LN'(mix'(da))
// In each layer's saved blocks x is b and x1 is a.
#include <cstring>

#include "core/clock.h"
#include "math/elementwise.h"
#include "nn/encoder_parts.h"

namespace lra::nn {

void Encoder::reversible_start(const Pass& pass) const {
  const Pass::LayerBlocks& saved = pass.layers.front();
  std::memcpy(saved.x1, saved.x, static_cast<std::size_t>(pass.rows * model_.dim) * sizeof(Real));
}

void Encoder::reversible_end(const Pass& pass) const {
  const Pass::LayerBlocks& saved = pass.layers.back();
  const int64_t count = pass.rows * model_.dim;
  math::add(count, saved.x, saved.x1, pass.x_last);
  math::scale(count, Real(0.5), pass.x_last);
}

void Encoder::reversible_forward(Seat& seat, const Pass& pass, int part, std::size_t l) const {
  seat.loss += add_mixed(seat, pass, part, l, Real{1});
  add_fed_forward(seat, pass, part, l, Real{1});
}

void Encoder::reversible_backward(Seat& seat, const Pass& pass, int part, Real* dx, Real* gradients) const {
  const int64_t count = pass.rows * model_.dim;
  Real *da = dx, *db = seat.d_other;
  math::scale(count, Real(0.5), da);
  std::memcpy(db, da, static_cast<std::size_t>(count) * sizeof(Real));
  for (std::size_t l = layers_.size(); l-- > 0;) {
    add_fed_forward(seat, pass, part, l, Real{-1});
    feed_forward_backward(seat, pass, part, l, db, da, gradients);
    add_mixed(seat, pass, part, l, Real{-1});
    mixer_backward(seat, pass, part, l, {.dy = da, .normed = pass.x_last, .dn = seat.mixed, .dx = db}, gradients);
  }
  math::add(count, da, db, dx);
}

// a += sign mix(LN(b)); returns the auxiliary loss. LN(b) goes to x_last, which is not needed meanwhile.
double Encoder::add_mixed(Seat& seat, const Pass& pass, int part, std::size_t l, Real sign) const {
  const Layer& layer = layers_[l];
  const Pass::LayerBlocks& saved = pass.layers[l];
  const int64_t dim = model_.dim;
  workers_.for_chunks(pass.rows, kRowBlock, [&](int64_t begin, int64_t end, int) {
    math::layer_norm(end - begin, dim, saved.x + begin * dim, seat.value(parameters_, layer.gain1),
                     seat.value(parameters_, layer.shift1), static_cast<Real>(model_.norm_eps),
                     pass.x_last + begin * dim, saved.mean1 + begin, saved.rstd1 + begin);
  });
  Real auxiliary = 0;
  const double start = wall_seconds();
  layer.mixer->forward(mixer_step(seat, pass, l, pass.x_last), seat.mixed, &auxiliary);
  seat.mixer_seconds += wall_seconds() - start;
  workers_.for_chunks(pass.rows, kRowBlock, [&](int64_t begin, int64_t end, int) {
    Real* mixed = seat.mixed + begin * dim;
    drop(seat, part, kSites * (l + 1) + kSiteMixer, begin, end - begin, dim, mixed);
    math::axpy((end - begin) * dim, sign, mixed, saved.x1 + begin * dim);
  });
  return static_cast<double>(auxiliary);
}

// b += sign (W2 gelu(h) + b2), h = W1 LN(a) + b1; h is kept.
void Encoder::add_fed_forward(Seat& seat, const Pass& pass, int part, std::size_t l, Real sign) const {
  const Layer& layer = layers_[l];
  const Pass::LayerBlocks& saved = pass.layers[l];
  const int64_t dim = model_.dim;
  const int64_t mlp = model_.mlp;
  const auto form = model_.activation == Activation::kGeluTanh ? math::Gelu::kTanh : math::Gelu::kErf;
  const auto value = [&](int32_t index) { return seat.value(parameters_, index); };
  workers_.for_chunks(pass.rows, kRowBlock, [&](int64_t begin, int64_t end, int worker) {
    const int64_t count = end - begin;
    Real* normed = seat.rows_scratch + worker * kRowBlock * row_width_;
    Real* out = normed + kRowBlock * dim;
    Real* hidden = out + kRowBlock * dim;
    Real* h = saved.h + begin * mlp;
    math::layer_norm(count, dim, saved.x1 + begin * dim, value(layer.gain2), value(layer.shift2),
                     static_cast<Real>(model_.norm_eps), normed, saved.mean2 + begin, saved.rstd2 + begin);
    multiply(count, mlp, dim, normed, math::Op::kNone, value(layer.w1), math::Op::kNone, h, 0, value(layer.b1));
    math::gelu(count * mlp, h, hidden, form);
    drop(seat, part, kSites * (l + 1) + kSiteHidden, begin, count, mlp, hidden);
    multiply(count, dim, mlp, hidden, math::Op::kNone, value(layer.w2), math::Op::kNone, out, 0, value(layer.b2));
    drop(seat, part, kSites * (l + 1) + kSiteOutput, begin, count, dim, out);
    math::axpy(count * dim, sign, out, saved.x + begin * dim);
  });
}

}  // namespace lra::nn
