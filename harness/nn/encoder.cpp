// The encoder's memory plan and its forward and backward pass, one sequence at a time.
//
// Rows are handled in blocks that stay in cache. Inside a sequence, work is split only where the split cannot change a
// bit: over rows of activations, over rows of a weight gradient; sums over rows run in one fixed order.
#include "nn/encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "blas/blas.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/plan.h"
#include "core/rng.h"
#include "math/elementwise.h"

namespace lra::nn {
namespace {

// Multiples of the register tile's rows, large enough to pay for packing a transposed weight.
constexpr int64_t kRowBlock = 96;        // rows one worker takes at a time
constexpr int64_t kBackwardBlock = 192;  // rows whose feed-forward gradients are summed at once
constexpr int64_t kWeightBlock = 72;     // rows of a weight gradient one worker takes at a time

// Sites of dropout within a layer; the embedding has one of its own.
enum Site : uint64_t { kSiteEmbedding = 0, kSiteMixer = 1, kSiteHidden = 2, kSiteOutput = 3, kSites = 4 };

std::size_t reals(int64_t count) { return aligned(static_cast<std::size_t>(count) * sizeof(Real)); }

// C = A B, A B^T, ... with leading dimensions equal to widths.
void multiply(int64_t m, int64_t n, int64_t k, const Real* a, math::Op op_a, const Real* b, math::Op op_b, Real* c,
              Real beta, const Real* bias) {
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

}  // namespace

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
  Real *dx = nullptr, *dy = nullptr;  // [max_rows, D]; dy only with dropout
  Real* rows_scratch = nullptr;       // forward: per worker; backward: one block
  std::vector<void*> mixer_scratch;
  std::vector<std::vector<const Real*>> mixer_params;  // per layer
  std::vector<Real*> mixer_gradients;                  // of one layer, refilled per call
  std::vector<std::vector<Real>> head;                 // inputs of each head layer, then the logits
  std::vector<std::vector<Real>> head_gradients;
  std::vector<Real> pooled, pooled_gradient;  // [parts, D]
  double loss = 0;
  double mixer_seconds = 0;

  const Real* value(const Parameters& parameters, int32_t index) const { return parameters.value(index, values); }
};

// Records what one mixer declares.
class LayerDeclarer : public Declarer {
 public:
  LayerDeclarer(Parameters& parameters, std::string prefix, std::vector<int32_t>& params,
                std::vector<std::size_t>& saved, std::vector<std::size_t>& scratch, std::vector<bool>& per_worker,
                int64_t& prefix_count)
      : parameters_(parameters),
        prefix_(std::move(prefix)),
        params_(params),
        saved_(saved),
        scratch_(scratch),
        per_worker_(per_worker),
        prefix_count_(prefix_count) {}

  int32_t param(const lra_param_spec& spec) override {
    const std::string name = prefix_ + spec.name;
    for (const Parameter& other : parameters_.all()) {
      if (other.name == name) throw Error(ErrorKind::kPlugin, fmt::format("{}: declared twice", name));
    }
    const auto local = static_cast<int32_t>(params_.size());
    if (spec.rows < 1 || spec.cols < 1)
      throw Error(ErrorKind::kPlugin, fmt::format("{}: has no elements ({} x {})", name, spec.rows, spec.cols));
    if (spec.align_with >= local)
      throw Error(ErrorKind::kPlugin, fmt::format("{}: aligned with a parameter not yet declared", name));
    Parameter p;
    p.name = name;
    p.rows = spec.rows;
    p.cols = spec.cols;
    p.kind = spec.kind;
    p.init = spec.init;
    p.init_scale = spec.init_scale;
    p.align_with = spec.align_with < 0 ? -1 : params_[static_cast<std::size_t>(spec.align_with)];
    p.decay = spec.decay != 0;
    params_.push_back(parameters_.add(std::move(p)));
    return local;
  }
  int32_t saved(const std::string&, std::size_t bytes) override {
    saved_.push_back(bytes);
    return static_cast<int32_t>(saved_.size() - 1);
  }
  int32_t scratch(const std::string&, std::size_t bytes, bool per_worker) override {
    scratch_.push_back(bytes);
    per_worker_.push_back(per_worker);
    return static_cast<int32_t>(scratch_.size() - 1);
  }
  void prefix_rows(int64_t rows) override { prefix_count_ = rows; }

