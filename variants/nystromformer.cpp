// Nystromformer: softmax attention through m landmarks, the means of m segments of the queries and of the keys:
//   F = softmax(Q K~^T / sqrt(dh)),  A = softmax(Q~ K~^T / sqrt(dh)),  B = softmax(Q~ K^T / sqrt(dh))
//   o = F Z (B V) + conv(V),  Z ~ A^+ :
//   Z_0 = A^T / |A|_1,  Z_{t+1} = Z (13 I - X (15 I - X (7 I - X))) / 4  with X = A Z      (|A|_inf = 1: rows sum to 1)
//   conv: row i gets sum_t w_t v_{i + t - k/2}, one w per head
// F and B are never stored: both are exact attention, of all rows over the landmarks with the values Z (B V), and of
// the landmarks over all rows. With m >= N every row is its own landmark and attention is exact.
#include <algorithm>
#include <cmath>

#include "math/attention.h"
#include "sdk/qkv.h"

namespace lra {
namespace {

using sdk::Host;
using sdk::matrix;
using sdk::Real;
using sdk::t;

constexpr lra_option kOptions[] = {
    sdk::integer("landmarks", "segments m whose means stand for the rows", 64, 1, 1 << 14),
    sdk::integer("iterations", "steps towards the pseudo-inverse of A", 6, 0, 20),
    sdk::integer("conv", "width of the convolution of the values, odd; 0: none", 35, 0, 1023),
};

constexpr sdk::Info kInfo{
    .id = "nystromformer",
    .title = "Nystromformer",
    .paper = "Xiong et al. 2021, arXiv:2102.03902",
    .formula =
        "F = softmax(Q K~^T / sqrt(dh)),  A = softmax(Q~ K~^T / sqrt(dh)),  B = softmax(Q~ K^T / sqrt(dh))\n"
        "o = F Z (B V) + conv(V);  Q~, K~: means of m segments;  Z_0 = A^T / |A|_1,\n"
        "Z <- Z (13 I - A Z (15 I - A Z (7 I - A Z))) / 4",
    .notes =
        "landmarks >= N: exact softmax attention (plus the convolution). Segments have floor(N / m) or one more rows.\n"
        "conv=35 as in the authors' runs on this benchmark; 33 in their language models. Parameter conv: [H, k].\n"
        "Z_0 is scaled for each head of each sequence; released code takes the largest norm of a whole batch, which\n"
        "lets examples influence each other. Its scale has a gradient, as in released code.\n"
        "iterations: where A is nearly singular, rounding errors outside its range grow by 13/4 per step.\n"
        "The rows of F Z B sum to 1 only when Z has converged; entries may be negative. Not causal.",
    .time = "O(N m D + H m^3)",
    .memory = "O(N D + m D + m^2)",
    .time_exponent = 1,
    .memory_exponent = 1,
    .flags = LRA_BIDIRECTIONAL,
    .options = kOptions,
    .limits = "landmarks={N} conv=0",
};

// y_i += alpha sum_t w_t x_{i + t - k/2} over the rows that exist, as products with a band matrix, kBand rows at a
// time.
class Convolution {
 public:
  static constexpr int64_t kBand = 32;

  explicit Convolution(int64_t width) : width_(width), columns_(kBand + width - 1) {}

  int64_t scratch_elements() const { return width_ == 0 ? 0 : 2 * kBand * columns_; }

  // Rows [begin, end) of y; begin is a multiple of kBand. x, y: columns of one head.
  enum class Order { kForward, kMirrored };  // mirrored: w_{k - 1 - t}, which is the transpose
  void add(const Host& host, Order order, Real alpha, const Real* w, const sdk::Matrix<const Real>& x, Real* y,
           int64_t begin, int64_t end, Real* scratch) const {
    std::fill(scratch, scratch + kBand * columns_, Real(0));
    for (int64_t i = 0; i < kBand; ++i) {
      for (int64_t s = 0; s < width_; ++s) {
        scratch[i * columns_ + i + s] = w[order == Order::kForward ? s : width_ - 1 - s];
      }
    }
    for (int64_t row = begin; row < end; row += kBand) {
      const Part p = part(row, std::min(end, x.rows), x.rows);
      host.gemm(matrix(y + row * x.stride, p.rows, x.cols, x.stride),
                matrix<const Real>(scratch + p.skip, p.rows, p.last - p.first, columns_), of(x, p),
                {.alpha = alpha, .beta = 1});
    }
  }

