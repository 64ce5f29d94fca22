// Declared knobs: of a variant (--set), of a task (--task-set). Checked against their declaration, never free text.
#ifndef LRA_CORE_OPTIONS_H
#define LRA_CORE_OPTIONS_H

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/json_fwd.h"

namespace lra {

enum class OptionKind { kNumber, kInteger, kChoice, kText };

struct OptionSpec {
  std::string name;
  std::string help;
  OptionKind kind = OptionKind::kNumber;
  double value = 0;                  // default; the index for a choice
  double min = 0, max = 0;           // bounds, inclusive
  std::vector<std::string> choices;  // for kChoice
  std::string text;                  // default of kText (paths)

  static OptionSpec integer(std::string name, double value, double min, double max, std::string help);
  static OptionSpec number(std::string name, double value, double min, double max, std::string help);
  static OptionSpec choice(std::string name, std::vector<std::string> choices, const std::string& value,
                           std::string help);
  static OptionSpec text_value(std::string name, std::string value, std::string help);
};

// Every option of one owner with its value: defaults filled in, bounds checked.
class Options {
 public:
  Options() = default;
  // `owner` ("performer") opens the messages. Throws Error(kUsage) for an unknown name, a value that is not one of the
  // choices or not a number, or out of bounds.
  Options(std::string owner, std::vector<OptionSpec> specs, const std::map<std::string, std::string>& set);

  const std::vector<OptionSpec>& specs() const { return specs_; }
  // In the order of specs(); choices as their index.
  const std::vector<double>& values() const { return values_; }
  double number(const std::string& name) const;
  int64_t integer(const std::string& name) const;
  const std::string& choice(const std::string& name) const;
  const std::string& text(const std::string& name) const;
  // {"features": 256, "kernel": "positive"}
  Json json() const;

 private:
  std::size_t index_of(const std::string& name) const;

  std::string owner_;
  std::vector<OptionSpec> specs_;
  std::vector<double> values_;
  std::vector<std::string> texts_;
};

// "name=value" pairs; throws Error(kUsage) for one without '='.
std::map<std::string, std::string> parse_settings(const std::vector<std::string>& settings, const std::string& flag);
// Parses a whole finite number; throws Error(kUsage) naming `what`.
double parse_number(const std::string& text, const std::string& what);

}  // namespace lra

#endif  // LRA_CORE_OPTIONS_H
