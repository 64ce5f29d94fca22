// combiner: every pattern against a plain loop over its definition - direct rows and spans listed by their formulas -
// and against what is known of the matrix of weights: its sums, its support, its values without queries.
#include <gmock/gmock.h>

#include <bit>
#include <functional>
#include <numeric>

#include "variants/plain_attention.h"
#include "variants/variant_fixture.h"

namespace lra::test {
namespace {

using testing::HasSubstr;

constexpr int64_t kLen = 23;

Case combiner(Settings set, bool causal, Case c = {.variant = "combiner"}) {
  c.set = std::move(set);
  c.causal = causal;
  return c;
}

// What row i sees: single rows and spans, each a list of rows with the row that asks it (axial_rowmajor) or -1.
struct Span {
  std::vector<int64_t> rows;
  int64_t asker = -1;
};
struct Seen {
  std::vector<int64_t> direct;
  std::vector<Span> spans = {};
};
struct Pattern {
  std::string name;
  Settings set;
  // The softmaxes that are averaged; one for all patterns but the mixture.
  std::vector<std::function<Seen(int64_t i, int64_t len, bool causal)>> see;
  bool causal = true, bidirectional = true;
  bool clustered = false;  // `see` means places in the order of the clusters
};

template <class In>
std::vector<int64_t> rows_with(int64_t len, In&& in) {
  std::vector<int64_t> rows;
  for (int64_t j = 0; j < len; ++j) {
    if (in(j)) rows.push_back(j);
  }
  return rows;
}

Seen fixed(int64_t s, int64_t i, int64_t len, bool causal) {
  Seen seen{.direct = rows_with(len, [&](int64_t j) { return j / s == i / s && (!causal || j <= i); })};
  for (int64_t b = 0; b * s < len; ++b) {
    if (causal ? b < i / s : b != i / s) seen.spans.push_back({rows_with(len, [&](int64_t j) { return j / s == b; })});
  }
  return seen;
}

Seen logsparse(int64_t i, int64_t len, bool causal) {
  Seen seen{.direct = {i}};
  for (int64_t t = 0; (int64_t(1) << t) < len; ++t) {
    const int64_t sibling = (i >> t) ^ 1;
    if (causal && sibling > (i >> t)) continue;
    const auto rows = rows_with(len, [&](int64_t j) { return j >> t == sibling; });
    if (t == 0) {
      seen.direct.insert(seen.direct.end(), rows.begin(), rows.end());
    } else if (!rows.empty()) {
      seen.spans.push_back({rows});
    }
  }
  return seen;
}

// Own line and own column, with or without the rows behind i.
std::vector<int64_t> cross(int64_t m, int64_t i, int64_t len, bool causal) {
  return rows_with(len, [&](int64_t j) { return (j / m == i / m || j % m == i % m) && (!causal || j <= i); });
}

Seen vertical(int64_t m, int64_t i, int64_t len, bool causal) {
  Seen seen{.direct = cross(m, i, len, causal)};
  for (int64_t t = 0; t < m; ++t) {
    if (t == i % m) continue;
    const auto above = rows_with(len, [&](int64_t j) { return j % m == t && j / m < i / m; });
    const auto below = rows_with(len, [&](int64_t j) { return j % m == t && j / m > i / m; });
    if (!above.empty()) seen.spans.push_back({above});
    if (!causal && !below.empty()) seen.spans.push_back({below});
  }
  return seen;
}

Seen horizontal(int64_t m, int64_t i, int64_t len, bool causal) {
  Seen seen{.direct = cross(m, i, len, causal)};
  for (int64_t r = 0; r * m < len; ++r) {
    if (r == i / m || (causal && r > i / m)) continue;
    const auto left = rows_with(len, [&](int64_t j) { return j / m == r && j % m < i % m; });
    const auto right = rows_with(len, [&](int64_t j) { return j / m == r && j % m > i % m; });
    if (causal) {
      auto both = left;
      both.insert(both.end(), right.begin(), right.end());
      if (!both.empty()) seen.spans.push_back({both});
    } else {
      if (!left.empty()) seen.spans.push_back({left});
      if (!right.empty()) seen.spans.push_back({right});
    }
  }
  return seen;
}

Seen row_major(int64_t m, int64_t i, int64_t len) {
  Seen seen{.direct = rows_with(len, [&](int64_t j) { return j / m == i / m && j <= i; })};
  for (int64_t r = 0; r < i / m; ++r) {
    seen.spans.push_back({rows_with(len, [&](int64_t j) { return j / m == r; }), r * m + i % m});
  }
  return seen;
}

Seen released_mixture(int64_t m, int64_t i, int64_t len) {
  Seen seen = vertical(m, i, len, true);
  for (int64_t r = 0; r < i / m; ++r) {
    const auto left = rows_with(len, [&](int64_t j) { return j / m == r && j % m < i % m; });
    const auto right = rows_with(len, [&](int64_t j) { return j / m == r && j % m > i % m; });
    if (!left.empty()) seen.spans.push_back({left});
    if (!right.empty()) seen.spans.push_back({right});
  }
  return seen;
}

// span and width as numbers; rows of kLen = 23 leave short last spans and lines.
std::vector<Pattern> patterns(int64_t span, int64_t width) {
  const std::string s = std::to_string(span), m = std::to_string(width);
  const auto down = [=](int64_t i, int64_t n, bool causal) { return vertical(width, i, n, causal); };
  const auto across = [=](int64_t i, int64_t n, bool causal) { return horizontal(width, i, n, causal); };
  return {
      {"fixed", {{"pattern", "fixed"}, {"span", s}}, {[=](auto i, auto n, bool causal) {
         return fixed(span, i, n, causal);
       }}},
      {"logsparse", {{"pattern", "logsparse"}}, {logsparse}},
      {"vertical", {{"pattern", "axial_vertical"}, {"width", m}}, {down}},
      {"horizontal", {{"pattern", "axial_horizontal"}, {"width", m}}, {across}},
      {"row-major",
       {{"pattern", "axial_rowmajor"}, {"width", m}},
       {[=](auto i, auto n, bool) { return row_major(width, i, n); }},
       true,
       false},
      {"mixture", {{"pattern", "mixture"}, {"width", m}}, {down, across}},
      {"released mixture",
       {{"pattern", "mixture"}, {"width", m}, {"released", "1"}},
       {[=](auto i, auto n, bool) { return released_mixture(width, i, n); }},
       true,
       false},
      {"routing",
       {{"pattern", "routing"}, {"span", s}},
       {[=](auto i, auto n, bool causal) { return fixed(span, i, n, causal); }},
       false,
       true,
       true},
  };
}

std::vector<Pattern> patterns() { return patterns(5, 5); }

template <class Check>
void for_each_case(const std::vector<Pattern>& all, Check&& check) {
  for (const auto& p : all) {
    for (const bool causal : {true, false}) {
      if (causal ? p.causal : p.bidirectional) check(p, causal);
    }
  }
}

std::string option_of(const Case& c, const std::string& name, const std::string& otherwise) {
  return c.set.contains(name) ? c.set.at(name) : otherwise;
}

// o of every row of the definition, as loops; q, k, v: [N, H dh].
class Plain {
 public:
  Plain(const Case& c, const Module& m, const std::vector<double>& x)
      : c_(c),
        m_(m),
        x_(x),
        inner_(c.heads * c.head_dim),
        q_(plain_linear(m, x, "q", c.dim, inner_)),
        k_(plain_linear(m, x, "k", c.dim, inner_)),
        v_(plain_linear(m, x, "v", c.dim, inner_)) {}

