// Linear maps along one axis, and channels side by side.

struct AxisMap {
  uint outer;
  uint inputs;
  uint outputs;
  uint inner;
};

// From `(outer, inputs, inner)` to `(outer, outputs, inner)`: output `o` is the sum of its terms,
// `starts[o]` up to `starts[o + 1]`, each an input and a factor.
kernel void map_axis(constant AxisMap& map [[buffer(0)]], device const Element* x [[buffer(1)]],
                     device const uint* starts [[buffer(2)]],
                     device const uint* inputs [[buffer(3)]],
                     device const float* factors [[buffer(4)]], device Element* y [[buffer(5)]],
                     uint3 group [[threadgroup_position_in_grid]],
                     uint index [[thread_index_in_threadgroup]]) {
  const uint at = group.x * THREADS + index;
  if (at >= map.outer * map.outputs * map.inner) return;
  const uint output = at / map.inner % map.outputs, outer = at / map.inner / map.outputs;
  float sum = 0.0f;
  for (uint term = starts[output]; term < starts[output + 1]; ++term) {
    const uint from = (outer * map.inputs + inputs[term]) * map.inner + at % map.inner;
    sum += factors[term] * widen(x[from]);
  }
  y[at] = narrow(sum);
}

struct Join {
  uint voxels;
  uint first;   // channels
  uint second;  // channels
};

kernel void join(constant Join& setting [[buffer(0)]], device const Element* first [[buffer(1)]],
                 device const Element* second [[buffer(2)]], device Element* y [[buffer(3)]],
                 uint3 group [[threadgroup_position_in_grid]],
                 uint index [[thread_index_in_threadgroup]]) {
  const uint at = group.x * THREADS + index, width = setting.first + setting.second;
  if (at >= setting.voxels * width) return;
  const uint voxel = at / width, channel = at % width;
  y[at] = channel < setting.first ? first[voxel * setting.first + channel]
                                  : second[voxel * setting.second + channel - setting.first];
}
