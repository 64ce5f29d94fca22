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

pid_t start_self(const std::string& program, const std::string& flag,
                 const std::vector<std::pair<int, int>>& descriptors) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  for (const auto& [ours, theirs] : descriptors) posix_spawn_file_actions_adddup2(&actions, ours, theirs);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  std::string name = program;
  std::string argument = flag;
  char* arguments[] = {name.data(), argument.data(), nullptr};
  pid_t pid = -1;
  const int failure = posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, arguments, environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (failure != 0) throw Error(ErrorKind::kIo, fmt::format("a process cannot be started: {}", std::strerror(failure)));
  return pid;
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