  // dw_t += sum_i dy_i . x_{i + t - k/2}
  void add_weight_gradient(const Host& host, const sdk::Matrix<const Real>& x, const Real* dy, Real* dw,
                           Real* scratch) const {
    for (int64_t row = 0; row < x.rows; row += kBand) {
      const Part p = part(row, x.rows, x.rows);
      host.gemm(matrix(scratch, p.rows, p.last - p.first, columns_),
                matrix(dy + row * x.stride, p.rows, x.cols, x.stride), t(of(x, p)));
      for (int64_t i = 0; i < p.rows; ++i) {
        const int64_t from = std::max<int64_t>(0, p.skip - i);
        const int64_t to = std::min(width_, p.skip + p.last - p.first - i);
        for (int64_t s = from; s < to; ++s) dw[s] += scratch[i * columns_ + i + s - p.skip];
      }
    }
  }

  // Of either function, for all rows of one head.
  double flops(int64_t len, int64_t head_dim) const {
    if (width_ == 0) return 0;
    double sum = 0;
    for (int64_t row = 0; row < len; row += kBand) {
      const Part p = part(row, len, len);
      sum += 2.0 * double(p.rows) * double(p.last - p.first) * double(head_dim);
    }
    return sum;
  }

 private:
  // The rows [first, last) of x that a block of rows of y reaches; the first `skip` columns of the band lie before 0.
  struct Part {
    int64_t rows, first, last, skip;
  };
  Part part(int64_t row, int64_t end, int64_t len) const {
    const int64_t rows = std::min(kBand, end - row), reach = row - width_ / 2;
    const int64_t first = std::max<int64_t>(0, reach);
    return {rows, first, std::min(len, reach + rows + width_ - 1), first - reach};
  }
  static sdk::Matrix<const Real> of(const sdk::Matrix<const Real>& x, const Part& p) {
    return matrix(x.data + p.first * x.stride, p.last - p.first, x.cols, x.stride);
  }

  int64_t width_, columns_;
};

// The m x m part of one head: A, the iteration, and both backwards. Blocks of m x m in scratch.
class Inverse {
 public:
  Inverse(int64_t landmarks, int64_t iterations) : m_(landmarks), iterations_(iterations) {}

  int64_t scratch_elements() const { return m_ * m_ * (kBlocks + iterations_ + 1); }

  // Z of A = softmax(scale q k^T); q, k: [m, dh]. Leaves A and every Z_t in scratch, for backward.
  sdk::Matrix<const Real> forward(const Host& host, const sdk::Matrix<const Real>& q, const sdk::Matrix<const Real>& k,
                                  Real scale, Real* scratch) const {
    host.gemm(square(scratch, kA), q, t(k), {.alpha = scale});
    softmax_rows(block(scratch, kA));
    Real* z = block(scratch, kZ);
    const Real inverse_norm = 1 / largest_column(block(scratch, kA)).sum;
    for (int64_t i = 0; i < m_; ++i) {
      for (int64_t j = 0; j < m_; ++j) z[i * m_ + j] = inverse_norm * block(scratch, kA)[j * m_ + i];
    }
    for (int64_t step = 0; step < iterations_; ++step) {
      polynomials(host, step, scratch);
      host.gemm(square(scratch, kZ + step + 1), square(scratch, kZ + step), square(scratch, kY3),
                {.alpha = Real(0.25)});
    }
    return square(scratch, kZ + iterations_);
  }

