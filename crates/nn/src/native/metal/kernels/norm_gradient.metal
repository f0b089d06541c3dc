// The gradient of a normalization and its activation. Here `delta` is the gradient before the activation,
// and `standard` the input less its mean, over its deviation.

// The sums over each chunk of `delta` and `delta * standard`, `(2, batch, chunks, channels)`.
kernel void norm_gradient_sums(constant Norm& norm [[buffer(0)]],
                               device const Element* x [[buffer(1)]],
                               device const Element* dy [[buffer(2)]],
                               device const float* mean [[buffer(3)]],
                               device const float* variance [[buffer(4)]],
                               device const float* weight [[buffer(5)]],
                               device const float* bias [[buffer(6)]],
                               device float* partial [[buffer(7)]],
                               uint3 group [[threadgroup_position_in_grid]],
                               uint index [[thread_index_in_threadgroup]]) {
  SHARED(float, sums, THREADS);
  constant Lanes& lanes = norm.lanes;
  const Share share = share_of(lanes, group, index);
  const Standard standard = standard_of(norm, mean, variance, weight, bias, share);
  const uint kind = norm.act.kind;
  float sum = 0.0f, product = 0.0f;
  for (uint base = share.begin; base < share.end; base += BLOCK * share.rows) {
    float block_sum = 0.0f, block_product = 0.0f;
    const uint end = min(base + BLOCK * share.rows, share.end);
    for (uint voxel = base; voxel < end; voxel += share.rows) {
      const uint at = value_of(lanes, share, voxel);
      const float centered = widen(x[at]) - standard.mean;
      const float before = centered * standard.scale + standard.bias;
      const float delta = widen(dy[at]) * act_slope(kind, standard.setting, before);
      block_sum += delta;
      block_product += delta * (centered * standard.factor);
    }
    sum += block_sum;
    product += block_product;
  }
  const float total_sum = sum_of_rows(sums, share, index, sum);
  const float total_product = sum_of_rows(sums, share, index, product);
  if (share.row == 0 && share.channel < lanes.channels) {
    const uint at = partial_of(lanes, share);
    partial[at] = total_sum;
    partial[lanes.batch * lanes.chunks * lanes.channels + at] = total_product;
  }
}

// The means over each cell, `(2, cells)`, of `delta * weight` and `delta * weight * standard`, from sums
// over voxels, `(2, batch, channels)`: what the gradient loses for statistics being functions of the input.
kernel void cell_means(constant Norm& norm [[buffer(0)]], device const float* sums [[buffer(1)]],
                       device const float* weight [[buffer(2)]], device float* means [[buffer(3)]],
                       uint3 group [[threadgroup_position_in_grid]],
                       uint index [[thread_index_in_threadgroup]]) {
  const uint cells = cell_count(norm), size = cell_size(norm);
  const uint channels = norm.lanes.channels, products = norm.lanes.batch * channels;
  const uint cell = group.x * THREADS + index;
  if (cell >= cells) return;
  float sum = 0.0f, product = 0.0f;
  for (uint i = 0; i < size; ++i) {
    const uint member = member_of(norm, cell, i);
    const float factor = norm.has_weight != 0 ? weight[member % channels] : 1.0f;
    sum += sums[member] * factor;
    product += sums[products + member] * factor;
  }
  const float count = static_cast<float>(size) * static_cast<float>(norm.lanes.voxels);
  means[cell] = sum / count;
  means[cells + cell] = product / count;
}

// The gradient with respect to the input: `factor * (delta * weight - mean - standard * mean)`, where the
// means are those of `cell_means`, unless the statistics were given.
kernel void norm_input_gradient(constant Norm& norm [[buffer(0)]],
                                device const Element* x [[buffer(1)]],
                                device const Element* dy [[buffer(2)]],
                                device const float* mean [[buffer(3)]],
                                device const float* variance [[buffer(4)]],
                                device const float* weight [[buffer(5)]],
                                device const float* bias [[buffer(6)]],
                                device const float* means [[buffer(7)]],
                                device Element* dx [[buffer(8)]],
                                uint3 group [[threadgroup_position_in_grid]],
                                uint index [[thread_index_in_threadgroup]]) {
  constant Lanes& lanes = norm.lanes;
  const Share share = share_of(lanes, group, index);
  const Standard standard = standard_of(norm, mean, variance, weight, bias, share);
  const uint kind = norm.act.kind;
  float lost = 0.0f, lost_by_distance = 0.0f;
  if (norm.given == 0) {
    const uint cell = cell_of(norm, share.sample, min(share.channel, lanes.channels - 1));
    lost = means[cell] * standard.factor;
    lost_by_distance = means[cell_count(norm) + cell] * standard.factor * standard.factor;
  }
  for (uint voxel = share.begin; voxel < share.end; voxel += share.rows) {
    const uint at = value_of(lanes, share, voxel);
    const float centered = widen(x[at]) - standard.mean;
    const float before = centered * standard.scale + standard.bias;
    const float delta = widen(dy[at]) * act_slope(kind, standard.setting, before);
    dx[at] = narrow(delta * standard.scale - lost - centered * lost_by_distance);
  }
}
