// The encoder: parameter counts as published, gradients of every option, bits that do not depend on the crew.
#include "nn/encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "core/error.h"
#include "core/json.h"
#include "core/plan.h"
#include "core/rng.h"
#include "nn/toy_mixer.h"

namespace lra::nn {
namespace {

int64_t count(const ModelSpec& model, const Input& input) {
  Workers workers(1);
  const Encoder encoder(model, input, counting_mixers(), 0, workers, 1);
  int64_t sum = 0;
  for (const Parameter& p : encoder.parameters().all()) sum += p.size();
  return sum;
}

// LRA's released models: no biases in attention, ReLU head, 10 or 2 classes.
ModelSpec lra_model(int64_t layers, int64_t heads, int64_t dim, int64_t qkv, int64_t mlp, Pool pool,
                    Positions positions) {
  ModelSpec m;
  m.layers = layers;
  m.heads = heads;
  m.dim = dim;
  m.qkv_dim = qkv;
  m.mlp = mlp;
  m.bias = false;
  m.pool = pool;
  m.positions = positions;
  m.head = Head::kMlp;
  return m;
}

TEST(EncoderParameters, EqualThePublishedCounts) {
  EXPECT_EQ(count(lra_model(1, 1, 32, 32, 64, Pool::kCls, Positions::kLearned),
                  {.vocab = 256, .classes = 10, .max_len = 1024}),
            52266);
  EXPECT_EQ(count(lra_model(1, 8, 128, 64, 128, Pool::kCls, Positions::kLearned),
                  {.vocab = 256, .classes = 10, .max_len = 1024}),
            248458);
  EXPECT_EQ(count(lra_model(4, 8, 512, 512, 1024, Pool::kCls, Positions::kSinusoidal),
                  {.vocab = 17, .classes = 10, .max_len = 2000}),
            8948746);
  EXPECT_EQ(count(lra_model(4, 4, 256, 256, 1024, Pool::kCls, Positions::kSinusoidal),
                  {.vocab = 257, .classes = 2, .max_len = 1000}),
            3486722);
  EXPECT_EQ(count(lra_model(4, 4, 32, 16, 32, Pool::kMean, Positions::kSinusoidal),
                  {.vocab = 256, .classes = 2, .max_len = 1024}),
            26530);
  EXPECT_EQ(count(lra_model(1, 2, 32, 16, 32, Pool::kMean, Positions::kLearned),
                  {.vocab = 256, .classes = 2, .max_len = 16384}),
            537954);
}

TEST(EncoderParameters, OfPairModelsEqualThePublishedCounts) {
  ModelSpec m = lra_model(4, 4, 128, 128, 512, Pool::kMean, Positions::kSinusoidal);
  const Input input{.vocab = 257, .classes = 2, .max_len = 4000, .pair = true};
  EXPECT_EQ(count(m, input), 1218690);
  m.interaction = Interaction::kConcat;
  EXPECT_EQ(count(m, input), 1087618);
}

// An encoder with memory and one example.
struct Bench {
  Bench(const ModelSpec& model, const Input& input, const MixerSource& mixers, int threads, int inner)
      : workers(threads), encoder(model, input, mixers, 3, workers, inner) {
    const auto bytes = [](int64_t n) { return static_cast<std::size_t>(n) * sizeof(Real); };
    Plan plan;
    const Block v = plan.reserve(Memory::kParameters, bytes(encoder.parameters().values_size()));
    const Block g = plan.reserve(Memory::kGradients, bytes(encoder.parameters().gradients_size()));
    const Block s = plan.reserve(Memory::kSaved, encoder.saved_bytes());
    const Block c = plan.reserve(Memory::kScratch, encoder.scratch_bytes());
    arena = std::make_unique<Arena>(plan);
    values = arena->at<Real>(v);
    gradients = arena->at<Real>(g);
    encoder.parameters().initialise(model, 3, values);
    // Gains of one and zero biases hide missing terms.
    for (int64_t i = 0; i < encoder.parameters().values_size(); ++i)
      values[i] += static_cast<Real>(0.1 * normal_at(98, static_cast<uint64_t>(i)));
    seat = encoder.make_seat(values, arena->at<void>(s), arena->at<void>(c));
    Rng rng{5};
    for (auto& part : tokens) {
      part.resize(static_cast<std::size_t>(input.max_len));
      for (auto& token : part) token = static_cast<uint16_t>(rng.below(static_cast<uint32_t>(input.vocab)));
    }
    example.parts[0] = tokens[0];
    if (input.pair) {
      tokens[1].resize(tokens[1].size() - 2);
      example.parts[1] = tokens[1];
    }
    example.label = 1;
    example.step = 4;
    example.number = 17;
    example.training = true;
  }
  double loss() { return encoder.forward(*seat, example).loss; }

