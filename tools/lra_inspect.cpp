// lra-inspect: looks inside a variant. apply: numbers in, numbers out; attention: its matrix as a picture; fidelity:
// its distance from exact softmax attention.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/growth.h"
#include "core/json.h"
#include "core/npy.h"
#include "core/options.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "core/text.h"
#include "plugin/registry.h"
#include "session/build_info.h"
#include "tools/inspect/apply.h"
#include "tools/inspect/fidelity.h"
#include "tools/inspect/mixing.h"
#include "tools/inspect/picture.h"
#include "tools/inspect/trained.h"
#include "tools/run/table.h"

namespace {

using namespace lra;

constexpr int64_t kMostRows = 8192;    // of a matrix
constexpr int64_t kPictureSide = 768;  // pixels
constexpr int64_t kSheetSide = 192;    // of one picture of a sheet
constexpr int64_t kSheetColumns = 5;
constexpr int64_t kDim = 64;
constexpr int64_t kParamsLength = 512;  // --list-params without --x or --max-len
constexpr int64_t kLargest = int64_t{1} << 24;

// What the three commands share.
struct Flags {
  std::vector<std::string> variants, set, plugin_path;
  int64_t dim = 0, heads = 0, head_dim = 0;  // 0: not said
  int64_t layer = 0, layers = 1;
  uint64_t seed = 0;
  bool causal = false, bias = false, json = false;
  int threads = 0;
};

struct ApplyFlags : Flags {
  std::string x, dy, params, out;
  int64_t max_len = 0, prefix = -1;
  uint64_t step = 0, example = 0;
  bool list = false;
};

struct AttentionFlags : Flags {
  int64_t length = 0, example = 0;
  std::string checkpoint, task, cache, x, head = "mean", out;
  bool influence = false;
};

struct FidelityFlags : Flags {
  std::vector<std::string> sweep, inputs;
  std::vector<double> norms{1};
  int64_t length = 1024, width = 16, seeds = 15;
};

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorKind::kUsage, message); }

void print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    throw Error(ErrorKind::kIo, "standard output cannot be written to");
  }
}

void remark(const std::string& text) { std::fprintf(stderr, "lra-inspect: %s\n", text.c_str()); }

std::string text_of(const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_number_float()) return fmt::format("{:.4g}", value.get<double>());
  return value.is_string() ? value.get<std::string>() : value.dump();
}

int crew_of(const Flags& flags) { return flags.threads > 0 ? flags.threads : available_cores(); }

const Variant& the_variant(const Flags& flags, const PluginRegistry& registry) {
  if (flags.variants.empty()) refuse(fmt::format("--variant is missing; choose one of {}", join(registry.ids())));
  if (flags.variants.size() > 1 || flags.variants.front() == "all") {
    refuse(fmt::format("--variant names {}; this command looks at one", join(flags.variants)));
  }
  return registry.find(flags.variants.front());
}

// --set of one variant: "features=8", or "performer.features=8".
std::map<std::string, std::string> settings_of(const Flags& flags, const Variant& variant) {
  std::map<std::string, std::string> out;
  for (const auto& [key, value] : parse_settings(flags.set, "--set")) {
    const std::size_t dot = key.find('.');
    if (dot == std::string::npos || key.substr(0, dot) == variant.id)
      out[key.substr(dot == std::string::npos ? 0 : dot + 1)] = value;
  }
  return out;
}

// Columns that x must have; -1 for any.
int64_t width_of(const Flags& flags) { return flags.dim > 0 ? flags.dim : -1; }

nn::ModelSpec model_of(const Flags& flags) {
  nn::ModelSpec model;
  model.dim = flags.dim;
  model.heads = flags.heads > 0 ? flags.heads : std::max<int64_t>(1, flags.dim / 32);
  if (flags.head_dim == 0 && flags.dim % model.heads != 0) {
    refuse(fmt::format("--dim {} is no multiple of --heads {}; choose one that is, or say --head-dim", flags.dim,
                       model.heads));
  }
  model.qkv_dim = flags.head_dim * model.heads;
  model.layers = flags.layers;
  model.causal = flags.causal;
  model.bias = flags.bias;
  if (flags.layer >= flags.layers) {
    refuse(fmt::format("--layer is {} of --layers {}; layers count from 0", flags.layer, flags.layers));
  }
  return model;
}

