// The largest value of each window.

struct PoolAxis {
  uint input;
  uint output;
  uint window;
  uint stride;
  uint padding;
};

struct Pool {
  uint batch;
  uint channels;
  PoolAxis axes[3];  // slowest first
};

// Voxels, or windows, from `begin` to `end`.
struct Span {
  uint begin;
  uint end;
};

// The part of a window that lies in the input.
inline Span window_of(constant PoolAxis& axis, uint output) {
  const uint begin = output * axis.stride, end = begin + axis.window;
  Span span;
  span.begin = begin > axis.padding ? begin - axis.padding : 0;
  span.end = min(end > axis.padding ? end - axis.padding : 0, axis.input);
  return span;
}

// The windows that a voxel lies in.
inline Span windows_with(constant PoolAxis& axis, uint voxel) {
  const uint at = voxel + axis.padding;
  Span span;
  span.begin = at < axis.window ? 0 : (at - axis.window) / axis.stride + 1;
  span.end = min(at / axis.stride + 1, axis.output);
  return span;
}

// The largest value of a window, and the voxel of the sample that has it: the first, but NaN wins.
struct Largest {
  float value;
  uint voxel;
};

inline Largest largest_of(constant PoolAxis& az, constant PoolAxis& ay, constant PoolAxis& ax,
                          uint channels, device const Element* sample, uint z, uint y, uint x) {
  const Span in_z = window_of(az, z), in_y = window_of(ay, y), in_x = window_of(ax, x);
  Largest largest;
  largest.value = 0.0f;
  largest.voxel = 0;
  bool first = true;
  for (uint k = in_z.begin; k < in_z.end; ++k) {
    for (uint j = in_y.begin; j < in_y.end; ++j) {
      for (uint i = in_x.begin; i < in_x.end; ++i) {
        const uint voxel = (k * ay.input + j) * ax.input + i;
        const float value = widen(sample[voxel * channels]);
        if (first || value > largest.value || is_nan(value)) {
          largest.value = value;
          largest.voxel = voxel;
        }
        first = false;
      }
    }
  }
  return largest;
}

kernel void max_pool(constant Pool& pool [[buffer(0)]], device const Element* x [[buffer(1)]],
                     device Element* y [[buffer(2)]], uint3 group [[threadgroup_position_in_grid]],
                     uint index [[thread_index_in_threadgroup]]) {
  constant PoolAxis& az = pool.axes[0];
  constant PoolAxis& ay = pool.axes[1];
  constant PoolAxis& ax = pool.axes[2];
  const uint at = group.x * THREADS + index, channels = pool.channels;
  if (at >= pool.batch * az.output * ay.output * ax.output * channels) return;
  const uint voxel = at / channels, line = voxel / ax.output, plane = line / ay.output;
  const uint sample = plane / az.output * az.input * ay.input * ax.input * channels;
  const Largest largest = largest_of(az, ay, ax, channels, x + sample + at % channels,
                                     plane % az.output, line % ay.output, voxel % ax.output);
  y[at] = narrow(largest.value);
}

// For each voxel of the input, the sum over the windows that have it as their largest.
kernel void max_pool_gradient(constant Pool& pool [[buffer(0)]],
                              device const Element* x [[buffer(1)]],
                              device const Element* dy [[buffer(2)]],
                              device Element* dx [[buffer(3)]],
                              uint3 group [[threadgroup_position_in_grid]],
                              uint index [[thread_index_in_threadgroup]]) {
  constant PoolAxis& az = pool.axes[0];
  constant PoolAxis& ay = pool.axes[1];
  constant PoolAxis& ax = pool.axes[2];
  const uint at = group.x * THREADS + index, channels = pool.channels;
  const uint voxels = az.input * ay.input * ax.input;
  if (at >= pool.batch * voxels * channels) return;
  const uint channel = at % channels, sample = at / channels / voxels;
  const uint voxel = at / channels % voxels, line = voxel / ax.input;
  const Span in_z = windows_with(az, line / ay.input), in_y = windows_with(ay, line % ay.input);
  const Span in_x = windows_with(ax, voxel % ax.input);
  device const Element* seen = x + sample * voxels * channels + channel;
  float sum = 0.0f;
  for (uint k = in_z.begin; k < in_z.end; ++k) {
    for (uint j = in_y.begin; j < in_y.end; ++j) {
      for (uint i = in_x.begin; i < in_x.end; ++i) {
        if (largest_of(az, ay, ax, channels, seen, k, j, i).voxel != voxel) continue;
        const uint window = ((sample * az.output + k) * ay.output + j) * ax.output + i;
        sum += widen(dy[window * channels + channel]);
      }
    }
  }
  dx[at] = narrow(sum);
}
