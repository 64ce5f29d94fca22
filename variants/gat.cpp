// Graph attention: each row weighs its neighbours in a given graph, itself among them.
//   additive  h = x W_v,  e_ij = leaky(a_s.h_i + a_d.h_j),  o_i = sum over j in A(i) of softmax_j(e_ij) h_j
//   dot       e_ij = q_i.k_j / sqrt(dh),                    o_i = sum over j in A(i) of softmax_j(e_ij) v_j
// leaky(z) = z above 0, 0.2 z below. Graphs A(i):
//   window   |i - j| <= width          dilated  j = i + dilation t, |t| <= width
//   random   i and `degree` other rows          tree     i, its parent floor((i - 1) / degree) and its children
// Causal: and j <= i; random then draws among the earlier rows.
// The additive scores are products of two numbers, [s_i, 1].[1, d_j] with s = a_s.h and d = a_d.h; backward:
//   dz = dS leaky'(z),  ds_i = sum_j dz_ij,  dd_j = sum_i dz_ij,  dh = P^T dO + ds a_s + dd a_d
#include <algorithm>
#include <cmath>
#include <variant>

#include "sdk/band.h"

namespace lra {
namespace {

using math::Rows;
using sdk::Band;
using sdk::Grads;
using sdk::matrix;
using sdk::Real;
using sdk::Scores;
using sdk::Step;

enum class Form { kAdditive, kDot };
enum class Kind { kWindow, kDilated, kRandom, kTree };

constexpr Real kLeak = Real(0.2);

constexpr lra_option kOptions[] = {
    sdk::choice("form", "scores of an edge", "additive|dot"),
    sdk::choice("graph", "who is a neighbour", "window|dilated|random|tree"),
    sdk::integer("width", "window, dilated: neighbours on each side", 32, 0, 1 << 20),
    sdk::integer("dilation", "dilated: distance between two neighbours", 4, 1, 1 << 20),
    sdk::integer("degree", "random: neighbours of a row beside itself; tree: children of a row", 8, 1, 1 << 10),
};

constexpr sdk::Info kInfo{
    .id = "gat",
    .title = "Graph attention (GAT)",
    .paper = "Velickovic et al. 2018, arXiv:1710.10903",
    .formula =
        "additive: h = x W_v,  e_ij = leaky_0.2(a_s.h_i + a_d.h_j),  o_i = sum over j in A(i) of softmax_j(e_ij) h_j\n"
        "dot: e_ij = q_i.k_j / sqrt(dh),  o_i = sum over j in A(i) of softmax_j(e_ij) v_j\n"
        "window |i-j| <= width; dilated j = i + dilation t, |t| <= width; random; tree",
    .notes =
        "The paper is given a graph; a sequence has none, so one is chosen. Every row is its own neighbour.\n"
        "Heads are joined and go through W_o, in the place of the paper's ELU between layers; no dropout on the "
        "weights. Parameters a_s, a_d: [H, dh], one row a head.\n"
        "form=additive ranks the neighbours in the same order for every row of a head.\n"
        "graph=random: buffer neighbours: [max_len, degree], uniforms in [0, 1), drawn before the first step and never "
        "again, for all heads. The t-th neighbour of a row is the floor(u_t m)-th, counting from 0, of the m other "
        "rows (causal: of the m earlier rows) not chosen yet, in ascending order; without enough of them, all.\n"
        "graph=tree numbers the rows like a heap: row i has the children degree i + 1 .. degree i + degree.",
    .time = "O(N (degree + D) D)",
    .memory = "O(N D)",
    .time_exponent = 1,
    .memory_exponent = 1,
    .flags = LRA_CAUSAL | LRA_BIDIRECTIONAL | LRA_ROW_STOCHASTIC,
    .options = kOptions,
    .limits = "form=dot width={N}\nform=dot graph=dilated dilation=1 width={N}",
};

// The edges. A window is made of bands; for other graphs the neighbours of each row are listed, ascending.
class Graph {
 public:
  explicit Graph(sdk::Setup& setup)
      : kind_(setup.choice<Kind>("graph")),
        width_(setup.integer("width")),
        dilation_(kind_ == Kind::kDilated ? setup.integer("dilation") : 1),
        degree_(setup.integer("degree")),
        causal_(setup.causal) {
    if (kind_ == Kind::kRandom) draws_ = setup.buffer("neighbours", setup.max_len, degree_);
    if (has_lists()) {
      list_stride_ = std::min(setup.max_len, degree_ + 2);
      lists_ = setup.scratch<int32_t>("lists", setup.max_len * list_stride_);
    }
  }