// ---- apply -------------------------------------------------------------------------------------------------------

std::string params_text(const inspect::Module& module) {
  run::Table table({"name", "rows", "cols", "kind", "init"});
  for (const Json& p : inspect::list_params(module)) {
    std::string init = text_of(p.at("init"));
    if (init == "normal" || init == "uniform") init += " " + text_of(p.at("init_scale"));
    table.row({text_of(p.at("name")), text_of(p.at("rows")), text_of(p.at("cols")), text_of(p.at("kind")), init});
  }
  return table.text("");
}

int apply(ApplyFlags flags) {
  const PluginRegistry registry(plugin_search_path(flags.plugin_path));
  const Variant& variant = the_variant(flags, registry);
  inspect::Task task;
  int64_t rows = 0;
  if (!flags.x.empty()) {
    inspect::Matrix x = inspect::read_matrix(flags.x, -1, width_of(flags), "x");
    rows = x.rows;
    flags.dim = x.cols;
    task.x = std::move(x.numbers);
  } else if (!flags.list) {
    refuse("--x is missing; give a .npy file of shape (N, D), or --list-params to see what could be set");
  }
  if (flags.dim == 0) flags.dim = kDim;
  inspect::Place place;
  place.model = model_of(flags);
  place.max_len = flags.max_len > 0 ? flags.max_len : rows > 0 ? rows : kParamsLength;
  place.layer = flags.layer;
  place.seed = flags.seed;
  if (rows > place.max_len) {
    refuse(fmt::format("{}: has {} rows, but --max-len is {}; choose at least {}", flags.x, rows, flags.max_len, rows));
  }
  Workers workers(crew_of(flags));
  inspect::Module module(variant, Options(variant.id, variant.options, settings_of(flags, variant)), place, workers);
  if (flags.list) {
    print(flags.json ? json_text(inspect::list_params(module)) : params_text(module));
    return 0;
  }
  if (flags.out.empty()) refuse("--out is missing; name the folder for y.npy and the other results");
  if (!flags.dy.empty()) task.dy = inspect::read_matrix(flags.dy, rows, flags.dim, "dy").numbers;
  if (!flags.params.empty()) {
    const auto set = inspect::read_params(flags.params, module);
    if (set.empty()) remark(fmt::format("{}: holds no .npy file, so every parameter is drawn", flags.params));
  }
  const int64_t prefix = flags.prefix >= 0 ? flags.prefix : module.prefix_rows();
  if (prefix < module.prefix_rows() || prefix > rows) {
    refuse(fmt::format("{}: asks for {} prefix rows, x has {} rows and --prefix is {}; choose {} to {}", variant.id,
                       module.prefix_rows(), rows, prefix, module.prefix_rows(), rows));
  }
  module.stand_at(flags.step, flags.example, prefix);
  task.out = flags.out;
  const Json summary = inspect::apply(module, task);
  if (flags.json) {
    print(json_text(summary));
  } else {
    std::vector<std::string> files;
    for (const Json& file : summary.at("files")) files.push_back(file.get<std::string>());
    print(fmt::format("{}  {} rows, {} wide, {} heads of {}; auxiliary loss {}\n{}: {}\n", variant.id, rows, flags.dim,
                      place.model.heads, module.head_dim(), text_of(summary.at("aux")), flags.out, join(files)));
  }
  for (const auto& [name, count] : summary.at("not_finite").items())
    remark(fmt::format("{} holds {} numbers that are not finite", name, count.dump()));
  return 0;
}

// ---- attention ---------------------------------------------------------------------------------------------------

// One variant's matrix and what is said about it.
struct View {
  std::vector<Real> matrix;
  int64_t rows = 0;
  Json facts;
};

std::string kind_name(inspect::Mixing::Kind kind) {
  return kind == inspect::Mixing::Kind::kWeights ? "weights" : "influence";
}

std::optional<int64_t> head_of(const std::string& text, int64_t heads) {
  if (text == "mean") return std::nullopt;
  const double number = parse_number(text, "--head");
  if (number != std::floor(number) || number < 0 || number >= static_cast<double>(heads)) {
    refuse(fmt::format("--head is {}; choose mean or 0 to {}", text, heads - 1));
  }
  return static_cast<int64_t>(number);
}

