// How a run learns and is judged: optimiser, schedule, evaluation. Equal for every variant of a comparison.
#ifndef LRA_TRAIN_SPEC_H
#define LRA_TRAIN_SPEC_H

#include <cstdint>

#include "core/json_fwd.h"

namespace lra::train {

enum class Schedule { kConstant, kWarmupRsqrt, kWarmupCosine, kOneCycle };

struct TrainSpec {
  int64_t steps = 1000;
  int64_t batch = 32;
  double lr = 1e-3;  // at the top of the schedule
  Schedule schedule = Schedule::kWarmupCosine;
  int64_t warmup = -1;           // steps; -1: a tenth of all
  double final_lr_share = 0.02;  // of lr, at the end of cosine and one-cycle
  double weight_decay = 0.01;
  bool decay_all = false;  // also biases, gains and tables (as LRA's own code)
  double beta1 = 0.9, beta2 = 0.99, eps = 1e-8;
  double clip = 1.0;       // global norm; 0: off
  int64_t lanes = 8;       // gradient accumulators summed in a fixed order; fixes the bits, so it is part of the run
  int64_t eval_every = 0;  // steps; 0: twenty times over the run
  int64_t eval_examples = 2000;  // of the validation split each time; 0: all
  int64_t test_examples = 0;     // of the test split at the end; 0: all

  int64_t warmup_steps() const { return warmup >= 0 ? warmup : steps / 10; }
  int64_t evaluation_interval() const { return eval_every > 0 ? eval_every : (steps + 19) / 20; }
};

// Learning rate of update `step` (counted from 0):
//   constant       lr
//   warmup_rsqrt   lr min(1, t / warmup) / sqrt(max(t, warmup)), LRA's rule: lr is not the peak
//   warmup_cosine  linear to lr over the warm-up, then half a cosine down to final_lr_share lr
//   one_cycle      linear to lr over the warm-up, then linear down to final_lr_share lr
double learning_rate(const TrainSpec& train, int64_t step);

// Throws Error(kUsage) naming the field, what was found and what is wanted.
void validate(const TrainSpec& train);

Json to_json(const TrainSpec& train);
void from_json(const Json& json, TrainSpec& train);

}  // namespace lra::train

#endif  // LRA_TRAIN_SPEC_H
