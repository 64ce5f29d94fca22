// One JSON line each way: first the setting, then "forward", "step" or "facts".
#include "tools/bench/remote.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>

#include "core/error.h"
#include "tools/process.h"

namespace lra::bench {
namespace {

constexpr int kAnswers = 3;  // the child's descriptor

bool write_line(int descriptor, const Json& json) {
  const std::string line = json.dump() + "\n";
  for (std::size_t sent = 0; sent < line.size();) {
    const ssize_t n = write(descriptor, line.data() + sent, line.size() - sent);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    sent += static_cast<std::size_t>(n);
  }
  return true;
}

// From now on this process runs on that core only; any number below 0 leaves it free.
void stay_on(int core) {
  if (core < 0) return;
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(static_cast<std::size_t>(core), &cores);
  sched_setaffinity(0, sizeof(cores), &cores);
}

// Nothing at the end of the stream.
std::optional<Json> read_line(int descriptor) {
  std::string line;
  for (char c = 0;;) {
    const ssize_t n = read(descriptor, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return std::nullopt;
    if (c == '\n') return Json::parse(line);
    line += c;
  }
}

}  // namespace

RemoteSubject::RemoteSubject(const Setting& setting) {
  open(setting, -1, [](const Descriptors& d) { return start_self("lra-bench", kSubjectFlag, d); });
}

RemoteSubject::RemoteSubject(const Setting& setting, const std::vector<std::string>& command, int core) {
  std::vector<std::string> words = command;
  words.emplace_back(kSubjectFlag);
  open(setting, core, [&](const Descriptors& d) { return start_program(words, d); });
}

void RemoteSubject::open(const Setting& setting, int core, const std::function<pid_t(const Descriptors&)>& start) {
  std::signal(SIGPIPE, SIG_IGN);  // a child that dies is seen by its silence
  const auto [request_end, requests] = make_pipe();
  const auto [answers, answer_end] = make_pipe();
  requests_ = requests;
  answers_ = answers;
  pid_ = start({{request_end, STDIN_FILENO}, {answer_end, kAnswers}});
  close(request_end);
  close(answer_end);
  ask({{"parent", getpid()}, {"core", core}, {"setting", setting.json()}});
}

RemoteSubject::~RemoteSubject() {
  if (pid_ < 0) return;
  close(requests_);
  close(answers_);
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void RemoteSubject::finish() {
  close(requests_);
  waitpid(pid_, nullptr, 0);
  close(answers_);
  pid_ = -1;
}

Json RemoteSubject::ask(const Json& request) {
  write_line(requests_, request);
  const std::optional<Json> answer = read_line(answers_);
  if (!answer) throw Error(ErrorKind::kPlugin, "the process that was measured died");
  if (answer->contains("error")) {
    throw Error(static_cast<ErrorKind>(answer->at("error").at("code").get<int>()),
                answer->at("error").at("message").get<std::string>());
  }
  return *answer;
}

Pass RemoteSubject::pass(const char* which) {
  const Json answer = ask(which);
  return {.seconds = answer.at("seconds").get<double>(),
          .cpu_seconds = answer.at("cpu_seconds").get<double>(),
          .mixer_seconds = answer.at("mixer_seconds").get<double>(),
          .flops = answer.at("flops").get<double>()};
}

int subject_main() {
  const auto pass = [](const Pass& p) {
    return Json{
        {"seconds", p.seconds}, {"cpu_seconds", p.cpu_seconds}, {"mixer_seconds", p.mixer_seconds}, {"flops", p.flops}};
  };
  try {
    const std::optional<Json> first = read_line(STDIN_FILENO);
    if (!first || !follow_parent(first->at("parent").get<pid_t>())) return 1;
    stay_on(first->value("core", -1));
    Subject subject(Setting::from_json(first->at("setting")));
    write_line(kAnswers, {{"ready", true}});
    for (std::optional<Json> request; (request = read_line(STDIN_FILENO));) {
      write_line(kAnswers, *request == "forward" ? pass(subject.forward())
                           : *request == "step"  ? pass(subject.step())
                                                 : subject.facts());
    }
  } catch (const Error& error) {
    write_line(kAnswers, {{"error", {{"code", error.exit_code()}, {"message", error.what()}}}});
    return error.exit_code();
  }
  return 0;
}

}  // namespace lra::bench
