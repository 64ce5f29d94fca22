// One update:  lanes in parallel { examples in order { forward, backward } } -> sum lanes -> clip -> AdamW -> mixers'
// after_step.
#include "train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

#include "core/clock.h"
#include "core/error.h"
#include "core/file.h"
#include "core/rng.h"
#include "math/elementwise.h"

namespace lra::train {
namespace {

constexpr int64_t kUpdateGrain = 16384;  // parameters one worker sums or updates at a time
constexpr int64_t kEvaluationGrain = 4;  // examples one worker evaluates at a time

std::size_t bytes_of(int64_t count) { return static_cast<std::size_t>(count) * sizeof(Real); }

}  // namespace

Crew Crew::choose(const TrainSpec& train, int threads) {
  const auto lanes = static_cast<int>(std::min(train.lanes, train.batch));
  if (lanes == 1) return {1, threads};
  return {std::min(threads, lanes), 1};
}

// What one lane found in its examples.
struct Trainer::Lane {
  double loss = 0, auxiliary = 0;
  int64_t hits = 0, targets = 0, tokens = 0;
};

namespace {

// What an evaluation adds up, chunk by chunk in a fixed order.
struct Tally {
  static constexpr std::size_t kOctaves = 40;
  double loss = 0, example_loss = 0, example_squares = 0;
  int64_t hits = 0, targets = 0;
  std::array<double, kOctaves> octave_loss{};
  std::array<int64_t, kOctaves> octave_targets{};

