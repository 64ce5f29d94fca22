// Names come from descriptors, read as bytes.
#include "tools/check/plugins.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "plugin/descriptor.h"

namespace lra::check {
namespace {

namespace fs = std::filesystem;

Plugin look_at(const fs::path& path) {
  Plugin out{.name = path.stem().string(), .path = fs::absolute(path).lexically_normal().string()};
  try {
    const MappedFile file(path.string());
    const Descriptor descriptor = read_descriptor(file.data(), file.size());
    if (is_identifier(descriptor.id)) out.name = descriptor.id;
  } catch (const Error&) {
    // Its first check will say what is wrong.
  }
  return out;
}

}  // namespace

std::vector<Plugin> find_plugins(const std::vector<std::string>& search_path) {
  std::vector<Plugin> out;
  for (const auto& place : search_path) {
    std::vector<fs::path> files;
    std::error_code error;
    if (fs::is_directory(place, error)) {
      for (const auto& entry : fs::directory_iterator(place, error)) {
        if (entry.path().extension() == ".so") files.push_back(entry.path());
      }
    } else {
      files.emplace_back(place);
    }
    for (const auto& file : files) {
      Plugin plugin = look_at(file);
      const bool known =
          std::any_of(out.begin(), out.end(), [&](const Plugin& other) { return other.name == plugin.name; });
      if (!known) out.push_back(std::move(plugin));
    }
  }
  std::sort(out.begin(), out.end(), [](const Plugin& a, const Plugin& b) { return a.name < b.name; });
  return out;
}

Plugin plugin_at(const std::string& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) {
    throw Error(ErrorKind::kUsage,
                fmt::format("'{}' is not a file; name a library, or a variant with --variant", path));
  }
  return look_at(path);
}

Plugin plugin_called(const std::string& name, const std::vector<Plugin>& known) {
  std::vector<std::string> names;
  for (const auto& plugin : known) {
    if (plugin.name == name) return plugin;
    names.push_back(plugin.name);
  }
  throw Error(ErrorKind::kUsage, fmt::format("no variant is called '{}'{}", name, suggestion(name, names)));
}

}  // namespace lra::check