 private:
  Parameters& parameters_;
  std::string prefix_;
  std::vector<int32_t>& params_;
  std::vector<std::size_t>& saved_;
  std::vector<std::size_t>& scratch_;
  std::vector<bool>& per_worker_;
  int64_t& prefix_count_;
};

// ---- Declaration ----------------------------------------------------------------------------------------------

Encoder::Encoder(const ModelSpec& model, const Input& input, const MixerSource& mixers, uint64_t seed, Workers& workers,
                 int inner_workers)
    : model_(model),
      input_(input),
      seed_(seed),
      workers_(workers),
      add_positions_(!mixers.own_positions),
      mixer_kernel_flops_(mixers.kernel_flops) {
  validate(model, input);
  declare_layers(mixers, inner_workers);
  declare_model();
  parameters_.lay_out();
  make_position_table();
  lay_out_memory(inner_workers);
}

Encoder::~Encoder() = default;

int32_t Encoder::add_parameter(const std::string& name, int64_t rows, int64_t cols, int32_t init, double scale,
                               bool decay) {
  Parameter p;
  p.name = name;
  p.rows = rows;
  p.cols = cols;
  p.init = init;
  p.init_scale = scale;
  p.decay = decay;
  return parameters_.add(std::move(p));
}

void Encoder::declare_layers(const MixerSource& mixers, int inner_workers) {
  lra_config config{};
  config.struct_size = sizeof(config);
  config.max_len = input_.max_len + model_.cls_rows();
  config.dim = model_.dim;
  config.heads = model_.heads;
  config.head_dim = model_.inner() / model_.heads;
  config.layer_count = model_.layers;
  config.causal = model_.causal ? 1 : 0;
  config.bias = model_.bias ? 1 : 0;
  config.worker_count = inner_workers;
  {
    // A first try tells how many prefix rows the mixer wants; its own length limit must include them.
    Parameters ignored;
    Layer trial;
    LayerDeclarer declarer(ignored, "", trial.mixer_params, trial.mixer_saved, trial.mixer_scratch,
                           trial.scratch_per_worker, trial.prefix);
    trial.mixer = mixers.make(config, declarer);
    prefix_ = model_.cls_rows() + trial.prefix;
  }
  max_rows_ = input_.max_len + prefix_;
  config.max_len = max_rows_;
  layers_.resize(static_cast<std::size_t>(model_.layers));
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    Layer& layer = layers_[l];
    const std::string name = fmt::format("layer{}.", l);
    layer.gain1 = add_parameter(name + "norm1.gain", 1, model_.dim, LRA_INIT_ONE, 0, false);
    layer.shift1 = add_parameter(name + "norm1.shift", 1, model_.dim, LRA_INIT_ZERO, 0, false);
    config.layer = static_cast<int64_t>(l);
    LayerDeclarer declarer(parameters_, name + "mixer.", layer.mixer_params, layer.mixer_saved, layer.mixer_scratch,
                           layer.scratch_per_worker, layer.prefix);
    layer.mixer = mixers.make(config, declarer);
    if (layer.prefix + model_.cls_rows() != prefix_)
      throw Error(ErrorKind::kPlugin, "the mixer asks for another number of prefix rows in each layer");
    layer.gain2 = add_parameter(name + "norm2.gain", 1, model_.dim, LRA_INIT_ONE, 0, false);
    layer.shift2 = add_parameter(name + "norm2.shift", 1, model_.dim, LRA_INIT_ZERO, 0, false);
    layer.w1 = add_parameter(name + "mlp.w1", model_.dim, model_.mlp, LRA_INIT_LINEAR, 0, true);
    layer.b1 = add_parameter(name + "mlp.b1", 1, model_.mlp, LRA_INIT_ZERO, 0, false);
    layer.w2 = add_parameter(name + "mlp.w2", model_.mlp, model_.dim, LRA_INIT_RESIDUAL, 0, true);
    layer.b2 = add_parameter(name + "mlp.b2", 1, model_.dim, LRA_INIT_ZERO, 0, false);
  }
}

