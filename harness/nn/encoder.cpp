// What the encoder is made of and where its numbers lie: parameters, position table, memory plan, seats, costs.
#include "nn/encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "core/error.h"
#include "nn/encoder_parts.h"

namespace lra::nn {
namespace {

// More than any mixer puts in front of a sequence.
constexpr int64_t kMostPrefixRows = 4096;

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
    const bool shared = spec.shared != 0;
    const std::string name = (shared ? kSharedMixer : prefix_) + spec.name;
    const auto local = static_cast<int32_t>(params_.size());
    for (std::size_t i = 0; i < parameters_.all().size(); ++i) {
      const Parameter& other = parameters_.all()[i];
      if (other.name != name) continue;
      if (!shared || other.rows != spec.rows || other.cols != spec.cols)
        throw Error(ErrorKind::kPlugin, fmt::format("{}: declared twice", name));
      params_.push_back(static_cast<int32_t>(i));
      return local;
    }
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

}  // namespace

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
    // A first try, with room to spare, tells how many prefix rows the mixer wants; its length limit must include them.
    config.max_len += kMostPrefixRows;
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
    LayerDeclarer declarer(parameters_, mixer_prefix(config.layer), layer.mixer_params, layer.mixer_saved,
                           layer.mixer_scratch, layer.scratch_per_worker, layer.prefix);
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
  std::size_t all_layers = 0, largest_layer = 0;
  for (const Layer& layer : layers_) {
    std::size_t saved = 2 * activations + reals(max_rows_ * model_.mlp) + 4 * per_row;
    for (const std::size_t bytes : layer.mixer_saved) saved += aligned(bytes);
    all_layers += saved;
    largest_layer = std::max(largest_layer, saved);
    scratch.resize(std::max(scratch.size(), layer.mixer_scratch.size()));
    for (std::size_t i = 0; i < layer.mixer_scratch.size(); ++i) {
      const std::size_t copies = layer.scratch_per_worker[i] ? static_cast<std::size_t>(inner_workers) : 1;
      scratch[i] = std::max(scratch[i], copies * aligned(layer.mixer_scratch[i]));
    }
  }
  pass_bytes_ += model_.reversible() ? largest_layer : all_layers;
  mixer_scratch_ = scratch;
  saved_bytes_ = pass_bytes_ * (input_.pair ? 2 : 1);
  row_width_ = 2 * model_.dim + model_.mlp;
  int64_t backward_width = 3 * model_.dim + 2 * model_.mlp;
  if (input_.next_token) {  // a normed row and its logits
    row_width_ = std::max(row_width_, model_.dim + input_.classes);
    backward_width = std::max(backward_width, model_.dim + input_.classes);
  }
  const std::size_t forward_rows = static_cast<std::size_t>(inner_workers) * reals(kRowBlock * row_width_);
  const std::size_t backward_rows = reals(kBackwardBlock * backward_width);
  const std::size_t streams = (model_.dropout > 0 ? 2 : 1) + (model_.reversible() ? 2 : 0);
  scratch_bytes_ = streams * activations + std::max(forward_rows, backward_rows);
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
    unsigned char* const start = at;
    unsigned char* end = at;
    for (const Layer& layer : layers_) {
      if (model_.reversible()) at = start;  // one layer's blocks at a time
      Pass::LayerBlocks blocks{};
      blocks.x = take(max_rows_ * model_.dim);
      blocks.x1 = take(max_rows_ * model_.dim);
      blocks.h = take(max_rows_ * model_.mlp);
      for (Real** row : {&blocks.mean1, &blocks.rstd1, &blocks.mean2, &blocks.rstd2}) *row = take(max_rows_);
      for (const std::size_t bytes : layer.mixer_saved) blocks.mixer.push_back(take_bytes(bytes));
      pass.layers.push_back(std::move(blocks));
      end = std::max(end, at);
    }
    at = end;
    pass.x_last = take(max_rows_ * model_.dim);
    pass.mean_last = take(max_rows_);
    pass.rstd_last = take(max_rows_);
  }
  LRA_ASSERT(at == static_cast<unsigned char*>(saved) + saved_bytes_);

  at = static_cast<unsigned char*>(scratch);
  seat->dx = take(max_rows_ * model_.dim);
  seat->dy = model_.dropout > 0 ? take(max_rows_ * model_.dim) : nullptr;
  seat->d_other = model_.reversible() ? take(max_rows_ * model_.dim) : nullptr;
  seat->mixed = model_.reversible() ? take(max_rows_ * model_.dim) : nullptr;
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
  if (input_.next_token) seat->target_losses.resize(static_cast<std::size_t>(input_.max_len));
  return seat;
}

// ---- Around the pass ---------------------------------------------------------------------------------------------

bool Encoder::has_after_step() const {
  return std::any_of(layers_.begin(), layers_.end(), [](const Layer& layer) { return layer.mixer->has_after_step(); });
}

void Encoder::after_step(uint64_t step, Real* values, const Real* gradients) const {
  std::vector<const Real*> params;
  std::vector<Real*> buffers;
  for (const Layer& layer : layers_) {
    if (!layer.mixer->has_after_step()) continue;
    params.clear();
    buffers.clear();
    params.reserve(layer.mixer_params.size());
    buffers.reserve(layer.mixer_params.size());
    for (const int32_t index : layer.mixer_params) {
      const Parameter& p = parameters_.at(index);
      const bool statistic = p.kind == LRA_PARAM_STATISTIC;
      const Real* sum = statistic && gradients != nullptr ? gradients + p.offset : nullptr;
      params.push_back(statistic ? sum : parameters_.value(index, static_cast<const Real*>(values)));
      // The contract hands over one array of pointers, of blocks to write and of sums to read.
      buffers.push_back(p.kind == LRA_PARAM_BUFFER ? parameters_.value(index, values) : const_cast<Real*>(sum));
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
  std::set<int32_t> mixers;  // once, where layers share
  for (const Layer& layer : layers_) mixers.insert(layer.mixer_params.begin(), layer.mixer_params.end());
  int64_t count = 0;
  for (const int32_t index : mixers) {
    if (parameters_.at(index).kind == LRA_PARAM_TRAINABLE) count += parameters_.at(index).size();
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

double Encoder::head_flops(int64_t tokens) const {
  // The head is shared by the parts of a pair.
  const double times = input_.next_token ? static_cast<double>(tokens - 1) : input_.pair ? 0.5 : 1;
  double flops = 0;
  for (std::size_t i = 0; i + 1 < head_widths_.size(); ++i)
    flops += 2.0 * times * static_cast<double>(head_widths_[i] * head_widths_[i + 1]);
  return flops;
}

double Encoder::forward_flops(int64_t tokens) const {
  const auto n = static_cast<double>(rows(tokens));
  double flops = mixer_cost(tokens).forward_flops;
  flops += static_cast<double>(model_.layers) * 4.0 * n * static_cast<double>(model_.dim * model_.mlp);
  return flops + head_flops(tokens);
}

double Encoder::backward_flops(int64_t tokens) const {
  const auto n = static_cast<double>(rows(tokens));
  double flops = mixer_cost(tokens).backward_flops;
  flops += static_cast<double>(model_.layers) * 8.0 * n * static_cast<double>(model_.dim * model_.mlp);
  if (model_.reversible()) flops += forward_flops(tokens) - head_flops(tokens);  // every layer once more
  // Logits of rows are computed again.
  return flops + (input_.next_token ? 3 : 2) * head_flops(tokens);
}

}  // namespace lra::nn
