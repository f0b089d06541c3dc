// The gradient of the weight of a convolution or its adjoint: for each coarse channel, tap and fine
// channel, the sum over coarse voxels of the product of both sides. Voxels are split into runs, whose sums
// are added up in order, so that the result has the same bits each time.

struct WeightGradient {
  Geometry geometry;
  uint splits;
  uint run;  // voxels of a split
};

// One tile of `ROWS` times 32 coarse channels and `COLUMNS` times 32 pairs of tap and fine channel.
template <int ROWS, int COLUMNS>
inline void weight_gradient(constant WeightGradient& setting, device const Element* fine,
                            device const Element* coarse, device float* sums,
                            threadgroup Row* voxels, threadgroup float* left,
                            threadgroup float* right, threadgroup float* scratch, uint3 group,
                            uint index, uint simd, uint lane) {
  constant Geometry& geometry = setting.geometry;
  const Walks walks = walks_of(geometry, 0);
  const uint part = group.z / setting.splits, split = group.z % setting.splits;
  const uint coarse_channels = geometry.coarse_channels, fine_channels = geometry.fine_channels;
  const uint pairs = taps_of(walks) * fine_channels;
  const uint places = places_of(walks, geometry.batch);
  const uint begin = min(split * setting.run, places), end = min(begin + setting.run, places);
  const uint first_row = group.y * (ROWS * SIDE), first_column = group.x * (COLUMNS * SIDE);
  const int left_stride = ROWS * SIDE + SKEW, right_stride = COLUMNS * SIDE + SKEW;
  device const Element* seen = fine + part * fine_channels;
  device const Element* given = coarse + part * coarse_channels;

  // Each thread reads the same pair for all voxels.
  const uint own = index % (COLUMNS * SIDE);
  const Column column = column_of(walks, fine_channels, first_column + own);
  const uint simd_row = simd / COLUMNS * SIDE, simd_column = simd % COLUMNS * SIDE;
  Tile tile;
  clear(tile);
  for (uint base = begin; base < end; base += TILE_THREADS) {
    voxels[index] = row_of(walks, end, base + index);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint k = 0; k < TILE_THREADS && base + k < end; k += DEPTH) {
      for (uint i = index; i < DEPTH * ROWS * SIDE; i += TILE_THREADS) {
        const uint row = i / (ROWS * SIDE), channel = first_row + i % (ROWS * SIDE);
        const uint place = base + k + row;
        const bool exists = place < end && channel < coarse_channels;
        left[row * left_stride + i % (ROWS * SIDE)] =
            exists ? widen(given[place * geometry.groups * coarse_channels + channel]) : 0.0f;
      }
      for (uint i = index / (COLUMNS * SIDE); i < DEPTH; i += TILE_THREADS / (COLUMNS * SIDE)) {
        const int voxel = voxel_of(walks, voxels[k + i], column);
        const uint at = static_cast<uint>(voxel) * geometry.groups * fine_channels + column.channel;
        right[i * right_stride + own] = voxel >= 0 ? widen(seen[at]) : 0.0f;
      }
      threadgroup_barrier(mem_flags::mem_threadgroup);
      multiply<true>(tile, left + simd_row, left_stride, right + simd_column, right_stride, lane);
      threadgroup_barrier(mem_flags::mem_threadgroup);
    }
  }

  threadgroup float* block = scratch + simd * SCRATCH;
  device float* out = sums + (split * geometry.groups + part) * coarse_channels * pairs;
  UNROLL
  for (int i = 0; i < 4; ++i) {
    UNROLL
    for (int j = 0; j < 4; ++j) {
      put_block(tile, i, j, block, lane);
      simdgroup_barrier(mem_flags::mem_threadgroup);
      for (uint at = lane; at < SCRATCH; at += LANES) {
        const uint row = first_row + simd_row + 8 * i + at / 8;
        const uint pair = first_column + simd_column + 8 * j + at % 8;
        if (row < coarse_channels && pair < pairs) out[row * pairs + pair] = block[at];
      }
      simdgroup_barrier(mem_flags::mem_threadgroup);
    }
  }
}

// For many coarse channels.
kernel void weight_gradient_wide(constant WeightGradient& setting [[buffer(0)]],
                                 device const Element* fine [[buffer(1)]],
                                 device const Element* coarse [[buffer(2)]],
                                 device float* sums [[buffer(3)]],
                                 uint3 group [[threadgroup_position_in_grid]],
                                 uint index [[thread_index_in_threadgroup]],
                                 uint simd [[simdgroup_index_in_threadgroup]],
                                 uint lane [[thread_index_in_simdgroup]]) {
  SHARED(Row, voxels, TILE_THREADS);
  SHARED(float, left, DEPTH * (2 * SIDE + SKEW));
  SHARED(float, right, DEPTH * (2 * SIDE + SKEW));
  SHARED(float, scratch, SIMDS * SCRATCH);
  weight_gradient<2, 2>(setting, fine, coarse, sums, voxels, left, right, scratch, group, index,
                        simd, lane);
}

// For at most 32 coarse channels.
kernel void weight_gradient_narrow(constant WeightGradient& setting [[buffer(0)]],
                                   device const Element* fine [[buffer(1)]],
                                   device const Element* coarse [[buffer(2)]],
                                   device float* sums [[buffer(3)]],
                                   uint3 group [[threadgroup_position_in_grid]],
                                   uint index [[thread_index_in_threadgroup]],
                                   uint simd [[simdgroup_index_in_threadgroup]],
                                   uint lane [[thread_index_in_simdgroup]]) {
  SHARED(Row, voxels, TILE_THREADS);
  SHARED(float, left, DEPTH * (SIDE + SKEW));
  SHARED(float, right, DEPTH * (4 * SIDE + SKEW));
  SHARED(float, scratch, SIMDS * SCRATCH);
  weight_gradient<1, 4>(setting, fine, coarse, sums, voxels, left, right, scratch, group, index,
                        simd, lane);
}

// Adds up the sums of all splits, `(split, coarse, tap, fine of a group)`, into a gradient with the shape
// of the weight, `(coarse, fine of a group, tap)`.
kernel void merge_weight_gradient(constant WeightGradient& setting [[buffer(0)]],
                                  device const float* sums [[buffer(1)]],
                                  device float* gradient [[buffer(2)]],
                                  uint3 group [[threadgroup_position_in_grid]],
                                  uint index [[thread_index_in_threadgroup]]) {
  constant Geometry& geometry = setting.geometry;
  const uint taps = geometry.axes[0].taps * geometry.axes[1].taps * geometry.axes[2].taps;
  const uint fine = geometry.fine_channels;
  const uint count = geometry.groups * geometry.coarse_channels * taps * fine;
  const uint at = group.x * THREADS + index;
  if (at >= count) return;
  float sum = 0.0f;
  for (uint split = 0; split < setting.splits; ++split) sum += sums[split * count + at];
  const uint channel = at % fine, tap = at / fine % taps, coarse = at / fine / taps;
  gradient[(coarse * fine + channel) * taps + tap] = sum;
}