// given: rows to look at, or empty: they are drawn.
View view_of(const Variant& variant, const AttentionFlags& flags, const inspect::Numbers& given,
             const inspect::TrainedLayer* trained, Workers& workers) {
  auto set = settings_of(flags, variant);
  if (trained != nullptr && variant.id == trained->variant) {
    const Json own = trained->options.json();
    for (const auto& [name, value] : own.items())
      set.emplace(name, value.is_string() ? value.get<std::string>() : value.dump());
  }
  // Backward then shows what forward did, not what training is told.
  for (const OptionSpec& option : variant.options) {
    if (option.name == "exact_gradients") set.emplace(option.name, "1");
  }
  const Options options(variant.id, variant.options, set);
  inspect::Place place;
  inspect::Numbers x;
  int64_t prefix = 0;
  if (trained != nullptr) {
    place = trained->place;
    x = trained->x;
    prefix = trained->prefix;
  } else {
    place.model = model_of(flags);
    place.layer = flags.layer;
    place.seed = flags.seed;
    if (!place.model.causal && !variant.bidirectional) {
      remark(fmt::format("{}: it is causal only, and is shown so", variant.id));
      place.model.causal = true;
    }
    place.max_len = flags.length;
    prefix = inspect::Module(variant, options, place, workers).prefix_rows();
    x = given;
    if (x.empty()) {
      place.max_len += prefix;
      x = inspect::normal_numbers(place.max_len * flags.dim, key_of({flags.seed, name_key("rows to look at")}), 1);
    }
  }
  inspect::Module module(variant, options, place, workers);
  if (trained != nullptr) {
    const auto alone = inspect::take_values(*trained, module);
    if (!alone.empty()) remark(fmt::format("{}: not in the checkpoint, so drawn: {}", variant.id, join(alone)));
  }
  module.stand_at(trained != nullptr ? trained->step : 0, 0, prefix);

  View out;
  const inspect::Mixing mixing = flags.influence ? inspect::influence_of(module, x) : inspect::mixing_of(module, x);
  if (mixing.kind == inspect::Mixing::Kind::kInfluence) {
    remark(fmt::format("{}: shown is the influence |dy_i / dx_j|, not weights{}", variant.id,
                       mixing.note.empty() ? "" : ": " + mixing.note));
  } else {
    remark(fmt::format("{}: shown are the weights A_ij of o_i = sum_j A_ij v_j", variant.id));
  }
  const auto head = mixing.heads > 1 || flags.head != "mean" ? head_of(flags.head, mixing.heads) : std::nullopt;
  out.rows = mixing.rows;
  out.matrix = mixing.of(head);
  out.facts = {{"variant", variant.id},
               {"kind", kind_name(mixing.kind)},
               {"note", mixing.note},
               {"heads", mixing.heads},
               {"head", head ? Json(*head) : Json("mean")},
               {"prefix", prefix}};
  out.facts.update(inspect::describe(out.matrix, out.rows));
  return out;
}

std::string facts_text(const Json& facts) {
  return fmt::format("{}  {}, {}; {} rows; {:.2f} % of the pairs not zero; rows sum to {}..{}\n",
                     text_of(facts.at("variant")), text_of(facts.at("kind")),
                     facts.at("kind") == "influence" ? "all heads"
                     : facts.at("head") == "mean"    ? fmt::format("mean of {} heads", text_of(facts.at("heads")))
                                                     : fmt::format("head {}", text_of(facts.at("head"))),
                     text_of(facts.at("rows")), 100 * facts.at("not_zero").get<double>(),
                     text_of(facts.at("row_sum_least")), text_of(facts.at("row_sum_most")));
}

std::vector<const Variant*> chosen(const AttentionFlags& flags, const PluginRegistry& registry) {
  std::vector<const Variant*> out;
  for (const auto& id : flags.variants) {
    if (id != "all") {
      out.push_back(&registry.find(id));
      continue;
    }
    for (const Variant& variant : registry.variants()) {
      if (!flags.causal || variant.causal) out.push_back(&variant);
    }
  }
  return out;
}

