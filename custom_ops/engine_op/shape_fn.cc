#include "custom_ops/engine_op/shape_fn.h"

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "custom_ops/engine_op/engine_attr.h"
#include "custom_ops/engine_op/input_sources.h"
#include "custom_ops/runtime/engine_file.h"
#include "custom_ops/runtime/loaded_engine.h"
#include "custom_ops/runtime/trust.h"

namespace tf_blade {
namespace {

using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

constexpr size_t kMaxCached = 256;

// What is kept of an engine file.
struct Known {
  EngineSignature signature;
  Digest content_hash;
  std::vector<EngineSigner> signers;
};
using KnownPtr = std::shared_ptr<const Known>;

// Shape functions run many times for a node; hashing the whole file each time would show. Null for unusable files.
KnownPtr Parse(absl::string_view bytes) {
  using Key = std::pair<uint64_t, size_t>;
  static auto* const mutex = std::make_unique<std::mutex>().release();
  static auto* const cache = std::make_unique<std::map<Key, KnownPtr>>().release();
  const Key key(Fingerprint(bytes.data(), bytes.size(), 0), bytes.size());
  {
    std::lock_guard<std::mutex> lock(*mutex);
    const auto found = cache->find(key);
    if (found != cache->end()) return found->second;
  }
  absl::StatusOr<EngineFile> file = ParseEngineFile(bytes);
  KnownPtr known;
  if (file.ok()) {
    known =
        std::make_shared<const Known>(Known{std::move(file->signature), file->content_hash, std::move(file->signers)});
  }
  std::lock_guard<std::mutex> lock(*mutex);
  if (cache->size() >= kMaxCached) cache->clear();
  (*cache)[key] = known;
  return known;
}

ShapeHandle InputShape(InferenceContext* c, int input) {
  const auto* const resource = c->input_handle_shapes_and_types(input);
  if (resource != nullptr && resource->size() == 1) return (*resource)[0].shape;
  tensorflow::DataTypeVector types;
  const bool is_resource = c->GetAttr("Tin", &types).ok() && types[input] == tensorflow::DT_RESOURCE;
  return is_resource ? c->UnknownShape() : c->input(input);
}

// For each of the engine's inputs the op's, or a negative number for a named variable.
absl::StatusOr<std::vector<int>> Sources(InferenceContext* c) {
  NamedVariables variables;
  for (const absl::Status& status :
       {c->GetAttr("variables", &variables.names), c->GetAttr("containers", &variables.containers),
        c->GetAttr("places", &variables.places)}) {
    if (!status.ok()) return status;
  }
  return variables.Merge(c->num_inputs());
}

// What is known of the symbols: a value, and a dimension that is known to be the symbol's whatever its value.
struct Bindings {
  std::vector<int64_t> values;
  std::vector<std::optional<DimensionHandle>> handles;
};

// False when the input is not one that the engine takes.
bool BindInput(InferenceContext* c, const EngineInput& input, ShapeHandle shape, Bindings* bindings) {
  if (!c->RankKnown(shape)) return true;
  if (c->Rank(shape) != static_cast<int>(input.dims.size())) return false;
  for (size_t d = 0; d < input.dims.size(); ++d) {
    const DimProgram& program = input.dims[d];
    const DimensionHandle dim = c->Dim(shape, static_cast<int64_t>(d));
    const bool known = c->ValueKnown(dim);
    if (program.is_const() && known && c->Value(dim) != program.operand()) return false;
    if (!program.is_symbol()) continue;
    int64_t& value = bindings->values[program.operand()];
    std::optional<DimensionHandle>& handle = bindings->handles[program.operand()];
    if (known && value != kUnknownDim && value != c->Value(dim)) return false;
    if (known) value = c->Value(dim);
    if (known || !handle.has_value()) handle = dim;
  }
  return true;
}

DimensionHandle OutputDim(InferenceContext* c, const DimProgram& program, const Bindings& bindings) {
  if (program.is_symbol() && bindings.handles[program.operand()]) return *bindings.handles[program.operand()];
  int64_t value;
  if (!program.Evaluate(bindings.values, &value) || value < 0) return c->UnknownDim();
  return c->MakeDim(value);
}

// The outputs' shapes by one engine; none when its signature does not fit the op or its inputs.
std::optional<std::vector<ShapeHandle>> ShapesOf(InferenceContext* c, const EngineSignature& signature) {
  const absl::StatusOr<std::vector<int>> sources = Sources(c);
  if (!sources.ok() || signature.inputs.size() != sources->size() ||
      static_cast<int>(signature.outputs.size()) != c->num_outputs()) {
    return std::nullopt;
  }
  Bindings bindings;
  bindings.values.assign(signature.symbols.size(), kUnknownDim);
  bindings.handles.resize(signature.symbols.size());
  for (size_t i = 0; i < sources->size(); ++i) {
    const int source = (*sources)[i];
    if (source >= 0 && !BindInput(c, signature.inputs[i], InputShape(c, source), &bindings)) return std::nullopt;
  }
  std::vector<ShapeHandle> shapes;
  for (int i = 0; i < c->num_outputs(); ++i) {
    std::vector<DimensionHandle> dims;
    for (const DimProgram& program : signature.outputs[i].dims) dims.push_back(OutputDim(c, program, bindings));
    shapes.push_back(c->MakeShape(dims));
  }
  return shapes;
}

// What two engines agree on, of which either may serve a call.
ShapeHandle Common(InferenceContext* c, ShapeHandle a, ShapeHandle b) {
  if (c->Rank(a) != c->Rank(b)) return c->UnknownShape();
  std::vector<DimensionHandle> dims;
  for (int d = 0; d < c->Rank(a); ++d) {
    const DimensionHandle x = c->Dim(a, d), y = c->Dim(b, d);
    const bool same = x.SameHandle(y) || (c->ValueKnown(x) && c->ValueKnown(y) && c->Value(x) == c->Value(y));
    dims.push_back(same ? x : c->UnknownDim());
  }
  return c->MakeShape(dims);
}

}  // namespace

absl::Status BladeEngineShapeFn(InferenceContext* c) {
  std::optional<std::vector<ShapeHandle>> common;
  for (const absl::string_view bytes : EngineFilesOf(c->GetAttr("engines"))) {
    const KnownPtr known = Parse(bytes);
    // TensorFlow folds what it believes of shapes into results: an engine that must not run must not tell shapes
    // either.
    if (known == nullptr || !CheckTrust(known->content_hash, known->signers).ok()) continue;
    const std::optional<std::vector<ShapeHandle>> shapes = ShapesOf(c, known->signature);
    if (!shapes.has_value()) continue;
    for (size_t i = 0; common.has_value() && i < common->size(); ++i) {
      (*common)[i] = Common(c, (*common)[i], (*shapes)[i]);
    }
    if (!common.has_value()) common = shapes;
  }
  for (int i = 0; i < c->num_outputs(); ++i) c->set_output(i, common.has_value() ? (*common)[i] : c->UnknownShape());
  return absl::OkStatus();
}

}  // namespace tf_blade
