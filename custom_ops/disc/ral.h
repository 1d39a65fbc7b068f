// Runtime abstraction layer (RAL): the only thing that compiled DISC executables and their host know of each other.
//
// Plain C so that an executable can be loaded by TensorFlow's op library, by a test harness written in Python, or by
// anything else. An executable needs no symbol beyond this table and the C library's memory functions
// (memcpy, memmove, memset, memcmp).
//
// Any change of layout or meaning raises TF_BLADE_RAL_VERSION. Hosts refuse executables of later versions, and of those
// before TF_BLADE_RAL_OLDEST: from there on fields were only added at the end. Version 2 added `release`.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_RAL_H_
#define TF_BLADE_CUSTOM_OPS_DISC_RAL_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TF_BLADE_RAL_VERSION 2u
#define TF_BLADE_RAL_OLDEST 1u

// Result codes of init and run.
enum {
  BLADE_OK = 0,
  BLADE_GUARD = 1,      // the inputs break a constraint the executable was compiled for (e.g. dimensions that differ)
  BLADE_ERROR = 2,      // the executable met an error TensorFlow would report too (e.g. an index out of range)
  BLADE_CANCELLED = 3,  // ral->cancelled() was seen to be true
  BLADE_NO_MEMORY = 4,  // an allocation callback returned NULL
};

// Instruction set levels, in the x86-64 psABI's terms.
enum {
  BLADE_ISA_X86_64_V3 = 3,  // AVX2, FMA, F16C
  BLADE_ISA_X86_64_V4 = 4,  // AVX-512 F, BW, CD, DQ, VL
};

// Element types, numbered as in TensorFlow's DataType.
enum {
  BLADE_F32 = 1,
  BLADE_F64 = 2,
  BLADE_I32 = 3,
  BLADE_U8 = 4,
  BLADE_I16 = 5,
  BLADE_I8 = 6,
  BLADE_I64 = 9,
  BLADE_BOOL = 10,
  BLADE_BF16 = 14,
  BLADE_U16 = 17,
  BLADE_F16 = 19,
  BLADE_U32 = 22,
  BLADE_U64 = 23,
};

// A dense row-major tensor. `data` may be NULL when it holds no element, or, in init, when the tensor is no weight.
// `data` need not be aligned beyond its element type.
typedef struct BladeTensor {
  void* data;
  const int64_t* dims;
  int32_t rank;
  int32_t dtype;
} BladeTensor;

// What the host gives an executable for one call. All callbacks may be called from the calling thread only.
typedef struct BladeRal {
  uint32_t version;     // TF_BLADE_RAL_VERSION
  int32_t num_threads;  // threads that parallel_for can use, the caller's included; at least 1
  void* context;        // the host's, passed back to each callback

  // Scratch memory, 64-byte aligned, valid until it is released or the call returns. NULL when there is none.
  void* (*alloc)(void* context, size_t bytes);

  // init only: memory, 64-byte aligned, that lives as long as the state that init makes. NULL when there is none.
  void* (*alloc_persistent)(void* context, size_t bytes);

  // run only: the buffer of output `index`, 64-byte aligned, with the given dimensions. Called once an output.
  // Never NULL for an output without elements unless memory is out.
  void* (*alloc_output)(void* context, int32_t index, int32_t rank, const int64_t* dims);

  // Calls fn(arg, begin, end) over a partition of [0, total), maybe at once from several threads, and returns when all
  // are done. `cost` is the estimated nanoseconds of one unit; the host may run everything in the calling thread.
  void (*parallel_for)(void* context, int64_t total, int64_t cost, void (*fn)(void* arg, int64_t begin, int64_t end),
                       void* arg);

  // Nonzero when the caller no longer wants the result.
  int (*cancelled)(void* context);

  // Describes why init or run is about to return a code other than BLADE_OK. The text is copied.
  void (*set_error)(void* context, const char* message);

  // Takes back `memory`, which alloc gave in this call, and all that alloc gave since. What is not released the host
  // frees when the call returns.
  void (*release)(void* context, void* memory);
} BladeRal;

// The code for one instruction set level.
typedef struct BladeVariant {
  int32_t isa;  // BLADE_ISA_*

  // Runs once for a set of weights: packs, folds and casts them. `inputs` has all of the executable's inputs, in the
  // signature's order; only those of kind weight have data. *state (may become NULL) is handed to run.
  int32_t (*init)(const BladeRal* ral, const BladeTensor* inputs, void** state);

  // Computes the outputs. Reentrant: any number of threads may run one state at once; it is read only.
  int32_t (*run)(const BladeRal* ral, const void* state, const BladeTensor* inputs);
} BladeVariant;

typedef struct BladeExecutable {
  uint32_t ral_version;
  int32_t num_inputs;
  int32_t num_outputs;
  int32_t num_variants;
  const BladeVariant* variants;  // ascending by isa
} BladeExecutable;

// The one symbol that an executable exports.
typedef const BladeExecutable* (*BladeExecutableEntry)(void);
#define TF_BLADE_EXECUTABLE_SYMBOL "tf_blade_executable"

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TF_BLADE_CUSTOM_OPS_DISC_RAL_H_
