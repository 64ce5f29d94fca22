// Linformer: keys and values are projected along the length, N rows -> r rows, by learned matrices:
//   K' = E^T K,  V' = F^T V,  P = softmax(Q K'^T / sqrt(dh)),  o = P V'        E, F: the first N rows of [max_len, r]
// sharing: none       E and F for each head           headwise   one E and one F for all heads
//          key_value  one matrix, E = F               layerwise  E = F, the same in all layers
// Backward: dK = E dK',  dE = K dK'^T;  dV = F dV',  dF = V dV'^T
#include <algorithm>
#include <cmath>

#include "math/attention.h"
#include "sdk/qkv.h"

namespace lra {
namespace {

using sdk::matrix;
using sdk::Real;
using sdk::t;

enum class Sharing { kNone, kHeadwise, kKeyValue, kLayerwise };

constexpr int64_t kMostRank = 256;  // of the default

constexpr lra_option kOptions[] = {
    sdk::integer("rank", "rows kept of keys and values; 0: a quarter of max_len, at most 256", 0, 0, 1 << 20),
    sdk::choice("sharing", "who has the same projection", "none|headwise|key_value|layerwise",
                int64_t(Sharing::kKeyValue)),
};

constexpr sdk::Info kInfo{
    .id = "linformer",
    .title = "Linformer",
    .paper = "Wang et al. 2020, arXiv:2006.04768",
    .formula =
        "K' = E^T K,  V' = F^T V         N rows -> r rows\n"
        "P = softmax(Q K'^T / sqrt(dh)) for each head,  o = P V'",
    .notes =
        "rank=0 follows the paper: 128 of 512 rows, 256 of 1024 and more. A rank above max_len is refused.\n"
        "Not causal: every projected row mixes all positions.\n"
        "Parameters we, wf: [max_len, rank]; with sharing=none [max_len, H rank], head h in columns\n"
        "[h rank, (h + 1) rank). Shorter sequences use the first rows. Initialised with variance 1 / max_len, so that\n"
        "projected rows are of the size of single ones. key_value and layerwise have no wf.\n"
        "The rows of P sum to 1, those of the effective matrix P F^T do not.\n"
        "The benchmark's released code uses rank 16 in every task, whatever its settings say.",
    .time = "O(N r D)",
    .memory = "O(N D + r D)",
    .time_exponent = 1,
    .memory_exponent = 1,
    .flags = LRA_BIDIRECTIONAL,
    .options = kOptions,
    .limits =
        "rank={N} sharing=key_value; we=identity\nrank={N} sharing=headwise; we=identity wf=identity\n"
        "rank={N} sharing=layerwise; we=identity",
};

int64_t rank_of(const sdk::Setup& setup) {
  const int64_t rank = setup.integer("rank");
  if (rank > setup.max_len) {
    throw sdk::Refusal("rank " + std::to_string(rank) + " is above max_len " + std::to_string(setup.max_len) +
                       "; choose --set rank=N with N <= " + std::to_string(setup.max_len));
  }
  return rank > 0 ? rank : std::min(kMostRank, (setup.max_len + 3) / 4);
}

class Linformer {
 public:
  explicit Linformer(sdk::Setup& setup)
      : heads_(setup.heads),
        head_dim_(setup.head_dim),
        inner_(setup.inner),
        max_len_(setup.max_len),
        rank_(rank_of(setup)),
        groups_(setup.choice<Sharing>("sharing") == Sharing::kNone ? heads_ : 1),
        width_(inner_ / groups_),
        projected_k_(setup.saved("projected k", rank_ * inner_)),
        projected_v_(setup.saved("projected v", rank_ * inner_)),
        lse_(setup.saved("lse", heads_ * max_len_)),
        dprojected_k_(setup.scratch("d projected k", rank_ * inner_)),
        dprojected_v_(setup.scratch("d projected v", rank_ * inner_)) {
    const auto sharing = setup.choice<Sharing>("sharing");
    const sdk::Init init{
        .init = LRA_INIT_NORMAL, .scale = 1 / std::sqrt(double(max_len_)), .shared = sharing == Sharing::kLayerwise};
    e_ = f_ = setup.param("we", max_len_, groups_ * rank_, init);
    if (sharing == Sharing::kNone || sharing == Sharing::kHeadwise) {
      f_ = setup.param("wf", max_len_, groups_ * rank_, init);
    }
    const auto a = shape(max_len_);
    tiles_ = setup.scratch_per_worker<std::byte>(
        "tiles", int64_t(std::max(math::attention_forward_scratch(a), math::attention_backward_scratch(a))));
  }