int attention(AttentionFlags flags) {
  const std::string extension = std::filesystem::path(flags.out).extension().string();
  if (extension != ".png" && extension != ".npy") {
    refuse(fmt::format("-o is '{}'; name a file that ends in .png or .npy", flags.out));
  }
  const PluginRegistry registry(plugin_search_path(flags.plugin_path));
  Workers workers(crew_of(flags));
  std::optional<inspect::TrainedLayer> trained;
  if (!flags.checkpoint.empty()) {
    trained = inspect::trained_layer({flags.checkpoint, flags.task, flags.example, flags.layer, flags.cache}, registry,
                                     workers);
    if (flags.variants.empty()) flags.variants = {trained->variant};
    if (static_cast<int64_t>(trained->x.size()) / trained->place.model.dim > kMostRows) {
      refuse(fmt::format("{}: the example has {} rows; at most {} can be shown", flags.checkpoint,
                         static_cast<int64_t>(trained->x.size()) / trained->place.model.dim, kMostRows));
    }
  } else if (flags.variants.empty()) {
    refuse(fmt::format("--variant is missing; choose all or some of {}", join(registry.ids())));
  }
  const auto variants = chosen(flags, registry);
  for (const auto& [key, value] : parse_settings(flags.set, "--set")) {
    const std::string owner = key.substr(0, key.find('.'));
    if (owner == key) continue;
    if (std::none_of(variants.begin(), variants.end(), [&](const Variant* v) { return v->id == owner; }))
      refuse(fmt::format("--set {}={}: '{}' is not among those shown", key, value, owner));
  }
  const bool sheet = variants.size() > 1;
  if (sheet && extension == ".npy") refuse("several variants make a sheet of pictures; name a .png, or one variant");
  if (flags.length == 0) flags.length = sheet ? 64 : 256;
  inspect::Numbers x;
  if (!flags.x.empty()) {
    inspect::Matrix given = inspect::read_matrix(flags.x, -1, width_of(flags), "x");
    flags.length = given.rows;
    flags.dim = given.cols;
    x = std::move(given.numbers);
  }
  if (flags.dim == 0) flags.dim = kDim;
  if (flags.length > kMostRows) refuse(fmt::format("{}: at most {} rows can be shown", flags.x, kMostRows));

  Json all = Json::array();
  std::vector<std::pair<std::string, inspect::Image>> pictures;
  for (const Variant* variant : variants) {
    try {
      const View view = view_of(*variant, flags, x, trained ? &*trained : nullptr, workers);
      all.push_back(view.facts);
      if (extension == ".npy") {
        write_npy(flags.out, {view.rows, view.rows}, view.matrix.data());
      } else {
        const int64_t cell = inspect::cell_for(view.rows, sheet ? kSheetSide : kPictureSide);
        pictures.emplace_back(variant->id, inspect::heat_map(view.matrix, view.rows, cell));
      }
    } catch (const Error& error) {
      if (!sheet) throw;
      remark(fmt::format("left out: {}", error.what()));
    }
  }
  if (all.empty()) refuse("no variant could be shown; the reasons are above");
  if (!pictures.empty()) {
    inspect::write_png(flags.out, sheet ? inspect::contact_sheet(pictures, kSheetColumns) : pictures.front().second);
  }
  std::string text;
  for (const Json& facts : all) text += facts_text(facts);
  print(flags.json ? json_text(Json{{"file", flags.out}, {"variants", all}}) : text + flags.out + "\n");
  return all.size() == variants.size() ? 0 : static_cast<int>(ErrorKind::kDiverged);
}

// ---- fidelity ----------------------------------------------------------------------------------------------------

Json json_of(const inspect::Spread& spread) {
  return {{"median", finite_or_null(spread.median)},
          {"iqr", {finite_or_null(spread.low), finite_or_null(spread.high)}}};
}

