"""The op's sources, relative to this folder: the one list that setup.py and Bazel read. Literals: it is Python too."""

SOURCES = [
    "disc/cpu_isa.cc",
    "disc/disc_engine.cc",
    "disc/shared_object.cc",
    "engine_op/blade_engine_op.cc",
    "engine_op/c_api.cc",
    "engine_op/call_context.cc",
    "engine_op/call_inputs.cc",
    "engine_op/engine_attr.cc",
    "engine_op/engine_slot.cc",
    "engine_op/fallback.cc",
    "engine_op/graph_edit.cc",
    "engine_op/input_sources.cc",
    "engine_op/metrics.cc",
    "engine_op/op_device.cc",
    "engine_op/placement_pass.cc",
    "engine_op/portable_call.cc",
    "engine_op/portable_functions.cc",
    "engine_op/portable_pass.cc",
    "engine_op/registration.cc",
    "engine_op/shadow.cc",
    "engine_op/shape_fn.cc",
    "runtime/dim_program.cc",
    "runtime/ed25519.cc",
    "runtime/engine_file.cc",
    "runtime/environment.cc",
    "runtime/loaded_engine.cc",
    "runtime/memory.cc",
    "runtime/parallel.cc",
    "runtime/reason.cc",
    "runtime/registry.cc",
    "runtime/sha256.cc",
    "runtime/signature.cc",
    "runtime/shape_histogram.cc",
    "runtime/stats.cc",
    "runtime/trust.cc",
]

# What the op library, loaded by an installed TensorFlow, has beside them; it needs TF_BLADE_TF_VERSION, a string.
INSTALLED_SOURCES = ["engine_op/built_for_installed.cc"]

# What a program that is built together with TensorFlow has beside them.
LINKED_SOURCES = ["engine_op/built_for_linked.cc"]

# What runs TensorRT's plans: built where TENSORRT_HOME names an installation with its headers.
TENSORRT_SOURCES = [
    "tensorrt/cuda_driver.cc",
    "tensorrt/execution.cc",
    "tensorrt/library.cc",
    "tensorrt/plan_data.cc",
    "tensorrt/tensorrt_engine.cc",
    "tensorrt/weights.cc",
]

TENSORRT_HEADERS = [
    "tensorrt/cuda_driver.h",
    "tensorrt/execution.h",
    "tensorrt/library.h",
    "tensorrt/nvinfer.h",
    "tensorrt/plan_data.h",
    "tensorrt/tensorrt_engine.h",
    "tensorrt/weights.h",
]

# Stands in for CUDA's header; a folder of includes.
TENSORRT_STAND_IN = "tensorrt/cuda"

HEADERS = [
    "disc/cpu_isa.h",
    "disc/disc_engine.h",
    "disc/ral.h",
    "disc/shared_object.h",
    "engine_op/built_for.h",
    "engine_op/c_api.h",
    "engine_op/call_context.h",
    "engine_op/call_inputs.h",
    "engine_op/engine_attr.h",
    "engine_op/engine_slot.h",
    "engine_op/fallback.h",
    "engine_op/graph_edit.h",
    "engine_op/input_sources.h",
    "engine_op/metrics.h",
    "engine_op/op_device.h",
    "engine_op/placement_pass.h",
    "engine_op/portable_call.h",
    "engine_op/portable_functions.h",
    "engine_op/portable_pass.h",
    "engine_op/registration.h",
    "engine_op/shadow.h",
    "engine_op/shape_fn.h",
    "runtime/breaker.h",
    "runtime/byte_reader.h",
    "runtime/dim_program.h",
    "runtime/ed25519.h",
    "runtime/engine.h",
    "runtime/engine_file.h",
    "runtime/environment.h",
    "runtime/loaded_engine.h",
    "runtime/log_limiter.h",
    "runtime/memory.h",
    "runtime/one_in.h",
    "runtime/parallel.h",
    "runtime/reason.h",
    "runtime/registry.h",
    "runtime/sha256.h",
    "runtime/shape_histogram.h",
    "runtime/signature.h",
    "runtime/slot_pool.h",
    "runtime/stats.h",
    "runtime/trust.h",
    "runtime/weak_cache.h",
]

# What an engine needs apart from TensorFlow: the conformance suite, the sanitizers' tests and the fuzz targets are built
# of these, each with a main of its own.
STANDALONE_SOURCES = [
    "disc/cpu_isa.cc",
    "disc/disc_engine.cc",
    "disc/shared_object.cc",
    "runtime/dim_program.cc",
    "runtime/ed25519.cc",
    "runtime/engine_file.cc",
    "runtime/environment.cc",
    "runtime/loaded_engine.cc",
    "runtime/memory.cc",
    "runtime/parallel.cc",
    "runtime/reason.cc",
    "runtime/registry.cc",
    "runtime/sha256.cc",
    "runtime/shape_histogram.cc",
    "runtime/signature.cc",
    "runtime/trust.cc",
]

# Flags beyond the include paths, everywhere.
COPTS = [
    "-fno-math-errno",
    "-Wall",
    "-Wextra",
    "-Wno-deprecated-declarations",  # the mutex of TensorFlow's variables
]

# With an installed TensorFlow: what it was built with. Elsewhere the build that TensorFlow is part of says.
INSTALLED_COPTS = [
    "-std=c++17",
    "-O2",
    "-fvisibility=hidden",
    "-D_GLIBCXX_USE_CXX11_ABI=1",
    "-DEIGEN_MAX_ALIGN_BYTES=64",
    "-DNDEBUG",
]
