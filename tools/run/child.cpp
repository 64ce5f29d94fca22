// A request in an anonymous file, messages through a pipe.
#include "tools/run/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>

#include "core/clock.h"
#include "core/error.h"
#include "data/task.h"
#include "plugin/registry.h"
#include "tools/process.h"

namespace lra::run {
namespace {

constexpr int kMessages = 3;              // the child's descriptor of the pipe
constexpr double kProgressSeconds = 0.1;  // between two messages about steps

// Processes that the system has killed for want of memory since it started.
long long memory_kills() {
  std::ifstream file("/proc/vmstat");
  std::string name;
  for (long long value = 0; file >> name >> value;) {
    if (name == "oom_kill") return value;
  }
  return 0;
}

Json execution_json(const session::Execution& e) {
  return {{"threads", e.threads},
          {"out", e.out},
          {"cache", e.cache},
          {"resume", e.resume},
          {"checkpoint_seconds", e.checkpoint_seconds},
          {"memory_limit", e.memory_limit},
          {"timeout", e.timeout},
          {"init_from", e.init_from}};
}

session::Execution execution_of(const Json& json) {
  session::Execution e;
  json.at("threads").get_to(e.threads);
  json.at("out").get_to(e.out);
  json.at("cache").get_to(e.cache);
  json.at("resume").get_to(e.resume);
  json.at("checkpoint_seconds").get_to(e.checkpoint_seconds);
  json.at("memory_limit").get_to(e.memory_limit);
  json.at("timeout").get_to(e.timeout);
  json.at("init_from").get_to(e.init_from);
  return e;
}

Json progress_json(const session::Progress& p) {
  return {{"kind", static_cast<int>(p.kind)},
          {"step", p.step},
          {"steps", p.steps},
          {"loss", finite_or_null(p.loss)},
          {"quality", p.quality},
          {"seconds", p.seconds},
          {"eta", p.eta},
          {"tokens_per_s", p.tokens_per_s},
          {"text", p.text}};
}

session::Progress progress_of(const Json& json) {
  session::Progress p;
  p.kind = static_cast<session::Progress::Kind>(json.at("kind").get<int>());
  json.at("step").get_to(p.step);
  json.at("steps").get_to(p.steps);
  p.loss = json.at("loss").is_number() ? json.at("loss").get<double>() : 0;
  json.at("quality").get_to(p.quality);
  json.at("seconds").get_to(p.seconds);
  json.at("eta").get_to(p.eta);
  json.at("tokens_per_s").get_to(p.tokens_per_s);
  json.at("text").get_to(p.text);
  return p;
}

int request_file(const std::string& text) {
  const int file = memfd_create("request", MFD_CLOEXEC);
  if (file < 0 || write(file, text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      lseek(file, 0, SEEK_SET) != 0) {
    throw Error(ErrorKind::kIo, fmt::format("a process for a cell cannot be prepared: {}", std::strerror(errno)));
  }
  return file;
}

void send(const Json& message) {
  const std::string line = message.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  for (std::size_t sent = 0; sent < line.size();) {
    const ssize_t n = write(kMessages, line.data() + sent, line.size() - sent);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // the parent is gone, and so is this process in a moment
    sent += static_cast<std::size_t>(n);
  }
}

void ask_to_stop(int) { session::request_stop(); }

void do_job(const Json& request) {
  const std::string library = request.at("library").get<std::string>();
  const PluginRegistry registry({library});
  if (registry.variants().empty()) {
    const std::string why = registry.refused().empty() ? "it is gone" : registry.refused().front().reason;
    throw Error(ErrorKind::kPlugin, fmt::format("{}: {}", library, why));
  }
  const Variant& variant = registry.variants().front();
  const Json& spec_json = request.at("spec");
  const data::Task& task = data::find_task(spec_json.at("task").get<std::string>());
  const session::RunSpec spec = session::RunSpec::from_json(spec_json, variant, task);
  const session::Execution execution = execution_of(request.at("execution"));
  double last = 0;
  const session::ProgressFn progress = [&last](const session::Progress& p) {
    const bool ordinary = p.kind == session::Progress::Kind::kStep && p.step < p.steps;
    if (ordinary && wall_seconds() - last < kProgressSeconds) return;
    last = wall_seconds();
    send({{"progress", progress_json(p)}});
  };
  if (request.at("job") == static_cast<int>(JobKind::kData)) {
    session::prepare_data(spec, execution, progress);
  } else {
    session::run_cell(spec, variant, execution, progress);
  }
}

}  // namespace

Child::Child(JobKind kind, const session::RunSpec& spec, const Variant& variant, const session::Execution& execution)
    : kills_before_(memory_kills()) {
  const Json request = {{"job", static_cast<int>(kind)},
                        {"parent", getpid()},
                        {"library", variant.path},
                        {"spec", spec.json()},
                        {"execution", execution_json(execution)}};
  const int file = request_file(request.dump());
  const auto [read_end, write_end] = make_pipe();
  fcntl(read_end, F_SETFL, O_NONBLOCK);
  messages_ = read_end;
  try {
    pid_ = start_self("lra-run", kChildFlag, {{file, STDIN_FILENO}, {write_end, kMessages}});
  } catch (const Error&) {
    close(file);
    close(write_end);
    close(messages_);
    throw;
  }
  close(file);
  close(write_end);
}

Child::~Child() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (messages_ >= 0) close(messages_);
}

bool Child::receive(const session::ProgressFn& progress) {
  char bytes[4096];
  for (;;) {
    const ssize_t n = read(messages_, bytes, sizeof(bytes));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return true;  // nothing there now
    if (n == 0) return false;
    buffer_.append(bytes, static_cast<std::size_t>(n));
    for (std::size_t end = buffer_.find('\n'); end != std::string::npos; end = buffer_.find('\n')) {
      const Json message = Json::parse(buffer_.substr(0, end));
      buffer_.erase(0, end + 1);
      if (message.contains("progress")) {
        progress(progress_of(message["progress"]));
      } else if (message.contains("error")) {
        message["error"].at("code").get_to(ending_.code);
        message["error"].at("message").get_to(ending_.message);
      } else {
        ending_.done = true;
      }
    }
  }
}

void Child::stop() { kill(pid_, SIGTERM); }

void Child::end() { kill(pid_, SIGKILL); }

void Child::time_out(double seconds) {
  if (!timed_out_) {
    timed_out_ = true;
    asked_at_ = wall_seconds();
    kill(pid_, SIGTERM);
  } else if (wall_seconds() - asked_at_ > seconds) {
    kill(pid_, SIGKILL);
  }
}

Ending Child::wait() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (ending_.done) return ending_;
  if (timed_out_) {
    ending_.status = "timeout";
    ending_.message = "it did not end in time and was stopped";
  } else if (ending_.code != 0) {
    ending_.status = "failed";
  } else if (WIFSIGNALED(status)) {
    const int number = WTERMSIG(status);
    const bool out_of_memory = number == SIGKILL && memory_kills() > kills_before_;
    ending_.status = out_of_memory ? "oom" : "crashed";
    ending_.message =
        out_of_memory
            ? "the system ran out of memory and killed it; choose --memory-limit or a smaller batch, length or model"
            : fmt::format("killed by SIG{} ({})", sigabbrev_np(number), strsignal(number));
  } else {
    ending_.status = "crashed";
    ending_.message = fmt::format("it ended with exit code {} and without a word", WEXITSTATUS(status));
  }
  return ending_;
}

int child_main() {
  // Only the parent hears the terminal; it passes on what is meant for its children.
  std::signal(SIGTERM, ask_to_stop);
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  fcntl(kMessages, F_SETFD, FD_CLOEXEC);
  std::string text;
  char bytes[4096];
  for (ssize_t n = 0; (n = read(STDIN_FILENO, bytes, sizeof(bytes))) > 0;)
    text.append(bytes, static_cast<std::size_t>(n));
  int code = 0;
  try {
    const Json request = Json::parse(text);
    if (!follow_parent(request.at("parent").get<pid_t>())) return 1;
    do_job(request);
    send({{"done", true}});
  } catch (const Error& error) {
    code = error.exit_code();
    send({{"error", {{"code", code}, {"message", error.what()}}}});
  } catch (const std::exception& error) {
    code = static_cast<int>(ErrorKind::kIo);
    send({{"error", {{"code", code}, {"message", error.what()}}}});
  }
  return code;
}

}  // namespace lra::run