void Encoder::declare_model() {
  const int64_t dim = model_.dim;
  Parameter table;
  table.name = "embedding.tokens";
  table.rows = input_.vocab;
  table.cols = dim;
  table.init = LRA_INIT_NORMAL;
  table.init_scale = model_.token_std;
  table.token_table = true;
  tokens_ = parameters_.add(std::move(table));
  if (model_.cls_rows() > 0) cls_ = add_parameter("embedding.cls", 1, dim, LRA_INIT_ZERO, 0, false);
  const int64_t own_prefix = prefix_ - model_.cls_rows();
  if (own_prefix > 0)
    prefix_rows_ = add_parameter("embedding.prefix", own_prefix, dim, LRA_INIT_NORMAL, model_.token_std, false);
  const int64_t positions = input_.max_len + model_.cls_rows();
  if (add_positions_ && model_.positions == Positions::kLearned) {
    position_rows_ = add_parameter("embedding.positions", positions, dim, LRA_INIT_NORMAL, model_.position_std, false);
  }
  if (add_positions_ && model_.positions == Positions::kAxial) {
    axial_width_ =
        input_.width > 0 ? input_.width : static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(positions))));
    const int64_t grid_rows = (positions + axial_width_ - 1) / axial_width_;
    position_rows_ =
        add_parameter("embedding.axial_rows", grid_rows, dim / 2, LRA_INIT_NORMAL, model_.position_std, false);
    position_columns_ =
        add_parameter("embedding.axial_columns", axial_width_, dim / 2, LRA_INIT_NORMAL, model_.position_std, false);
  }
  final_gain_ = add_parameter("final_norm.gain", 1, dim, LRA_INIT_ONE, 0, false);
  final_shift_ = add_parameter("final_norm.shift", 1, dim, LRA_INIT_ZERO, 0, false);

  head_widths_ = {dim};
  if (input_.pair) head_widths_[0] = model_.interaction == Interaction::kNli ? 4 * dim : 2 * dim;
  if (model_.head == Head::kMlp || input_.pair) head_widths_.push_back(model_.hidden());
  if (input_.pair) head_widths_.push_back(std::max<int64_t>(1, model_.hidden() / 2));
  head_widths_.push_back(input_.classes);
  for (std::size_t i = 0; i + 1 < head_widths_.size(); ++i) {
    head_weights_.push_back(
        add_parameter(fmt::format("head.w{}", i + 1), head_widths_[i], head_widths_[i + 1], LRA_INIT_LINEAR, 0, true));
    head_biases_.push_back(
        add_parameter(fmt::format("head.b{}", i + 1), 1, head_widths_[i + 1], LRA_INIT_ZERO, 0, false));
  }
}

