// Metal kernels as C++: what their language has and this one has not, on top of fibers.
//
// A pointer is a pointer, whatever it points to; attributes of arguments are ignored; an array that a group
// shares is one array, filled with NaN for each group, so that what was never written is noticed.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

#include "threads.hpp"

namespace gpu {

// Which group of threads is at work.
inline long group_number = 0;

inline void poison(void* memory, size_t bytes, long& last) {
  if (last == group_number) return;
  std::memset(memory, 0xff, bytes);
  last = group_number;
}

inline float half_to_float(uint16_t bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  float value;
  if (exponent == 31) {
    value = mantissa != 0 ? NAN : INFINITY;
  } else if (exponent == 0) {
    value = std::ldexp(static_cast<float>(mantissa), -24);
  } else {
    value = std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  }
  return bits >> 15 != 0 ? -value : value;
}

inline uint16_t float_to_half(float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const float size = std::fabs(value);
  if (std::isnan(value)) return sign | 0x7e00;
  if (size >= 65520.0f) return sign | 0x7c00;
  if (size == 0.0f) return sign;
  int exponent = 0;
  std::frexp(size, &exponent);
  // Multiples of the distance between neighbors; the sum carries into the exponent by itself.
  const int lowest = std::max(exponent - 11, -24);
  const int steps = static_cast<int>(std::nearbyint(std::ldexp(size, -lowest)));
  return sign | static_cast<uint16_t>(lowest == -24 ? steps : (lowest + 24) * 1024 + steps);
}

}  // namespace gpu

struct half {
  uint16_t bits;
  half() = default;
  explicit half(float value) : bits(gpu::float_to_half(value)) {}
  explicit operator float() const { return gpu::half_to_float(bits); }
};

struct uint3 {
  unsigned x, y, z;
};

struct ulong2 {
  ulong2(unsigned long x, unsigned long y) : x(x), y(y) {}
  unsigned long x, y;
};

template <class To, class From>
To as_type(From from) {
  static_assert(sizeof(To) == sizeof(From), "");
  To to;
  std::memcpy(&to, &from, sizeof(To));
  return to;
}

using std::max;
using std::min;

namespace precise {
inline float exp(float x) { return std::exp(x); }
inline float log(float x) { return std::log(x); }
inline float sqrt(float x) { return std::sqrt(x); }
inline float tanh(float x) { return std::tanh(x); }
}  // namespace precise

enum class mem_flags { mem_none, mem_device, mem_threadgroup };
inline void threadgroup_barrier(mem_flags) { gpu::sync_block(); }
inline void simdgroup_barrier(mem_flags) { gpu::sync_lanes(); }

// The first lane has the values of all.
template <class T, int COLUMNS, int ROWS>
struct simdgroup_matrix {
  T value[ROWS][COLUMNS];
};
typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;

template <class T, int COLUMNS, int ROWS>
simdgroup_matrix<T, COLUMNS, ROWS> make_filled_simdgroup_matrix(T value) {
  simdgroup_matrix<T, COLUMNS, ROWS> matrix;
  for (auto& row : matrix.value) std::fill(row, row + COLUMNS, value);
  return matrix;
}

inline void simdgroup_load(simdgroup_float8x8& matrix, const float* from, unsigned long stride,
                           ulong2 origin, bool transposed) {
  if (gpu::lane() != 0) return;
  from += origin.y * stride + origin.x;
  for (int i = 0; i < 8; ++i) {
    for (int j = 0; j < 8; ++j) matrix.value[i][j] = transposed ? from[j * stride + i] : from[i * stride + j];
  }
}

inline void simdgroup_store(const simdgroup_float8x8& matrix, float* to, unsigned long stride) {
  if (gpu::lane() != 0) return;
  for (int i = 0; i < 8; ++i) {
    for (int j = 0; j < 8; ++j) to[i * stride + j] = matrix.value[i][j];
  }
}

inline void simdgroup_multiply_accumulate(simdgroup_float8x8& d, const simdgroup_float8x8& a,
                                          const simdgroup_float8x8& b, const simdgroup_float8x8& c) {
  if (gpu::lane() != 0) return;
  simdgroup_float8x8 sum = c;
  for (int i = 0; i < 8; ++i) {
    for (int k = 0; k < 8; ++k) {
      for (int j = 0; j < 8; ++j) sum.value[i][j] += a.value[i][k] * b.value[k][j];
    }
  }
  d = sum;
}

#define UNROLL
#define SHARED(type, name, count)        \
  static type name[count];               \
  static long name##_group = 0;          \
  gpu::poison(name, sizeof(name), name##_group)

// Last: these are names elsewhere.
#define kernel
#define device
#define constant const
#define threadgroup
#define thread
