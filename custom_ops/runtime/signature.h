// What an engine takes and gives: element types, ranks, and dimensions over shared symbols.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_SIGNATURE_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_SIGNATURE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "custom_ops/disc/ral.h"
#include "custom_ops/runtime/dim_program.h"
#include "custom_ops/runtime/reason.h"

namespace tf_blade {

// The RAL's plain tensor view serves every engine kind: dense, row-major, not owned.
using TensorView = BladeTensor;

constexpr int kMaxRank = 32;

struct SymbolInfo {
  std::string name;
  int64_t min = 0;
  int64_t max = -1;  // -1: no bound
};

struct EngineInput {
  std::string name;
  int32_t dtype = 0;
  bool is_weight = false;
  std::vector<DimProgram> dims;
};

struct EngineOutput {
  std::string name;
  int32_t dtype = 0;
  std::vector<DimProgram> dims;
};

// What the guard found; `input` and `dim` say where when the reason is not kNone.
struct GuardVerdict {
  Reason reason = Reason::kNone;
  int input = -1;
  int dim = -1;
};

struct EngineSignature {
  std::vector<SymbolInfo> symbols;
  std::vector<EngineInput> inputs;
  std::vector<EngineOutput> outputs;

  // Whether the inputs are the ones the engine was compiled for. Binds `symbols` (one value a symbol; those that no
  // input determines stay kUnknownDim). Allocates nothing.
  GuardVerdict Check(absl::Span<const TensorView> views, absl::Span<int64_t> values) const;

  // Whether an output's dimensions are the signature's; dimensions that the inputs do not determine pass.
  bool OutputFits(int index, absl::Span<const int64_t> dims, absl::Span<const int64_t> values) const;

  // A sentence for logs about a verdict that is not kNone.
  std::string Explain(const GuardVerdict& verdict, absl::Span<const TensorView> views) const;
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_SIGNATURE_H_
