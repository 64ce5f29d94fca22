// The training loop: one sequence per worker, gradients summed in fixed lanes, AdamW, evaluation, state that can be
// saved.
//
// Lane i of L takes examples i, i + L, i + 2L, ... of a batch, one after the other; lanes are added in order. Which
// worker runs a lane does not matter, so 1 thread and 8 threads give the same bits. With a single lane (batch 1) the
// workers split the work inside the sequence instead.
#ifndef LRA_TRAIN_TRAINER_H
#define LRA_TRAIN_TRAINER_H

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/parallel.h"
#include "core/plan.h"
#include "data/dataset.h"
#include "nn/encoder.h"
#include "train/spec.h"

namespace lra::train {

struct Evaluation {
  double loss = 0;  // cross-entropy, mean over targets
  double accuracy = 0;
  int64_t correct = 0, targets = 0, examples = 0;
  double seconds = 0;
  double loss_error = 0;  // standard error of the loss over examples
  // Of a task of next tokens: mean loss of the targets at positions 1, 2-3, 4-7, 8-15, ... of their sequence.
  std::vector<double> loss_by_octave;
};

struct StepResult {
  int64_t step = 0;                              // number of this update, from 1
  double loss = 0, auxiliary = 0, accuracy = 0;  // of the batch, before the update
  double lr = 0, gradient_norm = 0;
  double seconds = 0;
  double mixer_share = 0;  // of the workers' time
  double flops = 0;        // counted by the kernels
  int64_t tokens = 0;
};

// How many sequences are in flight, and how many workers may join inside one. One of the two is 1.
struct Crew {
  int seats = 1;
  int inner_workers = 1;
  static Crew choose(const TrainSpec& train, int threads);
  // Threads the Workers of the trainer must have: more would find no seat.
  int threads() const { return seats > inner_workers ? seats : inner_workers; }
};

// Where a trainer's memory lies in the plan; counted the same for a forecast and for a run.
struct MemoryLayout {
  Block values, best, m, v;
  std::vector<Block> gradients, saved, scratch;
};
MemoryLayout plan_memory(const nn::Encoder& encoder, const TrainSpec& train, Crew crew, Plan& plan);

class Trainer {
 public:
  // Everything is borrowed for the trainer's life. The arena's plan must be the one plan() made.
  // Order of examples, noise and starting weights follow `seed`.
  Trainer(const nn::Encoder& encoder, const data::Dataset& data, const TrainSpec& train, uint64_t seed,
          Workers& workers, Crew crew);
  ~Trainer();

  // Reserves everything training needs, by category. Call once, then attach().
  void plan(Plan& plan) { layout_ = plan_memory(encoder_, train_, crew_, plan); }
  void attach(const Arena& arena);
  // Starting weights and buffers.
  void initialise();

  int64_t steps_done() const { return step_; }
  // One update. Throws Error(kDiverged) naming step and tensor if the loss or a gradient is not finite; weights stay as
  // they were.
  StepResult step();
  // First `limit` examples of the split (0: all), in order.
  Evaluation evaluate(data::SplitName split, int64_t limit);

  // Keeps a copy of the weights as the best so far / swaps it with the current ones.
  void keep_best();
  void swap_best();

  // The state that makes a resumed run equal to an uninterrupted one, as named arrays over the arena's memory.
  struct State {
    int64_t* step = nullptr;
    std::vector<std::pair<Real*, int64_t>> arrays;  // weights, first and second moments, best weights
  };
  State state();
  Real* values() { return values_; }
  // XXH3-128 of all weights and buffers / of the trainable parameters outside the mixers.
  std::string weights_hash() const;
  std::string shared_weights_hash() const;

 private:
  struct Lane;
  uint64_t example_at(int64_t position);
  void reduce_and_update(int64_t batch, StepResult& result);
  void require_finite(double loss) const;

  const nn::Encoder& encoder_;
  const data::Dataset& data_;
  TrainSpec train_;
  uint64_t seed_;
  Workers& workers_;
  Crew crew_;
  int64_t lanes_;
  MemoryLayout layout_;
  Real *values_ = nullptr, *best_ = nullptr, *m_ = nullptr, *v_ = nullptr;
  std::vector<Real*> gradients_;
  std::vector<std::shared_ptr<nn::Encoder::Seat>> seats_;
  std::vector<uint32_t> order_;  // of the current epoch
  int64_t order_epoch_ = -1;
  int64_t step_ = 0;
};

}  // namespace lra::train

#endif  // LRA_TRAIN_TRAINER_H
