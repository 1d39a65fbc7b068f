#include "custom_ops/runtime/dim_program.h"

#include <algorithm>
#include <utility>

namespace tf_blade {
namespace {

// False on overflow, or division by a number that is not positive.
bool Apply(DimOpcode code, int64_t a, int64_t b, int64_t* value) {
  switch (code) {
    case DimOpcode::kAdd:
      return !__builtin_add_overflow(a, b, value);
    case DimOpcode::kSub:
      return !__builtin_sub_overflow(a, b, value);
    case DimOpcode::kMul:
      return !__builtin_mul_overflow(a, b, value);
    case DimOpcode::kFloorDiv:
      if (b <= 0) return false;
      *value = a / b - (a % b < 0 ? 1 : 0);
      return true;
    case DimOpcode::kMod:
      if (b <= 0) return false;
      *value = a % b < 0 ? a % b + b : a % b;
      return true;
    case DimOpcode::kMax:
      *value = std::max(a, b);
      return true;
    case DimOpcode::kMin:
      *value = std::min(a, b);
      return true;
    case DimOpcode::kBroadcast:
      *value = a == 1 ? b : a;
      return true;
    default:
      return false;
  }
}

}  // namespace

bool DimProgram::Make(std::vector<DimOp> ops, int num_symbols, DimProgram* program) {
  if (ops.size() > kMaxLength) return false;
  int depth = 0;
  for (const DimOp& op : ops) {
    if (op.code >= DimOpcode::kCount) return false;
    if (op.code == DimOpcode::kSymbol && (op.operand < 0 || op.operand >= num_symbols)) return false;
    const bool is_leaf = op.code == DimOpcode::kConst || op.code == DimOpcode::kSymbol;
    if (!is_leaf && depth < 2) return false;
    depth += is_leaf ? 1 : -1;
    if (depth > kMaxDepth) return false;
  }
  if (!ops.empty() && depth != 1) return false;
  program->only_ = ops.size() == 1 ? ops[0].code : DimOpcode::kCount;
  program->operand_ = ops.size() == 1 ? ops[0].operand : 0;
  program->ops_ = std::move(ops);
  return true;
}

bool DimProgram::Evaluate(absl::Span<const int64_t> symbols, int64_t* value) const {
  int64_t stack[kMaxDepth];
  int depth = 0;
  for (const DimOp& op : ops_) {
    if (op.code == DimOpcode::kConst) {
      stack[depth++] = op.operand;
    } else if (op.code == DimOpcode::kSymbol) {
      if (symbols[op.operand] == kUnknownDim) {
        *value = kUnknownDim;
        return true;
      }
      stack[depth++] = symbols[op.operand];
    } else {
      --depth;
      if (!Apply(op.code, stack[depth - 1], stack[depth], &stack[depth - 1])) return false;
    }
  }
  *value = depth == 1 ? stack[0] : kUnknownDim;
  return true;
}

}  // namespace tf_blade
