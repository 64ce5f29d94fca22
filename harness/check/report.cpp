// The first failure is told in full, the others are counted.
#include "check/report.h"

#include <fmt/format.h>

#include "core/json.h"

namespace lra::check {
namespace {

constexpr const char* kNames[] = {"pass", "fail", "not applicable"};

}  // namespace

Json Verdict::json() const {
  Json out = {{"verdict", kNames[static_cast<std::size_t>(kind)]}, {"cases", cases}};
  if (kind == Kind::kFail) {
    out.update({{"failed", failed}, {"what", what}, {"found", found}, {"wanted", wanted}});
  } else {
    out["note"] = note;
  }
  return out;
}

Verdict Verdict::from_json(const Json& json) {
  Verdict out;
  const auto name = json.at("verdict").get<std::string>();
  out.kind = name == kNames[0] ? Kind::kPass : name == kNames[1] ? Kind::kFail : Kind::kNotApplicable;
  out.cases = json.at("cases").get<int>();
  out.note = json.value("note", "");
  out.what = json.value("what", "");
  out.found = json.value("found", "");
  out.wanted = json.value("wanted", "");
  out.failed = json.value("failed", 0);
  return out;
}

void Report::fail(const std::string& what, const std::string& found, const std::string& wanted) {
  if (cases_ == 0) begin("");
  if (case_failed_) return;
  case_failed_ = true;
  if (failed_++ > 0) return;
  what_ = case_.empty() ? what : case_ + ": " + what;
  found_ = found;
  wanted_ = wanted;
}

void Report::begin(const std::string& text) {
  ++cases_;
  case_ = text;
  case_failed_ = false;
}

void Report::leave_out(const std::string& why) {
  if (reason_.empty()) reason_ = why;
}

void Report::forget() { --cases_; }

void Report::require(const std::string& what, double error, double allowed) {
  if (!(error <= allowed)) {
    fail(what, fmt::format("{:.2g}", error), fmt::format("at most {:.2g}", allowed));
    return;
  }
  if (error / allowed > worst_ / worst_allowed_) {
    worst_ = error;
    worst_allowed_ = allowed;
    worst_what_ = what;
  }
}

Verdict Report::verdict() const {
  Verdict out;
  out.cases = cases_;
  out.failed = failed_;
  if (failed_ > 0) {
    out.kind = Kind::kFail;
    out.what = what_;
    out.found = found_;
    out.wanted = wanted_;
  } else if (cases_ == 0) {
    out.note = reason_.empty() ? "no setting of it can be tried" : reason_;
  } else {
    out.kind = Kind::kPass;
    out.note = !note_.empty() ? note_
               : worst_ < 0   ? ""
                              : fmt::format("worst {:.1e}, {:.0e} allowed", worst_, worst_allowed_);
  }
  return out;
}

}  // namespace lra::check
