// The words of a command line taken into the flags of a CLI11 application, with one line for what does not fit.
#ifndef LRA_TOOLS_COMMAND_LINE_H
#define LRA_TOOLS_COMMAND_LINE_H

namespace CLI {
class App;
}

namespace lra {

// Fills the flags of `app` and of its commands. Returns false if help or the version was asked for, which is printed.
// Throws Error(kUsage) for the first word that no flag takes, with the nearest flag or command, and for a value that
// does not fit. passed_on: words that begin so are left in app.remaining() for somebody else.
bool take_words(CLI::App& app, int argc, char** argv, const char* passed_on = nullptr);

}  // namespace lra

#endif  // LRA_TOOLS_COMMAND_LINE_H