// Exponent of MSE ~ value^p over the last option of the sweep, the others fixed; null where there are too few points.
Json slopes_of(const inspect::Trial& trial, const std::vector<inspect::Fidelity>& all) {
  Json out = Json::array();
  if (trial.sweep.empty()) return out;
  const std::size_t points = trial.sweep.back().second.size();
  for (std::size_t first = 0; first + points <= all.size(); first += points) {
    std::vector<std::pair<double, double>> line;
    bool numbers = points >= 3;
    for (std::size_t i = first; numbers && i < first + points; ++i) {
      char* end = nullptr;
      const double value = std::strtod(all[i].values.back().c_str(), &end);
      numbers = *end == '\0' && value > 0 && all[i].mse.median > 0;
      line.emplace_back(value, all[i].mse.median);
    }
    if (!numbers) continue;
    const Exponent slope = fit_exponent(line);
    Json entry = {{"norm", all[first].norm}};
    for (std::size_t s = 0; s + 1 < trial.sweep.size(); ++s) entry[trial.sweep[s].first] = all[first].values[s];
    entry["of"] = trial.sweep.back().first;
    entry["slope"] = finite_or_null(slope.value);
    entry["ci95"] = {finite_or_null(slope.low), finite_or_null(slope.high)};
    out.push_back(entry);
  }
  return out;
}

std::string fidelity_text(const inspect::Trial& trial, const std::vector<inspect::Fidelity>& all, const Json& slopes) {
  std::vector<std::string> header{"norm"};
  for (const auto& [name, values] : trial.sweep) header.push_back(name);
  for (const char* name : {"MSE", "quartiles", "skill", "worst", "not finite", "MSE of mean", "MSE of 0"})
    header.emplace_back(name);
  run::Table table(header);
  for (const inspect::Fidelity& f : all) {
    std::vector<std::string> cells{fmt::format("{}", f.norm)};
    cells.insert(cells.end(), f.values.begin(), f.values.end());
    cells.push_back(fmt::format("{:.2e}", f.mse.median));
    cells.push_back(fmt::format("{:.1e}..{:.1e}", f.mse.low, f.mse.high));
    cells.push_back(fmt::format("{:.3g}", f.skill.median));
    cells.push_back(fmt::format("{:.2g}", f.worst));
    cells.push_back(fmt::format("{:.3g}", f.not_finite));
    cells.push_back(fmt::format("{:.2e}", f.mse_uniform));
    cells.push_back(fmt::format("{:.2e}", f.mse_zero));
    table.row(std::move(cells));
  }
  std::string out = table.text("");
  for (const Json& slope : slopes) {
    std::string where = fmt::format("norm {}", text_of(slope.at("norm")));
    for (std::size_t s = 0; s + 1 < trial.sweep.size(); ++s)
      where += fmt::format(", {} {}", trial.sweep[s].first, text_of(slope.at(trial.sweep[s].first)));
    out += fmt::format("{}: MSE ~ {}^{} [{}, {}]\n", where, text_of(slope.at("of")), text_of(slope.at("slope")),
                       text_of(slope.at("ci95").at(0)), text_of(slope.at("ci95").at(1)));
  }
  return out;
}

int fidelity(const FidelityFlags& flags) {
  const PluginRegistry registry(plugin_search_path(flags.plugin_path));
  inspect::Trial trial;
  trial.variant = &the_variant(flags, registry);
  const auto set = settings_of(flags, *trial.variant);
  trial.set.assign(set.begin(), set.end());
  for (const auto& word : flags.sweep) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == word.size())
      refuse(fmt::format("--sweep {}: write it as option=value,value,...", word));
    trial.sweep.emplace_back(word.substr(0, equals), split(word.substr(equals + 1), ','));
  }
  trial.norms = flags.norms;
  trial.length = flags.length;
  trial.head_dim = flags.width;
  trial.seeds = flags.seeds;
  trial.seed = flags.seed;
  trial.causal = flags.causal;
  if (!flags.inputs.empty()) {
    trial.inputs.emplace();
    for (std::size_t i = 0; i < flags.inputs.size(); ++i) {
      const bool first = i == 0;
      inspect::Matrix matrix =
          inspect::read_matrix(flags.inputs[i], first ? -1 : trial.length, first ? -1 : trial.head_dim,
                               first    ? "q"
                               : i == 1 ? "k"
                                        : "v");
      trial.length = matrix.rows;
      trial.head_dim = matrix.cols;
      trial.inputs->push_back(std::move(matrix.numbers));
    }
  }
  Workers workers(crew_of(flags));
  const auto all = inspect::fidelity(trial, workers);
  const Json slopes = slopes_of(trial, all);
  if (!flags.json) {
    print(fidelity_text(trial, all, slopes));
    return 0;
  }
  Json lines = Json::array();
  for (const inspect::Fidelity& f : all) {
    Json line = {{"norm", f.norm}};
    for (std::size_t s = 0; s < trial.sweep.size(); ++s) line[trial.sweep[s].first] = f.values[s];
    line.update({{"mse", json_of(f.mse)},
                 {"skill", json_of(f.skill)},
                 {"worst", finite_or_null(f.worst)},
                 {"not_finite", f.not_finite},
                 {"mse_uniform", finite_or_null(f.mse_uniform)},
                 {"mse_zero", finite_or_null(f.mse_zero)}});
    lines.push_back(line);
  }
  print(json_text(Json{{"variant", trial.variant->id},
                       {"set", set},
                       {"length", trial.length},
                       {"head_dim", trial.head_dim},
                       {"seeds", trial.seeds},
                       {"causal", trial.causal},
                       {"results", lines},
                       {"slopes", slopes}}));
  return 0;
}