  void add(const nn::Outcome& outcome, std::span<const Real> target_losses) {
    const double own = outcome.loss - outcome.auxiliary;
    loss += own * static_cast<double>(outcome.targets);
    example_loss += own;
    example_squares += own * own;
    hits += outcome.hits;
    targets += outcome.targets;
    for (std::size_t i = 0; i < target_losses.size(); ++i) {
      const auto octave = static_cast<std::size_t>(std::bit_width(i + 1) - 1);
      octave_loss[octave] += static_cast<double>(target_losses[i]);
      ++octave_targets[octave];
    }
  }
  Tally& operator+=(const Tally& other) {
    loss += other.loss;
    example_loss += other.example_loss;
    example_squares += other.example_squares;
    hits += other.hits;
    targets += other.targets;
    for (std::size_t o = 0; o < kOctaves; ++o) {
      octave_loss[o] += other.octave_loss[o];
      octave_targets[o] += other.octave_targets[o];
    }
    return *this;
  }
  Evaluation result(int64_t examples) const {
    Evaluation e;
    const auto n = static_cast<double>(std::max<int64_t>(1, examples));
    e.examples = examples;
    e.targets = targets;
    e.correct = hits;
    e.loss = loss / static_cast<double>(std::max<int64_t>(1, targets));
    e.accuracy = static_cast<double>(hits) / static_cast<double>(std::max<int64_t>(1, targets));
    const double mean = example_loss / n;
    e.loss_error = std::sqrt(std::max(0.0, example_squares / n - mean * mean) / n);
    for (std::size_t o = 0; o < kOctaves && octave_targets[o] > 0; ++o)
      e.loss_by_octave.push_back(octave_loss[o] / static_cast<double>(octave_targets[o]));
    return e;
  }
};

}  // namespace

Trainer::Trainer(const nn::Encoder& encoder, const data::Dataset& data, const TrainSpec& train, uint64_t seed,
                 Workers& workers, Crew crew)
    : encoder_(encoder),
      data_(data),
      train_(train),
      seed_(seed),
      workers_(workers),
      crew_(crew),
      lanes_(std::min(train.lanes, train.batch)) {
  validate(train_);
}

Trainer::~Trainer() = default;

MemoryLayout plan_memory(const nn::Encoder& encoder, const TrainSpec& train, Crew crew, Plan& plan) {
  const nn::Parameters& parameters = encoder.parameters();
  MemoryLayout layout;
  layout.values = plan.reserve(Memory::kParameters, bytes_of(parameters.values_size()));
  layout.best = plan.reserve(Memory::kParameters, bytes_of(parameters.values_size()));
  layout.m = plan.reserve(Memory::kOptimizer, bytes_of(parameters.trainable_size()));
  layout.v = plan.reserve(Memory::kOptimizer, bytes_of(parameters.trainable_size()));
  for (int64_t lane = 0; lane < std::min(train.lanes, train.batch); ++lane) {
    layout.gradients.push_back(plan.reserve(Memory::kGradients, bytes_of(parameters.gradients_size())));
  }
  for (int seat = 0; seat < crew.seats; ++seat) {
    layout.saved.push_back(plan.reserve(Memory::kSaved, encoder.saved_bytes()));
    layout.scratch.push_back(plan.reserve(Memory::kScratch, encoder.scratch_bytes()));
  }
  return layout;
}

void Trainer::attach(const Arena& arena) {
  values_ = arena.at<Real>(layout_.values);
  best_ = arena.at<Real>(layout_.best);
  m_ = arena.at<Real>(layout_.m);
  v_ = arena.at<Real>(layout_.v);
  for (const Block block : layout_.gradients) gradients_.push_back(arena.at<Real>(block));
  for (std::size_t seat = 0; seat < layout_.saved.size(); ++seat) {
    seats_.push_back(
        encoder_.make_seat(values_, arena.at<void>(layout_.saved[seat]), arena.at<void>(layout_.scratch[seat])));
  }
}

void Trainer::initialise() {
  encoder_.parameters().initialise(encoder_.model(), seed_, values_);
  encoder_.after_step(0, values_, nullptr);
  keep_best();
}

uint64_t Trainer::example_at(int64_t position) {
  const int64_t size = data_.split(data::SplitName::kTrain).size();
  const int64_t epoch = position / size;
  if (epoch != order_epoch_) {
    // A fresh permutation per epoch (Fisher-Yates), a function of seed and epoch only.
    order_.resize(static_cast<std::size_t>(size));
    std::iota(order_.begin(), order_.end(), 0u);
    Rng rng{seed_, name_key("order"), static_cast<uint64_t>(epoch)};
    for (std::size_t i = order_.size(); i > 1; --i)
      std::swap(order_[i - 1], order_[rng.below(static_cast<uint32_t>(i))]);
    order_epoch_ = epoch;
  }
  return order_[static_cast<std::size_t>(position % size)];
}

StepResult Trainer::step() {
  const double start = wall_seconds();
  const uint64_t flops_before = encoder_.kernel_flops();
  const data::Split& split = data_.split(data::SplitName::kTrain);
  const int64_t first = step_ * train_.batch;
  std::vector<int64_t> batch(static_cast<std::size_t>(train_.batch));
  for (int64_t b = 0; b < train_.batch; ++b)
    batch[static_cast<std::size_t>(b)] = static_cast<int64_t>(example_at(first + b));

  std::vector<Lane> lanes(static_cast<std::size_t>(lanes_));
  const auto run_lane = [&](int64_t lane, int seat_index) {
    Real* gradients = gradients_[static_cast<std::size_t>(lane)];
    nn::Encoder::Seat& seat = *seats_[static_cast<std::size_t>(seat_index)];
    std::memset(gradients, 0, bytes_of(encoder_.parameters().gradients_size()));
    Lane& found = lanes[static_cast<std::size_t>(lane)];
    for (int64_t b = lane; b < train_.batch; b += lanes_) {
      const int64_t i = batch[static_cast<std::size_t>(b)];
      nn::Example example;
      example.parts[0] = split.tokens(i);
      if (data_.shape().pair) example.parts[1] = split.tokens(i, 1);
      example.label = split.label(i);
      example.step = static_cast<uint64_t>(step_);
      example.number = static_cast<uint64_t>(first + b);
      example.training = true;
      const nn::Outcome outcome = encoder_.forward(seat, example);
      encoder_.backward(seat, gradients);
      found.loss += outcome.loss;
      found.auxiliary += outcome.auxiliary;
      found.hits += outcome.hits;
      found.targets += outcome.targets;
      found.tokens += static_cast<int64_t>(example.parts[0].size() + example.parts[1].size());
    }
  };
  if (lanes_ == 1) {
    run_lane(0, 0);
  } else {
    workers_.for_chunks(lanes_, 1, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t lane = begin; lane < end; ++lane) run_lane(lane, worker);
    });
  }

  StepResult result;
  int64_t hits = 0, targets = 0;
  for (const Lane& lane : lanes) {
    result.loss += lane.loss;
    result.auxiliary += lane.auxiliary;
    result.tokens += lane.tokens;
    hits += lane.hits;
    targets += lane.targets;
  }
  const auto count = static_cast<double>(train_.batch);
  result.loss /= count;
  result.auxiliary /= count;
  result.accuracy = static_cast<double>(hits) / static_cast<double>(targets);
  double mixer_seconds = 0;
  for (auto& seat : seats_) mixer_seconds += nn::Encoder::take_mixer_seconds(*seat);
  reduce_and_update(train_.batch, result);
  result.flops = static_cast<double>(encoder_.kernel_flops() - flops_before);
  result.seconds = wall_seconds() - start;
  result.mixer_share = mixer_seconds / (result.seconds * static_cast<double>(crew_.seats));
  return result;
}

void Trainer::require_finite(double loss) const {
  for (const nn::Parameter& p : encoder_.parameters().all()) {
    if (!p.has_gradient()) continue;
    if (!std::isfinite(math::sum_squares(p.size(), gradients_[0] + p.offset))) {
      throw Error(ErrorKind::kDiverged,
                  fmt::format("step {}: the gradient of {} is not finite (loss {}); try a smaller --lr", step_ + 1,
                              p.name, loss));
    }
  }
  throw Error(ErrorKind::kDiverged, fmt::format("step {}: the loss is {}; try a smaller --lr", step_ + 1, loss));
}

