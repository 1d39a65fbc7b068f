#include "custom_ops/engine_op/registration.h"

#include <dlfcn.h>
#include <sys/auxv.h>
#include <unwind.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "custom_ops/engine_op/built_for.h"
#include "custom_ops/engine_op/placement_pass.h"
#include "custom_ops/engine_op/portable_pass.h"
#include "custom_ops/engine_op/shape_fn.h"
#include "tensorflow/core/framework/kernel_def_builder.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_def_builder.h"
#include "tensorflow/core/platform/logging.h"

namespace tf_blade {
namespace {

constexpr char kOpName[] = "BladeEngineOp";

// The version of the TensorFlow in this process; empty where nobody says (it was linked in statically).
std::string RunningTensorFlowVersion() {
  const auto version = reinterpret_cast<const char* (*)()>(dlsym(RTLD_DEFAULT, "TF_Version"));
  return version == nullptr ? "" : version();
}

// Why the op must not be registered from here; empty when it can be.
std::string WhyNot() {
  const std::string built_for = TensorFlowBuiltFor(), running = RunningTensorFlowVersion();
  if (!built_for.empty() && !running.empty() && running != built_for) {
    return absl::StrCat("libtf_blade.so was built for TensorFlow ", built_for, ", this is TensorFlow ", running,
                        ": build tf_blade again in this environment");
  }
  if (tensorflow::GetRegisteredKernelsForOp(kOpName).kernel_size() > 0) {
    return "BladeEngineOp is registered already: it is linked into this program, or another copy of libtf_blade.so is "
           "loaded; load it once only";
  }
  return "";
}

absl::Status DefineOp(tensorflow::OpRegistrationData* data) {
  return tensorflow::OpDefBuilder(kOpName)
      .Input("inputs: Tin")
      .Output("outputs: Tout")
      .Attr("Tin: list(type) >= 0")
      .Attr("Tout: list(type) >= 0")
      .Attr("fallback: func")
      .Attr("engines: list(string) >= 0 = []")
      .Attr("cluster: string = ''")
      .Attr("variables: list(string) >= 0 = []")
      .Attr("containers: list(string) >= 0 = []")
      .Attr("places: list(int) >= 0 = []")
      .SetIsStateful()
      .SetShapeFn(BladeEngineShapeFn)
      .Doc(R"doc(
Runs a compiled engine, or else the subgraph that the engine was compiled from.

inputs: what the subgraph reads. A resource stands for its variable's value.
outputs: what the subgraph computes.
fallback: the subgraph, with the same inputs, variables included, and outputs.
engines: engine files, in order of preference.
cluster: the subgraph's name in logs and statistics.
variables: names of variables that the subgraph reads beside its inputs.
containers: their containers; an empty one is the default container.
places: ascending, where they stand among all inputs of the subgraph.
)doc")
      .Finalize(data);
}

// The program or library that an address lies in.
const void* ObjectOf(const void* address) {
  Dl_info info;
  return dladdr(address, &info) == 0 ? nullptr : info.dli_fbase;
}

template <typename Function>
const void* AddressOf(Function* function) {
  return reinterpret_cast<const void*>(function);
}

// Who had this library loaded, up the stack of a static initializer: the first object that is neither this one nor the
// dynamic linker.
struct Loader {
  const void* own = ObjectOf(kOpName);
  const void* linker = reinterpret_cast<const void*>(getauxval(AT_BASE));
  const void* linkers_entry = ObjectOf(AddressOf(&dlopen));
  const void* found = nullptr;

  static _Unwind_Reason_Code Visit(_Unwind_Context* context, void* argument) {
    Loader& loader = *static_cast<Loader*>(argument);
    const void* const object = ObjectOf(reinterpret_cast<const void*>(_Unwind_GetIP(context) - 1));
    if (object == loader.own || object == loader.linker || object == loader.linkers_entry) return _URC_NO_REASON;
    loader.found = object;
    return _URC_END_OF_STACK;
  }
};

// Whether TensorFlow is loading this library in this thread, hence waits for the statuses of registrations. It has a
// watcher in the registry then. That alone would not tell: another thread may be loading another library, which must
// neither get our status nor be kept from setting its watcher.
bool IsAwaited() {
  Loader loader;
  const void* const tensorflow = ObjectOf(AddressOf(&tensorflow::OpRegistry::Global));
  if (tensorflow == loader.own) return false;  // both are parts of the program
  _Unwind_Backtrace(&Loader::Visit, &loader);
  if (loader.found == nullptr || loader.found != tensorflow) return false;
  // A program that TensorFlow is linked into may have called dlopen itself.
  tensorflow::OpRegistry* const registry = tensorflow::OpRegistry::Global();
  const auto watcher = [](const absl::Status& status, const tensorflow::OpDef&) { return status; };
  if (!registry->SetWatcher(watcher).ok()) return true;
  (void)registry->SetWatcher(nullptr);  // never refused
  return false;
}

// A registration that fails while nobody waits for its status, in a library that is preloaded or linked in, would end
// the process.
void RefuseRegistration(const std::string& why_not) {
  if (!IsAwaited()) {
    LOG(ERROR) << "tf_blade: " << why_not << "; this one stays unused";
    return;
  }
  tensorflow::OpRegistry::Global()->Register(
      [why_not](tensorflow::OpRegistrationData*) { return absl::FailedPreconditionError(why_not); });
}

bool Register() {
  const std::string why_not = WhyNot();
  if (!why_not.empty()) {
    RefuseRegistration(why_not);
    return false;
  }
  tensorflow::OpRegistry::Global()->Register(DefineOp);
  // The registrar takes the definition over.
  // The second one is that of all other devices.
  for (const char* device : {tensorflow::DEVICE_CPU, tensorflow::DEVICE_DEFAULT}) {
    tensorflow::kernel_factory::OpKernelRegistrar(tensorflow::KernelDefBuilder(kOpName).Device(device).Build(),
                                                  "BladeEngineOp", MakeBladeEngineOp);
  }
  RegisterPortablePass();
  RegisterPlacementPass();
  return true;
}

const bool kRegistered = Register();

}  // namespace
}  // namespace tf_blade