  void forward(const sdk::Step& step, const sdk::Qkv& x) const {
    const int64_t blocks = (rank_ + kRankBlock - 1) / kRankBlock;
    step.host.parallel_for(groups_ * blocks, 1, [&](int64_t task, int64_t, int32_t) {
      project(step, e_, step[x.k], step[projected_k_], task / blocks, task % blocks * kRankBlock);  // K' = E^T K
      project(step, f_, step[x.v], step[projected_v_], task / blocks, task % blocks * kRankBlock);  // V' = F^T V
    });
    const int64_t parts = (step.len + kQueryBlock - 1) / kQueryBlock;
    step.host.parallel_for(heads_ * parts, 1, [&](int64_t task, int64_t, int32_t worker) {
      const auto a = bind(step, x, task / parts);
      const int64_t begin = task % parts * kQueryBlock;
      math::attention_forward(a, begin, std::min(begin + kQueryBlock, step.len), step.at(tiles_, worker));  // o = P V'
    });
  }

  void backward(const sdk::Step& step, const sdk::Qkv& x, const sdk::Grads& grads) const {
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      auto a = bind(step, x, head);
      a.d_o = step[x.d_o] + head * head_dim_;
      a.dq = step[x.dq] + head * head_dim_;
      a.dk = step[dprojected_k_] + head * head_dim_;
      a.dv = step[dprojected_v_] + head * head_dim_;
      math::attention_backward(a, step.at(tiles_, worker));
    });
    step.host.parallel_for(step.len, sdk::kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      project_backward(step, e_, step[x.k], step[dprojected_k_], step[x.dk], grads, begin, end);
      project_backward(step, f_, step[x.v], step[dprojected_v_], step[x.dv], grads, begin, end);
    });
  }

  sdk::Cost cost(int64_t len) const {
    const double h = double(heads_), projection = 2.0 * double(len) * double(rank_) * double(inner_);
    const auto a = shape(len);
    return {.forward_flops = 2 * projection + h * math::attention_forward_flops(a),
            .backward_flops = 4 * projection + h * math::attention_backward_flops(a),
            .pairs = h * double(len) * double(rank_)};
  }

 private:
  static constexpr int64_t kRankBlock = 64;    // projected rows of one task
  static constexpr int64_t kQueryBlock = 512;  // queries of one task

  // Rows [begin, end) of E for one group of heads: [end - begin, rank].
  template <class T>
  sdk::Matrix<T> rows_of(T* e, int64_t group, int64_t begin, int64_t end) const {
    return matrix(e + begin * groups_ * rank_ + group * rank_, end - begin, rank_, groups_ * rank_);
  }
  // Rows of x: [.., Q], the columns of one group of heads.
  template <class T>
  sdk::Matrix<T> columns_of(T* x, int64_t group, int64_t begin, int64_t end) const {
    return matrix(x + begin * inner_ + group * width_, end - begin, width_, inner_);
  }

  // X' = E^T X, projected rows [first, first + kRankBlock).
  void project(const sdk::Step& step, const sdk::Param& e, const Real* x, Real* out, int64_t group,
               int64_t first) const {
    const int64_t last = std::min(first + kRankBlock, rank_);
    auto rows = rows_of(step[e] + first, group, 0, step.len);
    rows.cols = last - first;
    step.host.gemm(columns_of(out, group, first, last), t(rows), columns_of(x, group, 0, step.len));
  }
  // dX = E dX',  dE += X dX'^T, rows [begin, end).
  void project_backward(const sdk::Step& step, const sdk::Param& e, const Real* x, const Real* dout, Real* dx,
                        const sdk::Grads& grads, int64_t begin, int64_t end) const {
    for (int64_t g = 0; g < groups_; ++g) {
      const auto d = columns_of(dout, g, 0, rank_);
      step.host.gemm(columns_of(dx, g, begin, end), rows_of(step[e], g, begin, end), d);
      step.host.gemm(rows_of(grads[e], g, begin, end), columns_of(x, g, begin, end), t(d), {.beta = 1});
    }
  }

  math::Attention<Real> shape(int64_t len) const {
    math::Attention<Real> a;
    a.queries = len;
    a.head_dim = head_dim_;
    a.scale = Real(1 / std::sqrt(double(head_dim_)));
    a.range = math::KeyRange::full(rank_);
    return a;
  }
  math::Attention<Real> bind(const sdk::Step& step, const sdk::Qkv& x, int64_t head) const {
    auto a = shape(step.len);
    a.q = step[x.q] + head * head_dim_;
    a.k = step[projected_k_] + head * head_dim_;
    a.v = step[projected_v_] + head * head_dim_;
    a.o = step[x.o] + head * head_dim_;
    a.ldq = a.ldk = a.ldv = a.ldo = inner_;
    a.lse = step[lse_] + head * max_len_;
    return a;
  }

  int64_t heads_, head_dim_, inner_, max_len_, rank_;
  int64_t groups_, width_;  // of heads that share a projection, and the columns of one
  sdk::Param e_, f_;        // the same when shared
  sdk::Saved<> projected_k_, projected_v_, lse_;
  sdk::Scratch<> dprojected_k_, dprojected_v_;
  sdk::WorkerScratch<std::byte> tiles_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::sdk::QkvVariant<lra::Linformer>, lra::kInfo)