  void draw(const Step& step, sdk::Buffers buffers) const {
    if (step.number() == 0 && kind_ == Kind::kRandom) {
      step.host.uniform(0, 0, draws_.rows * draws_.cols, buffers[draws_]);
    }
  }

  // Lists the neighbours of a sequence; null where there is nothing to list.
  const int32_t* list(const Step& step) const {
    if (!has_lists()) return nullptr;
    for (int64_t i = 0; i < step.len; ++i) {
      int32_t* own = step[lists_] + i * list_stride_;
      int64_t count = 0;
      const auto add = [&](int64_t j) {
        int64_t at = count++;
        for (; at > 0 && own[at - 1] > j; --at) own[at] = own[at - 1];
        own[at] = int32_t(j);
      };
      add(i);
      if (kind_ == Kind::kRandom) {
        const int64_t others = candidates(i, step.len);
        for (int64_t t = 0; t < std::min(degree_, others); ++t) {
          const int64_t rest = others - t;
          const Real u = step[draws_][i * degree_ + t];
          int64_t j = std::min(int64_t(u * Real(rest)), rest - 1);
          for (int64_t at = 0; at < count && own[at] <= j; ++at) ++j;  // skip those it has
          add(j);
        }
      } else {
        if (i > 0) add((i - 1) / degree_);
        for (int64_t child = 0; child < children(i, step.len); ++child) add(degree_ * i + 1 + child);
      }
    }
    return step[lists_];
  }

  // lists: see list(); null also where only the shapes of the tiles matter.
  template <class Visit>
  void tiles(const int32_t* lists, int64_t len, Visit&& visit) const {
    for_bands(len, [&](const Band& band) { band.tiles(visit); });
    for (int64_t i = 0; has_lists() && i < len; ++i) {
      const int64_t n = neighbours(i, len);
      visit(Rows::range(i, i + 1), lists == nullptr ? Rows::range(0, n) : Rows::listed(lists + i * list_stride_, n),
            [](const Scores&) {});
    }
  }
  int64_t edges(int64_t len) const {
    int64_t sum = 0;
    for_bands(len, [&](const Band& band) { sum += band.pairs(); });
    for (int64_t i = 0; has_lists() && i < len; ++i) sum += neighbours(i, len);
    return sum;
  }

 private:
  bool has_lists() const { return kind_ == Kind::kRandom || kind_ == Kind::kTree; }
  template <class Use>
  void for_bands(int64_t len, Use&& use) const {
    for (int64_t t = 0; !has_lists() && t < std::min(dilation_, len); ++t) {
      use(Band{.first = t,
               .step = dilation_,
               .count = (len - t + dilation_ - 1) / dilation_,
               .left = width_,
               .right = causal_ ? 0 : width_});
    }
  }
  int64_t candidates(int64_t i, int64_t len) const { return causal_ ? i : len - 1; }
  int64_t children(int64_t i, int64_t len) const {
    return causal_ ? 0 : std::clamp<int64_t>(len - 1 - degree_ * i, 0, degree_);
  }
  // Of a listed graph, i itself included.
  int64_t neighbours(int64_t i, int64_t len) const {
    if (kind_ == Kind::kRandom) return 1 + std::min(degree_, candidates(i, len));
    return 1 + (i > 0 ? 1 : 0) + children(i, len);
  }

