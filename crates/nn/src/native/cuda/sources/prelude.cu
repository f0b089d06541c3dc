// What all sources of kernels begin with. Whoever compiles them defines:
//   VALUE  0 f32, 1 bf16, 2 f16: the type of activations
//   WIDTH  activations that a thread loads at once; it divides what they lie in rows of
//   WIDE   1 where a tensor may have more values than an int counts
//   CURVE  the activation, by its number in curve.cu

#ifndef KERNEL
#define KERNEL extern "C" __global__ void __launch_bounds__(256)
#define DEVICE __device__ __forceinline__
#endif

#define BLOCK 256

#if WIDE
typedef long long Index;
#else
typedef int Index;
#endif

#if VALUE == 0
typedef float Value;

DEVICE float get(Value value) { return value; }
DEVICE Value put(float value) { return value; }
#elif VALUE == 1
typedef unsigned short Value;

DEVICE float get(Value value) { return __uint_as_float((unsigned)value << 16); }

// The nearest, even on a tie; NaN stays NaN.
DEVICE Value put(float value) {
  const unsigned bits = __float_as_uint(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (Value)((bits >> 16) | 0x40u);
  return (Value)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
#else
typedef unsigned short Value;

#ifdef __CUDA_ARCH__
DEVICE float get(Value value) {
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(value));
  return wide;
}

DEVICE Value put(float value) {
  Value narrow;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(narrow) : "f"(value));
  return narrow;
}
#else
DEVICE float get(Value value) {
  const unsigned sign = (unsigned)(value & 0x8000u) << 16, rest = value & 0x7fffu;
  if (rest >= 0x7c00u) return __uint_as_float(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  if (rest >= 0x400u) return __uint_as_float(sign | ((rest << 13) + 0x38000000u));
  const float magnitude = (float)rest * 0x1p-24f;
  return sign ? -magnitude : magnitude;
}

DEVICE Value put(float value) {
  const unsigned bits = __float_as_uint(value);
  const unsigned sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
  if (rest > 0x7f800000u) return (Value)(sign | 0x7e00u);
  if (rest >= 0x477ff000u) return (Value)(sign | 0x7c00u);
  if (rest < 0x38800000u) {
    // Adding a half aligns the last bit of a small number with that of the sum, which is rounded.
    return (Value)(sign | (__float_as_uint(__uint_as_float(rest) + 0.5f) - 0x3f000000u));
  }
  return (Value)(sign | (rest - 0x38000000u + 0xfffu + (rest >> 13 & 1u)) >> 13);
}
#endif
#endif

struct __align__(sizeof(Value) * WIDTH) Pack {
  Value of[WIDTH];
};

DEVICE const Pack* packs_of(const Value* values) { return (const Pack*)values; }
DEVICE Pack* packs_of(Value* values) { return (Pack*)values; }

DEVICE Index thread_of_grid() { return (Index)blockIdx.x * BLOCK + threadIdx.x; }
DEVICE Index threads_of_grid() { return (Index)gridDim.x * BLOCK; }

// The work of a thread on a tensor (samples, voxels, packs of channels): one pack, in some voxels of a
// slab of one sample. Threads that lie side by side read packs that do.
struct Place {
  int pack;         // which pack of channels
  int lanes;        // threads side by side, on one voxel
  int row, rows;    // which of the voxels that a block reads at once
  int sample;
  int slab;
  Index from, to;   // voxels of the slab
  bool active;      // whether there is such a pack
};

DEVICE Place place_of(Index voxels, int packs, int slabs, int slab) {
  Place place;
  place.lanes = packs < BLOCK ? packs : BLOCK;
  const int tiles = (packs + place.lanes - 1) / place.lanes;
  const int tile = blockIdx.x % tiles, rest = blockIdx.x / tiles;
  place.slab = rest % slabs;
  place.sample = rest / slabs;
  place.pack = tile * place.lanes + threadIdx.x % place.lanes;
  place.row = threadIdx.x / place.lanes;
  place.rows = BLOCK / place.lanes;
  place.from = (Index)place.slab * slab;
  place.to = place.from + slab < voxels ? place.from + slab : voxels;
  place.active = place.row < place.rows && place.pack < packs;
  return place;
}