  Numbers output(const Pattern& p) const {
    std::vector<double> o(q_.size(), 0.0);
    for (int64_t h = 0; h < c_.heads; ++h) {
      const auto row = order(p, h);
      for (const auto& see : p.see) {
        for (int64_t i = 0; i < c_.len; ++i) {
          Seen seen = see(i, c_.len, c_.causal);
          for (int64_t& j : seen.direct) j = row[std::size_t(j)];
          for (Span& span : seen.spans) {
            for (int64_t& j : span.rows) j = row[std::size_t(j)];
          }
          add_row(seen, row[std::size_t(i)], h, 1 / double(p.see.size()), o);
        }
      }
    }
    const auto y = plain_linear(m_, o, "o", inner_, c_.dim);
    return {y.begin(), y.end()};
  }

  using Channels = std::vector<double>;

  // pattern=routing: the rows of each cluster of a head, and a key as it is compared with centroids.
  std::vector<std::vector<int64_t>> clusters(int64_t h) const {
    const int64_t wanted = std::stoll(option_of(c_, "span", "0")), n = c_.len;
    const auto size = std::size_t(wanted > 0 ? wanted : std::lround(std::sqrt(double(n))));
    const Numbers centroids = m_.param("centroids");
    const std::size_t of_head = centroids.size() / std::size_t(c_.heads);
    std::vector<int64_t> free(static_cast<std::size_t>(n));
    std::iota(free.begin(), free.end(), 0);
    std::vector<std::vector<int64_t>> out;
    while (!free.empty()) {
      const auto mu = centroids.begin() + std::ptrdiff_t(std::size_t(h) * of_head + out.size() * c_.head_dim);
      std::vector<double> likeness;
      for (int64_t j = 0; j < n; ++j) {
        const Channels r = normed_key(j, h);
        likeness.push_back(std::inner_product(r.begin(), r.end(), mu, 0.0));
      }
      auto taken = free;
      std::stable_sort(taken.begin(), taken.end(),
                       [&](int64_t a, int64_t b) { return likeness[std::size_t(a)] > likeness[std::size_t(b)]; });
      taken.resize(std::min(size, taken.size()));
      std::sort(taken.begin(), taken.end());
      std::erase_if(free, [&](int64_t j) { return std::binary_search(taken.begin(), taken.end(), j); });
      out.push_back(taken);
    }
    return out;
  }
  Channels normed_key(int64_t i, int64_t h) const {
    Channels r = of(k_, i, h);
    const double mean = std::accumulate(r.begin(), r.end(), 0.0) / double(r.size());
    double variance = 0;
    for (const double e : r) variance += (e - mean) * (e - mean) / double(r.size());
    for (double& e : r) e = (e - mean) / std::sqrt(variance + 1e-6);
    return r;
  }