  Kind kind_;
  int64_t width_, dilation_, degree_;
  bool causal_;
  sdk::Param draws_;
  int64_t list_stride_ = 0;
  sdk::Scratch<int32_t> lists_;
};

// Softmax attention over the edges, an idea of QkvVariant.
class Dot {
 public:
  explicit Dot(sdk::Setup& setup) : heads_(setup.heads), graph_(setup), attention_(setup, 64, 512) {}

  void forward(const Step& step, const sdk::Qkv& x) const {
    const int32_t* lists = graph_.list(step);
    attention_.forward(step, x, [&](int64_t len, int64_t, auto&& visit) { graph_.tiles(lists, len, visit); });
  }
  void backward(const Step& step, const sdk::Qkv& x) const {
    const int32_t* lists = graph_.list(step);
    attention_.backward(step, x, [&](int64_t len, int64_t, auto&& visit) { graph_.tiles(lists, len, visit); });
  }
  sdk::Cost cost(int64_t len) const {
    sdk::Cost sum = attention_.cost(len, [&](int64_t n, int64_t, auto&& visit) { graph_.tiles(nullptr, n, visit); });
    sum.pairs = double(heads_ * graph_.edges(len));
    return sum;
  }
  void after_step(const Step& step, sdk::Buffers buffers) const { graph_.draw(step, buffers); }

 private:
  int64_t heads_;
  Graph graph_;
  sdk::JointAttention attention_;
};

class Additive {
 public:
  explicit Additive(sdk::Setup& setup)
      : heads_(setup.heads),
        head_dim_(setup.head_dim),
        inner_(setup.inner),
        wv_(setup, "v", setup.dim, setup.inner),
        wo_(setup, "o", setup.inner, setup.dim, {.init = LRA_INIT_RESIDUAL}),
        a_s_(setup.param("a_s", heads_, head_dim_, weights_of_a_row())),
        a_d_(setup.param("a_d", heads_, head_dim_, weights_of_a_row())),
        h_(setup.saved("h", setup.max_len * inner_)),
        o_(setup.saved("o", setup.max_len * inner_)),
        source_(setup.saved("source", setup.max_len * 2 * heads_)),
        target_(setup.saved("target", setup.max_len * 2 * heads_)),
        dh_(setup.scratch("dh", setup.max_len * inner_)),
        d_o_(setup.scratch("do", setup.max_len * inner_)),
        dsource_(setup.scratch("dsource", setup.max_len * 2 * heads_)),
        dtarget_(setup.scratch("dtarget", setup.max_len * 2 * heads_)),
        graph_(setup),
        attention_(setup, 64, 512, "", 2) {}

  void forward(const Step& step, Real* y, Real&) const {
    project(step);
    attend(step);
    step.host.parallel_for(step.len, sdk::kRowBlock,
                           [&](int64_t begin, int64_t end, int32_t) { wo_.forward(step, step[o_], y, begin, end); });
  }

  void backward(const Step& step, const Real* dy, Real* dx, const Grads& grads) const {
    step.host.parallel_for(step.len, sdk::kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      wo_.backward_input(step, dy, step[d_o_], 0, begin, end);
    });
    step.host.parallel_for(wo_.weight.rows, sdk::kWeightBlock, [&](int64_t begin, int64_t end, int32_t) {
      wo_.backward_weight(step, step[o_], dy, grads, begin, end);
    });
    attend_backward(step, grads);
    step.host.parallel_for(step.len, sdk::kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      wv_.backward_input(step, step[dh_], dx, 0, begin, end);
    });
    step.host.parallel_for(wv_.weight.rows, sdk::kWeightBlock, [&](int64_t begin, int64_t end, int32_t) {
      wv_.backward_weight(step, step.x, step[dh_], grads, begin, end);
    });
  }