void Encoder::make_position_table() {
  if (!add_positions_) return;
  const bool image = model_.positions == Positions::kSinusoidal2d;
  if (!image && model_.positions != Positions::kSinusoidal) return;
  const int64_t dim = model_.dim;
  const int64_t positions = input_.max_len + model_.cls_rows();
  const double amplitude = model_.position_rms * std::sqrt(2.0);
  positions_.assign(static_cast<std::size_t>(positions * dim), 0);
  // width channels of sin and cos, interleaved: angle = value * base^(-2i / width).
  const auto wave = [&](Real* out, int64_t width, double value) {
    for (int64_t c = 0; c < width; ++c) {
      const int64_t even = c - c % 2;
      const double angle =
          value * std::pow(model_.position_base, -static_cast<double>(even) / static_cast<double>(width));
      out[c] = static_cast<Real>(amplitude * (c % 2 == 0 ? std::sin(angle) : std::cos(angle)));
    }
  };
  for (int64_t p = 0; p < positions; ++p) {
    Real* out = positions_.data() + p * dim;
    if (!image) {
      wave(out, dim, static_cast<double>(p));
      continue;
    }
    // The CLS row of an image stands outside the grid and gets no position.
    const int64_t pixel = p - model_.cls_rows();
    if (pixel < 0) continue;
    const int64_t row = pixel / input_.width;
    const int64_t column = pixel % input_.width;
    wave(out, dim / 2, static_cast<double>(row));
    wave(out + dim / 2, dim / 2, static_cast<double>(column));
  }
}

// ---- Memory ------------------------------------------------------------------------------------------------------

void Encoder::lay_out_memory(int inner_workers) {
  const std::size_t activations = reals(max_rows_ * model_.dim);
  const std::size_t per_row = reals(max_rows_);
  pass_bytes_ = activations + 2 * per_row;
  mixer_scratch_.clear();
  std::vector<std::size_t> scratch;
  for (const Layer& layer : layers_) {
    pass_bytes_ += 2 * activations + reals(max_rows_ * model_.mlp) + 4 * per_row;
    for (const std::size_t bytes : layer.mixer_saved) pass_bytes_ += aligned(bytes);
    scratch.resize(std::max(scratch.size(), layer.mixer_scratch.size()));
    for (std::size_t i = 0; i < layer.mixer_scratch.size(); ++i) {
      const std::size_t copies = layer.scratch_per_worker[i] ? static_cast<std::size_t>(inner_workers) : 1;
      scratch[i] = std::max(scratch[i], copies * aligned(layer.mixer_scratch[i]));
    }
  }
  mixer_scratch_ = scratch;
  saved_bytes_ = pass_bytes_ * (input_.pair ? 2 : 1);
  const std::size_t forward_rows =
      static_cast<std::size_t>(inner_workers) * reals(kRowBlock * (2 * model_.dim + model_.mlp));
  const std::size_t backward_rows = reals(kBackwardBlock * (3 * model_.dim + 2 * model_.mlp));
  scratch_bytes_ = (model_.dropout > 0 ? 2 : 1) * activations + std::max(forward_rows, backward_rows);
  for (const std::size_t bytes : mixer_scratch_) scratch_bytes_ += bytes;
}

