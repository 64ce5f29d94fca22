// Reads and writes plain structs as JSON objects, field by field, with messages that name the field.
#ifndef LRA_CORE_FIELDS_H
#define LRA_CORE_FIELDS_H

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/json.h"
#include "core/text.h"

namespace lra {

// Enumerators in declaration order as users write them.
using Names = std::vector<std::string>;

// Visits one field after the other: a struct lists its fields once and gets reading, writing and name lists from it.
class FieldWriter {
 public:
  template <class T>
  void field(const char* name, const T& value) {
    json[name] = value;
  }
  template <class E>
  void choice(const char* name, const E& value, const Names& names) {
    json[name] = names[static_cast<std::size_t>(value)];
  }
  Json json = Json::object();
};

// Takes what `json` names; finish() throws Error(kUsage) for a name no field has.
class FieldReader {
 public:
  FieldReader(const Json& json, std::string owner) : json_(json), owner_(std::move(owner)) {
    if (!json.is_object()) throw Error(ErrorKind::kUsage, fmt::format("{}: an object of settings is wanted", owner_));
  }
  template <class T>
  void field(const char* name, T& value) {
    const Json* found = take(name);
    if (found == nullptr) return;
    if constexpr (std::is_same_v<T, bool>) {
      if (!found->is_boolean()) fail(name, *found, "true or false");
      value = found->get<bool>();
    } else if constexpr (std::is_same_v<T, std::string>) {
      if (!found->is_string()) fail(name, *found, "text");
      value = found->get<std::string>();
    } else if constexpr (std::is_integral_v<T>) {
      if (!found->is_number() || std::floor(found->get<double>()) != found->get<double>())
        fail(name, *found, "a whole number");
      value = static_cast<T>(found->get<double>());
    } else {
      if (!found->is_number()) fail(name, *found, "a number");
      value = found->get<T>();
    }
  }
  template <class E>
  void choice(const char* name, E& value, const Names& names) {
    const Json* found = take(name);
    if (found == nullptr) return;
    if (found->is_string()) {
      for (std::size_t i = 0; i < names.size(); ++i) {
        if (found->get<std::string>() == names[i]) {
          value = static_cast<E>(i);
          return;
        }
      }
    }
    fail(name, *found, "one of " + join(names));
  }
  void finish() const {
    for (const auto& [name, value] : json_.items()) {
      bool known = false;
      for (const auto& field : known_) known = known || field == name;
      if (!known)
        throw Error(ErrorKind::kUsage, fmt::format("{}: no setting '{}'{}", owner_, name, suggestion(name, known_)));
    }
  }

 private:
  const Json* take(const char* name) {
    known_.emplace_back(name);
    const auto at = json_.find(name);
    return at == json_.end() ? nullptr : &*at;
  }
  [[noreturn]] void fail(const char* name, const Json& found, const std::string& wanted) const {
    throw Error(ErrorKind::kUsage, fmt::format("{}: {} is {}; {} is wanted", owner_, name, found.dump(), wanted));
  }

  const Json& json_;
  std::string owner_;
  std::vector<std::string> known_;
};

}  // namespace lra

#endif  // LRA_CORE_FIELDS_H