  sdk::Cost cost(int64_t len) const {
    sdk::Cost sum;
    graph_.tiles(nullptr, len, [&](const Rows& rows, const Rows& columns, auto&&) {
      const sdk::Cost tile = attention_.tile_cost(rows.count, columns.count);
      sum.forward_flops += double(heads_) * tile.forward_flops;
      sum.backward_flops += double(heads_) * tile.backward_flops;
    });
    // The linears, s and d.
    const double forward = wv_.flops(len) + wo_.flops(len) + 4.0 * double(len) * double(inner_);
    sum += {.forward_flops = forward, .backward_flops = 2 * forward};
    sum.pairs = double(heads_ * graph_.edges(len));
    return sum;
  }

  void after_step(const Step& step, sdk::Buffers buffers) const { graph_.draw(step, buffers); }

  void mix_values(const Step& step, const Real* v, Real* o) const {
    project(step);
    std::copy(v, v + step.len * inner_, step[h_]);
    attend(step);
    std::copy(step[o_], step[o_] + step.len * inner_, o);
  }

 private:
  sdk::Init weights_of_a_row() const { return {.init = LRA_INIT_NORMAL, .scale = 1 / std::sqrt(double(head_dim_))}; }

  // h; [s, 1] and [1, d] of each head, which lie beside each other.
  void project(const Step& step) const {
    step.host.parallel_for(step.len, sdk::kRowBlock, [&](int64_t begin, int64_t end, int32_t) {
      wv_.forward(step, step.x, step[h_], begin, end);
    });
    const int64_t n = step.len;
    for (int64_t head = 0; head < heads_; ++head) {
      step.host.gemm(pair(step[source_], n, head, 0), of_head<const Real>(step[h_], n, head),
                     t(weights<const Real>(step[a_s_], head)));
      step.host.gemm(pair(step[target_], n, head, 1), of_head<const Real>(step[h_], n, head),
                     t(weights<const Real>(step[a_d_], head)));
      for (int64_t i = 0; i < n; ++i) {
        step[source_][(i * heads_ + head) * 2 + 1] = 1;
        step[target_][(i * heads_ + head) * 2] = 1;
      }
    }
  }

