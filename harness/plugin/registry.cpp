// The chain of checks, cheapest and safest first: bytes -> descriptor -> id -> dlopen -> table -> options -> trial
// instance.
#include "plugin/registry.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "plugin/descriptor.h"
#include "plugin/host.h"
#include "plugin/instance.h"

namespace lra {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostOptions = 256;

// The size of lra_plugin in contract 1.0; later versions only append.
constexpr std::size_t kFirstTableSize = offsetof(lra_plugin, after_step) + sizeof(lra_plugin::after_step);

// Opens the library and returns its table, zero beyond what it knows.
lra_plugin open_table(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);  // never closed: leak checkers need its frames at exit
  if (library == nullptr) {
    const char* why = dlerror();
    refuse_library(fmt::format("the system cannot load it: {}", why == nullptr ? "no reason given" : why));
  }
  const auto entry = reinterpret_cast<const lra_plugin* (*)()>(dlsym(library, "lra_plugin_entry"));
  if (entry == nullptr) refuse_library("it has a descriptor but no function lra_plugin_entry");
  const lra_plugin* given = entry();
  if (given == nullptr) refuse_library("lra_plugin_entry returns nothing");
  if (given->struct_size < kFirstTableSize) {
    refuse_library(fmt::format("its table has {} bytes, contract 1.0 has {}", given->struct_size, kFirstTableSize));
  }
  lra_plugin table{};
  std::memcpy(&table, given, std::min(given->struct_size, sizeof(table)));
  return table;
}

void check_table(const lra_plugin& table, const Descriptor& descriptor) {
  if (table.abi_major != descriptor.abi_major || table.abi_minor != descriptor.abi_minor ||
      table.real_bytes != descriptor.real_bytes) {
    refuse_library("its table and its descriptor name different versions or scalar types");
  }
  const std::pair<const char*, bool> required[] = {
      {"id", table.id != nullptr},
      {"title", table.title != nullptr},
      {"paper", table.paper != nullptr},
      {"formula", table.formula != nullptr},
      {"notes", table.notes != nullptr},
      {"time", table.time != nullptr},
      {"memory", table.memory != nullptr},
      {"create", table.create != nullptr},
      {"destroy", table.destroy != nullptr},
      {"forward", table.forward != nullptr},
      {"backward", table.backward != nullptr},
      {"cost", table.cost != nullptr},
      {"kernel_flops", table.kernel_flops != nullptr},
      {"options", table.options != nullptr || table.option_count == 0},
  };
  for (const auto& [name, given] : required) {
    if (!given) refuse_library(fmt::format("its table has no '{}'", name));
  }
  if (table.id != descriptor.id) {
    refuse_library(fmt::format("its table says '{}', its descriptor says '{}'", table.id, descriptor.id));
  }
  if ((table.flags & (LRA_CAUSAL | LRA_BIDIRECTIONAL)) == 0)
    refuse_library("it can run neither causally nor without causality");
  for (const double exponent : {table.time_exponent, table.memory_exponent}) {
    if (!(exponent >= 0 && exponent <= 4))
      refuse_library(fmt::format("it declares growth with N to the power {}", exponent));
  }
}

OptionSpec option_of(const lra_option& option) {
  if (option.name == nullptr || !is_identifier(option.name))
    refuse_library("it declares an option without a usable name");
  const std::string name = option.name;
  if (option.help == nullptr) refuse_library(fmt::format("option '{}' has no help text", name));
  if (!std::isfinite(option.min) || !std::isfinite(option.max) || !(option.min <= option.value) ||
      !(option.value <= option.max)) {
    refuse_library(fmt::format("option '{}' has the default {} outside its bounds {} to {}", name, option.value,
                               option.min, option.max));
  }
  switch (option.kind) {
    case LRA_OPTION_NUMBER:
      return OptionSpec::number(name, option.value, option.min, option.max, option.help);
    case LRA_OPTION_INTEGER:
      if (option.value != std::floor(option.value)) {
        refuse_library(fmt::format("option '{}' is an integer with the default {}", name, option.value));
      }
      return OptionSpec::integer(name, option.value, option.min, option.max, option.help);
    case LRA_OPTION_CHOICE: {
      const auto choices = split(option.choices == nullptr ? "" : option.choices, '|');
      const bool distinct = std::set<std::string>(choices.begin(), choices.end()).size() == choices.size();
      if (!distinct || !std::all_of(choices.begin(), choices.end(), is_identifier) || option.min != 0 ||
          option.max != double(choices.size() - 1) || option.value != std::floor(option.value)) {
        refuse_library(fmt::format("option '{}' has the choices '{}' with bounds {} to {}", name, join(choices, "|"),
                                   option.min, option.max));
      }
      return OptionSpec::choice(name, choices, choices[std::size_t(option.value)], option.help);
    }
    default:
      refuse_library(fmt::format("option '{}' is of kind {}, which this contract does not know", name, option.kind));
  }
}

std::vector<OptionSpec> options_of(const lra_plugin& table) {
  if (table.option_count > kMostOptions) refuse_library(fmt::format("it declares {} options", table.option_count));
  std::vector<OptionSpec> specs;
  std::set<std::string> names;
  for (std::size_t i = 0; i < table.option_count; ++i) {
    specs.push_back(option_of(table.options[i]));
    if (!names.insert(specs.back().name).second)
      refuse_library(fmt::format("it declares two options '{}'", specs.back().name));
  }
  return specs;
}

