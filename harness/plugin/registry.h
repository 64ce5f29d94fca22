// All variants that can be found, and the reason for each library that cannot be used.
#ifndef LRA_PLUGIN_REGISTRY_H
#define LRA_PLUGIN_REGISTRY_H

#include <deque>
#include <string>
#include <vector>

#include "plugin/variant.h"

namespace lra {

// A library that was looked at and not taken.
struct RefusedPlugin {
  std::string path;
  std::string reason;  // one sentence
};

// Folders and libraries to look into, in this order: `paths` (from --plugin-path), LRA_PLUGIN_PATH (separated by ':'),
// then the folder beside this program: of the build tree, or of the installation. Throws Error(kUsage) for a path of
// the first two kinds that does not exist.
std::vector<std::string> plugin_search_path(const std::vector<std::string>& paths);

class PluginRegistry {
 public:
  // Loads every *.so of the folders and every library named directly. A library is read and checked before it is
  // opened, so that one that is refused for its descriptor never runs; one refused later stays in memory unused. Of two
  // libraries with one id the first found is taken.
  explicit PluginRegistry(const std::vector<std::string>& search_path);
  PluginRegistry(const PluginRegistry&) = delete;
  PluginRegistry& operator=(const PluginRegistry&) = delete;

  const std::deque<Variant>& variants() const { return variants_; }  // by id
  const std::vector<RefusedPlugin>& refused() const { return refused_; }
  std::vector<std::string> ids() const;
  // Throws Error(kUsage) for an unknown id, with the nearest one; Error(kPlugin) if a library of that file name was
  // refused.
  const Variant& find(const std::string& id) const;

 private:
  void add(const std::string& path);

  std::deque<Variant> variants_;
  std::vector<RefusedPlugin> refused_;
};

}  // namespace lra

#endif  // LRA_PLUGIN_REGISTRY_H
