// The libraries to check, found without running any of their code.
#ifndef LRA_TOOLS_CHECK_PLUGINS_H
#define LRA_TOOLS_CHECK_PLUGINS_H

#include <string>
#include <vector>

namespace lra::check {

struct Plugin {
  std::string name;  // its id as its descriptor says, else its file's name
  std::string path;
};

// Every *.so of the search path (see plugin_search_path), by name; of two with one name the first found.
std::vector<Plugin> find_plugins(const std::vector<std::string>& search_path);
// A library named by its path. Throws Error(kUsage) if there is no such file.
Plugin plugin_at(const std::string& path);
// Throws Error(kUsage) for an unknown name, with the nearest.
Plugin plugin_called(const std::string& name, const std::vector<Plugin>& known);

}  // namespace lra::check

#endif  // LRA_TOOLS_CHECK_PLUGINS_H
