// y = relu(x @ w) + b with the RAL's ABI, and switches for what can go wrong.
//
// init packs w transposed and, so that its use shows, adds MARK to b. An x whose first element is one of the values
// below makes run misbehave.
#include "custom_ops/disc/ral.h"

// Nothing makes run misbehave.
#ifndef TAME
#define TAME 0
#endif
#ifndef MARK
#define MARK 0.0f
#endif
#ifndef NUM_INPUTS
#define NUM_INPUTS 3
#endif
#ifndef EXECUTABLE_RAL_VERSION
#define EXECUTABLE_RAL_VERSION TF_BLADE_RAL_VERSION
#endif
#ifndef ISA
#define ISA BLADE_ISA_X86_64_V3
#endif
#ifndef INIT_RESULT
#define INIT_RESULT BLADE_OK
#endif
#ifndef INIT_SPIN
#define INIT_SPIN 0
#endif
// Breaches of the contract, for the conformance suite to find.
#ifndef OVERRUN
#define OVERRUN 0
#endif
#ifndef STATEFUL
#define STATEFUL 0
#endif
#ifndef WRITE_INPUT
#define WRITE_INPUT 0
#endif
#ifndef IGNORE_MEMORY
#define IGNORE_MEMORY 0
#endif

namespace {

enum Behaviour {
  kReturnError = 1001,
  kReturnGuard = 1002,
  kReturnNoMemory = 1003,
  kReturnGarbage = 1004,
  kNoOutput = 1005,
  kWrongShape = 1006,
  kOutputTwice = 1007,
  kWaitForCancel = 1008,
  kErrorAfterOutput = 1009,
  kTellThreads = 1010,  // the result is the number of threads
};

struct State {
  float* w;  // [n, k]
  float* b;
  int64_t k, n;
};

struct Loop {
  const State* state;
  const float* x;
  float* y;
};

int32_t Init(const BladeRal* ral, const BladeTensor* inputs, void** result) {
  if (inputs[0].data != nullptr) {
    ral->set_error(ral->context, "init saw the data of an input that is no weight");
    return BLADE_ERROR;
  }
  for (volatile int64_t i = 0; i < INIT_SPIN; i = i + 1) {
  }
  if (INIT_RESULT != BLADE_OK) {
    ral->set_error(ral->context, "init was told to fail");
    return INIT_RESULT;
  }
  const BladeTensor& w = inputs[1];
  auto* state = static_cast<State*>(ral->alloc_persistent(ral->context, sizeof(State)));
  if (state == nullptr) return BLADE_NO_MEMORY;
  state->k = w.dims[0];
  state->n = w.dims[1];
  state->w = static_cast<float*>(ral->alloc_persistent(ral->context, sizeof(float) * state->k * state->n));
  state->b = static_cast<float*>(ral->alloc_persistent(ral->context, sizeof(float) * state->n));
  if (state->w == nullptr || state->b == nullptr) return BLADE_NO_MEMORY;
  for (int64_t i = 0; i < state->k; ++i) {
    for (int64_t j = 0; j < state->n; ++j) state->w[j * state->k + i] = static_cast<float*>(w.data)[i * state->n + j];
  }
  for (int64_t j = 0; j < state->n; ++j) state->b[j] = static_cast<float*>(inputs[2].data)[j] + MARK;
  *result = state;
  return BLADE_OK;
}

void Rows(void* arg, int64_t begin, int64_t end) {
  const Loop& loop = *static_cast<Loop*>(arg);
  const State& s = *loop.state;
  for (int64_t i = begin; i < end; ++i) {
    for (int64_t j = 0; j < s.n; ++j) {
      float sum = 0;
      for (int64_t p = 0; p < s.k; ++p) sum += loop.x[i * s.k + p] * s.w[j * s.k + p];
      loop.y[i * s.n + j] = (sum > 0 ? sum : 0) + s.b[j];
    }
  }
}

int32_t Fail(const BladeRal* ral, const char* message, int32_t code) {
  ral->set_error(ral->context, message);
  return code;
}

int32_t Run(const BladeRal* ral, const void* opaque, const BladeTensor* inputs) {
  const auto* state = static_cast<const State*>(opaque);
  const BladeTensor& x = inputs[0];
  const int64_t rows = x.dims[0];
  const auto* data = static_cast<const float*>(x.data);
  const int behaviour = !TAME && rows > 0 && data[0] >= 1001 && data[0] <= 1010 ? static_cast<int>(data[0]) : 0;
  if (behaviour == kReturnError) return Fail(ral, "run was told to fail", BLADE_ERROR);
  if (behaviour == kReturnGuard) return BLADE_GUARD;
  if (behaviour == kReturnNoMemory) return BLADE_NO_MEMORY;
  if (behaviour == kReturnGarbage) return 77;
  if (behaviour == kNoOutput) return BLADE_OK;
  if (behaviour == kWaitForCancel) {
    while (!ral->cancelled(ral->context)) {
    }
    return BLADE_CANCELLED;
  }
  const int64_t dims[2] = {behaviour == kWrongShape ? rows + 1 : rows, state->n};
  auto* y = static_cast<float*>(ral->alloc_output(ral->context, 0, 2, dims));
  if (behaviour == kOutputTwice) ral->alloc_output(ral->context, 0, 2, dims);
  if (y == nullptr) return BLADE_NO_MEMORY;
  auto* scratch = static_cast<float*>(ral->alloc(ral->context, sizeof(float) * (rows * state->n + 1)));
  if (scratch == nullptr) return IGNORE_MEMORY ? BLADE_OK : BLADE_NO_MEMORY;
  Loop loop = {state, data, scratch};
  ral->parallel_for(ral->context, rows, 10000, Rows, &loop);
  for (int64_t i = 0; i < rows * state->n; ++i) y[i] = scratch[i];
  for (int64_t i = 0; behaviour == kTellThreads && i < rows * state->n; ++i)
    y[i] = static_cast<float>(ral->num_threads);
  if (OVERRUN) y[rows * state->n] = 1;
  if (STATEFUL && rows > 0) y[0] = state->b[0] += 1;
  if (WRITE_INPUT && rows > 0) static_cast<float*>(x.data)[0] = 0;
  if (behaviour == kErrorAfterOutput) return Fail(ral, "failed after making its output", BLADE_ERROR);
  return BLADE_OK;
}

const BladeVariant kVariants[] = {{ISA, Init, Run}};
const BladeExecutable kExecutable = {EXECUTABLE_RAL_VERSION, NUM_INPUTS, 1, 1, kVariants};

}  // namespace

extern "C" __attribute__((visibility("default"))) const BladeExecutable* tf_blade_executable() { return &kExecutable; }
