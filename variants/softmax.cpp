// Softmax attention, exact: every row sees every row (causal: every row up to itself).
//   P = softmax(Q K^T / sqrt(dh)),  o = P V
#include "sdk/interval_attention.h"

namespace lra {
namespace {

constexpr sdk::Info kInfo{
    .id = "softmax",
    .title = "Softmax attention",
    .paper = "Vaswani et al. 2017, arXiv:1706.03762; tiles: Dao et al. 2022, arXiv:2205.14135",
    .formula = "q = x W_q,  k = x W_k,  v = x W_v\nP = softmax(q k^T / sqrt(dh)) for each head\ny = [P v] W_o",
    .notes =
        "Exact. Tiles of P are recomputed in backward, so memory grows with N and not with its square. No dropout on "
        "P.",
    .time = "O(N^2 D)",
    .memory = "O(N D)",
    .time_exponent = 2,
    .memory_exponent = 1,
    .flags = LRA_CAUSAL | LRA_BIDIRECTIONAL | LRA_ROW_STOCHASTIC,
};

class Softmax : public sdk::IntervalAttention {
 public:
  explicit Softmax(sdk::Setup& setup)
      : IntervalAttention(setup, setup.causal ? math::KeyRange::causal(0) : math::KeyRange::full(0)) {}
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::sdk::QkvVariant<lra::Softmax>, lra::kInfo)
