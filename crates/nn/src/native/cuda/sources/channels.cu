// Sums over all but channels, and what is added to each channel.

// The sums of slabs, (samples, slabs, channels).
KERNEL slab_sums(const Value* x, float* sums, Index voxels, int packs, int slabs, int slab) {
  __shared__ float shared[BLOCK * WIDTH];
  const Place place = place_of(voxels, packs, slabs, slab);
  float sum[WIDTH];
  for (int i = 0; i < WIDTH; ++i) sum[i] = 0.0f;
  if (place.active) {
    const Pack* from = packs_of(x) + (Index)place.sample * voxels * packs + place.pack;
    for (Index voxel = place.from + place.row; voxel < place.to; voxel += place.rows) {
      const Pack pack = from[voxel * packs];
      for (int i = 0; i < WIDTH; ++i) sum[i] += get(pack.of[i]);
    }
  }
  const int at = threadIdx.x;
  for (int i = 0; i < WIDTH; ++i) shared[at * WIDTH + i] = sum[i];
  int step = 1;
  while (step < place.rows) step *= 2;
  for (step /= 2; step > 0; step /= 2) {
    __syncthreads();
    if (place.row < step && place.row + step < place.rows) {
      const int other = at + step * place.lanes;
      for (int i = 0; i < WIDTH; ++i) shared[at * WIDTH + i] += shared[other * WIDTH + i];
    }
  }
  if (place.active && place.row == 0) {
    const Index out = ((Index)place.sample * slabs + place.slab) * packs + place.pack;
    for (int i = 0; i < WIDTH; ++i) sums[out * WIDTH + i] = shared[at * WIDTH + i];
  }
}

// The sums over `parts` of (outer, parts, channels): a block has 32 channels of one outer index.
KERNEL sum_parts(const float* values, float* sums, int parts, int channels) {
  __shared__ double shared[BLOCK];
  const int tiles = (channels + 31) / 32;
  const int channel = (int)(blockIdx.x % tiles) * 32 + threadIdx.x % 32, first = threadIdx.x / 32;
  const Index outer = blockIdx.x / tiles;
  double sum = 0.0;
  if (channel < channels) {
    for (int part = first; part < parts; part += BLOCK / 32) sum += values[(outer * parts + part) * channels + channel];
  }
  shared[threadIdx.x] = sum;
  for (int step = BLOCK / 64; step > 0; step /= 2) {
    __syncthreads();
    if (first < step) shared[threadIdx.x] += shared[threadIdx.x + step * 32];
  }
  if (first == 0 && channel < channels) sums[outer * channels + channel] = (float)shared[threadIdx.x];
}

KERNEL add_bias(Value* y, const float* bias, Index count, int packs) {
  for (Index at = thread_of_grid(); at < count; at += threads_of_grid()) {
    Pack pack = packs_of(y)[at];
    const int first = (int)(at % packs) * WIDTH;
    for (int i = 0; i < WIDTH; ++i) pack.of[i] = put(get(pack.of[i]) + bias[first + i]);
    packs_of(y)[at] = pack;
  }
}