  // dq += , dk += from dZ, which the caller has put into `gradient(scratch)`; scratch as forward left it.
  sdk::Matrix<Real> gradient(Real* scratch) const { return square(scratch, kDZ); }
  void backward(const Host& host, const sdk::Matrix<const Real>& q, const sdk::Matrix<const Real>& k, Real scale,
                const sdk::Matrix<Real>& dq, const sdk::Matrix<Real>& dk, Real* scratch) const {
    const auto a = square(scratch, kA), x = square(scratch, kX), y1 = square(scratch, kY1), y2 = square(scratch, kY2),
               y3 = square(scratch, kY3), da = square(scratch, kDA), dz = square(scratch, kDZ),
               dx = square(scratch, kDX), dy = square(scratch, kDY), spare = square(scratch, kSpare);
    std::fill(da.data, da.data + m_ * m_, Real(0));
    for (int64_t step = iterations_ - 1; step >= 0; --step) {
      const auto z = square(scratch, kZ + step);
      polynomials(host, step, scratch);
      host.gemm(dy, t(z), dz, {.alpha = Real(0.25)});  // Z' = Z Y3 / 4
      host.gemm(spare, dz, t(y3), {.alpha = Real(0.25)});
      std::swap_ranges(dz.data, dz.data + m_ * m_, spare.data);
      host.gemm(dx, dy, t(y2), {.alpha = -1});  // Y3 = 13 I - X Y2
      host.gemm(spare, t(x), dy, {.alpha = -1});
      host.gemm(dx, spare, t(y1), {.alpha = -1, .beta = 1});  // Y2 = 15 I - X Y1
      host.gemm(dy, t(x), spare, {.alpha = -1});
      math::axpy(m_ * m_, Real(-1), dy.data, dx.data);  // Y1 = 7 I - X
      host.gemm(da, dx, t(z), {.beta = 1});             // X = A Z
      host.gemm(dz, t(a), dx, {.beta = 1});
    }
    // Z_0 = A^T / c, c the largest column sum: dc = -sum of dZ_0 o A^T / c^2
    const Column largest = largest_column(a.data);
    Real sum = 0;
    for (int64_t i = 0; i < m_; ++i) {
      for (int64_t j = 0; j < m_; ++j) {
        sum += dz.data[j * m_ + i] * a.data[i * m_ + j];
        da.data[i * m_ + j] += dz.data[j * m_ + i] / largest.sum;
      }
    }
    for (int64_t i = 0; i < m_; ++i) da.data[i * m_ + largest.index] -= sum / (largest.sum * largest.sum);
    softmax_rows_backward(a.data, da.data);
    host.gemm(dq, da, k, {.alpha = scale, .beta = 1});  // S = scale q k^T
    host.gemm(dk, t(da), q, {.alpha = scale, .beta = 1});
  }

  double forward_flops(int64_t head_dim) const {
    const double m = double(m_);
    return 2 * m * m * double(head_dim) + double(iterations_) * 4 * 2 * m * m * m;
  }
  // Without the forward that comes before it.
  double backward_flops(int64_t head_dim) const {
    const double m = double(m_);
    return 2 * 2 * m * m * double(head_dim) + double(iterations_) * 11 * 2 * m * m * m;
  }

 private:
  enum Block : int64_t { kA, kX, kY1, kY2, kY3, kDA, kDZ, kDX, kDY, kSpare, kBlocks, kZ = kBlocks };

  Real* block(Real* scratch, int64_t index) const { return scratch + index * m_ * m_; }
  sdk::Matrix<Real> square(Real* scratch, int64_t index) const { return matrix(block(scratch, index), m_, m_); }

  // X = A Z,  Y1 = 7 I - X,  Y2 = 15 I - X Y1,  Y3 = 13 I - X Y2
  void polynomials(const Host& host, int64_t step, Real* scratch) const {
    const auto x = square(scratch, kX), y1 = square(scratch, kY1), y2 = square(scratch, kY2), y3 = square(scratch, kY3);
    host.gemm(x, square(scratch, kA), square(scratch, kZ + step));
    set_identity(7, y1.data);
    math::axpy(m_ * m_, Real(-1), x.data, y1.data);
    set_identity(15, y2.data);
    host.gemm(y2, x, y1, {.alpha = -1, .beta = 1});
    set_identity(13, y3.data);
    host.gemm(y3, x, y2, {.alpha = -1, .beta = 1});
  }
  void set_identity(Real factor, Real* y) const {
    std::fill(y, y + m_ * m_, Real(0));
    for (int64_t i = 0; i < m_; ++i) y[i * m_ + i] = factor;
  }