// ---- Flags -------------------------------------------------------------------------------------------------------

constexpr const char* kFooter = R"(
Each command has its own --help.

Examples:
  lra-inspect attention --variant bigbird --length 512 -o bigbird.png
      Its weights between 512 rows, as a picture.
  lra-inspect apply --variant performer --set features=64 --x x.npy --dy dy.npy --params weights --out result
      y, dx and every gradient, to be compared with another implementation.

Exit codes: 0 done, 2 usage, 4 some variants of a sheet left out, 5 bad file, 6 plugin, 7 I/O.)";

constexpr const char* kApplyFooter = R"(
Files are float32 or float64 of shape (rows, cols). In --params each is named after its parameter or buffer; what has no
file is drawn as in a run of that seed. --out gets y.npy, aux.npy, summary.json, params/NAME.npy (all that was used),
and with --dy dx.npy and dNAME.npy. Without --dy the pass is one of evaluation, with it one of training.

Examples:
  lra-inspect apply --variant softmax --dim 64 --heads 2 --list-params
  lra-inspect apply --variant softmax --heads 2 --x x.npy --dy dy.npy --params weights --out result)";

constexpr const char* kAttentionFooter = R"(
Shown are the weights A of o_i = sum_j A_ij v_j where the variant has such, else the influence |dy_i / dx_j| of input rows
on output rows; stderr says which. Dark is exactly nothing; the rest spans three decades up to the largest.
With --checkpoint the input is what the layer sees of a test example; another --variant then takes the weights that fit.

Examples:
  lra-inspect attention --variant local --set mode=window --set window=16 --length 128 --head 0 -o window.png
  lra-inspect attention --variant all --length 64 -o sheet.png
  lra-inspect attention --checkpoint results/runs/listops/softmax/HASH-s0.ckpt --example 3 --layer 1 -o layer1.npy)";

constexpr const char* kFidelityFooter = R"(
q and k are drawn from norm N(0, 1), v from N(0, 1). MSE is against exact softmax attention in float64; skill is
1 - MSE / MSE of answering with the mean of the values. Several --sweep make all combinations; the slope of log MSE is
fitted over the last one.

Examples:
  lra-inspect fidelity --variant performer --norm .5,1 --sweep projection=iid,orthogonal --sweep features=8,16,32,64,128,256
  lra-inspect fidelity --variant nystromformer --sweep landmarks=8,16,32,64 --length 512 --json)";

CLI::Option* number(CLI::App& app, const std::string& name, int64_t& value, int64_t least, const std::string& help,
                    const std::string& group) {
  return app.add_option(name, value, help)
      ->type_name("N")
      ->check(CLI::Range(least, kLargest).description(""))
      ->group(group);
}

void declare_variant(CLI::App& app, Flags& flags, const std::string& group, const char* type) {
  app.add_option("--variant", flags.variants, "The variant to look at")
      ->delimiter(',')
      ->type_name(type)
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--set", flags.set, "Option of the variant; performer.features=64 where several are shown")
      ->type_name("K=V")
      ->allow_extra_args(false)
      ->group(group);
}