void Trainer::reduce_and_update(int64_t batch, StepResult& result) {
  const nn::Parameters& parameters = encoder_.parameters();
  const int64_t size = parameters.gradients_size();
  const int64_t chunks = (size + kUpdateGrain - 1) / kUpdateGrain;
  std::vector<double> squares(static_cast<std::size_t>(chunks));
  const int64_t trainable = parameters.trainable_size();
  workers_.for_chunks(size, kUpdateGrain, [&](int64_t begin, int64_t end, int) {
    for (int64_t lane = 1; lane < lanes_; ++lane) {
      math::axpy(end - begin, Real{1}, gradients_[static_cast<std::size_t>(lane)] + begin, gradients_[0] + begin);
    }
    const int64_t learned = std::min(end, trainable);
    if (begin < learned)
      squares[static_cast<std::size_t>(begin / kUpdateGrain)] =
          math::sum_squares(learned - begin, gradients_[0] + begin);
  });
  const double total = std::accumulate(squares.begin(), squares.end(), 0.0);
  result.gradient_norm = std::sqrt(total) / static_cast<double>(batch);
  if (!std::isfinite(result.loss) || !std::isfinite(result.gradient_norm)) require_finite(result.loss);

  result.lr = learning_rate(train_, step_);
  math::AdamW rule;
  rule.lr = result.lr;
  rule.beta1 = train_.beta1;
  rule.beta2 = train_.beta2;
  rule.eps = train_.eps;
  rule.step = step_ + 1;
  rule.gradient_scale = 1.0 / static_cast<double>(batch);
  if (train_.clip > 0 && result.gradient_norm > train_.clip) rule.gradient_scale *= train_.clip / result.gradient_norm;
  const auto& all = parameters.all();
  workers_.for_chunks(static_cast<int64_t>(all.size()), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const nn::Parameter& p = all[static_cast<std::size_t>(i)];
      if (p.kind != LRA_PARAM_TRAINABLE) continue;
      math::AdamW own = rule;
      own.decay = p.decay || train_.decay_all ? train_.weight_decay : 0;
      math::adamw(own, p.size(), values_ + p.offset, gradients_[0] + p.offset, m_ + p.offset, v_ + p.offset);
    }
  });
  ++step_;
  result.step = step_;
  encoder_.after_step(static_cast<uint64_t>(step_), values_, gradients_[0]);
}

Evaluation Trainer::evaluate(data::SplitName name, int64_t limit) {
  const double start = wall_seconds();
  const data::Split& split = data_.split(name);
  const int64_t count = limit > 0 ? std::min(limit, split.size()) : split.size();
  const int64_t chunks = (count + kEvaluationGrain - 1) / kEvaluationGrain;
  std::vector<Tally> tallies(static_cast<std::size_t>(chunks));
  const auto run = [&](int64_t begin, int64_t end, int seat_index) {
    Tally& tally = tallies[static_cast<std::size_t>(begin / kEvaluationGrain)];
    for (int64_t i = begin; i < end; ++i) {
      nn::Example example;
      example.parts[0] = split.tokens(i);
      if (data_.shape().pair) example.parts[1] = split.tokens(i, 1);
      example.label = split.label(i);
      example.step = static_cast<uint64_t>(step_);
      example.number = static_cast<uint64_t>(i);
      nn::Encoder::Seat& seat = *seats_[static_cast<std::size_t>(seat_index)];
      tally.add(encoder_.forward(seat, example), encoder_.target_losses(seat));
    }
  };
  if (crew_.seats == 1) {
    for (int64_t begin = 0; begin < count; begin += kEvaluationGrain)
      run(begin, std::min(count, begin + kEvaluationGrain), 0);
  } else {
    // A worker without a seat of its own has nothing to do: chunks go to seats, seats to workers.
    workers_.for_chunks(crew_.seats, 1, [&](int64_t seat, int64_t, int) {
      for (int64_t chunk = seat; chunk < chunks; chunk += crew_.seats) {
        run(chunk * kEvaluationGrain, std::min(count, (chunk + 1) * kEvaluationGrain), static_cast<int>(seat));
      }
    });
  }
  for (auto& seat : seats_) nn::Encoder::take_mixer_seconds(*seat);
  Tally all;
  for (const Tally& tally : tallies) all += tally;
  Evaluation evaluation = all.result(count);
  evaluation.seconds = wall_seconds() - start;
  return evaluation;
}

void Trainer::keep_best() { std::memcpy(best_, values_, bytes_of(encoder_.parameters().values_size())); }

void Trainer::swap_best() { std::swap_ranges(values_, values_ + encoder_.parameters().values_size(), best_); }

Trainer::State Trainer::state() {
  const nn::Parameters& parameters = encoder_.parameters();
  return {&step_,
          {{values_, parameters.values_size()},
           {m_, parameters.trainable_size()},
           {v_, parameters.trainable_size()},
           {best_, parameters.values_size()}}};
}

std::string Trainer::weights_hash() const { return hash_hex(values_, bytes_of(encoder_.parameters().values_size())); }

std::string Trainer::shared_weights_hash() const {
  std::string all;
  for (const nn::Parameter& p : encoder_.parameters().all()) {
    if (p.kind != LRA_PARAM_TRAINABLE || p.name.find(".mixer.") != std::string::npos) continue;
    all += p.name + hash_hex(values_ + p.offset, bytes_of(p.size()));
  }
  return hash_hex(all);
}

}  // namespace lra::train
