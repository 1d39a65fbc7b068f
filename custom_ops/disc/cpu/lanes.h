// A vector of float32 elements as generated loops compute with it: `Lanes` stands where a scalar loop has a float,
// `Mask` where it has a bool. What a loop reads and writes goes through `Whole` or, at a row's end, through `Part`, so
// that one body serves both. A float converts to Lanes by itself.
//
// Compilers vectorize scalar loops too, but spell minima, roundings and table look-ups in three times the instructions.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_LANES_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_LANES_H_

#include "simd.h"

namespace blade {
namespace {

typedef int32_t Ints __attribute__((vector_size(kLanes * 4)));

struct Lanes {
  Vec v;
  Lanes() = default;
  BLADE_ALWAYS_INLINE Lanes(Vec x) : v(x) {}           // NOLINT: implicit on purpose
  BLADE_ALWAYS_INLINE Lanes(float x) : v(splat(x)) {}  // NOLINT: implicit on purpose
};

#if defined(__AVX512F__)
typedef unsigned short MaskBits;
constexpr MaskBits kAllLanes = 0xffff;
#else
typedef Vec MaskBits;  // all bits of a lane set, or none
#endif

struct Mask {
  MaskBits m;
  Mask() = default;
  BLADE_ALWAYS_INLINE Mask(MaskBits bits) : m(bits) {}  // NOLINT: implicit on purpose
};

// The comparison with the number of VCMPPS.
template <int kPredicate>
BLADE_ALWAYS_INLINE Mask compare(Lanes a, Lanes b) {
#if defined(__AVX512F__)
  return {static_cast<MaskBits>(__builtin_ia32_cmpps512_mask(a.v, b.v, kPredicate, kAllLanes, 4))};
#else
  return {__builtin_ia32_cmpps256(a.v, b.v, kPredicate)};
#endif
}
BLADE_ALWAYS_INLINE Mask operator==(Lanes a, Lanes b) { return compare<0>(a, b); }
BLADE_ALWAYS_INLINE Mask operator<(Lanes a, Lanes b) { return compare<17>(a, b); }
BLADE_ALWAYS_INLINE Mask operator<=(Lanes a, Lanes b) { return compare<18>(a, b); }
BLADE_ALWAYS_INLINE Mask operator!=(Lanes a, Lanes b) { return compare<4>(a, b); }
BLADE_ALWAYS_INLINE Mask operator>=(Lanes a, Lanes b) { return compare<29>(a, b); }
BLADE_ALWAYS_INLINE Mask operator>(Lanes a, Lanes b) { return compare<30>(a, b); }
BLADE_ALWAYS_INLINE Mask is_unordered(Lanes a, Lanes b) { return compare<3>(a, b); }

#if defined(__AVX512F__)
BLADE_ALWAYS_INLINE Mask operator&(Mask a, Mask b) { return {static_cast<MaskBits>(a.m & b.m)}; }
BLADE_ALWAYS_INLINE Mask operator|(Mask a, Mask b) { return {static_cast<MaskBits>(a.m | b.m)}; }
BLADE_ALWAYS_INLINE Mask operator!(Mask a) { return {static_cast<MaskBits>(~a.m)}; }
BLADE_ALWAYS_INLINE Lanes select(Mask mask, Lanes a, Lanes b) {
  return Lanes(__builtin_ia32_blendmps_512_mask(b.v, a.v, mask.m));
}
#else
BLADE_ALWAYS_INLINE Mask operator&(Mask a, Mask b) { return {(Vec)((Ints)a.m & (Ints)b.m)}; }
BLADE_ALWAYS_INLINE Mask operator|(Mask a, Mask b) { return {(Vec)((Ints)a.m | (Ints)b.m)}; }
BLADE_ALWAYS_INLINE Mask operator!(Mask a) { return {(Vec)(~(Ints)a.m)}; }
BLADE_ALWAYS_INLINE Lanes select(Mask mask, Lanes a, Lanes b) {
  return Lanes(__builtin_ia32_blendvps256(b.v, a.v, mask.m));
}
#endif

BLADE_ALWAYS_INLINE Lanes operator+(Lanes a, Lanes b) { return Lanes(a.v + b.v); }
BLADE_ALWAYS_INLINE Lanes operator-(Lanes a, Lanes b) { return Lanes(a.v - b.v); }
BLADE_ALWAYS_INLINE Lanes operator*(Lanes a, Lanes b) { return Lanes(a.v * b.v); }
BLADE_ALWAYS_INLINE Lanes operator/(Lanes a, Lanes b) { return Lanes(a.v / b.v); }
BLADE_ALWAYS_INLINE Lanes operator-(Lanes a) { return Lanes((Vec)((Ints)a.v ^ (Ints)splat(-0.0f))); }
BLADE_ALWAYS_INLINE Lanes fma(Lanes a, Lanes b, Lanes c) { return Lanes(fma(a.v, b.v, c.v)); }
BLADE_ALWAYS_INLINE Lanes abs(Lanes a) { return Lanes((Vec)((Ints)a.v & 0x7fffffff)); }
BLADE_ALWAYS_INLINE Lanes copysign(Lanes a, Lanes sign) {
  return Lanes((Vec)(((Ints)a.v & 0x7fffffff) | ((Ints)sign.v & INT32_MIN)));
}

// a < b ? a : b and a > b ? a : b: b where either is a NaN.
BLADE_ALWAYS_INLINE Lanes lesser(Lanes a, Lanes b) {
#if defined(__AVX512F__)
  return Lanes(__builtin_ia32_minps512_mask(a.v, b.v, Vec{}, kAllLanes, 4));
#else
  return Lanes(__builtin_ia32_minps256(a.v, b.v));
#endif
}
BLADE_ALWAYS_INLINE Lanes greater(Lanes a, Lanes b) { return Lanes(max(a.v, b.v)); }

BLADE_ALWAYS_INLINE Lanes sqrt(Lanes a) {
#if defined(__AVX512F__)
  return Lanes(__builtin_ia32_sqrtps512_mask(a.v, Vec{}, kAllLanes, 4));
#else
  return Lanes(__builtin_ia32_sqrtps256(a.v));
#endif
}

// To an integer: 0 to nearest even, 1 down, 2 up, 3 toward zero.
template <int kMode>
BLADE_ALWAYS_INLINE Lanes round(Lanes a) {
#if defined(__AVX512F__)
  return Lanes(__builtin_ia32_rndscaleps_mask(a.v, kMode, Vec{}, kAllLanes, 4));
#else
  return Lanes(__builtin_ia32_roundps256(a.v, kMode));
#endif
}

// --- memory ---

// Announces that the line of `p` will be read, or written, soon. Never faults, wherever p points.
BLADE_ALWAYS_INLINE void expect_read(const void* p) { __builtin_prefetch(p, 0); }
BLADE_ALWAYS_INLINE void expect_write(const void* p) { __builtin_prefetch(p, 1); }

struct Whole {
  BLADE_ALWAYS_INLINE Lanes load(const float* p) const { return Lanes(blade::load(p)); }
  BLADE_ALWAYS_INLINE void store(float* p, Lanes x) const { blade::store(p, x.v); }
  // What an accumulator becomes.
  BLADE_ALWAYS_INLINE Lanes kept(Lanes next, Lanes /*before*/) const { return next; }
};

// The first lanes alone: nothing else is read, written or accumulated.
struct Part {
  Mask mask;

