// TrainSpec: its fields listed once, and the learning-rate schedules.
#include "train/spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.h"
#include "core/fields.h"

namespace lra::train {
namespace {

template <class Fields, class Train>
void visit(Fields& fields, Train& t) {
  fields.field("steps", t.steps);
  fields.field("batch", t.batch);
  fields.field("lr", t.lr);
  fields.choice("schedule", t.schedule, Names{"constant", "warmup_rsqrt", "warmup_cosine", "one_cycle"});
  fields.field("warmup", t.warmup);
  fields.field("final_lr_share", t.final_lr_share);
  fields.field("weight_decay", t.weight_decay);
  fields.field("decay_all", t.decay_all);
  fields.field("beta1", t.beta1);
  fields.field("beta2", t.beta2);
  fields.field("eps", t.eps);
  fields.field("clip", t.clip);
  fields.field("lanes", t.lanes);
  fields.field("eval_every", t.eval_every);
  fields.field("eval_examples", t.eval_examples);
  fields.field("test_examples", t.test_examples);
}

}  // namespace

double learning_rate(const TrainSpec& train, int64_t step) {
  const auto t = static_cast<double>(step);
  const auto warmup = static_cast<double>(train.warmup_steps());
  if (train.schedule == Schedule::kConstant) return train.lr;
  if (train.schedule == Schedule::kWarmupRsqrt) {
    const double rise = warmup > 0 ? std::min(1.0, t / warmup) : 1.0;
    return train.lr * rise / std::sqrt(std::max({t, warmup, 1.0}));
  }
  if (t < warmup) return train.lr * (t + 1) / warmup;
  const double rest = std::max(1.0, static_cast<double>(train.steps) - warmup);
  const double progress = std::min(1.0, (t - warmup) / rest);
  const double shape =
      train.schedule == Schedule::kWarmupCosine ? 0.5 * (1 + std::cos(std::numbers::pi * progress)) : 1 - progress;
  return train.lr * (train.final_lr_share + (1 - train.final_lr_share) * shape);
}

void validate(const TrainSpec& t) {
  const auto require = [](bool holds, const std::string& message) {
    if (!holds) throw Error(ErrorKind::kUsage, "training: " + message);
  };
  require(t.steps >= 0, fmt::format("steps is {}; choose 0 or more", t.steps));
  require(t.batch >= 1 && t.batch <= 65536, fmt::format("batch is {}; choose 1 to 65536", t.batch));
  require(t.lr >= 0, fmt::format("lr is {}; choose 0 or more", t.lr));
  require(t.lanes >= 1 && t.lanes <= 64, fmt::format("lanes is {}; choose 1 to 64", t.lanes));
  require(t.clip >= 0, fmt::format("clip is {}; choose 0 (off) or more", t.clip));
  require(t.weight_decay >= 0, fmt::format("weight_decay is {}; choose 0 or more", t.weight_decay));
  require(t.beta1 >= 0 && t.beta1 < 1 && t.beta2 >= 0 && t.beta2 < 1, "beta1 and beta2 must lie in [0, 1)");
  require(t.eps > 0, "eps must be above 0");
  require(t.final_lr_share >= 0 && t.final_lr_share <= 1, "final_lr_share must lie in [0, 1]");
  require(t.eval_every >= 0 && t.eval_examples >= 0 && t.test_examples >= 0,
          "eval_every, eval_examples and test_examples must be 0 or more");
}

Json to_json(const TrainSpec& train) {
  FieldWriter writer;
  visit(writer, train);
  return writer.json;
}

void from_json(const Json& json, TrainSpec& train) {
  FieldReader reader(json, "training");
  visit(reader, train);
  reader.finish();
}

}  // namespace lra::train
