// The encoder runs as it does in training; the mixer of the wanted layer is wrapped and keeps what it is given.
#include "tools/inspect/trained.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "data/dataset.h"
#include "nn/encoder.h"
#include "plugin/mixer.h"
#include "session/checkpoint.h"
#include "session/run_spec.h"

namespace lra::inspect {
namespace {

// Keeps the input of its first forward.
class Listener : public nn::Mixer {
 public:
  Listener(std::unique_ptr<nn::Mixer> mixer, int64_t dim, TrainedLayer& out)
      : mixer_(std::move(mixer)), dim_(dim), out_(out) {}
  void forward(const lra_step& step, Real* y, Real* aux_loss) const override {
    if (out_.x.empty()) {
      out_.x.assign(step.x, step.x + step.len * dim_);
      out_.prefix = step.prefix;
    }
    mixer_->forward(step, y, aux_loss);
  }
  void backward(const lra_step& step, const Real* dy, Real* dx, Real* const* dparams) const override {
    mixer_->backward(step, dy, dx, dparams);
  }
  lra_cost cost(int64_t len) const override { return mixer_->cost(len); }
  bool has_after_step() const override { return mixer_->has_after_step(); }
  void after_step(const lra_step& step, Real* const* buffers) const override { mixer_->after_step(step, buffers); }

 private:
  std::unique_ptr<nn::Mixer> mixer_;
  int64_t dim_;
  TrainedLayer& out_;
};

// Takes `prefix` off the front of a name, or returns "".
std::string without(const std::string& prefix, const std::string& name) {
  return name.compare(0, prefix.size(), prefix) == 0 ? name.substr(prefix.size()) : "";
}

}  // namespace

TrainedLayer trained_layer(const Question& question, const PluginRegistry& registry, Workers& workers) {
  const Json header = session::checkpoint_header(question.checkpoint);
  TrainedLayer out;
  std::string task_id;
  try {
    header.at("spec").at("variant").get_to(out.variant);
    header.at("spec").at("task").get_to(task_id);
    header.at("step").get_to(out.step);
  } catch (const Json::exception&) {
    throw Error(ErrorKind::kData, fmt::format("{}: its header names no variant and task; choose a checkpoint of a run",
                                              question.checkpoint));
  }
  if (!question.task.empty() && question.task != task_id) {
    throw Error(ErrorKind::kUsage, fmt::format("{}: trained on task '{}', not on '{}'; leave --task out",
                                               question.checkpoint, task_id, question.task));
  }
  const Variant& variant = registry.find(out.variant);
  const data::Task& task = data::find_task(task_id);
  const session::RunSpec spec = session::RunSpec::from_json(header.at("spec"), variant, task);
  if (question.layer < 0 || question.layer >= spec.model.layers) {
    throw Error(ErrorKind::kUsage, fmt::format("{}: has {} layers, but --layer is {}; layers count from 0",
                                               question.checkpoint, spec.model.layers, question.layer));
  }
  const data::Dataset data =
      data::Dataset::open(task, spec.task_options, workers, question.cache.empty() ? cache_folder() : question.cache);
  const data::Split& split = data.split(data::SplitName::kTest);
  if (question.example < 0 || question.example >= split.size()) {
    throw Error(ErrorKind::kUsage, fmt::format("{}: the test split has {} examples, but --example is {}", task_id,
                                               split.size(), question.example));
  }

  nn::MixerSource source = mixer_source(variant, spec.variant_options, workers, spec.seed);
  int64_t made = 0;
  source.make = [&, make = source.make](const lra_config& config, nn::Declarer& declarer) {
    auto mixer = make(config, declarer);
    if (config.layer != question.layer) return mixer;
    ++made;
    out.place.max_len = config.max_len;  // the last one made is the one that stays
    return std::unique_ptr<nn::Mixer>(std::make_unique<Listener>(std::move(mixer), spec.model.dim, out));
  };
  const nn::Encoder encoder(spec.model, session::input_of(data.shape()), source, spec.seed, workers, workers.count());
  LRA_ASSERT(made > 0);

  Plan plan;
  const nn::Parameters& parameters = encoder.parameters();
  const Block values_block =
      plan.reserve(Memory::kParameters, static_cast<std::size_t>(parameters.values_size()) * sizeof(Real));
  const Block saved = plan.reserve(Memory::kSaved, encoder.saved_bytes());
  const Block scratch = plan.reserve(Memory::kScratch, encoder.scratch_bytes());
  const Arena arena(plan);
  Real* values = arena.at<Real>(values_block);
  parameters.initialise(spec.model, spec.seed, values);
  session::start_from_checkpoint(question.checkpoint, parameters, values);

  nn::Example example;
  example.parts[0] = split.tokens(question.example);
  if (data.shape().pair) example.parts[1] = split.tokens(question.example, 1);
  example.label = split.label(question.example);
  example.step = out.step;
  const auto seat = encoder.make_seat(values, arena.at<void>(saved), arena.at<void>(scratch));
  encoder.forward(*seat, example);

  out.options = spec.variant_options;
  out.place.model = spec.model;
  out.place.layer = question.layer;
  out.place.seed = spec.seed;
  for (const nn::Parameter& p : parameters.all()) {
    const std::string own = without(nn::mixer_prefix(question.layer), p.name);
    const std::string name = own.empty() ? without(nn::kSharedMixer, p.name) : own;
    if (name.empty() || p.kind == LRA_PARAM_STATISTIC) continue;
    out.values[name] = {p.rows, p.cols, {values + p.offset, values + p.offset + p.size()}};
  }
  return out;
}

std::map<std::string, std::string> shown_settings(const Variant& variant, const TrainedLayer* layer,
                                                  std::map<std::string, std::string> set) {
  for (const OptionSpec& option : variant.options) {
    if (option.name == "exact_gradients") set.emplace(option.name, "1");
  }
  if (layer != nullptr && variant.id == layer->variant) {
    const Json own = layer->options.json();
    for (const auto& [name, value] : own.items()) set.emplace(name, plain_word(value));
  }
  return set;
}

std::vector<std::string> take_values(const TrainedLayer& layer, Module& module) {
  std::vector<std::string> alone;
  int index = 0;
  for (const DeclaredParam& p : module.params()) {
    const int i = index++;
    if (!module.has_value(i)) continue;
    const auto found = layer.values.find(p.name);
    if (found == layer.values.end() || found->second.rows != p.rows || found->second.cols != p.cols) {
      alone.push_back(p.name);
    } else {
      module.set_value(i, found->second.numbers);
    }
  }
  return alone;
}

}  // namespace lra::inspect
