#include "custom_ops/runtime/signature.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tf_blade {
namespace {

bool InRange(const SymbolInfo& symbol, int64_t value) {
  return value >= symbol.min && (symbol.max < 0 || value <= symbol.max);
}

// Checks constants and symbols and binds the latter; sets *has_program when expressions are left to check.
Reason CheckSimpleDim(const EngineSignature& signature, const DimProgram& program, int64_t dim,
                      absl::Span<int64_t> values, bool* has_program) {
  if (program.is_const()) return program.operand() == dim ? Reason::kNone : Reason::kShape;
  if (!program.is_symbol()) {
    *has_program = *has_program || !program.empty();
    return Reason::kNone;
  }
  int64_t& value = values[program.operand()];
  if (value == kUnknownDim) {
    value = dim;
    return InRange(signature.symbols[program.operand()], dim) ? Reason::kNone : Reason::kConstraint;
  }
  return value == dim ? Reason::kNone : Reason::kConstraint;
}

}  // namespace

GuardVerdict EngineSignature::Check(absl::Span<const TensorView> views, absl::Span<int64_t> values) const {
  if (views.size() != inputs.size()) return {Reason::kSignature};
  std::fill(values.begin(), values.end(), kUnknownDim);
  bool has_program = false;
  for (int i = 0; i < static_cast<int>(views.size()); ++i) {
    const EngineInput& input = inputs[i];
    if (views[i].dtype != input.dtype) return {Reason::kDtype, i};
    if (views[i].rank != static_cast<int>(input.dims.size())) return {Reason::kRank, i};
    for (int d = 0; d < views[i].rank; ++d) {
      const Reason reason = CheckSimpleDim(*this, input.dims[d], views[i].dims[d], values, &has_program);
      if (reason != Reason::kNone) return {reason, i, d};
    }
  }
  if (!has_program) return {};
  // Expressions may read symbols that a later input binds, so they come last.
  for (int i = 0; i < static_cast<int>(views.size()); ++i) {
    for (int d = 0; d < views[i].rank; ++d) {
      const DimProgram& program = inputs[i].dims[d];
      if (program.empty() || program.is_const() || program.is_symbol()) continue;
      int64_t expected;
      if (!program.Evaluate(values, &expected) || expected != views[i].dims[d]) return {Reason::kConstraint, i, d};
    }
  }
  return {};
}

bool EngineSignature::OutputFits(int index, absl::Span<const int64_t> dims, absl::Span<const int64_t> values) const {
  const EngineOutput& output = outputs[index];
  if (dims.size() != output.dims.size()) return false;
  for (size_t d = 0; d < dims.size(); ++d) {
    int64_t expected;
    if (!output.dims[d].Evaluate(values, &expected)) return false;
    if (dims[d] < 0 || (expected != kUnknownDim && expected != dims[d])) return false;
  }
  return true;
}

std::string EngineSignature::Explain(const GuardVerdict& verdict, absl::Span<const TensorView> views) const {
  if (verdict.input < 0 || verdict.input >= static_cast<int>(views.size())) return "the number of inputs differs";
  const TensorView& view = views[verdict.input];
  std::string text =
      absl::StrCat("input ", verdict.input, " (", inputs[verdict.input].name, ") has element type ", view.dtype,
                   " and dimensions [", absl::StrJoin(absl::MakeConstSpan(view.dims, view.rank), ","), "]");
  if (verdict.dim >= 0) absl::StrAppend(&text, ", of which dimension ", verdict.dim, " is not as compiled for");
  return text;
}

}  // namespace tf_blade
