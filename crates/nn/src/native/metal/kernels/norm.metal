// Normalization and the activation after it.

enum { CELLS_INSTANCE, CELLS_GROUP, CELLS_BATCH };

struct Norm {
  Lanes lanes;
  uint cells;   // which values share a mean: those of a channel and sample, of a block, of a channel
  uint blocks;  // of channels, where blocks share one
  float eps;
  uint has_weight;
  uint has_bias;
  uint given;  // whether the statistics are not functions of the input
  Act act;
};

// The cell of a channel of a sample.
inline uint cell_of(constant Norm& norm, uint sample, uint channel) {
  const uint channels = norm.lanes.channels;
  if (norm.cells == CELLS_INSTANCE) return sample * channels + channel;
  if (norm.cells == CELLS_GROUP) {
    return sample * norm.blocks + channel / (channels / norm.blocks);
  }
  return channel;
}

inline uint cell_count(constant Norm& norm) {
  if (norm.cells == CELLS_INSTANCE) return norm.lanes.batch * norm.lanes.channels;
  return norm.cells == CELLS_GROUP ? norm.lanes.batch * norm.blocks : norm.lanes.channels;
}

// Pairs of sample and channel that make up a cell.
inline uint cell_size(constant Norm& norm) {
  if (norm.cells == CELLS_INSTANCE) return 1;
  return norm.cells == CELLS_GROUP ? norm.lanes.channels / norm.blocks : norm.lanes.batch;
}

// Such a pair, as `sample * channels + channel`.
inline uint member_of(constant Norm& norm, uint cell, uint member) {
  if (norm.cells == CELLS_INSTANCE) return cell;
  if (norm.cells == CELLS_GROUP) return cell * (norm.lanes.channels / norm.blocks) + member;
  return member * norm.lanes.channels + cell;
}

// How many values, their mean, and the sum of their squared deviations.
struct Moments {
  float count;
  float mean;
  float squares;
};

inline Moments no_moments() {
  Moments moments;
  moments.count = moments.mean = moments.squares = 0.0f;
  return moments;
}

// Those of both sets of values together (Chan, Golub and others, 1983).
inline Moments merged(Moments a, Moments b) {
  const float count = a.count + b.count;
  if (count == 0.0f) return a;
  const float apart = b.mean - a.mean, share = b.count / count;
  Moments both;
  both.count = count;
  both.mean = a.mean + apart * share;
  both.squares = a.squares + b.squares + apart * apart * a.count * share;
  return both;
}

