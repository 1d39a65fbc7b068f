#include "custom_ops/disc/disc_engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "custom_ops/disc/cpu_isa.h"
#include "custom_ops/disc/ral.h"
#include "custom_ops/disc/shared_object.h"
#include "custom_ops/runtime/registry.h"

namespace tf_blade {
namespace {

Host& AsHost(void* context) { return *static_cast<Host*>(context); }

bool IsKnown(uint32_t ral_version) { return ral_version >= TF_BLADE_RAL_OLDEST && ral_version <= TF_BLADE_RAL_VERSION; }

BladeRal MakeRal(Host& host) {
  BladeRal ral;
  ral.version = TF_BLADE_RAL_VERSION;
  ral.num_threads = host.NumThreads();
  ral.context = &host;
  ral.alloc = [](void* context, size_t bytes) { return AsHost(context).Alloc(bytes); };
  ral.alloc_persistent = [](void* context, size_t bytes) { return AsHost(context).AllocPersistent(bytes); };
  ral.alloc_output = [](void* context, int32_t index, int32_t rank, const int64_t* dims) -> void* {
    if (rank < 0 || rank > kMaxRank || (rank > 0 && dims == nullptr)) return nullptr;
    return AsHost(context).AllocOutput(index, absl::MakeConstSpan(dims, rank));
  };
  ral.parallel_for = [](void* context, int64_t total, int64_t cost, void (*fn)(void*, int64_t, int64_t), void* arg) {
    AsHost(context).ParallelFor(total, cost, fn, arg);
  };
  ral.cancelled = [](void* context) -> int { return AsHost(context).Cancelled() ? 1 : 0; };
  ral.set_error = [](void* context, const char* message) { AsHost(context).SetError(message); };
  ral.release = [](void* context, void* memory) { AsHost(context).Release(memory); };
  return ral;
}

Outcome ToOutcome(int32_t code) {
  switch (code) {
    case BLADE_OK:
      return Outcome::kOk;
    case BLADE_GUARD:
      return Outcome::kGuard;
    case BLADE_ERROR:
      return Outcome::kError;
    case BLADE_CANCELLED:
      return Outcome::kCancelled;
    case BLADE_NO_MEMORY:
      return Outcome::kNoMemory;
    default:
      return Outcome::kInvalid;
  }
}

// The executable's state lies in persistent memory, which the host frees.
class DiscState : public EngineState {
 public:
  explicit DiscState(const void* data) : data_(data) {}
  const void* data() const { return data_; }

 private:
  const void* const data_;
};

class DiscEngine : public Engine {
 public:
  DiscEngine(std::unique_ptr<SharedObject> object, const BladeVariant& variant)
      : object_(std::move(object)), variant_(variant) {}

  Outcome Init(Host& host, absl::Span<const TensorView> inputs, std::unique_ptr<EngineState>* state) const override {
    const BladeRal ral = MakeRal(host);
    void* data = nullptr;
    const Outcome outcome = ToOutcome(variant_.init(&ral, inputs.data(), &data));
    if (outcome == Outcome::kOk) *state = std::make_unique<DiscState>(data);
    return outcome;
  }

  Outcome Run(Host& host, const EngineState* state, absl::Span<const TensorView> inputs) const override {
    const BladeRal ral = MakeRal(host);
    const void* data = state == nullptr ? nullptr : static_cast<const DiscState*>(state)->data();
    return ToOutcome(variant_.run(&ral, data, inputs.data()));
  }

 private:
  const std::unique_ptr<SharedObject> object_;
  const BladeVariant variant_;
};

absl::StatusOr<const BladeExecutable*> GetExecutable(const SharedObject& object, const EngineFile& file) {
  const auto entry = reinterpret_cast<BladeExecutableEntry>(object.Symbol(TF_BLADE_EXECUTABLE_SYMBOL));
  if (entry == nullptr) return Refuse(Reason::kLoad, "executable: its entry symbol is missing");
  const BladeExecutable* const executable = entry();
  if (executable == nullptr) return Refuse(Reason::kLoad, "executable: its entry gives nothing");
  if (!IsKnown(executable->ral_version)) {
    return Refuse(Reason::kVersion, absl::StrCat("executable: RAL version ", executable->ral_version,
                                                 ", this runtime has ", TF_BLADE_RAL_VERSION));
  }
  if (executable->num_inputs != static_cast<int64_t>(file.signature.inputs.size()) ||
      executable->num_outputs != static_cast<int64_t>(file.signature.outputs.size())) {
    return Refuse(Reason::kSignature, "executable: its inputs and outputs are not the signature's");
  }
  if (executable->num_variants < 0 || (executable->num_variants > 0 && executable->variants == nullptr)) {
    return Refuse(Reason::kLoad, "executable: its table of variants is malformed");
  }
  return executable;
}

const BladeVariant* PickVariant(const BladeExecutable& executable, int32_t level) {
  const BladeVariant* best = nullptr;
  for (int32_t i = 0; i < executable.num_variants; ++i) {
    const BladeVariant& variant = executable.variants[i];
    if (variant.isa > level || variant.init == nullptr || variant.run == nullptr) continue;
    if (best == nullptr || variant.isa > best->isa) best = &variant;
  }
  return best;
}

absl::Status NoCode(int32_t level) {
  return Refuse(Reason::kIsa, absl::StrCat("no code for this processor (x86-64 level ", level, ")"));
}

const bool kRegistered = RegisterEngineLoader(kDiscBackend, LoadDiscEngine);

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> LoadDiscEngine(const EngineFile& file) {
  (void)kRegistered;
  if (!IsKnown(file.ral_version)) {
    return Refuse(Reason::kVersion, absl::StrCat("engine file: RAL version ", file.ral_version, ", this runtime has ",
                                                 TF_BLADE_RAL_VERSION));
  }
  // Before any of the executable's code is mapped, let alone run.
  const int32_t level = HostIsaLevel();
  const auto& levels = file.isa_levels;
  if (std::none_of(levels.begin(), levels.end(), [level](int32_t isa) { return isa <= level; })) return NoCode(level);
  const EngineSection* const elf = file.FindSection(kDiscElfSection);
  if (elf == nullptr) return Refuse(Reason::kCorrupt, "engine file: it has no executable");
  absl::StatusOr<std::unique_ptr<SharedObject>> object = SharedObject::Load(elf->data);
  if (!object.ok()) return object.status();
  const absl::StatusOr<const BladeExecutable*> executable = GetExecutable(**object, file);
  if (!executable.ok()) return executable.status();
  const BladeVariant* const variant = PickVariant(**executable, level);
  if (variant == nullptr) return NoCode(level);
  const BladeVariant chosen = *variant;
  return std::make_unique<DiscEngine>(*std::move(object), chosen);
}

}  // namespace tf_blade