std::shared_ptr<Encoder::Seat> Encoder::make_seat(const Real* values, void* saved, void* scratch) const {
  auto seat = std::make_shared<Seat>();
  seat->values = values;
  auto* at = static_cast<unsigned char*>(saved);
  const auto take_bytes = [&](std::size_t bytes) {
    void* block = at;
    at += aligned(bytes);
    return block;
  };
  const auto take = [&](int64_t count) { return static_cast<Real*>(take_bytes(reals(count))); };
  const int parts = input_.pair ? 2 : 1;
  for (int part = 0; part < parts; ++part) {
    Pass& pass = seat->passes[part];
    for (const Layer& layer : layers_) {
      Pass::LayerBlocks blocks{};
      blocks.x = take(max_rows_ * model_.dim);
      blocks.x1 = take(max_rows_ * model_.dim);
      blocks.h = take(max_rows_ * model_.mlp);
      for (Real** row : {&blocks.mean1, &blocks.rstd1, &blocks.mean2, &blocks.rstd2}) *row = take(max_rows_);
      for (const std::size_t bytes : layer.mixer_saved) blocks.mixer.push_back(take_bytes(bytes));
      pass.layers.push_back(std::move(blocks));
    }
    pass.x_last = take(max_rows_ * model_.dim);
    pass.mean_last = take(max_rows_);
    pass.rstd_last = take(max_rows_);
  }
  LRA_ASSERT(at == static_cast<unsigned char*>(saved) + saved_bytes_);

  at = static_cast<unsigned char*>(scratch);
  seat->dx = take(max_rows_ * model_.dim);
  seat->dy = model_.dropout > 0 ? take(max_rows_ * model_.dim) : nullptr;
  for (const std::size_t bytes : mixer_scratch_) seat->mixer_scratch.push_back(take_bytes(bytes));
  seat->rows_scratch = reinterpret_cast<Real*>(at);

  for (const Layer& layer : layers_) {
    std::vector<const Real*> params;
    for (const int32_t index : layer.mixer_params)
      params.push_back(parameters_.at(index).kind == LRA_PARAM_STATISTIC ? nullptr : parameters_.value(index, values));
    seat->mixer_gradients.resize(std::max(seat->mixer_gradients.size(), params.size()));
    seat->mixer_params.push_back(std::move(params));
  }
  for (const int64_t width : head_widths_) {
    seat->head.emplace_back(static_cast<std::size_t>(width));
    seat->head_gradients.emplace_back(static_cast<std::size_t>(width));
  }
  seat->pooled.resize(static_cast<std::size_t>(parts * model_.dim));
  seat->pooled_gradient.resize(seat->pooled.size());
  return seat;
}

// ---- Forward -----------------------------------------------------------------------------------------------------

Outcome Encoder::forward(Seat& seat, const Example& example) const {
  seat.example = example;
  seat.loss = 0;
  const int parts = input_.pair ? 2 : 1;
  for (int part = 0; part < parts; ++part) encode(seat, part, example);
  Outcome outcome;
  outcome.auxiliary = seat.loss;
  outcome.loss = seat.loss + head(seat, example.label);
  const auto scores = logits(seat);
  outcome.predicted = static_cast<int32_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
  outcome.correct = outcome.predicted == example.label;
  return outcome;
}

