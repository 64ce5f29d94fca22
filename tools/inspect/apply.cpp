// Files by the names of parameters: read what is there, write all of it back.
#include "tools/inspect/apply.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "core/npy.h"
#include "core/text.h"

namespace lra::inspect {
namespace {

const char* param_kind(int32_t kind) {
  return kind == LRA_PARAM_TRAINABLE ? "trainable" : kind == LRA_PARAM_BUFFER ? "buffer" : "statistic";
}

const char* init_name(int32_t init) {
  constexpr const char* kNames[] = {"zero", "one", "normal", "uniform", "linear", "residual"};
  return kNames[init];
}

std::string wanted_text(int64_t rows, int64_t cols) {
  const auto length = [](int64_t n, const char* any) { return n < 0 ? std::string(any) : std::to_string(n); };
  std::string two = fmt::format("({}, {})", length(rows, "N"), length(cols, "M"));
  if (rows == 1 && cols > 1) return fmt::format("{} or ({},)", two, cols);
  if (cols == 1 && rows > 1) return fmt::format("{} or ({},)", two, rows);
  return two;
}

int64_t count_not_finite(const Real* numbers, int64_t count) {
  return std::count_if(numbers, numbers + count, [](Real value) { return !std::isfinite(value); });
}

}  // namespace

Matrix read_matrix(const std::string& path, int64_t rows, int64_t cols, const std::string& what) {
  const NpyArray array = read_npy(path);
  Matrix out;
  bool fits = true;
  if (array.shape.size() == 2) {
    out.rows = array.shape[0];
    out.cols = array.shape[1];
  } else if (array.shape.size() == 1 && (rows == 1 || cols == 1)) {
    out.rows = rows == 1 ? 1 : array.shape[0];
    out.cols = rows == 1 ? array.shape[0] : 1;
  } else {
    fits = false;
  }
  fits = fits && (rows < 0 || out.rows == rows) && (cols < 0 || out.cols == cols) && out.rows >= 1 && out.cols >= 1;
  if (!fits) {
    throw Error(ErrorKind::kData, fmt::format("{}: has shape {}, but {} is {}; write it in that shape", path,
                                              shape_text(array.shape), what, wanted_text(rows, cols)));
  }
  out.numbers.reserve(array.numbers.size());
  for (const double number : array.numbers) out.numbers.push_back(static_cast<Real>(number));
  return out;
}

std::vector<std::string> read_params(const std::string& folder, Module& module) {
  std::error_code failure;
  std::vector<std::string> names;
  for (auto at = std::filesystem::directory_iterator(folder, failure);
       !failure && at != std::filesystem::directory_iterator(); at.increment(failure)) {
    if (at->path().extension() == ".npy") names.push_back(at->path().stem().string());
  }
  if (failure) throw Error(ErrorKind::kIo, fmt::format("{}: cannot be listed: {}", folder, failure.message()));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const std::string path = fmt::format("{}/{}.npy", folder, name);
    const int index = module.find(name);
    if (index < 0 || !module.has_value(index)) {
      throw Error(ErrorKind::kUsage,
                  fmt::format("{}: {} has no parameter or buffer '{}'{}; --list-params shows all", path,
                              module.variant().id, name, suggestion(name, module.param_names())));
    }
    const DeclaredParam& p = module.params()[static_cast<std::size_t>(index)];
    const char* kind = p.kind == LRA_PARAM_BUFFER ? "buffer" : "parameter";
    module.set_value(index, read_matrix(path, p.rows, p.cols, fmt::format("{} '{}'", kind, name)).numbers);
  }
  return names;
}

Json list_params(const Module& module) {
  Json out = Json::array();
  for (const DeclaredParam& p : module.params()) {
    out.push_back({{"name", p.name},
                   {"rows", p.rows},
                   {"cols", p.cols},
                   {"kind", param_kind(p.kind)},
                   {"init", init_name(p.init)},
                   {"init_scale", p.init_scale}});
  }
  return out;
}

Json apply(Module& module, const Task& task) {
  const int64_t dim = module.dim();
  const int64_t rows = static_cast<int64_t>(task.x.size()) / dim;
  require_writable_folder(task.out);
  Json files = Json::array(), not_finite = Json::object();
  const auto write = [&](const std::string& name, const std::vector<int64_t>& shape, const Real* numbers) {
    int64_t count = 1;
    for (const int64_t length : shape) count *= length;
    const int64_t bad = count_not_finite(numbers, count);
    if (bad > 0) not_finite[name] = bad;
    write_npy(fmt::format("{}/{}.npy", task.out, name), shape, numbers);
    files.push_back(name + ".npy");
  };

  double loss = 0;
  const Numbers y = module.forward(task.x, task.dy ? Mode::kTraining : Mode::kEvaluation, &loss);
  const auto aux = static_cast<Real>(loss);
  write("y", {rows, dim}, y.data());
  write("aux", {1}, &aux);
  if (task.dy) {
    module.clear_gradients();
    write("dx", {rows, dim}, module.backward(task.x, *task.dy).data());
  }
  int index = 0;
  for (const DeclaredParam& p : module.params()) {
    const int i = index++;
    if (p.name.find('/') != std::string::npos) {
      throw Error(ErrorKind::kPlugin,
                  fmt::format("{}: its parameter '{}' cannot name a file; rename it", module.variant().id, p.name));
    }
    if (module.has_value(i)) write("params/" + p.name, {p.rows, p.cols}, module.value(i).data());
    if (task.dy && module.has_gradient(i)) write("d" + p.name, {p.rows, p.cols}, module.gradient(i).data());
  }
  Json summary = {{"variant", module.variant().id},
                  {"options", module.options().json()},
                  {"rows", rows},
                  {"dim", dim},
                  {"heads", module.place().model.heads},
                  {"head_dim", module.head_dim()},
                  {"max_len", module.place().max_len},
                  {"causal", module.place().model.causal},
                  {"bias", module.place().model.bias},
                  {"layer", module.place().layer},
                  {"layers", module.place().model.layers},
                  {"seed", module.place().seed},
                  {"real", sizeof(Real) == sizeof(double) ? "float64" : "float32"},
                  {"aux", finite_or_null(static_cast<double>(aux))},
                  {"not_finite", not_finite},
                  {"files", files}};
  write_file_atomically(task.out + "/summary.json", json_text(summary));
  return summary;
}

}  // namespace lra::inspect