 private:
  std::vector<int64_t> order(const Pattern& p, int64_t h) const {
    std::vector<int64_t> rows;
    if (!p.clustered) return rows_with(c_.len, [](int64_t) { return true; });
    for (const auto& cluster : clusters(h)) rows.insert(rows.end(), cluster.begin(), cluster.end());
    return rows;
  }

  Channels of(const std::vector<double>& rows, int64_t i, int64_t h) const {
    const auto begin = rows.begin() + i * inner_ + h * c_.head_dim;
    return {begin, begin + c_.head_dim};
  }
  double score(const Channels& a, const Channels& b) const {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0) / std::sqrt(double(c_.head_dim));
  }
  // Weighted mean of rows with weights softmax(score(q, k_j)).
  Channels attend(const Channels& q, const std::vector<int64_t>& rows, const std::vector<double>& values,
                  int64_t h) const {
    Channels out(q.size(), 0.0);
    double total = 0;
    for (const int64_t j : rows) {
      const double w = std::exp(score(q, of(k_, j, h)));
      total += w;
      for (std::size_t e = 0; e < out.size(); ++e) out[e] += w * of(values, j, h)[e];
    }
    for (double& e : out) e /= total;
    return out;
  }
  Channels pool(const std::vector<double>& x, const std::vector<int64_t>& rows, int64_t h, const char* weight) const {
    const std::string how = option_of(c_, "abstraction", "max");
    const auto n = std::size_t(c_.head_dim);
    Channels out(n, how == "max" ? -1e300 : 0.0);
    for (const int64_t j : rows) {
      const Channels row = of(x, j, h);
      for (std::size_t e = 0; e < n; ++e) {
        if (how == "max") out[e] = std::max(out[e], row[e]);
        if (how == "mean") out[e] += row[e] / double(rows.size());
        if (how != "deepsets") continue;
        const Numbers w = m_.param(weight);
        double u = 0;
        for (std::size_t a = 0; a < n; ++a) u += row[a] * double(w[a * n + e]);
        out[e] = std::max(out[e], u);  // relu: not below 0
      }
    }
    return out;
  }
  // layer_norm(x_a + s W) W', s: the values of all heads at asker a.
  Channels projected_key(const Span& span, int64_t h) const {
    std::vector<double> s;
    for (int64_t g = 0; g < c_.heads; ++g) {
      for (const double e : attend(of(q_, span.asker, g), span.rows, v_, g)) s.push_back(e);
    }
    const Numbers w = m_.param("w_summary"), gain = m_.param("summary_gain"), shift = m_.param("summary_shift"),
                  wk = m_.param("w_summary_k");
    const auto d = std::size_t(c_.dim);
    std::vector<double> z(x_.begin() + span.asker * c_.dim, x_.begin() + (span.asker + 1) * c_.dim);
    for (std::size_t a = 0; a < s.size(); ++a) {
      for (std::size_t e = 0; e < d; ++e) z[e] += s[a] * double(w[a * d + e]);
    }
    const double mean = std::accumulate(z.begin(), z.end(), 0.0) / double(d);
    double variance = 0;
    for (const double e : z) variance += (e - mean) * (e - mean) / double(d);
    Channels key(std::size_t(c_.head_dim), 0.0);
    for (std::size_t a = 0; a < d; ++a) {
      const double u = double(gain[a]) * (z[a] - mean) / std::sqrt(variance + 1e-6) + double(shift[a]);
      for (std::size_t e = 0; e < key.size(); ++e) {
        key[e] += u * double(wk[a * std::size_t(inner_) + std::size_t(h * c_.head_dim) + e]);
      }
    }
    return key;
  }

