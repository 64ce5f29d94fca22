// What the three commands share: flags into variants, settings and models.
#include "tools/inspect/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "core/json.h"
#include "core/options.h"
#include "core/parallel.h"
#include "core/text.h"
#include "tools/program.h"

namespace lra::inspect {

void remark(const std::string& text) { std::fprintf(stderr, "lra-inspect: %s\n", text.c_str()); }

std::string text_of(const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_number_float()) return fmt::format("{:.4g}", value.get<double>());
  return plain_word(value);
}

int crew_of(const Flags& flags) { return flags.threads > 0 ? flags.threads : available_cores(); }

const Variant& the_variant(const Flags& flags, const PluginRegistry& registry) {
  if (flags.variants.empty()) refuse(fmt::format("--variant is missing; choose one of {}", join(registry.ids())));
  if (flags.variants.size() > 1 || flags.variants.front() == "all") {
    refuse(fmt::format("--variant names {}; this command looks at one", join(flags.variants)));
  }
  return registry.find(flags.variants.front());
}

std::map<std::string, std::string> settings_of(const Flags& flags, const Variant& variant) {
  std::map<std::string, std::string> out;
  for (const auto& [key, value] : parse_settings(flags.set, "--set")) {
    const std::size_t dot = key.find('.');
    if (dot == std::string::npos || key.substr(0, dot) == variant.id)
      out[key.substr(dot == std::string::npos ? 0 : dot + 1)] = value;
  }
  return out;
}

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

}  // namespace lra::inspect
