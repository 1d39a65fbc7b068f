// Scalar math functions for generated code: namespace blade::math, no library needed, NaN and infinity as in IEEE 754.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_H_

#include "math_activation.h"
#include "math_atrig.h"
#include "math_bits.h"
#include "math_erf.h"
#include "math_exp.h"
#include "math_log.h"
#include "math_mod.h"
#include "math_pow.h"
#include "math_trig.h"

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_H_
