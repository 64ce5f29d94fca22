// Local attention, exact softmax over a neighbourhood A(i) of row i:
//   window       |i - j| <= window
//   block        floor(j / block) = floor(i / block)
//   look_around  floor(i / block) - back <= floor(j / block) <= floor(i / block) + forward
//   strided      j = i modulo ceil(N / block): what the benchmark's released "local" code computes, without its padding
// Causal: and j <= i.
#include "sdk/interval_attention.h"

namespace lra {
namespace {

enum class Mode { kWindow, kBlock, kLookAround, kStrided };

constexpr lra_option kOptions[] = {
    sdk::choice("mode", "which rows a row sees", "window|block|look_around|strided", int64_t(Mode::kBlock)),
    sdk::integer("window", "window: rows seen on each side", 32, 0, 1 << 20),
    sdk::integer("block", "block, look_around, strided: rows of a block", 64, 1, 1 << 20),
    sdk::integer("back", "look_around: blocks seen before the own one", 1, 0, 1 << 20),
    sdk::integer("forward", "look_around: blocks seen after the own one", 1, 0, 1 << 20),
};

constexpr sdk::Info kInfo{
    .id = "local",
    .title = "Local attention",
    .paper = "the Local baseline of Tay et al. 2021, arXiv:2011.04006; look_around as in the package local-attention",
    .formula =
        "o_i = sum over j in A(i) of softmax_j(q_i.k_j / sqrt(dh)) v_j\n"
        "A(i): window |i-j| <= window; block: same block; look_around: blocks -back..+forward; strided: see notes",
    .notes =
        "Default: blocks of 64 rows (the benchmark sets 50 for text-like and 64 for pixel tasks).\n"
        "mode=block: rows of different blocks never meet, however many layers.\n"
        "mode=strided groups rows that are equal modulo ceil(N / block): the pattern that the benchmark's released "
        "code computes under the name local, without its padding rows.",
    .time = "O(N w D), w keys per row",
    .memory = "O(N D)",
    .time_exponent = 1,
    .memory_exponent = 1,
    .flags = LRA_CAUSAL | LRA_BIDIRECTIONAL | LRA_ROW_STOCHASTIC,
    .options = kOptions,
    .limits = "mode=window window={N}\nmode=block block={N}\nmode=look_around back={N} forward={N}",
};

math::KeyRange key_range(const sdk::Setup& setup) {
  math::KeyRange range;
  switch (setup.choice<Mode>("mode")) {
    case Mode::kWindow:
      range.left = range.right = setup.integer("window");
      break;
    case Mode::kBlock:
      range.block = setup.integer("block");
      break;
    case Mode::kLookAround:
      range.block = setup.integer("block");
      range.back = setup.integer("back");
      range.forward = setup.integer("forward");
      break;
    case Mode::kStrided:
      break;
  }
  if (setup.causal) range.right = 0;
  return range;
}

class Local : public sdk::IntervalAttention {
 public:
  explicit Local(sdk::Setup& setup)
      : IntervalAttention(setup, key_range(setup),
                          setup.choice<Mode>("mode") == Mode::kStrided ? setup.integer("block") : 0) {}
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::sdk::QkvVariant<lra::Local>, lra::kInfo)
