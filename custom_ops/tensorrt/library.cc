#include "custom_ops/tensorrt/library.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "custom_ops/runtime/reason.h"

namespace tf_blade {
namespace {

constexpr size_t kMaxLogText = 1000;
// The oldest libraries that have all that is called here. TensorRT-RTX's interface is that of TensorRT 11 since 1.7.
constexpr int kOldestMinor10 = 1;
constexpr int kOldestRtxMinor = 7;
constexpr int kRtxHeadersMajor = 11;

absl::Status NoLibrary(absl::string_view why) { return Refuse(Reason::kLibrary, why); }

std::string FileName(Flavor flavor) {
  if (flavor == Flavor::kTensorRtRtx) return "libtensorrt_rtx.so.1";
  return absl::StrCat("libnvinfer.so.", kHeadersMajor);
}

// Handles of libraries stay: what they made may outlive whoever asked.
absl::StatusOr<void*> OpenFile(const std::string& file) {
  const char* const folders = std::getenv("TF_BLADE_TENSORRT_PATH");
  for (const absl::string_view folder : absl::StrSplit(folders == nullptr ? "" : folders, ':', absl::SkipEmpty())) {
    void* const found = dlopen(absl::StrCat(folder, "/", file).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (found != nullptr) return found;
  }
  void* const found = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (found != nullptr) return found;
  return NoLibrary(absl::StrCat(dlerror(), "; is its folder in TF_BLADE_TENSORRT_PATH?"));
}

// Which plans these headers can be used for at all.
absl::Status CheckFlavor(Flavor flavor) {
  const bool is_rtx = flavor == Flavor::kTensorRtRtx;
  const bool fits = flavor == kHeadersFlavor || (is_rtx && kHeadersMajor >= kRtxHeadersMajor);
  if (fits) return absl::OkStatus();
  return NoLibrary(absl::StrCat("a plan of ", FlavorName(flavor), ", and the op library was built with the headers of ",
                                FlavorName(kHeadersFlavor), " ", kHeadersMajor));
}

template <typename Function>
bool FindSymbol(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

}  // namespace

void PlanLogger::log(Severity severity, const char* message) noexcept {
  if (severity > Severity::kERROR || message == nullptr) return;
  try {
    std::lock_guard<std::mutex> lock(mutex_);
    if (text_.size() < kMaxLogText) absl::StrAppend(&text_, text_.empty() ? "" : "; ", message);
  } catch (...) {
    // No memory for a text: the failure itself is told by whoever called.
  }
}

std::string PlanLogger::Take() {
  std::lock_guard<std::mutex> lock(mutex_);
  std::string text;
  text.swap(text_);
  return text.substr(0, kMaxLogText);
}

std::string TensorRtLibrary::Name() const { return absl::StrCat(FlavorName(flavor_), " ", VersionText(version_)); }

absl::Status TensorRtLibrary::CheckVersion() const {
  if (flavor_ == Flavor::kTensorRtRtx) {
    const bool old = version_[0] < 1 || (version_[0] == 1 && version_[1] < kOldestRtxMinor);
    return old ? NoLibrary(absl::StrCat(Name(), " is too old: 1.", kOldestRtxMinor, " is needed")) : absl::OkStatus();
  }
  if (version_[0] != kHeadersMajor) {
    return NoLibrary(absl::StrCat(Name(), ", and the op library was built for ", kHeadersMajor));
  }
  const bool old = version_[0] == 10 && version_[1] < kOldestMinor10;
  return old ? NoLibrary(absl::StrCat(Name(), " is too old: 10.", kOldestMinor10, " is needed")) : absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<TensorRtLibrary>> TensorRtLibrary::Load(Flavor flavor) {
  const absl::Status fits = CheckFlavor(flavor);
  if (!fits.ok()) return fits;
  const std::string file = FileName(flavor);
  const absl::StatusOr<void*> handle = OpenFile(file);
  if (!handle.ok()) return handle.status();
  auto library = std::make_unique<TensorRtLibrary>();
  library->flavor_ = flavor;
  int32_t (*numbers[4])() = {};
  int32_t (*whole)() = nullptr;
  const bool found = FindSymbol(*handle, "getInferLibVersion", &whole) &&
                     FindSymbol(*handle, "getInferLibMajorVersion", &numbers[0]) &&
                     FindSymbol(*handle, "getInferLibMinorVersion", &numbers[1]) &&
                     FindSymbol(*handle, "getInferLibPatchVersion", &numbers[2]) &&
                     FindSymbol(*handle, "getInferLibBuildVersion", &numbers[3]) &&
                     FindSymbol(*handle, "createInferRuntime_INTERNAL", &library->create_runtime_) &&
                     FindSymbol(*handle, "createInferRefitter_INTERNAL", &library->create_refitter_);
  if (!found) return NoLibrary(absl::StrCat(file, " is too old, or none of TensorRT's: ", dlerror()));
  for (size_t i = 0; i < library->version_.size(); ++i) library->version_[i] = numbers[i]();
  // The one flavor is told its own version: it knows nothing of the other's numbers.
  library->interface_version_ = flavor == kHeadersFlavor ? static_cast<int32_t>(NV_TENSORRT_VERSION) : whole();
  const absl::Status version = library->CheckVersion();
  if (!version.ok()) return version;
  return library;
}

absl::StatusOr<const TensorRtLibrary*> TensorRtLibrary::Open(Flavor flavor) {
  static auto* const mutex = std::make_unique<std::mutex>().release();
  static std::unique_ptr<TensorRtLibrary>* const libraries = new std::unique_ptr<TensorRtLibrary>[2];
  std::lock_guard<std::mutex> lock(*mutex);
  std::unique_ptr<TensorRtLibrary>& library = libraries[static_cast<int>(flavor)];
  if (library == nullptr) {
    absl::StatusOr<std::unique_ptr<TensorRtLibrary>> loaded = Load(flavor);
    if (!loaded.ok()) return loaded.status();
    library = *std::move(loaded);
  }
  return library.get();
}

RuntimePtr TensorRtLibrary::CreateRuntime(PlanLogger& logger) const {
  auto* const as_logger = static_cast<nvinfer1::ILogger*>(&logger);
  return RuntimePtr(static_cast<nvinfer1::IRuntime*>(create_runtime_(as_logger, interface_version_)));
}

RefitterPtr TensorRtLibrary::CreateRefitter(nvinfer1::ICudaEngine& engine, PlanLogger& logger) const {
  auto* const as_logger = static_cast<nvinfer1::ILogger*>(&logger);
  return RefitterPtr(static_cast<nvinfer1::IRefitter*>(create_refitter_(&engine, as_logger, interface_version_)));
}

int32_t FromPlanType(nvinfer1::DataType type) {
  for (const int32_t dtype : {BLADE_F32, BLADE_F16, BLADE_BF16, BLADE_I8, BLADE_I32, BLADE_I64, BLADE_U8, BLADE_BOOL}) {
    nvinfer1::DataType same;
    if (ToPlanType(dtype, &same) && same == type) return dtype;
  }
  return -1;
}

bool ToPlanType(int32_t dtype, nvinfer1::DataType* type) {
  switch (dtype) {
    case BLADE_F32:
      *type = nvinfer1::DataType::kFLOAT;
      return true;
    case BLADE_F16:
      *type = nvinfer1::DataType::kHALF;
      return true;
    case BLADE_BF16:
      *type = nvinfer1::DataType::kBF16;
      return true;
    case BLADE_I8:
      *type = nvinfer1::DataType::kINT8;
      return true;
    case BLADE_I32:
      *type = nvinfer1::DataType::kINT32;
      return true;
    case BLADE_I64:
      *type = nvinfer1::DataType::kINT64;
      return true;
    case BLADE_U8:
      *type = nvinfer1::DataType::kUINT8;
      return true;
    case BLADE_BOOL:
      *type = nvinfer1::DataType::kBOOL;
      return true;
    default:
      return false;
  }
}

size_t ElementBytes(int32_t dtype) {
  switch (dtype) {
    case BLADE_F16:
    case BLADE_BF16:
      return 2;
    case BLADE_I8:
    case BLADE_U8:
    case BLADE_BOOL:
      return 1;
    case BLADE_I64:
      return 8;
    default:
      return 4;
  }
}

}  // namespace tf_blade
