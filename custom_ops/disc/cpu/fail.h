// How templates report that a call cannot be computed.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_FAIL_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_FAIL_H_

#include "../ral.h"
#include "simd.h"

namespace blade {
namespace {

// An error that TensorFlow would report too.
inline int32_t fail(const BladeRal* ral, const char* why) {
  ral->set_error(ral->context, why);
  return BLADE_ERROR;
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_FAIL_H_