  Workers workers;
  Encoder encoder;
  std::unique_ptr<Arena> arena;
  Real *values = nullptr, *gradients = nullptr;
  std::shared_ptr<Encoder::Seat> seat;
  std::vector<uint16_t> tokens[2];
  Example example;
};

// Directional derivative along the gradient itself, over all parameters and over each one alone.
void expect_gradient(Bench& bench, const std::string& what) {
  bench.loss();
  bench.encoder.backward(*bench.seat, bench.gradients);
  const bool f64 = sizeof(Real) == 8;
  for (const Parameter& p : bench.encoder.parameters().all()) {
    double norm = 0;
    for (int64_t i = 0; i < p.size(); ++i)
      norm += double(bench.gradients[p.offset + i]) * double(bench.gradients[p.offset + i]);
    norm = std::sqrt(norm);
    if (norm < 1e-7) continue;
    std::vector<Real> old(bench.values + p.offset, bench.values + p.offset + p.size());
    const double h = f64 ? 1e-5 : 4e-3;  // small enough to stay on one side of the head's ReLU
    const auto at = [&](double t) {
      for (int64_t i = 0; i < p.size(); ++i) {
        bench.values[p.offset + i] = static_cast<Real>(double(old[static_cast<std::size_t>(i)]) +
                                                       t * double(bench.gradients[p.offset + i]) / norm);
      }
      const double loss = bench.loss();
      std::copy(old.begin(), old.end(), bench.values + p.offset);
      return loss;
    };
    const double slope = (at(h) - at(-h)) / (2 * h);
    EXPECT_NEAR(slope / norm, 1.0, f64 ? 1e-6 : 5e-2) << what << ": " << p.name << " gradient norm " << norm;
  }
}

ModelSpec small_model() {
  ModelSpec m;
  m.layers = 2;
  m.dim = 8;
  m.heads = 2;
  m.mlp = 12;
  return m;
}

TEST(EncoderGradient, HoldsForEveryPositionCode) {
  for (const Positions positions :
       {Positions::kLearned, Positions::kSinusoidal, Positions::kSinusoidal2d, Positions::kAxial, Positions::kNone}) {
    ModelSpec m = small_model();
    m.positions = positions;
    Bench bench(m, {.vocab = 11, .classes = 3, .max_len = 12, .height = 3, .width = 4}, mean_mixers(), 1, 1);
    expect_gradient(bench, "positions " + std::to_string(int(positions)));
  }
}

TEST(EncoderGradient, HoldsForEveryPoolAndHeadWithPrefixRows) {
  for (const Pool pool : {Pool::kMean, Pool::kCls, Pool::kLast}) {
    for (const Head head : {Head::kLinear, Head::kMlp}) {
      ModelSpec m = small_model();
      m.pool = pool;
      m.head = head;
      m.positions = Positions::kLearned;
      m.activation = Activation::kGeluErf;
      Bench bench(m, {.vocab = 7, .classes = 4, .max_len = 9}, mean_mixers(2), 1, 1);
      expect_gradient(bench, "pool " + std::to_string(int(pool)) + " head " + std::to_string(int(head)));
    }
  }
}

TEST(EncoderGradient, HoldsForPairsOfSequences) {
  for (const Interaction interaction : {Interaction::kNli, Interaction::kConcat}) {
    ModelSpec m = small_model();
    m.interaction = interaction;
    Bench bench(m, {.vocab = 7, .classes = 2, .max_len = 10, .pair = true}, mean_mixers(), 1, 1);
    expect_gradient(bench, "interaction " + std::to_string(int(interaction)));
  }
}

TEST(EncoderGradient, HoldsUnderDropoutBecauseTheNoiseIsAFunctionOfTheExample) {
  ModelSpec m = small_model();
  m.dropout = 0.3;
  Bench bench(m, {.vocab = 7, .classes = 2, .max_len = 10}, mean_mixers(), 1, 1);
  const double first = bench.loss();
  EXPECT_EQ(first, bench.loss());
  bench.example.number += 1;
  EXPECT_NE(first, bench.loss());
  expect_gradient(bench, "dropout");
}

TEST(EncoderGradient, HoldsForSequencesLongerThanOneBlock) {
  ModelSpec m = small_model();
  m.layers = 1;
  Bench bench(m, {.vocab = 5, .classes = 2, .max_len = 600}, mean_mixers(), 1, 1);
  expect_gradient(bench, "600 rows");
}

ModelSpec next_token_model() {
  ModelSpec m = small_model();
  m.causal = true;
  return m;
}

TEST(EncoderGradient, HoldsForNextTokensWithPrefixRowsAndMoreThanOneBlock) {
  for (const int64_t len : {9, 400}) {
    Bench bench(next_token_model(), {.vocab = 7, .classes = 7, .max_len = len, .next_token = true}, mean_mixers(2), 1,
                1);
    expect_gradient(bench, "next tokens, length " + std::to_string(len));
  }
}

TEST(EncoderGradient, HoldsForAParameterThatAllLayersShare) {
  Bench bench(small_model(), {.vocab = 7, .classes = 2, .max_len = 10}, mean_mixers(0, true), 1, 1);
  int64_t arrays = 0;
  for (const Parameter& p : bench.encoder.parameters().all()) arrays += p.name == "layers.mixer.w" ? 1 : 0;
  EXPECT_EQ(arrays, 1);
  EXPECT_EQ(bench.encoder.mixer_parameters(), 8 * 8);
  expect_gradient(bench, "shared");
}

ModelSpec reversible_model(int64_t layers) {
  ModelSpec m = small_model();
  m.layers = layers;
  m.residual = Residual::kReversible;
  return m;
}

TEST(EncoderGradient, HoldsForReversibleLayersWhoseInputsAreComputedAgain) {
  ModelSpec m = reversible_model(3);
  Bench plain(m, {.vocab = 7, .classes = 2, .max_len = 10}, mean_mixers(2), 1, 1);
  expect_gradient(plain, "reversible");
  Bench pair(m, {.vocab = 7, .classes = 2, .max_len = 10, .pair = true}, mean_mixers(), 1, 1);
  expect_gradient(pair, "reversible pair");
  m.dropout = 0.3;
  Bench noisy(m, {.vocab = 7, .classes = 2, .max_len = 400}, mean_mixers(), 1, 1);
  expect_gradient(noisy, "reversible, dropout, three blocks");
  m.causal = true;
  Bench next(m, {.vocab = 7, .classes = 7, .max_len = 9, .next_token = true}, mean_mixers(), 1, 1);
  expect_gradient(next, "reversible, next tokens");
}

// One layer of which one half is zero: x_L = x + F / 2, what a plain layer gives when that half's last weights are
// halved.
TEST(EncoderReversible, IsTheMeanOfItsTwoStreams) {
  for (const std::string half : {"mixer", "mlp"}) {
    Bench two(reversible_model(1), {.vocab = 7, .classes = 3, .max_len = 9}, mean_mixers(), 1, 1);
    ModelSpec model = reversible_model(1);
    model.residual = Residual::kPlain;
    Bench one(model, {.vocab = 7, .classes = 3, .max_len = 9}, mean_mixers(), 1, 1);
    for (const Parameter& p : one.encoder.parameters().all()) {
      const bool mixes = p.name == "layer0.mixer.w";
      if (!mixes && p.name != "layer0.mlp.w2" && p.name != "layer0.mlp.b2") continue;
      for (int64_t i = p.offset; i < p.offset + p.size(); ++i) {
        if (mixes == (half == "mixer")) {
          one.values[i] = two.values[i] / 2;
        } else {
          one.values[i] = two.values[i] = 0;
        }
      }
    }
    const auto cross_entropy = [](Bench& bench) {
      const Outcome outcome = bench.encoder.forward(*bench.seat, bench.example);
      return outcome.loss - outcome.auxiliary;
    };
    EXPECT_NEAR(cross_entropy(two), cross_entropy(one), sizeof(Real) == 8 ? 1e-12 : 1e-5) << half;
  }
}

TEST(EncoderReversible, NeedsNoMoreMemoryForMoreLayers) {
  const auto saved = [](const ModelSpec& model) {
    return Bench(model, {.vocab = 7, .classes = 2, .max_len = 64}, mean_mixers(), 1, 1).encoder.saved_bytes();
  };
  EXPECT_EQ(saved(reversible_model(1)), saved(reversible_model(9)));
  EXPECT_EQ(saved(reversible_model(1)), saved([] {
              ModelSpec m = small_model();
              m.layers = 1;
              return m;
            }()));
}

TEST(EncoderReversible, CountsTheFlopsThatItDoesTwice) {
  Bench bench(reversible_model(2), {.vocab = 7, .classes = 2, .max_len = 300}, mean_mixers(), 1, 1);
  const lra_cost mixers = bench.encoder.mixer_cost(300);  // they multiply by hand
  const double start = double(bench.encoder.kernel_flops());
  bench.loss();
  const double middle = double(bench.encoder.kernel_flops());
  bench.encoder.backward(*bench.seat, bench.gradients);
  EXPECT_EQ(middle - start, bench.encoder.forward_flops(300) - mixers.forward_flops);
  EXPECT_EQ(double(bench.encoder.kernel_flops()) - middle,
            bench.encoder.backward_flops(300) - mixers.forward_flops - mixers.backward_flops);
}

TEST(EncoderReversible, GivesTheSameBitsForOneAndThreeWorkersInsideASequence) {
  ModelSpec m = reversible_model(2);
  m.dim = 40;
  m.mlp = 100;
  m.dropout = 0.1;
  const Input input{.vocab = 5, .classes = 2, .max_len = 700};
  Bench one(m, input, mean_mixers(), 1, 1);
  Bench three(m, input, mean_mixers(), 3, 3);
  EXPECT_EQ(one.loss(), three.loss());
  one.encoder.backward(*one.seat, one.gradients);
  three.encoder.backward(*three.seat, three.gradients);
  for (int64_t i = 0; i < one.encoder.parameters().gradients_size(); ++i)
    ASSERT_EQ(one.gradients[i], three.gradients[i]) << i;
}

TEST(Encoder, LosesTheLogarithmOfTheVocabularyWhenItsHeadIsZero) {
  Bench bench(next_token_model(), {.vocab = 7, .classes = 7, .max_len = 9, .next_token = true}, mean_mixers(), 1, 1);
  for (const Parameter& p : bench.encoder.parameters().all()) {
    if (p.name.rfind("head", 0) == 0) std::fill_n(bench.values + p.offset, p.size(), Real{0});
  }
  const Outcome outcome = bench.encoder.forward(*bench.seat, bench.example);
  EXPECT_EQ(outcome.targets, 8);
  EXPECT_NEAR(outcome.loss - outcome.auxiliary, std::log(7), 1e-6);
  const auto losses = bench.encoder.target_losses(*bench.seat);
  ASSERT_EQ(losses.size(), 8u);
  for (const Real loss : losses) EXPECT_NEAR(double(loss), std::log(7), 1e-6);
}

TEST(Encoder, CountsTheFlopsOfNextTokensAsItDoesThem) {
  // The toy mixer multiplies by hand; everything else goes through the counted products.
  Bench bench(next_token_model(), {.vocab = 7, .classes = 7, .max_len = 300, .next_token = true}, mean_mixers(), 1, 1);
  const double mixers = bench.encoder.mixer_cost(300).forward_flops,
               mixers_back = bench.encoder.mixer_cost(300).backward_flops;
  const double start = double(bench.encoder.kernel_flops());
  bench.loss();
  const double middle = double(bench.encoder.kernel_flops());
  bench.encoder.backward(*bench.seat, bench.gradients);
  EXPECT_EQ(middle - start, bench.encoder.forward_flops(300) - mixers);
  EXPECT_EQ(double(bench.encoder.kernel_flops()) - middle, bench.encoder.backward_flops(300) - mixers_back);
}

TEST(Encoder, GivesTheSameBitsForOneAndThreeWorkersInsideASequence) {
  ModelSpec m = small_model();
  m.dim = 40;
  m.mlp = 100;
  const Input input{.vocab = 5, .classes = 2, .max_len = 700};
  Bench one(m, input, mean_mixers(), 1, 1);
  Bench three(m, input, mean_mixers(), 3, 3);
  EXPECT_EQ(one.loss(), three.loss());
  one.encoder.backward(*one.seat, one.gradients);
  three.encoder.backward(*three.seat, three.gradients);
  for (int64_t i = 0; i < one.encoder.parameters().gradients_size(); ++i)
    ASSERT_EQ(one.gradients[i], three.gradients[i]) << i;
}

// Counts its backward calls in a statistic and keeps the sum in a buffer.
class CallCounter : public Mixer {
 public:
  explicit CallCounter(Declarer& declarer) {
    for (const auto& [name, kind] : {std::pair{"calls", LRA_PARAM_BUFFER}, std::pair{"sum", LRA_PARAM_STATISTIC}}) {
      lra_param_spec spec{};
      spec.struct_size = sizeof(spec);
      spec.name = name;
      spec.rows = spec.cols = 1;
      spec.kind = kind;
      spec.align_with = -1;
      declarer.param(spec);
    }
  }
  void forward(const lra_step& s, Real* y, Real*) const override { std::copy_n(s.x, s.len * 8, y); }
  void backward(const lra_step& s, const Real* dy, Real* dx, Real* const* dparams) const override {
    std::copy_n(dy, s.len * 8, dx);
    dparams[1][0] += 1;
  }
  lra_cost cost(int64_t) const override { return {sizeof(lra_cost), 0, 0, 0}; }
  bool has_after_step() const override { return true; }
  void after_step(const lra_step& s, Real* const* buffers) const override {
    if (s.step > 0) buffers[0][0] = buffers[1][0];
  }
};

TEST(Encoder, HandsSumsOfStatisticsToTheMixerBesideItsBuffers) {
  MixerSource mixers;
  mixers.make = [](const lra_config&, Declarer& declarer) { return std::make_unique<CallCounter>(declarer); };
  Bench bench(small_model(), {.vocab = 5, .classes = 2, .max_len = 7}, mixers, 1, 1);
  bench.encoder.after_step(0, bench.values, nullptr);
  for (int i = 0; i < 3; ++i) {
    bench.loss();
    bench.encoder.backward(*bench.seat, bench.gradients);
  }
  bench.encoder.after_step(1, bench.values, bench.gradients);
  int found = 0;
  for (const Parameter& p : bench.encoder.parameters().all()) {
    if (p.kind != LRA_PARAM_BUFFER) continue;
    ++found;
    EXPECT_EQ(bench.values[p.offset], 3) << p.name;
  }
  EXPECT_EQ(found, 2);
}

TEST(Encoder, SharedParametersStartEqualWhateverTheMixer) {
  ModelSpec m = small_model();
  const Input input{.vocab = 5, .classes = 2, .max_len = 7};
  Workers workers(1);
  const Encoder a(m, input, mean_mixers(), 3, workers, 1);
  const Encoder b(m, input, counting_mixers(), 3, workers, 1);
  std::vector<Real> va(static_cast<std::size_t>(a.parameters().values_size()));
  std::vector<Real> vb(static_cast<std::size_t>(b.parameters().values_size()));
  a.parameters().initialise(m, 3, va.data());
  b.parameters().initialise(m, 3, vb.data());
  int compared = 0;
  for (const Parameter& p : a.parameters().all()) {
    for (const Parameter& q : b.parameters().all()) {
      if (p.name != q.name) continue;
      ++compared;
      for (int64_t i = 0; i < p.size(); ++i) ASSERT_EQ(va[size_t(p.offset + i)], vb[size_t(q.offset + i)]) << p.name;
    }
  }
  EXPECT_EQ(compared, 1 + 2 + 2 + 2 * 8);  // token table, final norm, head, eight per layer
}

TEST(Encoder, AlignedKeysStartCorrelatedWithQueries) {
  ModelSpec m = small_model();
  m.dim = 64;
  m.qk_alignment = 0.7;
  Workers workers(1);
  const Encoder encoder(m, {.vocab = 5, .classes = 2, .max_len = 7}, counting_mixers(), 3, workers, 1);
  std::vector<Real> v(static_cast<std::size_t>(encoder.parameters().values_size()));
  encoder.parameters().initialise(m, 3, v.data());
  const Parameter* q = nullptr;
  const Parameter* k = nullptr;
  for (const Parameter& p : encoder.parameters().all()) {
    if (p.name == "layer0.mixer.wq") q = &p;
    if (p.name == "layer0.mixer.wk") k = &p;
  }
  ASSERT_TRUE(q != nullptr && k != nullptr);
  double qk = 0, qq = 0, kk = 0;
  for (int64_t i = 0; i < q->size(); ++i) {
    const double a = double(v[size_t(q->offset + i)]), b = double(v[size_t(k->offset + i)]);
    qk += a * b;
    qq += a * a;
    kk += b * b;
  }
  EXPECT_NEAR(qk / std::sqrt(qq * kk), 0.7, 0.05);
  EXPECT_NEAR(std::sqrt(kk / double(k->size())), 1 / 8.0, 0.005);
}

TEST(ModelSpec, ReadsWritesAndRefusesByName) {
  ModelSpec m;
  m.positions = Positions::kAxial;
  m.dropout = 0.25;
  ModelSpec back;
  from_json(to_json(m), back);
  EXPECT_EQ(to_json(m), to_json(back));
  EXPECT_FALSE(to_json(m).contains("residual")) << "what is plain keeps the hash it had";
  m.residual = Residual::kReversible;
  from_json(to_json(m), back);
  EXPECT_TRUE(back.reversible());
  const auto message = [&](const Json& json) {
    try {
      from_json(json, back);
      return std::string();
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  EXPECT_THAT(message({{"layer", 3}}), testing::HasSubstr("did you mean 'layers'?"));
  EXPECT_THAT(message({{"layers", "three"}}), testing::HasSubstr("a whole number is wanted"));
  EXPECT_THAT(message({{"pool", "max"}}), testing::HasSubstr("one of mean, cls, last"));
}

TEST(ModelSpec, RefusesShapesThatDoNotFit) {
  ModelSpec m = small_model();
  const Input input{.vocab = 5, .classes = 2, .max_len = 7};
  m.heads = 3;
  EXPECT_THROW(validate(m, input), Error);
  m.heads = 2;
  m.positions = Positions::kSinusoidal2d;
  EXPECT_THROW(validate(m, input), Error);
  m.positions = Positions::kNone;
  m.causal = true;
  m.pool = Pool::kCls;
  EXPECT_THROW(validate(m, input), Error);
  m = small_model();
  EXPECT_THROW(validate(m, {.vocab = 5, .classes = 5, .max_len = 7, .next_token = true}), Error);  // not causal
}

}  // namespace
}  // namespace lra::nn
