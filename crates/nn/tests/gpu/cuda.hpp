// What CUDA sources need of their language to be compiled as C++.
#pragma once
#include <cmath>
#include <cstring>

#include "threads.hpp"

namespace cuda {

struct Dim {
  unsigned x;
};

inline Dim block, grid;
inline unsigned lone_thread;  // of a kernel without barriers, whose threads run one after the other
inline int curve;             // the activation, which a GPU's compiler is told

inline unsigned thread() { return gpu::here ? gpu::here->current : lone_thread; }

}  // namespace cuda

#define KERNEL static void
#define DEVICE inline
#define __shared__ static
#define __align__(bytes) alignas(bytes)
#define __syncthreads gpu::sync_block
#define threadIdx (cuda::Dim{cuda::thread()})
#define blockIdx cuda::block
#define gridDim cuda::grid
#define CURVE cuda::curve

inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
