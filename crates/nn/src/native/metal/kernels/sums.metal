// Sums over voxels, channel by channel, of tensors `(batch, voxels, channels)`.
//
// A group works on up to `width` channels, a power of two, of one chunk of voxels, each of its threads on
// one channel and every so many voxels; what its threads found comes together in a tree. All in a fixed
// order, so that results have the same bits each time.

struct Lanes {
  uint batch;
  uint voxels;
  uint channels;
  uint width;
  uint chunk;   // voxels of a chunk
  uint chunks;  // of a sample
};

// What one thread works on.
struct Share {
  uint sample;
  uint chunk;
  uint channel;
  uint row;    // of `rows` that share a channel
  uint rows;
  uint begin;  // its first voxel, and every `rows`-th up to `end`
  uint end;
};

inline Share share_of(constant Lanes& lanes, uint3 group, uint index) {
  Share share;
  share.sample = group.z;
  share.chunk = group.y;
  share.channel = group.x * lanes.width + index % lanes.width;
  share.row = index / lanes.width;
  share.rows = THREADS / lanes.width;
  share.begin = share.chunk * lanes.chunk + share.row;
  share.end = min((share.chunk + 1) * lanes.chunk, lanes.voxels);
  if (share.channel >= lanes.channels) share.end = share.begin;
  return share;
}

inline uint value_of(constant Lanes& lanes, Share share, uint voxel) {
  return (share.sample * lanes.voxels + voxel) * lanes.channels + share.channel;
}

// Where the partial result of a share belongs, in `(batch, chunks, channels)`.
inline uint partial_of(constant Lanes& lanes, Share share) {
  return (share.sample * lanes.chunks + share.chunk) * lanes.channels + share.channel;
}

// What is summed in one go: longer sums of single precision lose digits.
enum { BLOCK = 64 };

// The sum over all rows of a share; it is in row 0.
inline float sum_of_rows(threadgroup float* sums, Share share, uint index, float sum) {
  const uint width = THREADS / share.rows;
  sums[index] = sum;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (uint rows = share.rows / 2; rows > 0; rows /= 2) {
    if (share.row < rows) sums[index] += sums[index + rows * width];
    threadgroup_barrier(mem_flags::mem_threadgroup);
  }
  const float total = sums[index];
  threadgroup_barrier(mem_flags::mem_threadgroup);
  return total;
}

// The sums of each chunk.
kernel void channel_sums(constant Lanes& lanes [[buffer(0)]],
                         device const Element* x [[buffer(1)]], device float* partial [[buffer(2)]],
                         uint3 group [[threadgroup_position_in_grid]],
                         uint index [[thread_index_in_threadgroup]]) {
  SHARED(float, sums, THREADS);
  const Share share = share_of(lanes, group, index);
  float sum = 0.0f;
  for (uint base = share.begin; base < share.end; base += BLOCK * share.rows) {
    float block = 0.0f;
    const uint end = min(base + BLOCK * share.rows, share.end);
    for (uint voxel = base; voxel < end; voxel += share.rows) {
      block += widen(x[value_of(lanes, share, voxel)]);
    }
    sum += block;
  }
  const float total = sum_of_rows(sums, share, index, sum);
  if (share.row == 0 && share.channel < lanes.channels) partial[partial_of(lanes, share)] = total;
}

// The same of what is in single precision already: sums of sums.
kernel void merge_sums(constant Lanes& lanes [[buffer(0)]], device const float* x [[buffer(1)]],
                       device float* partial [[buffer(2)]],
                       uint3 group [[threadgroup_position_in_grid]],
                       uint index [[thread_index_in_threadgroup]]) {
  SHARED(float, sums, THREADS);
  const Share share = share_of(lanes, group, index);
  float sum = 0.0f;
  for (uint voxel = share.begin; voxel < share.end; voxel += share.rows) {
    sum += x[value_of(lanes, share, voxel)];
  }
  const float total = sum_of_rows(sums, share, index, sum);
  if (share.row == 0 && share.channel < lanes.channels) partial[partial_of(lanes, share)] = total;
}
