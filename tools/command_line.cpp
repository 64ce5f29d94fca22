// Every application lets CLI11 keep the words it does not know, so that they are refused here in the words of the
// house.
#include "tools/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

#include "core/text.h"
#include "tools/program.h"

namespace lra {
namespace {

std::vector<std::string> commands_of(const CLI::App& app) {
  std::vector<std::string> out;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    out.push_back(command->get_name());
  }
  return out;
}

void keep_unknown(CLI::App& app) {
  app.allow_extras();
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) keep_unknown(*command);
}

// The command that was chosen, and its name with those before it: "lra-compare history add".
const CLI::App& chosen(const CLI::App& app, std::string& name) {
  name += (name.empty() ? "" : " ") + app.get_name();
  const auto parsed = app.get_subcommands();
  return parsed.empty() ? app : chosen(*parsed.front(), name);
}

void refuse_rest(const CLI::App& app, const std::string& name, const char* passed_on) {
  std::vector<std::string> words = app.remaining();
  if (passed_on != nullptr)
    std::erase_if(words, [&](const std::string& word) { return word.rfind(passed_on, 0) == 0; });
  if (words.empty()) return;
  const auto commands = commands_of(app);
  if (words.front()[0] != '-' && !commands.empty()) {
    refuse(fmt::format("no command is called '{}'{}", words.front(), suggestion(words.front(), commands)));
  }
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options()) {
    for (const auto& flag : option->get_lnames()) flags.push_back(flag);
  }
  refuse_unknown(name, words, flags);
}

}  // namespace

bool take_words(CLI::App& app, int argc, char** argv, const char* passed_on) {
  keep_unknown(app);
  std::string name;
  try {
    app.parse(argc, argv);
    refuse_rest(chosen(app, name), name, passed_on);
  } catch (const CLI::Success& asked) {
    app.exit(asked);
    return false;
  } catch (const CLI::ParseError& error) {
    name.clear();
    const CLI::App& command = chosen(app, name);
    refuse_rest(command, name, passed_on);  // the likelier reason for what else is wrong
    const auto commands = commands_of(command);
    if (!commands.empty() && dynamic_cast<const CLI::RequiredError*>(&error) != nullptr)
      refuse(fmt::format("a command is missing; choose {}", join(commands, " or ")));
    std::string fault = error.what();
    std::replace(fault.begin(), fault.end(), '\n', ' ');
    refuse(fmt::format("{} ({} --help shows all flags)", fault, name));
  }
  return true;
}

}  // namespace lra
