// Bounds-checked reading of little-endian binary data from an untrusted source.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_BYTE_READER_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_BYTE_READER_H_

#include <cstdint>
#include <cstring>

#include "absl/strings/string_view.h"

namespace tf_blade {

// Reads past the end give zeros and make ok() false for good, so callers may check once at the end of a group. Loops
// over a count that was read must check ok() each time.
class ByteReader {
 public:
  explicit ByteReader(absl::string_view bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  size_t position() const { return position_; }

  template <typename T>
  T Read() {
    T value = 0;
    const absl::string_view raw = ReadBytes(sizeof(T));
    // The format is little-endian, as are all processors that there is code for.
    if (ok_) std::memcpy(&value, raw.data(), sizeof(T));
    return value;
  }

  absl::string_view ReadBytes(size_t size) {
    if (!ok_ || size > bytes_.size() - position_) {
      ok_ = false;
      return {};
    }
    const absl::string_view raw = bytes_.substr(position_, size);
    position_ += size;
    return raw;
  }

  // A string with its length in two bytes before it.
  absl::string_view ReadString() { return ReadBytes(Read<uint16_t>()); }

 private:
  absl::string_view bytes_;
  size_t position_ = 0;
  bool ok_ = true;
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_BYTE_READER_H_
