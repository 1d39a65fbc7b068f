// The instruction set levels of this processor, in the x86-64 psABI's terms.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_ISA_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_ISA_H_

#include <cstdint>

namespace tf_blade {

// BLADE_ISA_X86_64_V3, BLADE_ISA_X86_64_V4, or 0 where the processor (or operating system) has neither. The environment
// variable TF_BLADE_MAX_ISA (x86-64-v3 or x86-64-v4, or 3 or 4; 0 for none) can lower it.
int32_t HostIsaLevel();

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_ISA_H_