void declare_shape(CLI::App& app, Flags& flags, const std::string& group) {
  number(app, "--dim", flags.dim, 1, "Width D of the model [that of x, else 64]", group);
  number(app, "--heads", flags.heads, 1, "Heads [dim / 32]", group);
  number(app, "--head-dim", flags.head_dim, 1, "Width of a head [dim / heads]", group);
  app.add_flag("--causal", flags.causal, "Rows see only rows before them and themselves")->group(group);
  app.add_flag("--bias", flags.bias, "The projections have biases")->group(group);
  number(app, "--layer", flags.layer, 0, "Which layer [0]", group);
  number(app, "--layers", flags.layers, 1, "Of how many [1]", group);
}

void declare_manners(CLI::App& app, Flags& flags, const char* footer) {
  const std::string group = "How";
  app.add_option("--seed", flags.seed, "Of everything that is drawn [0]")->type_name("N")->group(group);
  app.add_option("--threads", flags.threads, "Cores [all]")
      ->type_name("N")
      ->check(CLI::Range(1, 1024).description(""))
      ->group(group);
  app.add_option("--plugin-path", flags.plugin_path, "More folders or libraries with variants")
      ->type_name("PATH")
      ->allow_extra_args(false)
      ->group(group);
  app.add_flag("--json", flags.json, "The answer as JSON on stdout")->group(group);
  app.set_help_flag("-h,--help", "Print this help and end");
  app.footer(footer);
  app.allow_extras();
}

CLI::App& declare_apply(CLI::App& app, ApplyFlags& flags) {
  CLI::App& sub = *app.add_subcommand("apply", "One forward and backward on numbers from .npy files");
  const std::string in = "In and out";
  declare_variant(sub, flags, in, "NAME");
  sub.add_option("--x", flags.x, "Input rows (N, D), prefix rows included")->type_name("FILE")->group(in);
  sub.add_option("--dy", flags.dy, "Gradient of the output (N, D); adds the backward pass")
      ->type_name("FILE")
      ->group(in);
  sub.add_option("--params", flags.params, "Folder of <name>.npy for parameters and buffers")
      ->type_name("DIR")
      ->group(in);
  sub.add_option("-o,--out", flags.out, "Folder of the results")->type_name("DIR")->group(in);
  sub.add_flag("--list-params", flags.list, "Print names, shapes and starting rules, and end")->group(in);
  const std::string shape = "The module";
  declare_shape(sub, flags, shape);
  number(sub, "--max-len", flags.max_len, 1, "Longest sequence it is made for [rows of x]", shape);
  number(sub, "--prefix", flags.prefix, 0, "First rows that are not of the sequence [as it asks]", shape);
  sub.add_option("--step", flags.step, "Optimiser steps done: keys the noise [0]")->type_name("N")->group(shape);
  sub.add_option("--example", flags.example, "Number of the example: keys the noise [0]")->type_name("N")->group(shape);
  declare_manners(sub, flags, kApplyFooter);
  return sub;
}

CLI::App& declare_attention(CLI::App& app, AttentionFlags& flags) {
  CLI::App& sub = *app.add_subcommand("attention", "The effective attention matrix, as picture or numbers");
  const std::string what = "What to show";
  declare_variant(sub, flags, what, "A,B|all");
  sub.add_option("-o,--out", flags.out, "File: .png or .npy")->type_name("FILE")->required()->group(what);
  number(sub, "--length", flags.length, 1, "Rows of the sequence [256; 64 for several variants]", what)
      ->check(CLI::Range(int64_t{1}, kMostRows).description(""));
  sub.add_option("--head", flags.head, "Number of a head, or mean")->type_name("H")->capture_default_str()->group(what);
  sub.add_flag("--influence", flags.influence, "|dy_i / dx_j| even where there are weights")->group(what);
  sub.add_option("--x", flags.x, "Input rows (N, D) [drawn from N(0, 1)]")->type_name("FILE")->group(what);
  const std::string trained = "From a run";
  sub.add_option("--checkpoint", flags.checkpoint, "Weights and settings of a .ckpt")
      ->type_name("FILE")
      ->group(trained);
  sub.add_option("--task", flags.task, "Must be the checkpoint's")->type_name("NAME")->group(trained);
  number(sub, "--example", flags.example, 0, "Example of the test split [0]", trained);
  sub.add_option("--cache", flags.cache, "Folder of generated data [$LRA_CACHE or ~/.cache/lra]")
      ->type_name("DIR")
      ->group(trained);
  declare_shape(sub, flags, "The module");
  declare_manners(sub, flags, kAttentionFooter);
  return sub;
}

