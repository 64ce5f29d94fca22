// The mixer's share of what nn::Encoder does: names, starting values, memory, one lra_step per call.
#include "tools/inspect/module.h"

#include <algorithm>

#include "core/error.h"
#include "core/rng.h"

namespace lra::inspect {
namespace {

InstanceShape shape_of(const Place& place) {
  const nn::ModelSpec& model = place.model;
  return {.max_len = place.max_len,
          .dim = model.dim,
          .heads = model.heads,
          .head_dim = model.inner() / model.heads,
          .layer = place.layer,
          .layer_count = model.layers,
          .causal = model.causal,
          .bias = model.bias};
}

}  // namespace

Numbers normal_numbers(int64_t n, uint64_t key, double scale) {
  Numbers out(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<Real>(scale * normal_at(key, i));
  return out;
}

Module::Module(const Variant& variant, const Options& options, const Place& place, Workers& workers)
    : options_(options),
      place_(place),
      host_(workers, place.seed, place.layer),
      instance_(variant, host_, shape_of(place), options.values()) {
  const Declarations& declared = instance_.declarations();
  for (const DeclaredParam& p : declared.params) {
    nn::Parameter parameter;
    // The name that it has in a model keys its draw.
    parameter.name = (p.shared ? nn::kSharedMixer : nn::mixer_prefix(place.layer)) + p.name;
    parameter.rows = p.rows;
    parameter.cols = p.cols;
    parameter.kind = p.kind;
    parameter.init = p.init;
    parameter.init_scale = p.init_scale;
    parameter.align_with = p.align_with;
    parameter.decay = p.decay;
    parameters_.add(std::move(parameter));
  }
  parameters_.lay_out();

  Plan plan;
  const auto reals = [](int64_t count) { return static_cast<std::size_t>(count) * sizeof(Real); };
  values_ = plan.reserve(Memory::kParameters, reals(parameters_.values_size()));
  gradients_ = plan.reserve(Memory::kGradients, reals(parameters_.gradients_size()));
  std::vector<Block> saved, scratch;
  for (const DeclaredBlock& block : declared.saved) saved.push_back(plan.reserve(Memory::kSaved, block.bytes));
  for (std::size_t i = 0; i < declared.scratch.size(); ++i)
    scratch.push_back(plan.reserve(Memory::kScratch, declared.scratch_bytes(i, workers.count())));
  arena_ = std::make_unique<Arena>(plan);
  for (const Block& block : saved) saved_.push_back(arena_->at<void>(block));
  for (const Block& block : scratch) scratch_.push_back(arena_->at<void>(block));

  parameters_.initialise(place.model, place.seed, arena_->at<Real>(values_));
  std::vector<Real*> buffers;
  for (std::size_t i = 0; i < declared.params.size(); ++i) {
    const bool statistic = declared.params[i].kind == LRA_PARAM_STATISTIC;
    param_pointers_.push_back(statistic ? nullptr : value(i));
    gradient_pointers_.push_back(gradient(i));
    buffers.push_back(declared.params[i].kind == LRA_PARAM_BUFFER ? value(i) : nullptr);
  }
  lra_step before{};
  before.struct_size = sizeof(before);
  before.params = param_pointers_.data();
  before.training = 1;
  instance_.after_step(before, buffers.data());
}

std::vector<std::string> Module::param_names() const {
  std::vector<std::string> out;
  for (const DeclaredParam& p : params()) out.push_back(p.name);
  return out;
}

std::optional<std::size_t> Module::find(const std::string& name) const {
  for (std::size_t i = 0; i < params().size(); ++i) {
    if (params()[i].name == name) return i;
  }
  return std::nullopt;
}

Real* Module::value(std::size_t param) {
  const nn::Parameter& p = parameters_.all()[param];
  return p.kind == LRA_PARAM_STATISTIC ? nullptr : arena_->at<Real>(values_) + p.offset;
}

Real* Module::gradient(std::size_t param) {
  const nn::Parameter& p = parameters_.all()[param];
  return p.has_gradient() ? arena_->at<Real>(gradients_) + p.offset : nullptr;
}

void Module::clear_gradients() { std::fill_n(arena_->at<Real>(gradients_), parameters_.gradients_size(), Real{0}); }

void Module::stand_at(uint64_t step, uint64_t example, int64_t prefix) {
  step_ = step;
  example_ = example;
  prefix_ = prefix;
}

int64_t Module::rows_of(const Numbers& x) const { return static_cast<int64_t>(x.size()) / dim(); }

lra_step Module::step_of(const Numbers& x, Mode mode) {
  lra_step step{};
  step.struct_size = sizeof(step);
  step.len = rows_of(x);
  LRA_ASSERT(step.len >= 1 && step.len <= place_.max_len && prefix_ <= step.len);
  step.prefix = prefix_;
  step.x = x.data();
  step.params = param_pointers_.data();
  step.saved = saved_.data();
  step.scratch = scratch_.data();
  step.training = mode == Mode::kTraining ? 1 : 0;
  step.step = step_;
  step.example = example_;
  return step;
}

double Module::forward(const Numbers& x, Mode mode, Numbers& y) {
  y.resize(x.size());
  Real auxiliary = 0;
  instance_.forward(step_of(x, mode), y.data(), &auxiliary);
  return static_cast<double>(auxiliary);
}

void Module::backward(const Numbers& x, const Numbers& dy, Numbers& dx) {
  LRA_ASSERT(dy.size() == x.size());
  dx.resize(x.size());
  instance_.backward(step_of(x, Mode::kTraining), dy.data(), dx.data(), gradient_pointers_.data());
}

void Module::mix_values(const Numbers& x, const Numbers& v, Numbers& o) {
  LRA_ASSERT(static_cast<int64_t>(v.size()) == rows_of(x) * inner());
  o.resize(v.size());
  instance_.mix_values(step_of(x, Mode::kEvaluation), v.data(), o.data());
}

}  // namespace lra::inspect
