// A job in a process of its own: its peak memory is its own, and its crash is one failed row.
//
// Parent and child talk in JSON. The request is the child's standard input; its messages come line by line through a
// pipe: {"progress": {...}}, then {"done": true} or {"error": {"code": 6, "message": "..."}}. The child's standard
// output is sent to standard error, so that nothing a plugin prints is taken for a message.
#ifndef LRA_TOOLS_RUN_CHILD_H
#define LRA_TOOLS_RUN_CHILD_H

#include <sys/types.h>

#include <functional>
#include <string>

#include "core/json.h"
#include "session/session.h"

namespace lra::run {

// The only argument of a child.
inline constexpr const char* kChildFlag = "--cell";

enum class JobKind { kData, kTrain };

// How a job ended.
struct Ending {
  bool done = false;    // it said so itself
  int code = 0;         // of an Error, else 0
  std::string status;   // of a job that ended otherwise: "failed", "crashed", "oom" or "timeout"
  std::string message;  // one sentence, if not done
};

class Child {
 public:
  // Starts it. Throws Error(kIo) if the system has no more processes or memory.
  Child(JobKind kind, const session::RunSpec& spec, const Variant& variant, const session::Execution& execution);
  // Kills it if it still runs.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  int messages() const { return messages_; }  // descriptor to poll
  // Takes the messages that are there; false once there will be no more.
  bool receive(const session::ProgressFn& progress);
  // Asks it to save and end / kills it.
  void stop();
  void end();
  // Ends it as one that took too long: asked first, killed `seconds` later. Call again and again.
  void time_out(double seconds);
  // After receive() returned false: takes the process off the system's list and says how it ended.
  Ending wait();

 private:
  pid_t pid_ = -1;
  int messages_ = -1;
  std::string buffer_;
  Ending ending_;
  bool timed_out_ = false;
  double asked_at_ = 0;
  long long kills_before_ = 0;
};

// The child's side: reads the request, does the job, returns the exit code.
int child_main();

}  // namespace lra::run

#endif  // LRA_TOOLS_RUN_CHILD_H