// Merges what `rows` threads found that are `width` apart; the result is in the first of them.
inline Moments merged_rows(threadgroup Moments* found, uint row, uint rows, uint index,
                           Moments own) {
  const uint width = THREADS / rows;
  found[index] = own;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (uint left = rows / 2; left > 0; left /= 2) {
    if (row < left) {
      const Moments mine = found[index], other = found[index + left * width];
      found[index] = merged(mine, other);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
  }
  return found[index];
}

// Means and sums of squared deviations of each chunk, `(2, batch, chunks, channels)`.
kernel void moments(constant Norm& norm [[buffer(0)]], device const Element* x [[buffer(1)]],
                    device float* partial [[buffer(2)]],
                    uint3 group [[threadgroup_position_in_grid]],
                    uint index [[thread_index_in_threadgroup]]) {
  SHARED(Moments, found, THREADS);
  constant Lanes& lanes = norm.lanes;
  const Share share = share_of(lanes, group, index);
  Moments own = no_moments();
  for (uint base = share.begin; base < share.end; base += BLOCK * share.rows) {
    const uint end = min(base + BLOCK * share.rows, share.end);
    // Distances from the first value: so no digits are lost to a mean far from 0.
    const float shift = widen(x[value_of(lanes, share, base)]);
    float count = 0.0f, sum = 0.0f, square = 0.0f;
    for (uint voxel = base; voxel < end; voxel += share.rows) {
      const float distance = widen(x[value_of(lanes, share, voxel)]) - shift;
      count += 1.0f;
      sum += distance;
      square += distance * distance;
    }
    Moments block;
    block.count = count;
    block.mean = shift + sum / count;
    block.squares = max(square - sum * (sum / count), 0.0f);
    own = merged(own, block);
  }
  const Moments all = merged_rows(found, share.row, share.rows, index, own);
  if (share.row == 0 && share.channel < lanes.channels) {
    const uint at = partial_of(lanes, share);
    partial[at] = all.mean;
    partial[lanes.batch * lanes.chunks * lanes.channels + at] = all.squares;
  }
}

// Means and mean square deviations of each cell, from those of all chunks: a group for each cell.
kernel void merge_moments(constant Norm& norm [[buffer(0)]], device const float* partial [[buffer(1)]],
                          device float* mean [[buffer(2)]], device float* variance [[buffer(3)]],
                          uint3 group [[threadgroup_position_in_grid]],
                          uint index [[thread_index_in_threadgroup]]) {
  SHARED(Moments, found, THREADS);
  constant Lanes& lanes = norm.lanes;
  const uint squares = lanes.batch * lanes.chunks * lanes.channels;
  const uint size = cell_size(norm), count = size * lanes.chunks;
  Moments own = no_moments();
  for (uint i = index; i < count; i += THREADS) {
    const uint member = member_of(norm, group.x, i % size), chunk = i / size;
    const uint sample = member / lanes.channels, channel = member % lanes.channels;
    const uint at = (sample * lanes.chunks + chunk) * lanes.channels + channel;
    const uint begin = chunk * lanes.chunk;
    Moments other;
    other.count = static_cast<float>(min(begin + lanes.chunk, lanes.voxels) - begin);
    other.mean = partial[at];
    other.squares = partial[squares + at];
    own = merged(own, other);
  }
  const Moments all = merged_rows(found, index, THREADS, index, own);
  if (index == 0) {
    mean[group.x] = all.mean;
    variance[group.x] = all.squares / all.count;
  }
}

// What is done to one channel of one sample: `act((x - mean) * scale + bias)`.
struct Standard {
  float mean;
  float factor;
  float scale;
  float bias;
  float setting;  // of the activation; slopes that are learned come after the biases
};

inline Standard standard_of(constant Norm& norm, device const float* mean,
                            device const float* variance, device const float* weight,
                            device const float* bias, Share share) {
  // Threads without a channel have no voxels either, but must not read beyond the end.
  const uint channel = min(share.channel, norm.lanes.channels - 1);
  const uint cell = cell_of(norm, share.sample, channel);
  Standard standard;
  standard.mean = mean[cell];
  standard.factor = 1.0f / precise::sqrt(variance[cell] + norm.eps);
  standard.scale = standard.factor * (norm.has_weight != 0 ? weight[channel] : 1.0f);
  standard.bias = norm.has_bias != 0 ? bias[channel] : 0.0f;
  const bool learned = norm.act.kind == ACT_PRELU || norm.act.kind == ACT_PRELU_SLOPES;
  standard.setting = learned ? bias[norm.lanes.channels + channel] : norm.act.setting;
  return standard;
}

kernel void normalize_cells(constant Norm& norm [[buffer(0)]],
                            device const Element* x [[buffer(1)]],
                            device const float* mean [[buffer(2)]],
                            device const float* variance [[buffer(3)]],
                            device const float* weight [[buffer(4)]],
                            device const float* bias [[buffer(5)]],
                            device Element* y [[buffer(6)]],
                            uint3 group [[threadgroup_position_in_grid]],
                            uint index [[thread_index_in_threadgroup]]) {
  constant Lanes& lanes = norm.lanes;
  const Share share = share_of(lanes, group, index);
  const Standard standard = standard_of(norm, mean, variance, weight, bias, share);
  const uint kind = norm.act.kind;
  for (uint voxel = share.begin; voxel < share.end; voxel += share.rows) {
    const uint at = value_of(lanes, share, voxel);
    const float before = (widen(x[at]) - standard.mean) * standard.scale + standard.bias;
    y[at] = narrow(act_value(kind, standard.setting, before));
  }
}
