// lra-inspect: looks inside a variant. apply: numbers in, numbers out; attention: its matrix as a picture; fidelity:
// its distance from exact softmax attention.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "session/build_info.h"
#include "tools/command_line.h"
#include "tools/inspect/commands.h"
#include "tools/program.h"

namespace {

using namespace lra;
using inspect::ApplyFlags;
using inspect::AttentionFlags;
using inspect::FidelityFlags;
using inspect::Flags;
using inspect::kMostRows;

constexpr int64_t kLargest = int64_t{1} << 24;

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
  lra-inspect attention --checkpoint results/runs/listops/softmax/HASH-s0.ckpt --example 3 --layer 1 -o layer1.npy
  lra-inspect attention --record results/runs)";

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
  sub.add_option("-o,--out", flags.out, "File: .png or .npy")->type_name("FILE")->group(what);
  number(sub, "--length", flags.length, 1, "Rows of the sequence [256; 64 for several variants]", what)
      ->check(CLI::Range(int64_t{1}, kMostRows).description(""));
  sub.add_option("--head", flags.head, "Number of a head, or mean")->type_name("H")->capture_default_str()->group(what);
  sub.add_flag("--influence", flags.influence, "|dy_i / dx_j| even where there are weights")->group(what);
  sub.add_option("--x", flags.x, "Input rows (N, D) [drawn from N(0, 1)]")->type_name("FILE")->group(what);
  const std::string trained = "From a run";
  sub.add_option("--checkpoint", flags.checkpoint, "Weights and settings of a .ckpt")
      ->type_name("FILE")
      ->group(trained);
  sub.add_option("--record", flags.records, "Put small maps of all layers into records, for lra-report dashboard")
      ->type_name("PATH")
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

int answer(int argc, char** argv) {
  CLI::App app("Looks inside attention variants.", "lra-inspect");
  app.set_help_flag("-h,--help", "Print this help and end");
  app.set_version_flag("--version", fmt::format("lra-inspect {}", session::kVersion), "Print the version and end");
  app.footer(kFooter);
  ApplyFlags apply_flags;
  AttentionFlags attention_flags;
  FidelityFlags fidelity_flags;
  const std::vector<CLI::App*> commands{&declare_apply(app, apply_flags), &declare_attention(app, attention_flags),
                                        &declare_fidelity(app, fidelity_flags)};
  app.require_subcommand(1);
  if (!take_words(app, argc, argv)) return 0;
  if (commands[0]->parsed()) return inspect::apply_command(apply_flags);
  if (commands[1]->parsed()) return inspect::attention_command(attention_flags);
  return inspect::fidelity_command(fidelity_flags);
}

}  // namespace

int main(int argc, char** argv) {
  return lra::run_program("lra-inspect", [&] { return answer(argc, argv); });
}