void Encoder::encode(Seat& seat, int part, const Example& example) const {
  Pass& pass = seat.passes[part];
  const auto tokens = static_cast<int64_t>(example.parts[part].size());
  LRA_ASSERT(tokens >= 1 && tokens <= input_.max_len);
  pass.rows = tokens + prefix_;
  embed(seat, pass, part, example);
  for (std::size_t l = 0; l < layers_.size(); ++l) layer_forward(seat, pass, part, l);
  pool(seat, pass, part);
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
    Real* normed = seat.rows_scratch + worker * kRowBlock * (2 * dim + mlp);
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

// ---- Backward ----------------------------------------------------------------------------------------------------

void Encoder::backward(Seat& seat, Real* gradients) const {
  LRA_ASSERT(seat.example.training);
  head_backward(seat, gradients);
  const int parts = input_.pair ? 2 : 1;
  for (int part = parts - 1; part >= 0; --part) encode_backward(seat, part, gradients);
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

void Encoder::encode_backward(Seat& seat, int part, Real* gradients) const {
  Pass& pass = seat.passes[part];
  pool_backward(seat, pass, part, seat.dx, gradients);
  for (std::size_t l = layers_.size(); l-- > 0;) layer_backward(seat, pass, part, l, seat.dx, gradients);
  embed_backward(seat, pass, part, seat.dx, gradients);
}

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

void Encoder::layer_backward(Seat& seat, Pass& pass, int part, std::size_t l, Real* dx, Real* gradients) const {
  const Layer& layer = layers_[l];
  const Pass::LayerBlocks& saved = pass.layers[l];
  const int64_t rows = pass.rows;
  const int64_t dim = model_.dim;
  const auto value = [&](int32_t index) { return seat.value(parameters_, index); };
  feed_forward_backward(seat, pass, part, l, dx, gradients);  // dx is now the gradient of x'

  const Real* dy = dx;
  if (model_.dropout > 0) {
    std::memcpy(seat.dy, dx, static_cast<std::size_t>(rows * dim) * sizeof(Real));
    drop(seat, part, kSites * (l + 1) + kSiteMixer, 0, rows, dim, seat.dy);
    dy = seat.dy;
  }
  // Two saved blocks are dead by now: the next layer's input, and x' of this one.
  Real* normed_rows = pass.x_after(l);
  Real* dn_rows = saved.x1;
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

void Encoder::feed_forward_backward(Seat& seat, const Pass& pass, int part, std::size_t l, Real* dx,
                                    Real* gradients) const {
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
      std::memcpy(df, dx + row * dim, static_cast<std::size_t>(count * dim) * sizeof(Real));
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

// ---- Around the pass ---------------------------------------------------------------------------------------------

bool Encoder::has_after_step() const {
  return std::any_of(layers_.begin(), layers_.end(), [](const Layer& layer) { return layer.mixer->has_after_step(); });
}

void Encoder::after_step(uint64_t step, Real* values, const Real* gradients) const {
  for (const Layer& layer : layers_) {
    if (!layer.mixer->has_after_step()) continue;
    std::vector<const Real*> params;
    std::vector<Real*> buffers;
    for (const int32_t index : layer.mixer_params) {
      const Parameter& p = parameters_.at(index);
      const bool statistic = p.kind == LRA_PARAM_STATISTIC;
      params.push_back(statistic ? (gradients == nullptr ? nullptr : gradients + p.offset)
                                 : parameters_.value(index, static_cast<const Real*>(values)));
      buffers.push_back(p.kind == LRA_PARAM_BUFFER ? parameters_.value(index, values) : nullptr);
    }
    lra_step at{};
    at.struct_size = sizeof(at);
    at.params = params.data();
    at.step = step;
    at.training = 1;
    layer.mixer->after_step(at, buffers.data());
  }
}

uint64_t Encoder::kernel_flops() const { return blas::flops() + mixer_kernel_flops_(); }

int64_t Encoder::mixer_parameters() const {
  int64_t count = 0;
  for (const Layer& layer : layers_) {
    for (const int32_t index : layer.mixer_params) {
      if (parameters_.at(index).kind == LRA_PARAM_TRAINABLE) count += parameters_.at(index).size();
    }
  }
  return count;
}

lra_cost Encoder::mixer_cost(int64_t tokens) const {
  lra_cost sum{};
  sum.struct_size = sizeof(sum);
  for (const Layer& layer : layers_) {
    const lra_cost cost = layer.mixer->cost(rows(tokens));
    sum.forward_flops += cost.forward_flops;
    sum.backward_flops += cost.backward_flops;
    sum.pairs += cost.pairs;
  }
  return sum;
}

double Encoder::forward_flops(int64_t tokens) const {
  const auto n = static_cast<double>(rows(tokens));
  double flops = mixer_cost(tokens).forward_flops;
  flops += static_cast<double>(model_.layers) * 4.0 * n * static_cast<double>(model_.dim * model_.mlp);
  const double parts = input_.pair ? 2 : 1;  // the head is shared by the parts of a pair
  for (std::size_t i = 0; i + 1 < head_widths_.size(); ++i)
    flops += 2.0 * static_cast<double>(head_widths_[i] * head_widths_[i + 1]) / parts;
  return flops;
}

double Encoder::backward_flops(int64_t tokens) const {
  const auto n = static_cast<double>(rows(tokens));
  double flops = mixer_cost(tokens).backward_flops;
  flops += static_cast<double>(model_.layers) * 8.0 * n * static_cast<double>(model_.dim * model_.mlp);
  const double parts = input_.pair ? 2 : 1;
  for (std::size_t i = 0; i + 1 < head_widths_.size(); ++i)
    flops += 4.0 * static_cast<double>(head_widths_[i] * head_widths_[i + 1]) / parts;
  return flops;
}

}  // namespace lra::nn