// Declares everything for an ordinary shape, with biases; nothing is allocated, so a long sequence costs nothing.
void try_instance(const Variant& variant) {
  Workers alone(1);
  Host host(alone, 0, 0);
  const InstanceShape shape{
      .max_len = 4096, .dim = 64, .heads = 4, .head_dim = 16, .causal = !variant.bidirectional, .bias = true};
  try {
    const Instance instance(variant, host, shape, Options(variant.id, variant.options, {}).values());
  } catch (const Error& e) {
    refuse_library(fmt::format("a trial instance fails: {}", e.what()));
  }
}

Variant load(const std::string& path, const Descriptor& descriptor, const std::string& hash) {
  Variant v;
  v.table = open_table(path);
  check_table(v.table, descriptor);
  v.id = v.table.id;
  v.title = v.table.title;
  v.paper = v.table.paper;
  v.formula = v.table.formula;
  v.notes = v.table.notes;
  v.time = v.table.time;
  v.memory = v.table.memory;
  v.time_exponent = v.table.time_exponent;
  v.memory_exponent = v.table.memory_exponent;
  v.causal = (v.table.flags & LRA_CAUSAL) != 0;
  v.bidirectional = (v.table.flags & LRA_BIDIRECTIONAL) != 0;
  v.own_positions = (v.table.flags & LRA_OWN_POSITIONS) != 0;
  v.leaky_causal = (v.table.flags & LRA_LEAKY_CAUSAL) != 0;
  v.row_stochastic = (v.table.flags & LRA_ROW_STOCHASTIC) != 0;
  if (v.table.limits != nullptr) {
    for (const auto& line : split(v.table.limits, '\n')) {
      if (!line.empty()) v.limits.push_back(line);
    }
  }
  v.options = options_of(v.table);
  v.path = path;
  v.build = descriptor.build;
  v.hash = hash;
  try_instance(v);
  return v;
}

}  // namespace

std::vector<std::string> plugin_search_path(const std::vector<std::string>& paths) {
  std::vector<std::string> out;
  const auto add = [&](const std::string& path, const char* source) {
    if (path.empty()) return;
    if (!fs::exists(path)) {
      throw Error(ErrorKind::kUsage, fmt::format("{}: '{}' does not exist; name a folder with variants", source, path));
    }
    out.push_back(path);
  };
  for (const auto& path : paths) add(path, "--plugin-path");
  if (const char* variable = std::getenv("LRA_PLUGIN_PATH")) {
    for (const auto& path : split(variable, ':')) add(path, "LRA_PLUGIN_PATH");
  }
  std::error_code none;
  const fs::path here = fs::read_symlink("/proc/self/exe", none).parent_path();
  for (const auto& beside : {here / ".." / "variants", here / LRA_INSTALLED_VARIANTS}) {
    if (fs::is_directory(beside, none)) out.push_back(fs::canonical(beside, none).string());
  }
  return out;
}

PluginRegistry::PluginRegistry(const std::vector<std::string>& search_path) {
  std::set<fs::path> seen;
  for (const auto& path : search_path) {
    std::vector<fs::path> files;
    std::error_code error;
    if (fs::is_directory(path, error)) {
      for (const auto& entry : fs::directory_iterator(path, error)) {
        if (entry.path().extension() == ".so") files.push_back(entry.path());
      }
      if (error) refused_.push_back({path, fmt::format("the folder cannot be read: {}", error.message())});
      std::sort(files.begin(), files.end());
    } else {
      files.emplace_back(path);
    }
    for (const auto& file : files) {
      // The same folder may be named twice.
      if (seen.insert(fs::weakly_canonical(file, error)).second) add(file.string());
    }
  }
  std::sort(variants_.begin(), variants_.end(), [](const Variant& a, const Variant& b) { return a.id < b.id; });
}

void PluginRegistry::add(const std::string& path) {
  try {
    std::error_code error;
    if (!fs::is_regular_file(path, error)) refuse_library("not a file");
    const MappedFile file(path);
    const Descriptor descriptor = read_descriptor(file.data(), file.size());
    check_descriptor(descriptor);
    for (const auto& other : variants_) {
      if (other.id == descriptor.id) {
        refuse_library(fmt::format("'{}' is both in {} and in {}; the first is used", other.id, other.path, path));
      }
    }
    // An absolute path: a bare name would make the system search elsewhere.
    variants_.push_back(load(fs::absolute(path).string(), descriptor, hash_hex(file.data(), file.size())));
  } catch (const Error& e) {
    refused_.push_back({path, e.what()});
  }
}

std::vector<std::string> PluginRegistry::ids() const {
  std::vector<std::string> out;
  for (const auto& v : variants_) out.push_back(v.id);
  return out;
}

const Variant& PluginRegistry::find(const std::string& id) const {
  for (const auto& v : variants_) {
    if (v.id == id) return v;
  }
  for (const auto& r : refused_) {
    if (fs::path(r.path).stem() == id) {
      throw Error(ErrorKind::kPlugin, fmt::format("variant '{}' cannot be used: {}: {}", id, r.path, r.reason));
    }
  }
  throw Error(ErrorKind::kUsage, fmt::format("no variant is called '{}'{}", id, suggestion(id, ids())));
}

}  // namespace lra