  void add_row(const Seen& seen, int64_t i, int64_t h, double share, std::vector<double>& o) const {
    const Channels q = of(q_, i, h);
    std::vector<double> weights;
    std::vector<Channels> values;
    for (const int64_t j : seen.direct) {
      weights.push_back(std::exp(score(q, of(k_, j, h))));
      values.push_back(of(v_, j, h));
    }
    for (const Span& span : seen.spans) {
      Channels key, asker;
      if (span.asker < 0) {
        key = pool(k_, span.rows, h, "w_span_k");
        asker = pool(q_, span.rows, h, "w_span_q");
      } else {
        const std::string summary = option_of(c_, "summary", "none");
        asker = of(q_, span.asker, h);
        key = summary == "none"   ? of(k_, span.asker, h)
              : summary == "wsum" ? attend(asker, span.rows, k_, h)
                                  : projected_key(span, h);
      }
      const bool sized = option_of(c_, "size_correction", "0") == "1";
      weights.push_back(std::exp(score(q, key)) * (sized ? double(span.rows.size()) : 1.0));
      values.push_back(attend(asker, span.rows, v_, h));
    }
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (std::size_t a = 0; a < weights.size(); ++a) {
      for (std::size_t e = 0; e < values[a].size(); ++e) {
        o[std::size_t(i * inner_ + h * c_.head_dim) + e] += share * weights[a] / total * values[a][e];
      }
    }
  }

