// A shared object loaded from memory.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_SHARED_OBJECT_H_
#define TF_BLADE_CUSTOM_OPS_DISC_SHARED_OBJECT_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tf_blade {

class SharedObject {
 public:
  // Loads an ELF image. Its code is as trusted as the model that holds it; the image's integrity was checked with the
  // engine file's hash, so this only looks at what would upset the dynamic linker.
  static absl::StatusOr<std::unique_ptr<SharedObject>> Load(absl::string_view image);

  ~SharedObject();
  SharedObject(const SharedObject&) = delete;
  SharedObject& operator=(const SharedObject&) = delete;

  // Null when there is no such symbol.
  void* Symbol(const char* name) const;

 private:
  SharedObject(void* handle, int file) : handle_(handle), file_(file) {}

  void* const handle_;
  const int file_;
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_SHARED_OBJECT_H_
