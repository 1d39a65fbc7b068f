#include "custom_ops/disc/shared_object.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "custom_ops/runtime/reason.h"

namespace tf_blade {
namespace {

absl::Status LoadError(absl::string_view what) { return Refuse(Reason::kLoad, absl::StrCat("executable: ", what)); }

#if defined(__x86_64__)
constexpr uint16_t kMachine = EM_X86_64;
#else
constexpr uint16_t kMachine = EM_NONE;
#endif

absl::Status CheckElf(absl::string_view image) {
  Elf64_Ehdr header;
  if (image.size() < sizeof(header)) return LoadError("too small for an ELF image");
  std::memcpy(&header, image.data(), sizeof(header));
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_type != ET_DYN) {
    return LoadError("no 64-bit little-endian ELF shared object");
  }
  if (header.e_machine != kMachine) return Refuse(Reason::kIsa, "executable: built for another kind of processor");
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phoff > image.size() ||
      header.e_phnum > (image.size() - header.e_phoff) / sizeof(Elf64_Phdr)) {
    return LoadError("the program headers lie outside of the image");
  }
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, image.data() + header.e_phoff + i * sizeof(segment), sizeof(segment));
    if (segment.p_offset > image.size() || segment.p_filesz > image.size() - segment.p_offset) {
      return LoadError("a segment lies outside of the image");
    }
  }
  return absl::OkStatus();
}

bool WriteAll(int file, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SharedObject>> SharedObject::Load(absl::string_view image) {
  const absl::Status status = CheckElf(image);
  if (!status.ok()) return status;
  const int file = memfd_create("tf_blade_engine", MFD_CLOEXEC);
  if (file < 0) return LoadError(absl::StrCat("memfd_create: ", strerror(errno)));
  if (!WriteAll(file, image)) {
    const std::string reason = strerror(errno);
    close(file);
    return LoadError(absl::StrCat("writing to memory: ", reason));
  }
  // The dynamic linker takes a path that it has seen before for the same object. The descriptor therefore stays open
  // as long as the object, so that no other gets its number, and the path is spelled as nobody else spells it.
  const std::string path = absl::StrCat("/proc/self/fd/../fd/", file);
  void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* const text = dlerror();
    const std::string reason = text == nullptr ? "unknown error" : text;
    close(file);
    return LoadError(absl::StrCat("dlopen: ", reason));
  }
  return std::unique_ptr<SharedObject>(new SharedObject(handle, file));
}

SharedObject::~SharedObject() {
  dlclose(handle_);
  close(file_);
}

void* SharedObject::Symbol(const char* name) const { return dlsym(handle_, name); }

}  // namespace tf_blade
