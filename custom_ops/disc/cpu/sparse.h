// Coordinates of sparse tensors: rows without entries get one, and shapes change.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_SPARSE_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_SPARSE_H_

#include "fail.h"
#include "parallel.h"

namespace blade {
namespace {

// The number of rows, if it is one.
inline int32_t sparse_rows(const BladeRal* ral, const int64_t* shape, int64_t n, int64_t* rows) {
  *rows = shape[0];
  if (*rows < 0) return fail(ral, "a negative number of rows");
  if (*rows == 0 && n > 0) return fail(ral, "entries in a sparse tensor without rows");
  return BLADE_OK;
}

// ends[r] = where the entries of row r will begin, once each row without any has one; empty[r] whether it has none.
// Gives the number of entries.
BLADE_NOINLINE int32_t sparse_fill_count(const BladeRal* ral, const int64_t* indices, int64_t n, int64_t rank,
                                         int64_t rows, int64_t* ends, uint8_t* empty, int64_t* total) {
  for (int64_t r = 0; r < rows; ++r) ends[r] = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t row = indices[i * rank];
    if (static_cast<uint64_t>(row) >= static_cast<uint64_t>(rows)) return fail(ral, "a row's index is out of range");
    ++ends[row];
  }
  *total = 0;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t count = ends[r];
    empty[r] = count == 0;
    ends[r] = *total;
    *total += max64(count, 1);
  }
  return BLADE_OK;
}

struct SparseFill {
  int64_t n, rank, rows;
  int64_t bytes;  // of a value
};

// Entries row by row, in their order; where[i] is where entry i went.
BLADE_NOINLINE void sparse_fill(const int64_t* indices, const void* values, const void* missing, const uint8_t* empty,
                                int64_t* ends, const SparseFill& size, int64_t* out_indices, void* out_values,
                                int64_t* where) {
  const size_t bytes = static_cast<size_t>(size.bytes);
  char* const to = static_cast<char*>(out_values);
  for (int64_t r = 0; r < size.rows; ++r) {
    if (!empty[r]) continue;
    int64_t* const index = out_indices + ends[r] * size.rank;
    for (int64_t k = 0; k < size.rank; ++k) index[k] = k == 0 ? r : 0;
    memcpy(to + ends[r] * size.bytes, missing, bytes);
  }
  for (int64_t i = 0; i < size.n; ++i) {
    const int64_t place = ends[indices[i * size.rank]]++;
    memcpy(out_indices + place * size.rank, indices + i * size.rank, static_cast<size_t>(size.rank) * sizeof(int64_t));
    memcpy(to + place * size.bytes, static_cast<const char*>(values) + i * size.bytes, bytes);
    where[i] = place;
  }
}

// The new shape, with the one -1 in it inferred.
inline int32_t sparse_shape(const BladeRal* ral, const int64_t* from, int64_t rank, const int64_t* to, int64_t new_rank,
                            int64_t* result) {
  int64_t total = 1;
  int64_t product = 1;
  int64_t unknown = -1;
  for (int64_t k = 0; k < rank; ++k) {
    if (from[k] < 0 || __builtin_mul_overflow(total, from[k], &total)) return fail(ral, "the shape is no shape");
  }
  for (int64_t k = 0; k < new_rank; ++k) {
    result[k] = to[k];
    if (to[k] == -1) {
      if (unknown >= 0) return fail(ral, "only one size can be unknown");
      unknown = k;
    } else if (to[k] < 0 || __builtin_mul_overflow(product, to[k], &product)) {
      return fail(ral, "the new shape is no shape");
    }
  }
  if (unknown >= 0) {
    // TensorFlow infers nothing from empty shapes.
    if (product == 0 || total % product != 0) return fail(ral, "the unknown size cannot be inferred");
    result[unknown] = total / product;
    product *= result[unknown];
  }
  return product == total ? int32_t{BLADE_OK} : fail(ral, "the new shape has another number of elements");
}

// indices [n, rank] in a tensor of shape `from` become [n, new_rank] in one of shape `to`.
BLADE_NOINLINE int32_t sparse_reshape(const BladeRal* ral, const int64_t* indices, int64_t n, const int64_t* from,
                                      int64_t rank, const int64_t* wanted, int64_t new_rank, int64_t* to,
                                      int64_t* result) {
  if (const int32_t code = sparse_shape(ral, from, rank, wanted, new_rank, to)) return code;
  if (rank == new_rank && memcmp(from, to, static_cast<size_t>(rank) * sizeof(*to)) == 0) {
    memcpy(result, indices, static_cast<size_t>(n * rank) * sizeof(*result));
    return BLADE_OK;
  }
  for (int64_t k = 0; k < new_rank; ++k) {
    if (to[k] == 0 && n > 0) return fail(ral, "entries in a sparse tensor without elements");
  }
  parallel_for(ral, n, rank * 2 + new_rank * 10, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int64_t flat = 0;
      for (int64_t k = 0; k < rank; ++k) flat = flat * from[k] + indices[i * rank + k];
      for (int64_t k = new_rank - 1; k > 0; --k) {
        result[i * new_rank + k] = flat % to[k];
        flat /= to[k];
      }
      if (new_rank > 0) result[i * new_rank] = flat;
    }
  });
  return BLADE_OK;
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_SPARSE_H_