  void softmax_rows(Real* a) const {
    for (int64_t i = 0; i < m_; ++i) {
      Real* row = a + i * m_;
      const Real top = *std::max_element(row, row + m_);
      for (int64_t j = 0; j < m_; ++j) row[j] -= top;
      math::exp(m_, row, row);
      Real sum = 0;
      for (int64_t j = 0; j < m_; ++j) sum += row[j];
      math::scale(m_, 1 / sum, row);
    }
  }
  // da becomes dS = A o (dA - sum of A o dA).
  void softmax_rows_backward(const Real* a, Real* da) const {
    for (int64_t i = 0; i < m_; ++i) {
      const Real* row = a + i * m_;
      Real* d = da + i * m_;
      Real sum = 0;
      for (int64_t j = 0; j < m_; ++j) sum += row[j] * d[j];
      for (int64_t j = 0; j < m_; ++j) d[j] = row[j] * (d[j] - sum);
    }
  }
  // |A|_1 and its column.
  struct Column {
    int64_t index;
    Real sum;
  };
  Column largest_column(const Real* a) const {
    Column largest{0, 0};
    for (int64_t j = 0; j < m_; ++j) {
      Real sum = 0;
      for (int64_t i = 0; i < m_; ++i) sum += a[i * m_ + j];
      if (sum > largest.sum) largest = {j, sum};
    }
    return largest;
  }

  int64_t m_, iterations_;
};

int64_t convolution_width(const sdk::Setup& setup) {
  const int64_t width = setup.integer("conv");
  if (width > 0 && width % 2 == 0) {
    throw sdk::Refusal("conv=" + std::to_string(width) + " has no middle; choose an odd width, or 0 for none");
  }
  return width;
}

class Nystromformer {
 public:
  explicit Nystromformer(sdk::Setup& setup)
      : heads_(setup.heads),
        head_dim_(setup.head_dim),
        inner_(setup.inner),
        max_len_(setup.max_len),
        landmarks_(setup.integer("landmarks")),
        m_(landmarks_ < max_len_ ? landmarks_ : 0),
        width_(convolution_width(setup)),
        convolution_(width_),
        inverse_(m_, setup.integer("iterations")),
        lse_(setup.saved("lse", heads_ * max_len_)),
        landmark_q_(setup.saved("landmark q", m_ * inner_)),
        landmark_k_(setup.saved("landmark k", m_ * inner_)),
        landmark_lse_(setup.saved("landmark lse", m_ * heads_)),
        gathered_(setup.saved("gathered values", m_ * inner_)),
        mixed_(setup.saved("mixed values", m_ * inner_)),
        dlandmark_q_(setup.scratch("d landmark q", m_ * inner_)),
        dlandmark_k_(setup.scratch("d landmark k", m_ * inner_)),
        dgathered_(setup.scratch("d gathered values", m_ * inner_)),
        dmixed_(setup.scratch("d mixed values", m_ * inner_)),
        attended_(setup.scratch("attended", width_ > 0 ? max_len_ * inner_ : 0)),
        inverse_scratch_(setup.scratch_per_worker("inverse", inverse_.scratch_elements())),
        band_(setup.scratch_per_worker("band", convolution_.scratch_elements())) {
    if (width_ > 0) {
      conv_ = setup.param("conv", heads_, width_, {.init = LRA_INIT_UNIFORM, .scale = 1 / std::sqrt(double(width_))});
    }
    size_t bytes = 0;
    for (const auto& a : {shape(max_len_, m_), shape(m_, max_len_), shape(exact_up_to(), exact_up_to())}) {
      bytes = std::max({bytes, math::attention_forward_scratch(a), math::attention_backward_scratch(a)});
    }
    tiles_ = setup.scratch_per_worker<std::byte>("tiles", int64_t(bytes));
  }

  void forward(const sdk::Step& step, const sdk::Qkv& x) const {
    if (!exact(step.len)) {
      step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
        average(step.len, step[x.q] + head * head_dim_, step[landmark_q_] + head * head_dim_);  // Q~
        average(step.len, step[x.k] + head * head_dim_, step[landmark_k_] + head * head_dim_);  // K~
        math::attention_forward(gather(step, x, head), 0, m_, step.at(tiles_, worker));         // B V
        const auto z = inverse_.forward(step.host, columns(step[landmark_q_], head), columns(step[landmark_k_], head),
                                        scale(), step.at(inverse_scratch_, worker));
        step.host.gemm(columns(step[mixed_], head), z, columns<const Real>(step[gathered_], head));  // Z (B V)
      });
    }
    const int64_t parts = (step.len + kQueryBlock - 1) / kQueryBlock;
    step.host.parallel_for(heads_ * parts, 1, [&](int64_t task, int64_t, int32_t worker) {
      const int64_t head = task / parts, begin = task % parts * kQueryBlock;
      const int64_t end = std::min(begin + kQueryBlock, step.len);
      math::attention_forward(spread(step, x, head), begin, end, step.at(tiles_, worker));  // o = F Z (B V)
      if (width_ > 0) {                                                                     //   + conv(V)
        convolution_.add(step.host, Convolution::Order::kForward, 1, step[conv_] + head * width_,
                         values(step, step[x.v], head), step[x.o] + head * head_dim_, begin, end,
                         step.at(band_, worker));
      }
    });
  }