CLI::App& declare_fidelity(CLI::App& app, FidelityFlags& flags) {
  CLI::App& sub = *app.add_subcommand("fidelity", "Error against exact softmax attention");
  const std::string what = "What to measure";
  declare_variant(sub, flags, what, "NAME");
  sub.add_option("--sweep", flags.sweep, "Values of an option, one after the other")
      ->type_name("K=A,B,..")
      ->allow_extra_args(false)
      ->group(what);
  sub.add_option("--norm", flags.norms, "Factors of q and k [1]")
      ->delimiter(',')
      ->type_name("S,T")
      ->allow_extra_args(false)
      ->check(CLI::Range(0.0, 1e6).description(""))
      ->group(what);
  number(sub, "--length", flags.length, 1, "Rows", what)
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 16).description(""))
      ->capture_default_str();
  number(sub, "--head-dim", flags.width, 1, "Width d of the one head", what)
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 12).description(""))
      ->capture_default_str();
  number(sub, "--seeds", flags.seeds, 1, "Draws", what)->capture_default_str();
  sub.add_flag("--causal", flags.causal, "Rows see only rows before them and themselves")->group(what);
  sub.add_option("--inputs", flags.inputs, "q, k, v of shape (N, d) instead of draws")
      ->type_name("Q.npy K.npy V.npy")
      ->expected(3)
      ->group(what);
  declare_manners(sub, flags, kFidelityFooter);
  return sub;
}

// A word that no flag takes, with the flag that was perhaps meant.
void refuse_extras(const CLI::App& sub) {
  for (const auto& word : sub.remaining()) {
    const std::string name = word.substr(0, word.find('='));
    if (name.rfind("--", 0) != 0) refuse(fmt::format("'{}' belongs to no flag", word));
    std::vector<std::string> known;
    for (const CLI::Option* option : sub.get_options()) {
      for (const auto& one : option->get_lnames()) known.push_back(one);
    }
    const std::string near = nearest_name(name.substr(2), known);
    refuse(fmt::format("no flag is called '{}'{} (lra-inspect {} --help shows all flags)", name,
                       near.empty() ? "" : fmt::format("; did you mean '--{}'?", near), sub.get_name()));
  }
}

int run_program(int argc, char** argv) {
  CLI::App app("Looks inside attention variants.", "lra-inspect");
  app.set_help_flag("-h,--help", "Print this help and end");
  app.set_version_flag("--version", fmt::format("lra-inspect {}", session::kVersion), "Print the version and end");
  app.footer(kFooter);
  ApplyFlags apply_flags;
  AttentionFlags attention_flags;
  FidelityFlags fidelity_flags;
  const std::vector<CLI::App*> commands{&declare_apply(app, apply_flags), &declare_attention(app, attention_flags),
                                        &declare_fidelity(app, fidelity_flags)};
  std::vector<std::string> names;
  for (const CLI::App* command : commands) names.push_back(command->get_name());
  const std::string first = argc > 1 ? argv[1] : "";
  if (first.empty()) refuse(fmt::format("a command is missing; choose {}", join(names, " or ")));
  if (first[0] != '-' && std::find(names.begin(), names.end(), first) == names.end()) {
    refuse(fmt::format("no command is called '{}'{}", first, suggestion(first, names)));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {
    app.exit(asked);
    return 0;
  } catch (const CLI::ParseError& error) {
    refuse(fmt::format("{} (lra-inspect --help shows all flags)", error.what()));
  }
  for (const CLI::App* command : commands) {
    if (command->parsed()) refuse_extras(*command);
  }
  if (commands[0]->parsed()) return apply(apply_flags);
  if (commands[1]->parsed()) return attention(attention_flags);
  return fidelity(fidelity_flags);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run_program(argc, argv);
  } catch (const Error& error) {
    std::fprintf(stderr, "lra-inspect: %s\n", error.what());
    return error.exit_code();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "lra-inspect: %s\n", error.what());
    return static_cast<int>(ErrorKind::kIo);
  }
}
