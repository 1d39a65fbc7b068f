// Heaps and sorting that leave equal elements where libstdc++'s std::push_heap, std::pop_heap and std::sort leave them:
// TensorFlow's results show the order of ties. The algorithms are those of the C++ standard library's usual
// implementation (a heap whose hole sinks to the bottom; introsort with median of three and a final insertion sort).
//
// `less(a, b)` is the order; heaps have a largest element at their root.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_ORDER_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_ORDER_H_

#include "simd.h"

namespace blade {
namespace {

// Moves `value` from the hole up to its place.
template <class T, class Less>
inline void heap_rise(T* heap, int64_t hole, int64_t top, T value, Less less) {
  while (hole > top) {
    const int64_t parent = (hole - 1) / 2;
    if (!less(heap[parent], value)) break;
    heap[hole] = heap[parent];
    hole = parent;
  }
  heap[hole] = value;
}

// The hole sinks to the bottom by larger children, then `value` rises from there.
template <class T, class Less>
inline void heap_adjust(T* heap, int64_t hole, int64_t size, T value, Less less) {
  const int64_t top = hole;
  int64_t child = hole;
  while (child < (size - 1) / 2) {
    child = 2 * (child + 1);
    if (less(heap[child], heap[child - 1])) --child;
    heap[hole] = heap[child];
    hole = child;
  }
  if (size % 2 == 0 && child == (size - 2) / 2) {
    child = 2 * child + 1;
    heap[hole] = heap[child];
    hole = child;
  }
  heap_rise(heap, hole, top, value, less);
}

template <class T, class Less>
inline void heap_push(T* heap, int64_t* size, T value, Less less) {
  heap_rise(heap, (*size)++, 0, value, less);
}

template <class T, class Less>
inline T heap_pop(T* heap, int64_t* size, Less less) {
  const T top = heap[0];
  const int64_t last = --*size;
  if (last > 0) heap_adjust(heap, 0, last, heap[last], less);
  return top;
}

template <class T, class Less>
inline void heap_sort(T* items, int64_t size, Less less) {
  for (int64_t parent = size / 2 - 1; parent >= 0; --parent) heap_adjust(items, parent, size, items[parent], less);
  for (int64_t last = size - 1; last > 0; --last) {
    const T value = items[last];
    items[last] = items[0];
    heap_adjust(items, 0, last, value, less);
  }
}

template <class T>
BLADE_ALWAYS_INLINE void swap_items(T* a, T* b) {
  const T other = *a;
  *a = *b;
  *b = other;
}

// Puts the median of a, b and c at `to`.
template <class T, class Less>
inline void median_to(T* to, T* a, T* b, T* c, Less less) {
  if (less(*a, *b)) {
    swap_items(to, less(*b, *c) ? b : less(*a, *c) ? c : a);
  } else {
    swap_items(to, less(*a, *c) ? a : less(*b, *c) ? c : b);
  }
}

// Splits [first, last) around the pivot that stands before it; gives the first item of the upper part.
template <class T, class Less>
inline T* partition_around(T* first, T* last, const T* pivot, Less less) {
  for (;;) {
    while (less(*first, *pivot)) ++first;
    --last;
    while (less(*pivot, *last)) --last;
    if (!(first < last)) return first;
    swap_items(first, last);
    ++first;
  }
}

// Moves an item down to its place; something before it is not larger.
template <class T, class Less>
inline void insert_down(T* item, Less less) {
  const T value = *item;
  while (less(value, item[-1])) {
    *item = item[-1];
    --item;
  }
  *item = value;
}

template <class T, class Less>
inline void insertion_sort(T* first, T* last, Less less) {
  for (T* item = first + 1; item < last; ++item) {
    if (less(*item, *first)) {
      const T value = *item;
      for (T* to = item; to > first; --to) *to = to[-1];
      *first = value;
    } else {
      insert_down(item, less);
    }
  }
}

constexpr int64_t kSmallSort = 16;

// Sorts up to runs of kSmallSort items.
template <class T, class Less>
inline void intro_loop(T* first, T* last, int64_t depth, Less less) {
  while (last - first > kSmallSort) {
    if (depth-- == 0) return heap_sort(first, last - first, less);
    median_to(first, first + 1, first + (last - first) / 2, last - 1, less);
    T* const cut = partition_around(first + 1, last, first, less);
    intro_loop(cut, last, depth, less);
    last = cut;
  }
}

template <class T, class Less>
inline void intro_sort(T* items, int64_t size, Less less) {
  if (size < 2) return;
  intro_loop(items, items + size, 2 * (63 - __builtin_clzll(static_cast<uint64_t>(size))), less);
  insertion_sort(items, items + min64(size, kSmallSort), less);
  for (int64_t i = kSmallSort; i < size; ++i) insert_down(items + i, less);
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_ORDER_H_