  void backward(const sdk::Step& step, const sdk::Qkv& x, const sdk::Grads& grads) const {
    step.host.parallel_for(heads_, 1, [&](int64_t head, int64_t, int32_t worker) {
      const int64_t first = head * head_dim_;
      auto f = spread(step, x, head);
      if (width_ > 0) f.o = without_convolution(step, x, head, worker);
      f.d_o = step[x.d_o] + first;
      f.dq = step[x.dq] + first;
      const bool exact_here = exact(step.len);
      f.dk = (exact_here ? step[x.dk] : step[dlandmark_k_]) + first;
      f.dv = (exact_here ? step[x.dv] : step[dmixed_]) + first;
      math::attention_backward(f, step.at(tiles_, worker));  // o = F (Z (B V))
      if (!exact_here) landmarks_backward(step, x, head, worker);
      if (width_ > 0) {
        convolution_.add(step.host, Convolution::Order::kMirrored, 1, step[conv_] + head * width_,
                         values(step, step[x.d_o], head), step[x.dv] + first, 0, step.len, step.at(band_, worker));
        convolution_.add_weight_gradient(step.host, values(step, step[x.v], head), step[x.d_o] + first,
                                         grads[conv_] + head * width_, step.at(band_, worker));
      }
    });
  }

  sdk::Cost cost(int64_t len) const {
    const double h = double(heads_), n = double(len), m = double(m_), dh = double(head_dim_);
    const double conv = convolution_.flops(len, head_dim_);
    sdk::Cost sum{.forward_flops = h * conv, .backward_flops = 3 * h * conv};
    if (exact(len)) {
      const auto a = shape(len, len);
      return sum += {h * math::attention_forward_flops(a), h * math::attention_backward_flops(a), h * n * n};
    }
    const double product = 2 * m * m * dh;  // Z (B V)
    sum += {h * (product + inverse_.forward_flops(head_dim_)),
            h * (2 * product + inverse_.forward_flops(head_dim_) + inverse_.backward_flops(head_dim_)),
            h * (2 * n * m + m * m)};
    for (const auto& a : {shape(len, m_), shape(m_, len)}) {
      sum += {h * math::attention_forward_flops(a), h * math::attention_backward_flops(a)};
    }
    return sum;
  }

 private:
  static constexpr int64_t kQueryBlock = 8 * Convolution::kBand;  // rows of one task

  bool exact(int64_t len) const { return len <= landmarks_; }
  int64_t exact_up_to() const { return std::min(landmarks_, max_len_); }
  Real scale() const { return Real(1 / std::sqrt(double(head_dim_))); }

  // Columns of one head of a block [m, Q], and of one [N, Q].
  template <class T>
  sdk::Matrix<T> columns(T* block, int64_t head) const {
    return matrix(block + head * head_dim_, m_, head_dim_, inner_);
  }
  sdk::Matrix<const Real> values(const sdk::Step& step, const Real* block, int64_t head) const {
    return matrix(block + head * head_dim_, step.len, head_dim_, inner_);
  }

  int64_t segment_begin(int64_t len, int64_t segment) const { return segment * len / m_; }
  void average(int64_t len, const Real* x, Real* out) const {
    for (int64_t s = 0; s < m_; ++s) {
      const int64_t begin = segment_begin(len, s), rows = segment_begin(len, s + 1) - begin;
      std::fill_n(out + s * inner_, head_dim_, Real(0));
      math::column_sums(rows, head_dim_, x + begin * inner_, inner_, out + s * inner_);
      math::scale(head_dim_, 1 / Real(rows), out + s * inner_);
    }
  }
  void average_backward(int64_t len, const Real* dout, Real* dx) const {
    for (int64_t s = 0; s < m_; ++s) {
      const int64_t begin = segment_begin(len, s), end = segment_begin(len, s + 1);
      for (int64_t i = begin; i < end; ++i) {
        math::axpy(head_dim_, 1 / Real(end - begin), dout + s * inner_, dx + i * inner_);
      }
    }
  }

