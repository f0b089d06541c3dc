// Products of tiles in shared memory: each SIMD group of 32 lanes adds to 32 rows and 32 columns.
//
// MATRICES says whether the device multiplies matrices of 8 by 8 by itself.

enum {
  LANES = 32,
  SIDE = 32,           // of a tile
  DEPTH = 16,          // of the products that are added at once
  SCRATCH = 64,        // values of a block of 8 by 8
  SIMDS = 4,           // SIMD groups of a group that multiplies tiles
  TILE_THREADS = 128,  // its threads
  SKEW = 4             // values between rows, which puts columns into different banks
};

#if MATRICES
struct Tile {
  simdgroup_float8x8 block[4][4];
};

inline void clear(thread Tile& tile) {
  UNROLL
  for (int i = 0; i < 4; ++i) {
    UNROLL
    for (int j = 0; j < 4; ++j) tile.block[i][j] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
  }
}

// Adds the product of `left`, rows of 32 by DEPTH or, TRANSPOSED, DEPTH by 32, and `right`, DEPTH by 32.
template <bool TRANSPOSED>
inline void multiply(thread Tile& tile, threadgroup const float* left, int left_stride,
                     threadgroup const float* right, int right_stride, uint lane) {
  UNROLL
  for (int k = 0; k < DEPTH; k += 8) {
    simdgroup_float8x8 a[4];
    simdgroup_float8x8 b[4];
    UNROLL
    for (int i = 0; i < 4; ++i) {
      const int at = TRANSPOSED ? k * left_stride + 8 * i : 8 * i * left_stride + k;
      simdgroup_load(a[i], left + at, left_stride, ulong2(0, 0), TRANSPOSED);
      simdgroup_load(b[i], right + k * right_stride + 8 * i, right_stride, ulong2(0, 0), false);
    }
    UNROLL
    for (int i = 0; i < 4; ++i) {
      UNROLL
      for (int j = 0; j < 4; ++j) {
        simdgroup_multiply_accumulate(tile.block[i][j], a[i], b[j], tile.block[i][j]);
      }
    }
  }
}

// Writes block `(i, j)` of the tile; whoever reads it waits for the SIMD group first.
inline void put_block(thread Tile& tile, int i, int j, threadgroup float* scratch, uint lane) {
  simdgroup_store(tile.block[i][j], scratch, 8);
}
#else
// Each lane has 4 rows of 8 columns.
struct Tile {
  float part[4][8];
};

inline void clear(thread Tile& tile) {
  UNROLL
  for (int i = 0; i < 4; ++i) {
    UNROLL
    for (int j = 0; j < 8; ++j) tile.part[i][j] = 0.0f;
  }
}

template <bool TRANSPOSED>
inline void multiply(thread Tile& tile, threadgroup const float* left, int left_stride,
                     threadgroup const float* right, int right_stride, uint lane) {
  const int row = static_cast<int>(lane) / 4 * 4, column = static_cast<int>(lane) % 4 * 8;
  for (int k = 0; k < DEPTH; ++k) {
    float b[8];
    UNROLL
    for (int j = 0; j < 8; ++j) b[j] = right[k * right_stride + column + j];
    UNROLL
    for (int i = 0; i < 4; ++i) {
      const float a = TRANSPOSED ? left[k * left_stride + row + i] : left[(row + i) * left_stride + k];
      UNROLL
      for (int j = 0; j < 8; ++j) tile.part[i][j] += a * b[j];
    }
  }
}

inline void put_block(thread Tile& tile, int i, int j, threadgroup float* scratch, uint lane) {
  const int at = static_cast<int>(lane);
  if (at % 4 != j || at / 8 != i) return;
  UNROLL
  for (int row = 0; row < 4; ++row) {
    UNROLL
    for (int column = 0; column < 8; ++column) {
      scratch[(at / 4 % 2 * 4 + row) * 8 + column] = tile.part[row][column];
    }
  }
}
#endif
