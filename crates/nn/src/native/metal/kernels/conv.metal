// The convolution and its adjoint, as a product of what places see and packed weights.

// Packs a weight, `(coarse, fine of a group, taps)`, into `(group, tap, input, output)`.
kernel void pack_weight(constant Geometry& geometry [[buffer(0)]],
                        device const float* weight [[buffer(1)]], device float* packed [[buffer(2)]],
                        uint3 group [[threadgroup_position_in_grid]],
                        uint index [[thread_index_in_threadgroup]]) {
  const uint inputs = inputs_of(geometry), outputs = outputs_of(geometry);
  const uint taps = geometry.axes[0].taps * geometry.axes[1].taps * geometry.axes[2].taps;
  const uint at = group.x * THREADS + index;
  if (at >= geometry.groups * taps * inputs * outputs) return;
  const uint output = at % outputs, input = at / outputs % inputs;
  const uint tap = at / outputs / inputs % taps, part = at / outputs / inputs / taps;
  const uint coarse = geometry.adjoint != 0 ? input : output;
  const uint fine = geometry.adjoint != 0 ? output : input;
  const uint row = part * geometry.coarse_channels + coarse;
  packed[at] = weight[(row * geometry.fine_channels + fine) * taps + tap];
}

// One tile of `ROWS` times 32 places and `COLUMNS` times 32 channels.
template <int ROWS, int COLUMNS>
inline void convolve(constant Geometry& geometry, device const Element* x,
                     device const float* weight, device const float* bias, device Element* y,
                     threadgroup Row* rows, threadgroup Column* columns, threadgroup float* left,
                     threadgroup float* right, threadgroup float* scratch, uint3 group, uint index,
                     uint simd, uint lane) {
  const uint phases = phases_of(geometry);
  const uint part = group.z / phases;
  const Walks walks = walks_of(geometry, group.z % phases);
  const uint inputs = inputs_of(geometry), outputs = outputs_of(geometry);
  const uint in_channels = geometry.groups * inputs, out_channels = geometry.groups * outputs;
  const uint taps = geometry.axes[0].taps * geometry.axes[1].taps * geometry.axes[2].taps;
  const uint places = places_of(walks, geometry.batch), depth = taps_of(walks) * inputs;
  const uint first_column = group.y * (COLUMNS * SIDE);
  const int right_stride = COLUMNS * SIDE + SKEW, left_stride = DEPTH + SKEW;
  device const Element* seen = x + part * inputs;
  device const float* factors = weight + part * taps * inputs * outputs;

  for (uint i = index; i < ROWS * SIDE; i += TILE_THREADS) {
    rows[i] = row_of(walks, places, group.x * (ROWS * SIDE) + i);
  }
  if (index < DEPTH) columns[index] = column_of(walks, inputs, index);
  threadgroup_barrier(mem_flags::mem_threadgroup);

  const uint simd_row = simd / COLUMNS * SIDE, simd_column = simd % COLUMNS * SIDE;
  Tile tile;
  clear(tile);
  uint turn = 0;
  for (uint k = 0; k < depth; k += DEPTH) {
    threadgroup const Column* now = columns + turn * DEPTH;
    turn = 1 - turn;
    // The columns of the next round, while those of this one are read.
    if (index < DEPTH) columns[turn * DEPTH + index] = column_of(walks, inputs, k + DEPTH + index);
    const Column column = now[index % DEPTH];
    for (uint i = index / DEPTH; i < ROWS * SIDE; i += TILE_THREADS / DEPTH) {
      const int voxel = voxel_of(walks, rows[i], column);
      const uint at = static_cast<uint>(voxel) * in_channels + column.channel;
      left[i * left_stride + index % DEPTH] = voxel >= 0 ? widen(seen[at]) : 0.0f;
    }
    for (uint i = index; i < DEPTH * COLUMNS * SIDE; i += TILE_THREADS) {
      const uint row = i / (COLUMNS * SIDE), output = first_column + i % (COLUMNS * SIDE);
      const bool exists = k + row < depth && output < outputs;
      right[row * right_stride + i % (COLUMNS * SIDE)] =
          exists ? factors[now[row].weight * outputs + output] : 0.0f;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    multiply<false>(tile, left + simd_row * left_stride, left_stride, right + simd_column,
                    right_stride, lane);
    threadgroup_barrier(mem_flags::mem_threadgroup);
  }

  threadgroup float* block = scratch + simd * SCRATCH;
  UNROLL
  for (int i = 0; i < 4; ++i) {
    UNROLL
    for (int j = 0; j < 4; ++j) {
      put_block(tile, i, j, block, lane);
      simdgroup_barrier(mem_flags::mem_threadgroup);
      for (uint at = lane; at < SCRATCH; at += LANES) {
        const Row row = rows[simd_row + 8 * i + at / 8];
        const uint output = first_column + simd_column + 8 * j + at % 8;
        if (row.sample >= 0 && output < outputs) {
          const uint channel = part * outputs + output;
          const float offset = geometry.has_bias != 0 ? bias[channel] : 0.0f;
          y[row.out * out_channels + channel] = narrow(block[at] + offset);
        }
      }
      simdgroup_barrier(mem_flags::mem_threadgroup);
    }
  }
}

// For many channels out.
kernel void convolve_wide(constant Geometry& geometry [[buffer(0)]],
                          device const Element* x [[buffer(1)]],
                          device const float* weight [[buffer(2)]],
                          device const float* bias [[buffer(3)]], device Element* y [[buffer(4)]],
                          uint3 group [[threadgroup_position_in_grid]],
                          uint index [[thread_index_in_threadgroup]],
                          uint simd [[simdgroup_index_in_threadgroup]],
                          uint lane [[thread_index_in_simdgroup]]) {
  SHARED(Row, rows, 2 * SIDE);
  SHARED(Column, columns, 2 * DEPTH);
  SHARED(float, left, 2 * SIDE * (DEPTH + SKEW));
  SHARED(float, right, DEPTH * (2 * SIDE + SKEW));
  SHARED(float, scratch, SIMDS * SCRATCH);
  convolve<2, 2>(geometry, x, weight, bias, y, rows, columns, left, right, scratch, group, index,
                 simd, lane);
}

// For at most 32 channels out.
kernel void convolve_narrow(constant Geometry& geometry [[buffer(0)]],
                            device const Element* x [[buffer(1)]],
                            device const float* weight [[buffer(2)]],
                            device const float* bias [[buffer(3)]], device Element* y [[buffer(4)]],
                            uint3 group [[threadgroup_position_in_grid]],
                            uint index [[thread_index_in_threadgroup]],
                            uint simd [[simdgroup_index_in_threadgroup]],
                            uint lane [[thread_index_in_simdgroup]]) {
  SHARED(Row, rows, 4 * SIDE);
  SHARED(Column, columns, 2 * DEPTH);
  SHARED(float, left, 4 * SIDE * (DEPTH + SKEW));
  SHARED(float, right, DEPTH * (SIDE + SKEW));
  SHARED(float, scratch, SIMDS * SCRATCH);
  convolve<4, 1>(geometry, x, weight, bias, y, rows, columns, left, right, scratch, group, index,
                 simd, lane);
}

// For so few channels of a group that tiles would be empty for the most part: a thread for each value.
kernel void convolve_plain(constant Geometry& geometry [[buffer(0)]],
                           device const Element* x [[buffer(1)]],
                           device const float* weight [[buffer(2)]],
                           device const float* bias [[buffer(3)]], device Element* y [[buffer(4)]],
                           uint3 group [[threadgroup_position_in_grid]],
                           uint index [[thread_index_in_threadgroup]]) {
  const uint phases = phases_of(geometry);
  const uint part = group.z / phases;
  const Walks walks = walks_of(geometry, group.z % phases);
  const uint inputs = inputs_of(geometry), outputs = outputs_of(geometry);
  const uint taps = geometry.axes[0].taps * geometry.axes[1].taps * geometry.axes[2].taps;
  const uint at = group.x * THREADS + index;
  const Row row = row_of(walks, places_of(walks, geometry.batch), at / outputs);
  if (row.sample < 0) return;
  const uint output = at % outputs, channel = part * outputs + output;
  const uint seen_taps = taps_of(walks);
  float sum = geometry.has_bias != 0 ? bias[channel] : 0.0f;
  for (uint tap = 0; tap < seen_taps; ++tap) {
    const Column column = column_of(walks, inputs, tap * inputs);
    const int voxel = voxel_of(walks, row, column);
    if (voxel < 0) continue;
    device const Element* seen = x + (static_cast<uint>(voxel) * geometry.groups + part) * inputs;
    device const float* factors =
        weight + (part * taps * inputs + column.weight) * outputs + output;
    for (uint input = 0; input < inputs; ++input) {
      sum += widen(seen[input]) * factors[input * outputs];
    }
  }
  y[row.out * geometry.groups * outputs + channel] = narrow(sum);
}