  // Backward of everything that the landmarks do; d mixed and the part of d landmark k that comes from F are there.
  void landmarks_backward(const sdk::Step& step, const sdk::Qkv& x, int64_t head, int32_t worker) const {
    const int64_t first = head * head_dim_;
    Real* scratch = step.at(inverse_scratch_, worker);
    const sdk::Matrix<const Real> q = columns(step[landmark_q_], head), k = columns(step[landmark_k_], head);
    const sdk::Matrix<const Real> dmixed = columns(step[dmixed_], head), gathered = columns(step[gathered_], head);
    const auto z = inverse_.forward(step.host, q, k, scale(), scratch);
    step.host.gemm(inverse_.gradient(scratch), dmixed, t(gathered));  // mixed = Z (B V)
    step.host.gemm(columns(step[dgathered_], head), t(z), dmixed);
    auto b = gather(step, x, head);
    b.d_o = step[dgathered_] + first;
    b.dq = step[dlandmark_q_] + first;
    b.dk = step[x.dk] + first;
    b.dv = step[x.dv] + first;
    math::attention_backward(b, step.at(tiles_, worker));  // gathered = B V
    inverse_.backward(step.host, q, k, scale(), columns(step[dlandmark_q_], head), columns(step[dlandmark_k_], head),
                      scratch);                                                  // Z of Q~ and K~
    average_backward(step.len, step[dlandmark_q_] + first, step[x.dq] + first);  // Q~
    average_backward(step.len, step[dlandmark_k_] + first, step[x.dk] + first);  // K~
  }

  // The kernel's backward wants its own output: o - conv(V).
  Real* without_convolution(const sdk::Step& step, const sdk::Qkv& x, int64_t head, int32_t worker) const {
    Real* attended = step[attended_] + head * head_dim_;
    const Real* o = step[x.o] + head * head_dim_;
    for (int64_t i = 0; i < step.len; ++i) std::copy_n(o + i * inner_, head_dim_, attended + i * inner_);
    convolution_.add(step.host, Convolution::Order::kForward, -1, step[conv_] + head * width_,
                     values(step, step[x.v], head), attended, 0, step.len, step.at(band_, worker));
    return attended;
  }

  math::Attention<Real> shape(int64_t queries, int64_t keys) const {
    math::Attention<Real> a;
    a.queries = queries;
    a.head_dim = head_dim_;
    a.scale = scale();
    a.range = math::KeyRange::full(keys);
    a.ldq = a.ldk = a.ldv = a.ldo = inner_;
    return a;
  }
  // B V: landmarks over all rows.
  math::Attention<Real> gather(const sdk::Step& step, const sdk::Qkv& x, int64_t head) const {
    const int64_t first = head * head_dim_;
    auto a = shape(m_, step.len);
    a.q = step[landmark_q_] + first;
    a.k = step[x.k] + first;
    a.v = step[x.v] + first;
    a.o = step[gathered_] + first;
    a.lse = step[landmark_lse_] + head * m_;
    return a;
  }
  // F times the mixed values: all rows over the landmarks; over all rows where that is exact.
  math::Attention<Real> spread(const sdk::Step& step, const sdk::Qkv& x, int64_t head) const {
    const int64_t first = head * head_dim_;
    const bool exact_here = exact(step.len);
    auto a = shape(step.len, exact_here ? step.len : m_);
    a.q = step[x.q] + first;
    a.k = (exact_here ? step[x.k] : step[landmark_k_]) + first;
    a.v = (exact_here ? step[x.v] : step[mixed_]) + first;
    a.o = step[x.o] + first;
    a.lse = step[lse_] + head * max_len_;
    return a;
  }

  int64_t heads_, head_dim_, inner_, max_len_;
  int64_t landmarks_, m_;  // m: landmarks of sequences that are longer than their number; 0 if none can be
  int64_t width_;          // of the convolution
  Convolution convolution_;
  Inverse inverse_;
  sdk::Param conv_;
  sdk::Saved<> lse_, landmark_q_, landmark_k_, landmark_lse_, gathered_, mixed_;
  sdk::Scratch<> dlandmark_q_, dlandmark_k_, dgathered_, dmixed_, attended_;
  sdk::WorkerScratch<> inverse_scratch_, band_;
  sdk::WorkerScratch<std::byte> tiles_;
};

}  // namespace
}  // namespace lra

LRA_VARIANT(lra::sdk::QkvVariant<lra::Nystromformer>, lra::kInfo)
