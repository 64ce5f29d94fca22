// posix_spawn of /proc/self/exe: the program that runs, whatever happens to its file meanwhile.
#include "tools/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "core/error.h"

extern char** environ;

namespace lra {
namespace {

// file: what is run, searched for in PATH if it has no slash; command: the words it sees as its own.
pid_t start(const std::string& file, const std::vector<std::string>& command,
            const std::vector<std::pair<int, int>>& descriptors) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  for (const auto& [ours, theirs] : descriptors) posix_spawn_file_actions_adddup2(&actions, ours, theirs);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  std::vector<std::string> words = command;
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = -1;
  const int failure = posix_spawnp(&pid, file.c_str(), &actions, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (failure != 0)
    throw Error(ErrorKind::kIo, fmt::format("{} cannot be started: {}", command[0], std::strerror(failure)));
  return pid;
}

}  // namespace

pid_t start_self(const std::string& program, const std::string& flag,
                 const std::vector<std::pair<int, int>>& descriptors) {
  return start("/proc/self/exe", {program, flag}, descriptors);
}

pid_t start_program(const std::vector<std::string>& command, const std::vector<std::pair<int, int>>& descriptors) {
  return start(command[0], command, descriptors);
}

bool follow_parent(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  return getppid() == parent;
}

std::pair<int, int> make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    throw Error(ErrorKind::kIo, fmt::format("a process cannot be prepared: {}", std::strerror(errno)));
  return {ends[0], ends[1]};
}

}  // namespace lra
