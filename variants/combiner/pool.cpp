// Spans that grow by a row take the pool of the span before and that row; blocks of logsparse that of two blocks.
#include "combiner/pool.h"

namespace lra::combiner {

void Pool::forward(const Real* x, Real* out, int32_t* best) const {
  for (int64_t i = 0; i < slots_; ++i) std::fill_n(best + i * ld_, channels_, -1);
  spans_.chains(len_, [&](const Chain& c) {
    for (int64_t a = 0; a < c.count; ++a) {
      const int64_t to = (c.slot + a * c.slot_step) * ld_, from = to - c.slot_step * ld_;
      const int64_t token = row_of(c.token + a * c.token_step);
      if (a == 0) {
        std::copy_n(x + token * ld_, channels_, out + to);
        std::fill_n(best + to, channels_, int32_t(token));
      } else if (a >= c.tokens) {
        std::copy_n(out + from, channels_, out + to);
        std::copy_n(best + from, channels_, best + to);
      } else if (mean_) {
        const Real share = 1 / Real(a + 1);
        for (int64_t e = 0; e < channels_; ++e) {
          out[to + e] = out[from + e] + share * (x[token * ld_ + e] - out[from + e]);
        }
      } else {
        take_higher(x + token * ld_, int32_t(token), out + from, best + from, out + to, best + to);
      }
    }
  });
  for (int level = 2; level <= spans_.top_level(len_); ++level) {
    Spans::parents(len_, level, [&](int64_t slot, int64_t child, int64_t children) {
      for (int64_t e = 0; e < channels_; ++e) {
        const int64_t first = child * ld_ + e, second = children > 1 ? first + ld_ : first;
        if (mean_) {
          const Real share = second_share(slot, children, level);
          out[slot * ld_ + e] = out[first] + share * (out[second] - out[first]);
        } else {
          const int64_t top = out[second] > out[first] ? second : first;
          out[slot * ld_ + e] = out[top];
          best[slot * ld_ + e] = best[top];
        }
      }
    });
  }
  spans_.others(len_, [&](int64_t slot, int64_t token, int64_t count) {
    for (int64_t e = 0; e < channels_; ++e) {
      const Real* line = x + token * ld_ + e;
      int64_t first = 0, second = 1;
      Real sum = line[0];
      if (line[second * ld_] > line[first * ld_]) std::swap(first, second);
      for (int64_t t = 1; t < count; ++t) {
        sum += line[t * ld_];
        if (t == 1) continue;
        if (line[t * ld_] > line[first * ld_]) {
          second = first;
          first = t;
        } else if (line[t * ld_] > line[second * ld_]) {
          second = t;
        }
      }
      for (int64_t t = 0; t < count; ++t) {
        const int64_t top = t == first ? second : first;
        if (!mean_) best[(slot + t) * ld_ + e] = int32_t(token + top);
        out[(slot + t) * ld_ + e] = mean_ ? (sum - line[t * ld_]) / Real(count - 1) : line[top * ld_];
      }
    }
  });
}

void Pool::backward(const Real* out, const int32_t* best, Real* dout, Real* dx, bool positive) const {
  if (mean_) {
    mean_backward(dout, dx);
    return;
  }
  for (int64_t i = 0; i < slots_; ++i) {
    for (int64_t e = 0; e < channels_; ++e) {
      const int64_t at = i * ld_ + e;
      if (best[at] >= 0 && (!positive || out[at] > 0)) dx[best[at] * ld_ + e] += dout[at];
    }
  }
}

void Pool::take_higher(const Real* value, int32_t token, const Real* old, const int32_t* row, Real* out,
                       int32_t* best) const {
  // Through arrays of fixed size, which the compiler turns into vectors.
  constexpr int64_t kLanes = 8;
  int64_t e = 0;
  for (; e + kLanes <= channels_; e += kLanes) {
    std::array<Real, kLanes> v, o;
    std::array<int32_t, kLanes> r;
    std::copy_n(value + e, kLanes, v.data());
    std::copy_n(old + e, kLanes, o.data());
    std::copy_n(row + e, kLanes, r.data());
    for (size_t l = 0; l < kLanes; ++l) r[l] = v[l] > o[l] ? token : r[l];
    for (size_t l = 0; l < kLanes; ++l) o[l] = v[l] > o[l] ? v[l] : o[l];
    std::copy_n(o.data(), kLanes, out + e);
    std::copy_n(r.data(), kLanes, best + e);
  }
  for (; e < channels_; ++e) {
    const bool higher = value[e] > old[e];
    best[e] = higher ? token : row[e];
    out[e] = higher ? value[e] : old[e];
  }
}

Real Pool::second_share(int64_t slot, int64_t children, int level) const {
  if (children < 2) return 0;
  const int64_t block = slot - Levels::base(len_, level), size = int64_t(1) << (level - 1);
  const int64_t all = std::min(2 * size, len_ - block * 2 * size);
  return Real(all - size) / Real(all);
}

void Pool::mean_backward(Real* dout, Real* dx) const {
  for (int level = spans_.top_level(len_); level >= 2; --level) {
    Spans::parents(len_, level, [&](int64_t slot, int64_t child, int64_t children) {
      const Real share = second_share(slot, children, level);
      for (int64_t e = 0; e < channels_; ++e) {
        dout[child * ld_ + e] += (1 - share) * dout[slot * ld_ + e];
        if (children > 1) dout[(child + 1) * ld_ + e] += share * dout[slot * ld_ + e];
      }
    });
  }
  spans_.chains(len_, [&](const Chain& c) {
    for (int64_t a = c.count - 1; a >= 0; --a) {
      const int64_t slot = c.slot + a * c.slot_step;
      const int64_t token = a < c.tokens ? row_of(c.token + a * c.token_step) : -1;
      for (int64_t e = 0; e < channels_; ++e) {
        Real& d = dout[slot * ld_ + e];
        // Row a is part of the spans a and later.
        if (c.slot_step != 0) d = d / Real(std::min(a + 1, c.tokens));
        if (c.slot_step != 0 && a + 1 < c.count) d += dout[(slot + c.slot_step) * ld_ + e];
        if (token >= 0) dx[token * ld_ + e] += c.slot_step != 0 ? d : d / Real(c.tokens);
      }
    }
  });
  spans_.others(len_, [&](int64_t slot, int64_t token, int64_t count) {
    for (int64_t e = 0; e < channels_; ++e) {
      Real sum = 0;
      for (int64_t t = 0; t < count; ++t) sum += dout[(slot + t) * ld_ + e];
      for (int64_t t = 0; t < count; ++t) {
        dx[(token + t) * ld_ + e] += (sum - dout[(slot + t) * ld_ + e]) / Real(count - 1);
      }
    }
  });
}

}  // namespace lra::combiner
