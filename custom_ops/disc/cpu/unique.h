// Distinct elements in the order of their first occurrence, by a hash table with open addressing.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_UNIQUE_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_UNIQUE_H_

#include "parallel.h"
#include "scalar.h"

namespace blade {
namespace {

// Equal for elements that compare equal; zeros of both signs do.
template <class T>
BLADE_ALWAYS_INLINE uint64_t unique_hash(T x) {
  uint64_t bits = 0;
  if (x != T{0}) memcpy(&bits, &x, sizeof(x));
  bits ^= bits >> 32;
  bits *= UINT64_C(0x9e3779b97f4a7c15);
  return bits ^ (bits >> 29);
}

// ids[i] = number of x[i] among the distinct elements, first[k] = place of the k-th one, counts[k] = how often it
// occurs; gives how many there are. `table` has room for `space` > n numbers.
template <class T, class I>
BLADE_NOINLINE int64_t unique_find(const T* x, int64_t n, I* ids, int64_t* first, int64_t* counts, int32_t* table,
                                   int64_t space) {
  uint64_t mask = 1;
  while (2 * mask <= static_cast<uint64_t>(space)) mask *= 2;
  memset(table, 0xff, static_cast<size_t>(mask) * sizeof(*table));
  --mask;
  int64_t found = 0;
  for (int64_t i = 0; i < n; ++i) {
    uint64_t slot = unique_hash(x[i]) & mask;
    while (table[slot] >= 0 && !(x[first[table[slot]]] == x[i])) slot = (slot + 1) & mask;
    if (table[slot] < 0) {
      first[found] = i;
      counts[found] = 0;
      table[slot] = static_cast<int32_t>(found++);
    }
    ids[i] = static_cast<I>(table[slot]);
    ++counts[table[slot]];
  }
  return found;
}

template <class T, class I>
BLADE_NOINLINE void unique_fill(const T* x, const int64_t* first, const int64_t* counts, int64_t found, T* y,
                                I* numbers) {
  for (int64_t k = 0; k < found; ++k) {
    y[k] = x[first[k]];
    numbers[k] = static_cast<I>(counts[k]);
  }
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_UNIQUE_H_
