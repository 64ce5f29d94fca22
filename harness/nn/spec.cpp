// ModelSpec: its fields listed once, and the rules between them.
#include "nn/spec.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/fields.h"

namespace lra::nn {
namespace {

template <class Fields, class Model>
void visit(Fields& fields, Model& m) {
  fields.field("layers", m.layers);
  fields.field("dim", m.dim);
  fields.field("heads", m.heads);
  fields.field("mlp", m.mlp);
  fields.field("qkv_dim", m.qkv_dim);
  fields.field("causal", m.causal);
  fields.field("bias", m.bias);
  fields.choice("positions", m.positions, Names{"learned", "sinusoidal", "sinusoidal2d", "axial", "none"});
  fields.field("position_base", m.position_base);
  fields.field("position_rms", m.position_rms);
  fields.field("position_std", m.position_std);
  fields.field("token_std", m.token_std);
  fields.choice("token_init", m.token_init, Names{"normal", "smooth"});
  fields.choice("init", m.init, Names{"scaled_normal", "xavier"});
  fields.field("qk_alignment", m.qk_alignment);
  fields.choice("pool", m.pool, Names{"mean", "cls", "last"});
  fields.choice("head", m.head, Names{"linear", "mlp"});
  fields.field("head_hidden", m.head_hidden);
  fields.choice("interaction", m.interaction, Names{"nli", "concat"});
  fields.choice("activation", m.activation, Names{"gelu_tanh", "gelu_erf"});
  fields.choice("residual", m.residual, Names{"plain", "reversible"});
  fields.field("dropout", m.dropout);
  fields.field("norm_eps", m.norm_eps);
}

void require(bool holds, const std::string& message) {
  if (!holds) throw Error(ErrorKind::kUsage, "model: " + message);
}

}  // namespace

void validate(const ModelSpec& m, const Input& input) {
  const auto positive = [](const char* name, int64_t value, int64_t limit) {
    require(value >= 1 && value <= limit, fmt::format("{} is {}; choose 1 to {}", name, value, limit));
  };
  positive("layers", m.layers, 256);
  positive("dim", m.dim, 8192);
  positive("heads", m.heads, 256);
  positive("mlp", m.mlp, 65536);
  require(m.inner() % m.heads == 0,
          fmt::format("heads {} does not divide the inner width {}; choose a divisor", m.heads, m.inner()));
  require(m.inner() / m.heads <= 256,
          fmt::format("head width {} is above 256; choose more heads", m.inner() / m.heads));
  require(m.dropout >= 0 && m.dropout < 1, fmt::format("dropout is {}; choose 0 <= dropout < 1", m.dropout));
  require(m.qk_alignment >= 0 && m.qk_alignment < 1,
          fmt::format("qk_alignment is {}; choose 0 <= qk_alignment < 1", m.qk_alignment));
  require(m.position_base > 1, fmt::format("position_base is {}; choose a number above 1", m.position_base));
  require(m.norm_eps > 0, "norm_eps must be above 0");
  if (m.positions == Positions::kSinusoidal2d) {
    require(input.height > 0, "positions sinusoidal2d needs a task of images; choose sinusoidal");
    require(m.dim % 4 == 0, fmt::format("positions sinusoidal2d needs dim divisible by 4, not {}", m.dim));
  }
  if (m.positions == Positions::kAxial)
    require(m.dim % 2 == 0, fmt::format("positions axial needs an even dim, not {}", m.dim));
  if (input.next_token) {
    require(m.causal, "a task of next tokens needs causal attention; set causal=true");
    require(m.head == Head::kLinear, "a task of next tokens has a linear head for each row; choose head=linear");
    require(m.pool != Pool::kCls, "a task of next tokens has nothing to pool; choose pool=mean");
  }
  require(!(m.causal && m.pool == Pool::kCls),
          "pool cls stands in front and sees nothing under causal attention; choose mean or last");
}

Json to_json(const ModelSpec& model) {
  FieldWriter writer;
  visit(writer, model);
  // Said only where it is not plain: records made before there was a choice keep their hash.
  if (!model.reversible()) writer.json.erase("residual");
  return writer.json;
}

void from_json(const Json& json, ModelSpec& model) {
  FieldReader reader(json, "model");
  visit(reader, model);
  reader.finish();
}

}  // namespace lra::nn