  explicit BLADE_ALWAYS_INLINE Part(int64_t count) {
#if defined(__AVX512F__)
    mask.m = static_cast<MaskBits>((1u << count) - 1u);
#else
    mask.m = (Vec)(Ints{0, 1, 2, 3, 4, 5, 6, 7} < static_cast<int32_t>(count));
#endif
  }
  BLADE_ALWAYS_INLINE Lanes load(const float* p) const {
#if defined(__AVX512F__)
    return Lanes(__builtin_ia32_loadups512_mask(p, Vec{}, mask.m));
#else
    return Lanes(__builtin_ia32_maskloadps256(reinterpret_cast<const Vec8*>(p), (Ints)mask.m));
#endif
  }
  BLADE_ALWAYS_INLINE void store(float* p, Lanes x) const {
#if defined(__AVX512F__)
    __builtin_ia32_storeups512_mask(p, x.v, mask.m);
#else
    __builtin_ia32_maskstoreps256(reinterpret_cast<Vec8*>(p), (Ints)mask.m, x.v);
#endif
  }
  BLADE_ALWAYS_INLINE Lanes kept(Lanes next, Lanes before) const { return select(mask, next, before); }
};

// body(at, i, slot) for all i in [first, last) by vectors, `at` a Whole or a Part; slot < kVectors tells neighbours
// apart, so that a reduction may keep an accumulator for each.
template <int kVectors, class Body>
BLADE_ALWAYS_INLINE void for_lanes(int64_t first, int64_t last, const Body& body) {
  int64_t i = first;
  if (kVectors > 1) {
    for (; i + kVectors * kLanes <= last; i += kVectors * kLanes) {
#pragma GCC unroll 4
      for (int n = 0; n < kVectors; ++n) body(Whole(), i + n * kLanes, n);
    }
  }
  for (; i + kLanes <= last; i += kLanes) body(Whole(), i, 0);
  if (i < last) body(Part(last - i), i, 0);
}

// What the first stage of a loop hands to the second one.
template <class A, class B = Lanes, class C = Lanes>
struct Live {
  A v0;
  B v1;
  C v2;
};
template <class A>
BLADE_ALWAYS_INLINE Live<A> live_lanes(A a) {
  return {a, {}, {}};
}
template <class A, class B>
BLADE_ALWAYS_INLINE Live<A, B> live_lanes(A a, B b) {
  return {a, b, {}};
}
template <class A, class B, class C>
BLADE_ALWAYS_INLINE Live<A, B, C> live_lanes(A a, B b, C c) {
  return {a, b, c};
}

// second(at, i, slot, first(at, i)) for all i in [first, last) by vectors, as above. With AVX-512 the first stage of a
// vector is computed before the second one of the vector before it: the processor then finds instructions to execute
// whose operands are there. Where registers are few, they are not worth what is kept in them.
template <int kVectors, class First, class Second>
BLADE_ALWAYS_INLINE void for_lanes_staged(int64_t first, int64_t last, const First& before, const Second& after) {
  constexpr int64_t kStep = kVectors * kLanes;
  int64_t i = first;
  if (kLanes == 16 && i + kStep <= last) {
    decltype(before(Whole(), i)) live[kVectors];
#pragma GCC unroll 4
    for (int n = 0; n < kVectors; ++n) live[n] = before(Whole(), i + n * kLanes);
    for (; i + 2 * kStep <= last; i += kStep) {
#pragma GCC unroll 4
      for (int n = 0; n < kVectors; ++n) {
        const auto next = before(Whole(), i + kStep + n * kLanes);
        after(Whole(), i + n * kLanes, n, live[n]);
        live[n] = next;
      }
    }
#pragma GCC unroll 4
    for (int n = 0; n < kVectors; ++n) after(Whole(), i + n * kLanes, n, live[n]);
    i += kStep;
  }
  const auto both = [&](auto at, int64_t j, int slot) BLADE_LAMBDA { after(at, j, slot, before(at, j)); };
  for_lanes<kLanes == 16 ? 1 : kVectors>(i, last, both);
}

// Combines accumulators, then their lanes, as a tree.
template <class Op, int kVectors>
BLADE_ALWAYS_INLINE float fold_lanes(const Lanes (&all)[kVectors]) {
  Lanes total = all[0];
  for (int n = 1; n < kVectors; ++n) total = Op::of(total, all[n]);
  Vec8 low, high;
  halves(total.v, Vec8{}, &low, &high);
  if (kLanes == 16) low = Op::of(low, high);
  low = Op::of(low, __builtin_shuffle(low, Index8{4, 5, 6, 7, 0, 1, 2, 3}));
  low = Op::of(low, __builtin_shuffle(low, Index8{2, 3, 0, 1, 6, 7, 4, 5}));
  low = Op::of(low, __builtin_shuffle(low, Index8{1, 0, 3, 2, 5, 4, 7, 6}));
  return low[0];
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_LANES_H_