  Case c_;
  const Module& m_;
  std::vector<double> x_;
  int64_t inner_;
  std::vector<double> q_, k_, v_;
};

void expect_equals_its_definition(const Case& c, const Pattern& p) {
  Module m(c);
  for (const char* name : {"summary_gain", "summary_shift"}) {
    if (m.has_param(name)) m.set_param(name, normal_numbers(c.dim, name_key(name)));
  }
  const Numbers x = input_of(c);
  const Plain plain(c, m, {x.begin(), x.end()});
  EXPECT_LT(largest_difference(m.forward(x), plain.output(p)), kTolerance)
      << p.name << (c.causal ? " causal" : "") << " N=" << c.len << " abstraction "
      << option_of(c, "abstraction", "max") << " summary " << option_of(c, "summary", "none");
}

TEST(Combiner, EqualsAPlainLoopOverItsDefinition) {
  for_each_case(patterns(), [](const Pattern& p, bool causal) {
    for (const char* abstraction : {"max", "mean", "deepsets"}) {
      Settings set = p.set;
      set["abstraction"] = abstraction;
      set["size_correction"] = abstraction == std::string("max") ? "0" : "1";
      const Case shape{.variant = "combiner", .len = kLen, .head_dim = 11, .bias = true};
      expect_equals_its_definition(combiner(set, causal, shape), p);
    }
  });
  Pattern row_major = patterns()[4];
  for (const char* summary : {"wsum", "proj"}) {
    row_major.set["summary"] = summary;
    expect_equals_its_definition(combiner(row_major.set, true), row_major);
  }
}

TEST(Combiner, EqualsAPlainLoopAtEveryLengthAndAcrossTiles) {
  for (const int64_t len : {1, 2, 3, 4, 5, 6, 9, 16, 17}) {
    for_each_case(patterns(4, 3), [&](const Pattern& p, bool causal) {
      const Case shape{.variant = "combiner", .len = len, .dim = 4, .heads = 1, .head_dim = 4};
      expect_equals_its_definition(combiner(p.set, causal, shape), p);
    });
  }
  for_each_case(patterns(70, 75), [&](const Pattern& p, bool causal) {
    const Case shape{.variant = "combiner", .len = 160, .dim = 4, .heads = 1, .head_dim = 4};
    for (const char* abstraction : {"max", "mean"}) {
      Settings set = p.set;
      set["abstraction"] = abstraction;
      expect_equals_its_definition(combiner(set, causal, shape), p);
    }
  });
}

TEST(Combiner, TakesTheRootOfTheLengthForSpansAndLines) {
  for (const char* pattern : {"fixed", "axial_vertical"}) {
    const Case named = combiner({{"pattern", pattern}, {"span", "5"}, {"width", "5"}}, true);
    EXPECT_EQ(output_of(combiner({{"pattern", pattern}}, true)), output_of(named)) << "the root of 23 is about 5";
  }
}

TEST(Combiner, EqualsSoftmaxWhenNothingIsPooled) {
  for (const bool causal : {true, false}) {
    const Numbers full = output_of({.variant = "softmax", .causal = causal});
    for (const char* size : {"1", "23"}) {
      for (const std::string pattern :
           {"fixed", "axial_vertical", "axial_horizontal", "mixture", "axial_rowmajor", "routing"}) {
        if (causal ? pattern == "routing" : pattern != "fixed" && pattern != "routing") continue;
        const Settings set = {{"pattern", pattern}, {"span", size}, {"width", size}};
        EXPECT_LT(largest_difference(output_of(combiner(set, causal)), full), kTolerance) << pattern << " " << size;
      }
    }
    EXPECT_GT(largest_difference(output_of(combiner({{"span", "5"}}, causal)), full), 0.05);
  }
}

// The matrix of weights of one head: the output for x = W_v = W_o = 1. Queries are rows of W_q, zero if silent.
Numbers weights_of(const Settings& set, int64_t len, bool causal, bool silent = false) {
  Module m(combiner(set, causal, {.variant = "combiner", .len = len, .dim = len, .heads = 1, .head_dim = len}));
  Numbers identity(std::size_t(len * len), 0);
  for (int64_t i = 0; i < len; ++i) identity[std::size_t(i * len + i)] = 1;
  m.set_param("wv", identity);
  m.set_param("wo", identity);
  m.set_param("wq", normal_numbers(len * len, 7, silent ? 0 : 2));
  return m.forward(identity);
}

TEST(Combiner, HasWeightsThatSumToOneOverAllThatMayBeSeen) {
  for_each_case(patterns(), [](const Pattern& p, bool causal) {
    const Numbers w = weights_of(p.set, kLen, causal);
    for (int64_t i = 0; i < kLen; ++i) {
      double sum = 0;
      for (int64_t j = 0; j < kLen; ++j) {
        const auto weight = double(w[std::size_t(i * kLen + j)]);
        sum += weight;
        if (causal && j > i) {
          EXPECT_EQ(weight, 0) << p.name << " " << i << " " << j;
        } else {
          EXPECT_GT(weight, 0) << p.name << " " << i << " " << j;
        }
      }
      EXPECT_NEAR(sum, 1, kTolerance) << p.name << " row " << i;
    }
  });
}

TEST(Combiner, SharesWeightEquallyWithoutQueries) {
  const int64_t len = 12;
  const Numbers w = weights_of({{"pattern", "fixed"}, {"span", "4"}}, len, true, true);
  // Row 9: itself, row 8 and two spans of four.
  for (int64_t j = 0; j < len; ++j) {
    EXPECT_NEAR(double(w[std::size_t(9 * len + j)]), j < 8 ? 1.0 / 16 : j < 10 ? 0.25 : 0.0, kTolerance);
  }
  // With the size of a span in its score, as in full attention.
  const Numbers sized = weights_of({{"pattern", "fixed"}, {"span", "4"}, {"size_correction", "1"}}, len, true, true);
  for (int64_t j = 0; j < 10; ++j) EXPECT_NEAR(double(sized[std::size_t(9 * len + j)]), 0.1, kTolerance);

  const Numbers log = weights_of({{"pattern", "logsparse"}}, len, true, true);
  for (int64_t i = 0; i < len; ++i) {
    const int terms = 1 + std::popcount(uint64_t(i));
    EXPECT_NEAR(double(log[std::size_t(i * len + i)]), 1.0 / terms, kTolerance);
    for (int t = 0; t < 4; ++t) {
      if ((i >> t) % 2 == 0) continue;
      for (int64_t j = ((i >> t) - 1) << t; j < (i >> t) << t; ++j) {
        EXPECT_NEAR(double(log[std::size_t(i * len + j)]), 1.0 / terms / double(1 << t), kTolerance);
      }
    }
  }
  // Released mixture, row (1, 1) of lines of 3: four direct rows; above, left and right spans of rows that count twice.
  const Numbers mix = weights_of({{"pattern", "mixture"}, {"width", "3"}, {"released", "1"}}, len, true, true);
  const std::vector<double> twice = {2, 1, 2, 1, 1, 0};
  for (std::size_t j = 0; j < twice.size(); ++j) EXPECT_NEAR(double(mix[4 * len + j]), twice[j] / 7, kTolerance);
}

TEST(Combiner, WeighsTheRowsOfASharedSpanInFixedProportions) {
  const int64_t len = 16;
  for (const char* pattern : {"fixed", "logsparse"}) {
    const Numbers w = weights_of({{"pattern", pattern}, {"span", "4"}}, len, true);
    const auto ratio = [&](int64_t i, int64_t j) {
      return double(w[std::size_t(i * len + j)]) / double(w[std::size_t(i * len)]);
    };
    // Rows 4 and 5 see rows 0..3 as one span.
    for (int64_t j = 1; j < 4; ++j) EXPECT_NEAR(ratio(4, j), ratio(5, j), 100 * kTolerance) << pattern;
  }
  const Numbers w = weights_of({{"pattern", "axial_rowmajor"}, {"width", "4"}}, len, true);
  EXPECT_GT(std::abs(double(w[4 * len + 1] / w[4 * len]) - double(w[5 * len + 1] / w[5 * len])), 1e-3)
      << "each column asks in its own way";
}

TEST(Combiner, DoesNotSeeTheOrderInsideAnotherSpan) {
  const Case c = combiner({{"span", "5"}}, true);
  Module m(c);
  Numbers x = input_of(c);
  const Numbers y = m.forward(x);
  std::swap_ranges(x.begin(), x.begin() + c.dim, x.begin() + 3 * c.dim);
  const Numbers z = m.forward(x);
  const auto rest = [&](const Numbers& all) { return Numbers(all.begin() + 5 * c.dim, all.end()); };
  EXPECT_LT(largest_difference(rest(y), rest(z)), kTolerance);
  EXPECT_GT(largest_difference(y, z), 0.01);
}

TEST(Combiner, PutsRowsIntoClustersOfOneSize) {
  const int64_t len = 11;
  const Settings set = {{"pattern", "routing"}, {"span", "4"}};
  const Numbers w = weights_of(set, len, false, true);
  EXPECT_EQ(w, weights_of(set, len, false, true));
  const auto weight = [&](int64_t i, int64_t j) { return double(w[std::size_t(i * len + j)]); };
  // Without queries each row gives as much to every row of its own cluster and to each of the two spans.
  const auto own = [&](int64_t i) {
    return rows_with(len, [&](int64_t j) { return std::abs(weight(i, j) - weight(i, i)) < kTolerance; });
  };
  int64_t short_ones = 0;
  bool neighbours = true;
  for (int64_t i = 0; i < len; ++i) {
    const auto mine = own(i);
    ASSERT_TRUE(mine.size() == 4 || mine.size() == 3) << mine.size();
    short_ones += mine.size() == 3 ? 1 : 0;
    neighbours = neighbours && mine.back() - mine.front() + 1 == int64_t(mine.size());
    for (int64_t j = 0; j < len; ++j) {
      const auto theirs = own(j);
      const bool together = std::binary_search(mine.begin(), mine.end(), j);
      EXPECT_EQ(together, mine == theirs) << i << " " << j;
      EXPECT_NEAR(weight(i, j), 1.0 / double(mine.size() + 2) / (together ? 1.0 : double(theirs.size())), kTolerance);
    }
  }
  EXPECT_EQ(short_ones, 3) << "one cluster has the three rows that are left";
  EXPECT_FALSE(neighbours) << "keys decide, not places";
}

TEST(Combiner, TakesRowsWithEqualKeysInTheirOrder) {
  const Case c = combiner({{"pattern", "routing"}, {"span", "5"}}, false);
  const Case runs = combiner({{"pattern", "fixed"}, {"span", "5"}}, false);
  Numbers x;
  const Numbers row = normal_numbers(c.dim, 5), v = normal_numbers(c.len * c.heads * c.head_dim, 6);
  for (int64_t i = 0; i < c.len; ++i) x.insert(x.end(), row.begin(), row.end());
  EXPECT_LT(largest_difference(Module(c).mix_values(x, v), Module(runs).mix_values(x, v)), kTolerance);
}

TEST(Combiner, PermutesItsOutputWithItsRowsWhenSpansAreLearned) {
  for (const char* pattern : {"routing", "fixed"}) {
    const Case c = combiner({{"pattern", pattern}}, false);
    Module m(c);
    const auto shuffled = [&](const Numbers& rows) {
      Numbers out(rows.size());
      for (int64_t i = 0; i < c.len; ++i) std::copy_n(&rows[i * 9 % c.len * c.dim], c.dim, &out[i * c.dim]);
      return out;
    };
    const Numbers x = input_of(c), y = m.forward(x);
    const double apart = largest_difference(m.forward(shuffled(x)), shuffled(y));
    if (pattern == std::string("routing")) {
      EXPECT_LT(apart, kTolerance);
    } else {
      EXPECT_GT(apart, 0.01);
    }
  }
}

TEST(Combiner, MovesCentroidsToTheMeanOfTheirRowsAtTheRateOfTheDecay) {
  for (const double decay : {0.0, 0.9}) {
    const Case c = combiner({{"pattern", "routing"}, {"decay", std::to_string(decay)}}, false);
    Module m(c);
    const Numbers start = m.param("centroids");
    Numbers goal = start;
    std::vector<double> count(start.size(), 0.0), sum(start.size(), 0.0);
    for (const double scale : {1.0, -0.5}) {  // a batch of two
      Numbers x = input_of(c);
      for (Real& e : x) e *= Real(scale);
      m.forward(x);
      EXPECT_EQ(m.param("centroids"), start);
      m.backward(x, x);
      const Plain plain(c, m, {x.begin(), x.end()});
      for (int64_t h = 0; h < c.heads; ++h) {
        std::size_t at = std::size_t(h) * start.size() / std::size_t(c.heads);
        for (const auto& cluster : plain.clusters(h)) {
          for (std::size_t e = 0; e < std::size_t(c.head_dim); ++e, ++at) {
            for (const int64_t i : cluster) sum[at] += plain.normed_key(i, h)[e];
            count[at] += double(cluster.size());
          }
        }
      }
    }
    for (std::size_t e = 0; e < goal.size(); ++e) {
      if (count[e] == 0) continue;  // only longer sequences have so many clusters
      goal[e] = Real((decay * double(start[e]) + (1 - decay) * sum[e]) / (decay + (1 - decay) * count[e]));
    }
    m.after_step(1);
    EXPECT_LT(largest_difference(m.param("centroids"), goal), kTolerance) << decay;
    EXPECT_GT(largest_difference(start, goal), 0.1);
  }
}

TEST(Combiner, IsCausal) {
  for_each_case(patterns(), [](const Pattern& p, bool causal) {
    if (causal) expect_influence(combiner(p.set, true), [](auto i, auto j) { return j <= i; });
  });
}

TEST(Combiner, HasItsGradients) {
  for_each_case(patterns(), [](const Pattern& p, bool causal) {
    for (const char* abstraction : {"max", "mean", "deepsets"}) {
      // The steps of a check in float are so wide that maxima change places and rows their cluster.
      if (!kDouble && (abstraction != std::string("mean") || p.clustered)) continue;
      Settings set = p.set;
      set["abstraction"] = abstraction;
      set["size_correction"] = abstraction == std::string("mean") ? "1" : "0";
      expect_gradients(combiner(set, causal, {.variant = "combiner", .len = kLen, .bias = causal}));
    }
  });
  for (const char* summary : {"wsum", "proj"}) {
    expect_gradients(combiner({{"pattern", "axial_rowmajor"}, {"width", "5"}, {"summary", summary}}, true));
  }
  if (!kDouble) return;
  for (const char* pattern : {"fixed", "logsparse", "mixture", "routing"}) {
    expect_gradients(combiner({{"pattern", pattern}}, false, {.variant = "combiner", .len = 150}));
  }
}

TEST(Combiner, CountsItsPairs) {
  // fixed, causal: N (s + 1) / 2 + s n (n - 1) / 2, and N for the values of the spans; two heads.
  EXPECT_EQ(Module(combiner({{"span", "4"}}, true)).cost(20).pairs, 2 * (20 * 5 / 2 + 4 * 5 * 4 / 2 + 20));
  // logsparse, causal: sum of 1 + popcount(i), and N for each level.
  EXPECT_EQ(Module(combiner({{"pattern", "logsparse"}}, true)).cost(12).pairs, 2 * (32 + 3 * 12));
  // vertical, causal, 4 lines of 5: c + 1 + r + 4 for r > 0; values: 5 columns of 1 + 2 + 3.
  EXPECT_EQ(Module(combiner({{"pattern", "axial_vertical"}, {"width", "5"}}, true)).cost(20).pairs,
            2 * (4 * 15 + 5 * 6 + 15 * 4 + 5 * 6));
  EXPECT_EQ(Module(combiner({{"pattern", "routing"}, {"span", "4"}}, false)).cost(18).pairs,
            Module(combiner({{"pattern", "fixed"}, {"span", "4"}}, false)).cost(18).pairs);
  // All patterns: rows and spans of the definition; values: the rows of every span that is stored.
  for_each_case(patterns(), [](const Pattern& p, bool causal) {
    double joint = 0;
    for (int64_t i = 0; i < kLen; ++i) {
      for (const auto& see : p.see) {
        const Seen seen = see(i, kLen, causal);
        joint += 2 * double(seen.direct.size() + seen.spans.size());
      }
    }
    const double pairs = Module(combiner(p.set, causal)).cost(kLen).pairs;
    EXPECT_GT(pairs, joint) << p.name;
    EXPECT_LT(pairs, joint + 2 * 4 * kLen * 5) << p.name << ": at most one line or column for each span value";
  });
}

TEST(Combiner, KeepsTheCommonRules) {
  for_each_case(patterns(0, 0), [](const Pattern& p, bool causal) {
    for (const char* abstraction : {"max", "deepsets"}) {
      Settings set = p.set;
      set["abstraction"] = abstraction;
      set["size_correction"] = "1";
      set["summary"] = abstraction == std::string("max") ? "wsum" : "proj";
      const Case c =
          combiner(set, causal, {.variant = "combiner", .len = 130, .dim = 20, .causal = causal, .bias = true});
      expect_common_rules(c);
    }
  });
}

TEST(Combiner, StaysFiniteForHugeAndZeroInputs) {
  for_each_case(patterns(), [](const Pattern& p, bool causal) {
    const Case c = combiner(p.set, causal);
    for (const double scale : {0.0, 1e4}) {
      Module m(c);
      const Numbers x = normal_numbers(c.len * c.dim, 3, scale);
      for (const Real e : m.forward(x)) ASSERT_TRUE(std::isfinite(e)) << p.name;
      for (const Real e : m.backward(x, input_of(c))) ASSERT_TRUE(std::isfinite(e)) << p.name;
    }
  });
}

TEST(Combiner, RefusesWhatIsNotDefined) {
  EXPECT_THAT(refusal_of(combiner({{"pattern", "axial_rowmajor"}}, false)), HasSubstr("causal attention only"));
  EXPECT_THAT(refusal_of(combiner({{"pattern", "routing"}}, true)), HasSubstr("bidirectional only"));
  EXPECT_THAT(refusal_of(combiner({{"pattern", "mixture"}, {"released", "1"}}, false)), HasSubstr("choose released=0"));
  EXPECT_THAT(refusal_of(combiner({{"released", "1"}}, true)), HasSubstr("choose pattern=mixture"));
}

}  // namespace
}  // namespace lra::test
