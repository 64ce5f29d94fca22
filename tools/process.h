// Children that die with their parent: this very program again, or another one.
#ifndef LRA_TOOLS_PROCESS_H
#define LRA_TOOLS_PROCESS_H

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

namespace lra {

// Runs `program flag`, in a process group of its own: Ctrl-C reaches the parent alone. descriptors: {ours, the
// child's}; all others are closed there if they were opened with O_CLOEXEC. The child's standard output is our standard
// error unless `descriptors` says otherwise. Throws Error(kIo).
pid_t start_self(const std::string& program, const std::string& flag,
                 const std::vector<std::pair<int, int>>& descriptors);

// The same for another program: command[0] is its path or a name to search for, the rest its arguments.
pid_t start_program(const std::vector<std::string>& command, const std::vector<std::pair<int, int>>& descriptors);

// Called first in a child: from now on it is killed when its parent ends. False if the parent, `parent`, is gone.
bool follow_parent(pid_t parent);

// A pipe whose ends are closed in children: {read, write}. Throws Error(kIo).
std::pair<int, int> make_pipe();

}  // namespace lra

#endif  // LRA_TOOLS_PROCESS_H
