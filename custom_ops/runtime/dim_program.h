// Dimensions as small postfix programs over symbols.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_DIM_PROGRAM_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_DIM_PROGRAM_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace tf_blade {

// Numbers are part of the file format.
enum class DimOpcode : uint8_t {
  kConst = 0,
  kSymbol = 1,
  kAdd = 2,
  kSub = 3,
  kMul = 4,
  kFloorDiv = 5,
  kMod = 6,
  kMax = 7,
  kMin = 8,
  kBroadcast = 9,  // a b -> b where a is 1, else a
  kCount = 10,
};

struct DimOp {
  DimOpcode code;
  int64_t operand;  // kConst: the value; kSymbol: the index; else 0
};

// The value of a symbol that is not bound, and of a program that reads one.
constexpr int64_t kUnknownDim = INT64_MIN;

// A validated program. An empty program is a dimension that nothing is known of.
class DimProgram {
 public:
  static constexpr int kMaxDepth = 32;
  static constexpr int kMaxLength = 4096;

  DimProgram() = default;

  // False when `ops` is no program: operands missing, values left over, too deep, too long, or a symbol out of range.
  static bool Make(std::vector<DimOp> ops, int num_symbols, DimProgram* program);

  bool empty() const { return ops_.empty(); }
  bool is_const() const { return only_ == DimOpcode::kConst; }
  bool is_symbol() const { return only_ == DimOpcode::kSymbol; }
  // The value of a constant, the index of a symbol.
  int64_t operand() const { return operand_; }

  // Sets *value, to kUnknownDim where a symbol it reads is unbound or the program is empty. False on overflow or
  // division by a number that is not positive.
  bool Evaluate(absl::Span<const int64_t> symbols, int64_t* value) const;

 private:
  std::vector<DimOp> ops_;
  // Of a program of one op. Guards read these for every dimension of every call.
  DimOpcode only_ = DimOpcode::kCount;
  int64_t operand_ = 0;
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_DIM_PROGRAM_H_
