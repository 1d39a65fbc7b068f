// The scalar functions of scalar.h for vectors: fn_<name>(Lanes).
//
// With AVX-512, exp, erf, GELU, tanh and sigmoid are written for it: tables of 16 entries are one register, and powers
// of two are scaled by one instruction. Everything else applies the scalar function lane by lane, in a loop that the
// compiler turns into the same vector code as ever.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_LANES_MATH_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_LANES_MATH_H_

#include "lanes.h"
#include "scalar.h"

namespace blade {

// In the namespace of the scalar functions, so that one name finds both.
template <class Fn>
BLADE_INLINE Lanes each_lane(Lanes x, Fn fn) {
  float in[kLanes] __attribute__((aligned(64)));
  float out[kLanes] __attribute__((aligned(64)));
  memcpy(in, &x.v, sizeof(in));
  for (int i = 0; i < kLanes; ++i) out[i] = fn(in[i]);
  memcpy(&x.v, out, sizeof(out));
  return x;
}
template <class Fn>
BLADE_INLINE Lanes each_lane(Lanes x, Lanes y, Fn fn) {
  float a[kLanes] __attribute__((aligned(64)));
  float b[kLanes] __attribute__((aligned(64)));
  memcpy(a, &x.v, sizeof(a));
  memcpy(b, &y.v, sizeof(b));
  for (int i = 0; i < kLanes; ++i) a[i] = fn(a[i], b[i]);
  memcpy(&x.v, a, sizeof(a));
  return x;
}

// --- arithmetic, in the words of scalar.h ---

BLADE_INLINE Lanes fn_add(Lanes a, Lanes b) { return a + b; }
BLADE_INLINE Lanes fn_sub(Lanes a, Lanes b) { return a - b; }
BLADE_INLINE Lanes fn_mul(Lanes a, Lanes b) { return a * b; }
BLADE_INLINE Lanes fn_div(Lanes a, Lanes b) { return a / b; }
BLADE_INLINE Lanes fn_squared_difference(Lanes a, Lanes b) { return (a - b) * (a - b); }
BLADE_INLINE Lanes fn_square(Lanes x) { return x * x; }
BLADE_INLINE Lanes fn_neg(Lanes x) { return -x; }
BLADE_INLINE Lanes fn_abs(Lanes x) { return abs(x); }
BLADE_INLINE Lanes fn_sqrt(Lanes x) { return sqrt(x); }
BLADE_INLINE Lanes fn_rsqrt(Lanes x) { return Lanes(1.0f) / sqrt(x); }
BLADE_INLINE Lanes fn_reciprocal(Lanes x) { return Lanes(1.0f) / x; }
BLADE_INLINE Lanes fn_softsign(Lanes x) { return x / (abs(x) + 1.0f); }
BLADE_INLINE Lanes fn_rint(Lanes x) { return round<0>(x); }
BLADE_INLINE Lanes fn_floor(Lanes x) { return round<1>(x); }
BLADE_INLINE Lanes fn_ceil(Lanes x) { return round<2>(x); }
BLADE_INLINE Lanes fn_relu(Lanes x) { return greater(0.0f, x); }
BLADE_INLINE Lanes fn_relu6(Lanes x) { return lesser(6.0f, greater(0.0f, x)); }
BLADE_INLINE Lanes fn_hard_sigmoid(Lanes x) { return fn_relu6(x + 3.0f) * 0x1.555556p-3f; }
BLADE_INLINE Lanes fn_hard_swish(Lanes x) { return x * fn_hard_sigmoid(x); }
BLADE_INLINE Lanes fn_maximum(Lanes a, Lanes b) { return select(a != a, a, greater(a, b)); }
BLADE_INLINE Lanes fn_minimum(Lanes a, Lanes b) { return select(a != a, a, lesser(a, b)); }
BLADE_INLINE Lanes fn_div_no_nan(Lanes a, Lanes b) { return select(b == 0.0f, 0.0f, a / b); }
BLADE_INLINE Lanes fn_mul_no_nan(Lanes a, Lanes b) { return select(b == 0.0f, 0.0f, a * b); }
BLADE_INLINE Lanes fn_fma(Lanes a, Lanes b, Lanes c) { return fma(a, b, c); }
BLADE_INLINE Lanes fn_xdivy(Lanes a, Lanes b) { return select(a == 0.0f, 0.0f, a / b); }

BLADE_INLINE Mask fn_equal(Lanes a, Lanes b) { return a == b; }
BLADE_INLINE Mask fn_not_equal(Lanes a, Lanes b) { return a != b; }
BLADE_INLINE Mask fn_less(Lanes a, Lanes b) { return a < b; }
BLADE_INLINE Mask fn_less_equal(Lanes a, Lanes b) { return a <= b; }
BLADE_INLINE Mask fn_greater(Lanes a, Lanes b) { return a > b; }
BLADE_INLINE Mask fn_greater_equal(Lanes a, Lanes b) { return a >= b; }
BLADE_INLINE Mask fn_is_nan(Lanes x) { return x != x; }
BLADE_INLINE Mask fn_is_inf(Lanes x) { return abs(x) == math::Limits<float>::kInf; }
BLADE_INLINE Mask fn_is_finite(Lanes x) { return abs(x) < math::Limits<float>::kInf; }

BLADE_INLINE Mask mask_of(Mask x) { return x; }
BLADE_INLINE Mask mask_of(bool x) { return x ? Lanes(0.0f) == 0.0f : Lanes(0.0f) != 0.0f; }
BLADE_INLINE Mask fn_logical_not(Mask x) { return !x; }
BLADE_INLINE Mask fn_logical_and(Mask a, Mask b) { return a & b; }
BLADE_INLINE Mask fn_logical_and(Mask a, bool b) { return a & mask_of(b); }
BLADE_INLINE Mask fn_logical_and(bool a, Mask b) { return mask_of(a) & b; }
BLADE_INLINE Mask fn_logical_or(Mask a, Mask b) { return a | b; }
BLADE_INLINE Mask fn_logical_or(Mask a, bool b) { return a | mask_of(b); }
BLADE_INLINE Mask fn_logical_or(bool a, Mask b) { return mask_of(a) | b; }
BLADE_INLINE Lanes fn_select(Mask predicate, Lanes a, Lanes b) { return select(predicate, a, b); }
BLADE_INLINE Lanes fn_select(Mask predicate, float a, float b) { return select(predicate, a, b); }
BLADE_INLINE Lanes fn_select(bool predicate, Lanes a, Lanes b) { return predicate ? a : b; }
BLADE_INLINE Lanes fn_select(bool predicate, Lanes a, float b) { return predicate ? a : Lanes(b); }
BLADE_INLINE Lanes fn_select(bool predicate, float a, Lanes b) { return predicate ? Lanes(a) : b; }
template <class A, class B>
BLADE_INLINE auto fn_select(Mask predicate, A a, B b) -> decltype(mask_of(a) & mask_of(b)) {
  return (predicate & mask_of(a)) | (!predicate & mask_of(b));
}

// --- functions of several steps ---

#define BLADE_EACH_LANE(name)                                               \
  BLADE_INLINE Lanes fn_##name(Lanes x) {                                   \
    return each_lane(x, [](float a) BLADE_LAMBDA { return fn_##name(a); }); \
  }
#define BLADE_EACH_LANE_BINARY(name)                                                       \
  BLADE_INLINE Lanes fn_##name(Lanes x, Lanes y) {                                         \
    return each_lane(x, y, [](float a, float b) BLADE_LAMBDA { return fn_##name(a, b); }); \
  }
BLADE_EACH_LANE(acos)
BLADE_EACH_LANE(asin)
BLADE_EACH_LANE(atan)
BLADE_EACH_LANE(cos)
BLADE_EACH_LANE(cosh)
BLADE_EACH_LANE(elu)
BLADE_EACH_LANE(erfc)
BLADE_EACH_LANE(expm1)
BLADE_EACH_LANE(log)
BLADE_EACH_LANE(log1p)
BLADE_EACH_LANE(selu)
BLADE_EACH_LANE(sign)
BLADE_EACH_LANE(sin)
BLADE_EACH_LANE(sinh)
BLADE_EACH_LANE(softplus)
BLADE_EACH_LANE(tan)
BLADE_EACH_LANE_BINARY(atan2)
BLADE_EACH_LANE_BINARY(pow)
BLADE_EACH_LANE_BINARY(xlogy)

#if defined(__AVX512F__)

// Adding it to a number of moderate size leaves the nearest multiple of `step` in the low bits.
constexpr float magic(float step) { return 0x1.8p23f * step; }

// The entry of a table of 16 that the low four bits of each lane choose.
BLADE_INLINE Lanes look_up(const float* table, Lanes index) {
  return Lanes(__builtin_ia32_permvarsf512_mask(load(table), (Ints)index.v, Vec{}, kAllLanes));
}

// x * 2^floor(k), rounded once.
BLADE_INLINE Lanes scale2(Lanes x, Lanes k) {
  return Lanes(__builtin_ia32_scalefps512_mask(x.v, k.v, Vec{}, kAllLanes, 4));
}

// What x has beyond the multiple of 2^-kBits that is nearest (kMode 0) or next below (1). None for infinities.
template <int kBits, int kMode>
BLADE_INLINE Lanes beyond(Lanes x) {
  return Lanes(__builtin_ia32_reduceps512_mask(x.v, kBits * 16 + 8 + kMode, Vec{}, kAllLanes));
}

// The lesser of |x| and a positive limit; the limit for a NaN.
BLADE_INLINE Lanes lesser_size(Lanes x, Lanes limit) {
  return Lanes(__builtin_ia32_rangeps512_mask(x.v, limit.v, 10, Vec{}, kAllLanes, 4));
}

alignas(64) constexpr float kExpTable[16] = {  // 2^(i / 16)
    0x1.0p+0f,      0x1.0b5586p+0f, 0x1.172b84p+0f, 0x1.2387a6p+0f, 0x1.306fe0p+0f, 0x1.3dea64p+0f,
    0x1.4bfdaep+0f, 0x1.5ab07ep+0f, 0x1.6a09e6p+0f, 0x1.7a1148p+0f, 0x1.8ace54p+0f, 0x1.9c4918p+0f,
    0x1.ae89fap+0f, 0x1.c199bep+0f, 0x1.d5818ep+0f, 0x1.ea4afap+0f};

alignas(64) constexpr float kExpTails[16] = {  // what rounding took from them, relative
    0.0f,
    0x1.8d96d4p-25f,
    -0x1.9c0c22p-27f,
    0x1.964904p-25f,
    0x1.125002p-25f,
    0x1.370be4p-25f,
    -0x1.0a3550p-25f,
    -0x1.00d8acp-27f,
    0x1.26055cp-26f,
    -0x1.05cb44p-25f,
    0x1.67a1cap-28f,
    0x1.a3b5e4p-28f,
    -0x1.f9c304p-27f,
    -0x1.6961b4p-28f,
    -0x1.a5217cp-28f,
    0x1.61428ep-28f};

// e^x for x that -110 <= x <= 90 or NaN: 2^k 2^(i/16) e^r with |r| <= ln(2) / 32. Off by 1 ulp, precisely by 0.6.
template <bool kPrecise = false>
BLADE_INLINE Lanes exp_bounded(Lanes x) {
  const Lanes shifted = fma(x, 0x1.715476p+0f, magic(0x1p-4f));
  const Lanes k = shifted - magic(0x1p-4f);
  const Lanes r = fma(k, -0x1.7f7d1cp-20f, fma(k, -0x1.62e4p-1f, x));
  const Lanes power = look_up(kExpTable, shifted);
  const Lanes linear = kPrecise ? r + look_up(kExpTails, shifted) : r;
  const Lanes p = fma(r * r, fma(r, 0x1.555736p-3f, 0x1.000220p-1f), linear);
  return scale2(fma(power, p, power), k);
}

BLADE_INLINE Lanes fn_exp(Lanes x) { return exp_bounded(lesser(90.0f, greater(-110.0f, x))); }

// 2^y for y = x / ln 2, rounded: 2^floor(y) times a polynomial of what is beyond, off by 2.3 ulp
// and what rounding y costs; 1 at 0.
BLADE_INLINE Lanes fn_exp_difference(Lanes x) {
  const Lanes y = x * 0x1.715476p+0f;
  const Lanes t = beyond<0, 1>(y);
  Lanes p = fma(t, 0x1.eecd48p-10f, 0x1.25e114p-7f);
  p = fma(p, t, 0x1.c97024p-5f);
  p = fma(p, t, 0x1.ebd4aep-3f);
  p = fma(p, t, 0x1.62e4e4p-1f);
  p = fma(p, t, 1.0f);
  return scale2(p, y);
}

// Piecewise polynomials about 16 equidistant points; row d has the factors of t^d.
typedef float PolyTable[6][16];

// In Estrin's order: half the latency of Horner's for one more multiplication.
BLADE_INLINE Lanes piecewise(const PolyTable& table, Lanes index, Lanes t, Lanes constant) {
  const Lanes t2 = t * t;
  const Lanes low = fma(look_up(table[1], index), t, constant);
  const Lanes middle = fma(look_up(table[3], index), t, look_up(table[2], index));
  const Lanes high = fma(look_up(table[5], index), t, look_up(table[4], index));
  return fma(fma(high, t2, middle), t2, low);
}

// erf(a) about the multiples of 1/4, in 4a. From 3.875 on it gives 1. About 0 the factor of a is split in two.
alignas(64) constexpr PolyTable kErfTable = {
    {0x0.0p+0f, 0x1.1af54ep-2f, 0x1.0a7ef6p-1f, 0x1.6c1c98p-1f, 0x1.af767ap-1f, 0x1.d8865ep-1f, 0x1.eea556p-1f,
     0x1.f92d08p-1f, 0x1.fd9ae2p-1f, 0x1.ff4048p-1f, 0x1.ffcaa8p-1f, 0x1.fff2d0p-1f, 0x1.fffd1ap-1f, 0x1.ffff70p-1f,
     0x1.ffffe8p-1f, 0x1.fffffcp-1f},
    {0x1.06eba8p-5f, 0x1.0f5d16p-2f, 0x1.c1efcap-3f, 0x1.492e44p-3f, 0x1.a911f2p-4f, 0x1.e46530p-5f, 0x1.e72372p-6f,
     0x1.b0552ep-7f, 0x1.529b9cp-8f, 0x1.d41438p-10f, 0x1.1d831ap-11f, 0x1.3360dcp-13f, 0x1.240910p-15f,
     0x1.e9b670p-18f, 0x1.6a5a2ap-20f, 0x1.fb94d4p-23f},
    {0x1.de8f3cp-27f, -0x1.0f5ba2p-6f, -0x1.c1ee00p-6f, -0x1.edc46ep-6f, -0x1.a9121ap-6f, -0x1.2ec000p-6f,
     -0x1.6d5bf8p-7f, -0x1.7a4bd6p-8f, -0x1.529bc2p-9f, -0x1.0749b8p-10f, -0x1.64dd6ep-12f, -0x1.a695d0p-14f,
     -0x1.b5f20cp-16f, -0x1.8dbca8p-18f, -0x1.3cdfeep-20f, -0x1.543332p-23f},
    {-0x1.812ab6p-8f, -0x1.3c960cp-8f, -0x1.2bf602p-9f, 0x1.b6d218p-12f, 0x1.1b5f08p-9f, 0x1.571c74p-9f, 0x1.1c2abap-9f,
     0x1.714a9ap-10f, 0x1.8b0ce0p-11f, 0x1.63f036p-12f, 0x1.119c54p-13f, 0x1.69c902p-15f, 0x1.9da814p-17f,
     0x1.9a89f6p-19f, 0x1.62a868p-21f, 0x1.94b1e0p-23f},
    {0x1.0de0b6p-20f, 0x1.021ec4p-11f, 0x1.748de8p-11f, 0x1.3351ccp-11f, 0x1.1bcfb4p-12f, -0x1.731c02p-16f,
     -0x1.69a6e6p-13f, -0x1.88548ep-13f, -0x1.1a14dep-13f, -0x1.39c528p-14f, -0x1.1caef2p-15f, -0x1.b024b6p-17f,
     -0x1.1654fap-18f, -0x1.33009ap-20f, -0x1.23bb8cp-22f, -0x1.99beccp-26f},
    {0x1.c70632p-14f, 0x1.45d630p-14f, 0x1.eae6fcp-18f, -0x1.af7814p-15f, -0x1.197518p-14f, -0x1.819300p-15f,
     -0x1.ebf4bap-17f, 0x1.a5c4c6p-18f, 0x1.a97da2p-17f, 0x1.5c894cp-17f, 0x1.920186p-18f, 0x1.6bd94cp-19f,
     0x1.0daf08p-20f, 0x1.4ea116p-22f, 0x1.6017b4p-24f, 0x1.3cd158p-26f}};
alignas(64) constexpr float kErfLinear[16] = {0.25f};

BLADE_INLINE Lanes fn_erf(Lanes x) {
  const Lanes a = lesser(0x1.effff0p+1f, abs(x));
  const Lanes index = fma(a, 4.0f, magic(1.0f));
  const Lanes t = fma(a, 4.0f, magic(1.0f) - index);
  const Lanes base = fma(t, look_up(kErfLinear, index), look_up(kErfTable[0], index));
  return copysign(piecewise(kErfTable, index, t, base), x);
}

// erf(a / sqrt 2) / 2 about the multiples of 1/4 up to 7.75; row d has the factors of (a - multiple)^d. The last is
// 1/2.
alignas(64) constexpr float kGeluTable[5][32] = {
    {0x1.435c46p-31f, 0x1.944d16p-4f, 0x1.881d78p-3f, 0x1.17ef00p-2f, 0x1.5d897ap-2f, 0x1.93d08cp-2f, 0x1.bb96e4p-2f,
     0x1.d6fabcp-2f,  0x1.e8b430p-2f, 0x1.f37b6ep-2f, 0x1.f9a42cp-2f, 0x1.fcf2e0p-2f, 0x1.fe9e22p-2f, 0x1.ff68bcp-2f,
     0x1.ffc304p-2f,  0x1.ffe8d2p-2f, 0x1.fff7b2p-2f, 0x1.fffd32p-2f, 0x1.ffff1cp-2f, 0x1.ffffbcp-2f, 0x1.ffffecp-2f,
     0x1.fffffap-2f,  0x1.fffffep-2f, 0x1.000000p-1f, 0x1.000000p-1f, 0x1.000000p-1f, 0x1.000000p-1f, 0x1.000000p-1f,
     0x1.000000p-1f,  0x1.000000p-1f, 0x1.000000p-1f, 0x1.000000p-1f},
    {0x1.988444p-2f,  0x1.8bf28ep-2f,  0x1.6883b8p-2f,  0x1.345d60p-2f,  0x1.ef8e82p-3f,  0x1.7610f6p-3f,
     0x1.0940c2p-3f,  0x1.6164acp-4f,  0x1.ba4ba0p-5f,  0x1.0402f2p-5f,  0x1.1f2ed0p-6f,  0x1.29f99ep-7f,
     0x1.2270aap-8f,  0x1.09f158p-9f,  0x1.c98390p-11f, 0x1.71b22ap-12f, 0x1.18a216p-13f, 0x1.903c8ap-15f,
     0x1.0c1cdap-16f, 0x1.517172p-18f, 0x1.8ef74cp-20f, 0x1.bb1f0ep-22f, 0x1.ce56bap-24f, 0x1.c52818p-26f,
     0x1.a13d76p-28f, 0x1.68e366p-30f, 0x1.253acap-32f, 0x1.bfa1a6p-35f, 0x1.40f59ep-37f, 0x1.b05ec6p-40f,
     0x1.11933ap-42f, 0x0.0p+0f},
    {0x1.fa70bep-17f,  -0x1.8bf1eep-5f,  -0x1.68832ep-4f,  -0x1.ce8b88p-4f,  -0x1.ef8deep-4f,  -0x1.d394c8p-4f,
     -0x1.8de0eap-4f,  -0x1.35380ep-4f,  -0x1.ba4bd2p-5f,  -0x1.2483a4p-5f,  -0x1.66fb34p-6f,  -0x1.99b868p-7f,
     -0x1.b3aac0p-8f,  -0x1.b02a80p-9f,  -0x1.9055e8p-10f, -0x1.5a9a16p-11f, -0x1.18a528p-12f, -0x1.a94604p-14f,
     -0x1.2da558p-15f, -0x1.90be7ep-17f, -0x1.f2c09ap-19f, -0x1.22d446p-20f, -0x1.3de5bcp-22f, -0x1.45c0e2p-24f,
     -0x1.38fb88p-26f, -0x1.19ff9cp-28f, -0x1.dc9a9ap-31f, -0x1.79c8e8p-33f, -0x1.18eba6p-35f, -0x1.87f6aap-38f,
     -0x1.009242p-40f, 0x0.0p+0f},
    {-0x1.11bb46p-4f, -0x1.ed951ep-5f, -0x1.67c858p-5f, -0x1.67cc9ep-6f, -0x1.493a28p-14f, 0x1.16a338p-6f,
     0x1.b83638p-6f,  0x1.e48912p-6f,  0x1.b992dcp-6f,  0x1.5ff326p-6f,  0x1.f6feb0p-7f,   0x1.46a140p-7f,
     0x1.84ad5ap-8f,  0x1.aa1340p-9f,  0x1.afe7b6p-10f, 0x1.95f740p-11f, 0x1.628f2cp-12f,  0x1.203132p-13f,
     0x1.b490eap-15f, 0x1.3471a0p-16f, 0x1.96e58ap-18f, 0x1.f5789ap-20f, 0x1.20dbc6p-21f,  0x1.373a1cp-23f,
     0x1.39beb0p-25f, 0x1.2808eep-27f, 0x1.05869ep-29f, 0x1.b0c19cp-32f, 0x1.4f6900p-34f,  0x1.e727eap-37f,
     0x1.4b8baap-39f, 0x0.0p+0f},
    {0x1.96b9aep-9f,   0x1.81f932p-7f,   0x1.491970p-6f,   0x1.768d8ep-6f,   0x1.497808p-6f,   0x1.bf94d4p-7f,
     0x1.8f0d28p-8f,   -0x1.76d80ep-12f, -0x1.2472c8p-8f,  -0x1.906eb4p-8f,  -0x1.83f958p-8f,  -0x1.375788p-8f,
     -0x1.b41010p-9f,  -0x1.110b26p-9f,  -0x1.35e454p-10f, -0x1.416f3cp-11f, -0x1.326b38p-12f, -0x1.0d86c2p-13f,
     -0x1.b6c89ap-15f, -0x1.4b4332p-16f, -0x1.d0b6aep-18f, -0x1.2f4658p-19f, -0x1.70b43cp-21f, -0x1.a1ea8ep-23f,
     -0x1.b9fdb6p-25f, -0x1.b474b2p-27f, -0x1.92a408p-29f, -0x1.5b2f5ap-31f, -0x1.17ef3ap-33f, -0x1.a646c8p-36f,
     -0x1.2a08c4p-38f, 0x0.0p+0f}};

// The entry of a table of 32 that the low five bits of each lane choose.
BLADE_INLINE Lanes look_up_32(const float* table, Lanes index) {
  return Lanes(__builtin_shuffle(load(table), load(table + 16), (Ints)index.v));
}

BLADE_INLINE Lanes fn_gelu_erf(Lanes x) {
  const Lanes a = lesser_size(x, 0x1.fp+2f);
  const Lanes index = a + magic(0x1p-2f);
  const Lanes t = beyond<2, 0>(a);
  const Lanes t2 = t * t;
  const Lanes low = fma(look_up_32(kGeluTable[1], index), t, look_up_32(kGeluTable[0], index));
  const Lanes high = fma(look_up_32(kGeluTable[3], index), t, look_up_32(kGeluTable[2], index));
  const Lanes half_erf = fma(fma(look_up_32(kGeluTable[4], index), t2, high), t2, low);
  return fma(abs(x), half_erf, x * 0.5f);
}

// With e = e^(-2a) and m = e - 1, tanh(a) is -m / (2 + m), which keeps small results exact, and 1 - 2e / (2 + m).
BLADE_INLINE Lanes fn_tanh(Lanes x) {
  const Lanes a = abs(x);
  const Lanes doubled = greater(-20.0f, a * -2.0f);
  const Lanes shifted = fma(doubled, 0x1.715476p+0f, magic(1.0f));
  const Lanes k = shifted - magic(1.0f);
  const Lanes r = fma(k, -0x1.7f7d1cp-20f, fma(k, -0x1.62e4p-1f, doubled));
  Lanes p = fma(r, 0x1.a28ed6p-13f, 0x1.6d418ap-10f);
  p = fma(p, r, 0x1.110fe2p-7f);
  p = fma(p, r, 0x1.5554f2p-5f);
  p = fma(p, r, 0x1.555556p-3f);
  p = fma(p, r, 0x1p-1f);
  p = fma(r * r, p, r);
  const Lanes power = scale2(1.0f, k);
  const Lanes m = fma(power, p, power - 1.0f);
  const Mask small = a < 0.55f;
  const Lanes q = select(small, m, fma(power, p, power) * 2.0f) / (m + 2.0f);
  // What the roundings of 2 + m and of the quotient took, over some number near 2 + m.
  const Lanes remainder = fma(-q, m, fma(q, -2.0f, m));
  return copysign(select(small, fma(remainder, 0.6f, q), 1.0f - q), x);
}

BLADE_INLINE Lanes fn_sigmoid(Lanes x) {
  const Lanes t = exp_bounded<true>(greater(-110.0f, -abs(x)));
  const Mask positive = x >= 0.0f;
  const Lanes n = select(positive, 1.0f, t);
  const Lanes q = n / (t + 1.0f);
  // As in the scalar function, a Newton step takes out the roundings of sum and quotient.
  const Lanes remainder = fma(-q, t, n - q);
  return fma(remainder, select(positive, q, 1.0f - q), q);
}

BLADE_INLINE Lanes fn_swish(Lanes x) { return x / (fn_exp(-x) + 1.0f); }

BLADE_INLINE Lanes fn_gelu_tanh(Lanes x) {
  // x / 2 * (1 + tanh(u)) is x / (1 + e^(-2u)).
  const Lanes u = fma(x * x * 0.044715f, x, x) * 0x1.9884533d43651p+0f;
  return x / (fn_exp(-u) + 1.0f);
}

#else

BLADE_EACH_LANE(exp)
BLADE_EACH_LANE(exp_difference)
BLADE_EACH_LANE(erf)
BLADE_EACH_LANE(gelu_erf)
BLADE_EACH_LANE(gelu_tanh)
BLADE_EACH_LANE(sigmoid)
BLADE_EACH_LANE(swish)
BLADE_EACH_LANE(tanh)

#endif

#undef BLADE_EACH_LANE
#undef BLADE_EACH_LANE_BINARY

// --- reductions ---

namespace {

// How two accumulators combine, for numbers and for vectors of them. NaN wins against numbers.
struct FoldSum {
  template <class V>
  static BLADE_ALWAYS_INLINE V of(V a, V b) {
    return a + b;
  }
};
struct FoldProd {
  template <class V>
  static BLADE_ALWAYS_INLINE V of(V a, V b) {
    return a * b;
  }
};
struct FoldMax {
  template <class V>
  static BLADE_ALWAYS_INLINE V of(V a, V b) {
    return (a > b) | (a != a) ? a : b;
  }
  static BLADE_ALWAYS_INLINE Lanes of(Lanes a, Lanes b) { return fn_maximum(a, b); }
};
struct FoldMin {
  template <class V>
  static BLADE_ALWAYS_INLINE V of(V a, V b) {
    return (a < b) | (a != a) ? a : b;
  }
  static BLADE_ALWAYS_INLINE Lanes of(Lanes a, Lanes b) { return fn_minimum(a, b); }
};
struct FoldAnd {
  template <class V>
  static BLADE_ALWAYS_INLINE V of(V a, V b) {
    return a & b;
  }
};
struct FoldOr {
  template <class V>
  static BLADE_ALWAYS_INLINE V of(V a, V b) {
    return a | b;
  }
};
// The greater one; a NaN only where the second one is.
struct FoldGreater {
  static BLADE_ALWAYS_INLINE Lanes of(Lanes a, Lanes b) { return greater(a, b); }
  static BLADE_ALWAYS_INLINE Vec8 of(Vec8 a, Vec8 b) { return max8(a, b); }
};

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_LANES_MATH_H_