  void attend(const Step& step) const {
    const int32_t* lists = graph_.list(step);
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      Tile tile = tile_of(step, head);
      math::joint_clear(tile.queries, step.len, head_dim_);
      graph_.tiles(lists, step.len, [&](const Rows& rows, const Rows& columns, auto&& edit) {
        tile.rows = rows;
        tile.columns = columns;
        attention_.merge(step, worker, tile, [&](const Scores& s) {
          leak(s);
          edit(s);
        });
      });
    });
  }
  void attend_backward(const Step& step, const Grads& grads) const {
    const int32_t* lists = graph_.list(step);
    std::fill_n(step[dsource_], step.len * 2 * heads_, Real(0));
    std::fill_n(step[dtarget_], step.len * 2 * heads_, Real(0));
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      Tile tile = tile_of(step, head);
      attention_.clear_rows(tile.keys.dv, step.len);
      graph_.tiles(lists, step.len, [&](const Rows& rows, const Rows& columns, auto&& edit) {
        tile.rows = rows;
        tile.columns = columns;
        attention_.add_gradients(
            step, worker, tile,
            [&](const Scores& s) {
              leak(s);
              edit(s);
            },
            leak_backward);
      });
      // dh += ds a_s + dd a_d,  da_s += ds^T h,  da_d += dd^T h
      const int64_t n = step.len;
      const auto h = of_head<const Real>(step[h_], n, head);
      const auto dh = of_head(step[dh_], n, head);
      const auto ds = pair(step[dsource_], n, head, 0), dd = pair(step[dtarget_], n, head, 1);
      step.host.gemm(dh, ds, weights<const Real>(step[a_s_], head), {.beta = 1});
      step.host.gemm(dh, dd, weights<const Real>(step[a_d_], head), {.beta = 1});
      step.host.gemm(weights(grads[a_s_], head), t(ds), h, {.beta = 1});
      step.host.gemm(weights(grads[a_d_], head), t(dd), h, {.beta = 1});
    });
  }

  static void leak(const Scores& s) {
    for (int64_t r = 0; r < s.rows; ++r) {
      Real* row = s.s + r * s.lds;
      for (int64_t c = 0; c < s.keys; ++c) row[c] = std::max(row[c], kLeak * row[c]);
    }
  }
  // dS becomes dz; z = s_i + d_j is read off again.
  static void leak_backward(const Scores& s) {
    for (int64_t r = 0; r < s.rows; ++r) {
      Real* row = s.s + r * s.lds;
      const Real s_i = s.q[r * s.ldq];
      for (int64_t c = 0; c < s.keys; ++c) row[c] *= s_i + s.k[c * s.ldk + 1] > 0 ? Real(1) : kLeak;
    }
  }

  using Tile = sdk::JointAttention::Tile;
  Tile tile_of(const Step& step, int64_t head) const {
    const int64_t at = head * head_dim_;
    Tile tile;
    tile.head_dim = head_dim_;
    tile.score_dim = 2;
    tile.queries = {
        step[source_] + 2 * head, 2 * heads_, step[o_] + at, inner_, attention_.lse(step, head), step[d_o_] + at,
        step[dsource_] + 2 * head};
    tile.keys = {step[target_] + 2 * head,  step[h_] + at, 2 * heads_, inner_,
                 step[dtarget_] + 2 * head, step[dh_] + at};
    return tile;
  }

  // The head's columns of a block [N, Q], its row of a_s or a_d, and one of its two numbers of a row.
  template <class T>
  sdk::Matrix<T> of_head(T* block, int64_t rows, int64_t head) const {
    return matrix(block + head * head_dim_, rows, head_dim_, inner_);
  }
  template <class T>
  sdk::Matrix<T> weights(T* a, int64_t head) const {
    return matrix(a + head * head_dim_, 1, head_dim_);
  }
  sdk::Matrix<Real> pair(Real* block, int64_t rows, int64_t head, int64_t which) const {
    return matrix(block + 2 * head + which, rows, 1, 2 * heads_);
  }

  int64_t heads_, head_dim_, inner_;
  sdk::Linear wv_, wo_;
  sdk::Param a_s_, a_d_;
  sdk::Saved<> h_, o_, source_, target_;
  sdk::Scratch<> dh_, d_o_, dsource_, dtarget_;
  Graph graph_;
  sdk::JointAttention attention_;
};

class Gat {
 public:
  explicit Gat(sdk::Setup& setup) : form_(form_of(setup)) {}

  void forward(const Step& step, Real* y, Real& aux) const {
    std::visit([&](const auto& form) { form.forward(step, y, aux); }, form_);
  }
  void backward(const Step& step, const Real* dy, Real* dx, const Grads& grads) const {
    std::visit([&](const auto& form) { form.backward(step, dy, dx, grads); }, form_);
  }
  sdk::Cost cost(int64_t len) const {
    return std::visit([&](const auto& form) { return form.cost(len); }, form_);
  }
  void after_step(const Step& step, sdk::Buffers buffers) const {
    std::visit([&](const auto& form) { form.after_step(step, buffers); }, form_);
  }
  void mix_values(const Step& step, const Real* v, Real* o) const {
    std::visit([&](const auto& form) { form.mix_values(step, v, o); }, form_);
  }

 private:
  using Either = std::variant<Additive, sdk::QkvVariant<Dot>>;
  static Either form_of(sdk::Setup& setup) {
    if (setup.choice<Form>("form") == Form::kAdditive) return Either(std::in_place_type<Additive>, setup);
    return Either(std::in_place_type<sdk::QkvVariant<Dot>>, setup);
  }

  Either form_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::Gat, lra::kInfo)
