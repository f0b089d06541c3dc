// Normalization by means and variances, fused with the activation after it.
//
// Whatever is summed is summed in an order that depends on extents alone: first by a thread over its
// voxels, then by a block over its threads, pairwise, then over slabs.

// Count, mean and sum of squared deviations of values, to which those of others are added (Chan et al.).
template <class T>
struct Moments {
  T count, mean, squares;
};

template <class T>
DEVICE void merge(Moments<T>& all, const Moments<T>& more) {
  if (more.count == (T)0) return;
  const T count = all.count + more.count, apart = more.mean - all.mean;
  all.mean += apart * (more.count / count);
  all.squares += more.squares + apart * apart * (all.count * (more.count / count));
  all.count = count;
}

// Means and squares of slabs, (samples, slabs, channels) each.
KERNEL moments(const Value* x, float* means, float* squares, Index voxels, int packs, int slabs, int slab) {
  __shared__ float shared_means[BLOCK * WIDTH];
  __shared__ float shared_squares[BLOCK * WIDTH];
  __shared__ int shared_counts[BLOCK];
  const Place place = place_of(voxels, packs, slabs, slab);
  float mean[WIDTH], square[WIDTH];
  for (int i = 0; i < WIDTH; ++i) mean[i] = square[i] = 0.0f;
  int count = 0;
  if (place.active) {
    const Pack* from = packs_of(x) + (Index)place.sample * voxels * packs + place.pack;
    for (Index voxel = place.from + place.row; voxel < place.to; voxel += place.rows) {
      const Pack pack = from[voxel * packs];
      const float share = 1.0f / (float)++count;
      for (int i = 0; i < WIDTH; ++i) {
        const float apart = get(pack.of[i]) - mean[i];
        mean[i] += apart * share;
        square[i] += apart * (get(pack.of[i]) - mean[i]);
      }
    }
  }
  const int at = threadIdx.x;
  for (int i = 0; i < WIDTH; ++i) {
    shared_means[at * WIDTH + i] = mean[i];
    shared_squares[at * WIDTH + i] = square[i];
  }
  shared_counts[at] = count;
  int step = 1;
  while (step < place.rows) step *= 2;
  for (step /= 2; step > 0; step /= 2) {
    __syncthreads();
    if (place.row < step && place.row + step < place.rows) {
      const int other = at + step * place.lanes;
      for (int i = 0; i < WIDTH; ++i) {
        const int mine = at * WIDTH + i, theirs = other * WIDTH + i;
        Moments<float> all = {(float)shared_counts[at], shared_means[mine], shared_squares[mine]};
        const Moments<float> more = {(float)shared_counts[other], shared_means[theirs], shared_squares[theirs]};
        merge(all, more);
        shared_means[mine] = all.mean;
        shared_squares[mine] = all.squares;
      }
      shared_counts[at] += shared_counts[other];
    }
  }
  if (place.active && place.row == 0) {
    const Index out = ((Index)place.sample * slabs + place.slab) * packs + place.pack;
    for (int i = 0; i < WIDTH; ++i) {
      means[out * WIDTH + i] = shared_means[at * WIDTH + i];
      squares[out * WIDTH + i] = shared_squares[at * WIDTH + i];
    }
  }
}

// Extents of cells: values that share one mean and one variance.
struct Cells {
  int channels;        // of the tensor
  int cell_samples;    // samples of a cell
  int cell_channels;   // channels of a cell
  int first_sample, first_channel;
};

DEVICE Cells cell_of_block(int channels, int cell_samples, int cell_channels) {
  const int columns = channels / cell_channels;
  Cells cells = {channels, cell_samples, cell_channels, 0, 0};
  cells.first_sample = (int)(blockIdx.x / columns) * cell_samples;
  cells.first_channel = (int)(blockIdx.x % columns) * cell_channels;
  return cells;
}

// Mean and mean square deviation of each cell, one to a block; and for each channel of each sample the
// mean, and the factor that standardizes it.
KERNEL cell_moments(const float* means, const float* squares, float* cell_mean, float* cell_variance, float* mean,
                    float* factor, Index voxels, int channels, int slabs, int slab, int cell_samples,
                    int cell_channels, double eps) {
  __shared__ double counts[BLOCK];
  __shared__ double shared_means[BLOCK];
  __shared__ double shared_squares[BLOCK];
  const Cells cells = cell_of_block(channels, cell_samples, cell_channels);
  const int at = threadIdx.x;
  Moments<double> all = {0.0, 0.0, 0.0};
  const Index parts = (Index)cell_samples * slabs * cell_channels;
  for (Index part = at; part < parts; part += BLOCK) {
    const int channel = cells.first_channel + (int)(part % cell_channels);
    const int which = (int)(part / cell_channels % slabs);
    const Index sample = cells.first_sample + part / cell_channels / slabs;
    const Index left = voxels - (Index)which * slab;
    const Index from = (sample * slabs + which) * channels + channel;
    const Moments<double> more = {(double)(left < slab ? left : slab), means[from], squares[from]};
    merge(all, more);
  }
  counts[at] = all.count;
  shared_means[at] = all.mean;
  shared_squares[at] = all.squares;
  for (int step = BLOCK / 2; step > 0; step /= 2) {
    __syncthreads();
    if (at < step) {
      Moments<double> mine = {counts[at], shared_means[at], shared_squares[at]};
      const Moments<double> theirs = {counts[at + step], shared_means[at + step], shared_squares[at + step]};
      merge(mine, theirs);
      counts[at] = mine.count;
      shared_means[at] = mine.mean;
      shared_squares[at] = mine.squares;
    }
  }
  __syncthreads();
  const double variance = shared_squares[0] / counts[0];
  const float of_cell = (float)shared_means[0], of_deviation = (float)(1.0 / sqrt(variance + eps));
  if (at == 0) {
    cell_mean[blockIdx.x] = of_cell;
    cell_variance[blockIdx.x] = (float)variance;
  }
  for (int i = at; i < cell_samples * cell_channels; i += BLOCK) {
    const Index out = (Index)(cells.first_sample + i / cell_channels) * channels + cells.first_channel + i % cell_channels;
    mean[out] = of_cell;
    factor[out] = of_deviation;
  }
}

// What is done to the channels of a thread's pack. Statistics of sample n begin at n · stride; slopes that
// are learned come after the biases.
struct Standard {
  float mean[WIDTH], factor[WIDTH], weight[WIDTH], bias[WIDTH], setting[WIDTH];
};

DEVICE Standard standard_of(const Place& place, const float* mean, const float* factor, const float* weight,
                            const float* bias, int packs, int stride, float setting) {
  Standard standard;
  for (int i = 0; i < WIDTH; ++i) {
    const int channel = place.pack * WIDTH + i;
    const Index at = (Index)place.sample * stride + channel;
    standard.mean[i] = mean[at];
    standard.factor[i] = factor[at];
    standard.weight[i] = weight ? weight[channel] : 1.0f;
    standard.bias[i] = bias ? bias[channel] : 0.0f;
    standard.setting[i] = CURVE >= 13 ? bias[packs * WIDTH + channel] : setting;
  }
  return standard;
}

KERNEL normalize(const Value* x, Value* y, const float* mean, const float* factor, const float* weight,
                 const float* bias, Index voxels, int packs, int slabs, int slab, int stride, float setting) {
  const Place place = place_of(voxels, packs, slabs, slab);
  if (!place.active) return;
  const Standard standard = standard_of(place, mean, factor, weight, bias, packs, stride, setting);
  const Index first = (Index)place.sample * voxels * packs + place.pack;
  for (Index voxel = place.from + place.row; voxel < place.to; voxel += place.rows) {
    Pack pack = packs_of(x)[first + voxel * packs];
    for (int i = 0; i < WIDTH; ++i) {
      const float scale = standard.factor[i] * standard.weight[i];
      pack.of[i] = put(curve((get(pack.of[i]) - standard.mean[i]) * scale + standard.bias[i], standard.setting[i]));
    }
    packs_of(y)[first + voxel * packs] = pack;
  }
}

// For slabs, (2, samples, slabs, channels): the sums of δ and of δ · x̂, where δ is the gradient before
// the activation, and x̂ the standardized input.
KERNEL gradient_sums(const Value* x, const Value* dy, float* sums, const float* mean, const float* factor,
                     const float* weight, const float* bias, Index voxels, int packs, int slabs, int slab, int stride,
                     int samples, float setting) {
  __shared__ float shared_sums[BLOCK * WIDTH];
  __shared__ float shared_products[BLOCK * WIDTH];
  const Place place = place_of(voxels, packs, slabs, slab);
  float sum[WIDTH], product[WIDTH];
  for (int i = 0; i < WIDTH; ++i) sum[i] = product[i] = 0.0f;
  if (place.active) {
    const Standard standard = standard_of(place, mean, factor, weight, bias, packs, stride, setting);
    const Index first = (Index)place.sample * voxels * packs + place.pack;
    for (Index voxel = place.from + place.row; voxel < place.to; voxel += place.rows) {
      const Pack seen = packs_of(x)[first + voxel * packs], given = packs_of(dy)[first + voxel * packs];
      for (int i = 0; i < WIDTH; ++i) {
        const float unit = (get(seen.of[i]) - standard.mean[i]) * standard.factor[i];
        const float delta = get(given.of[i]) * slope(unit * standard.weight[i] + standard.bias[i], standard.setting[i]);
        sum[i] += delta;
        product[i] += delta * unit;
      }
    }
  }
  const int at = threadIdx.x;
  for (int i = 0; i < WIDTH; ++i) {
    shared_sums[at * WIDTH + i] = sum[i];
    shared_products[at * WIDTH + i] = product[i];
  }
  int step = 1;
  while (step < place.rows) step *= 2;
  for (step /= 2; step > 0; step /= 2) {
    __syncthreads();
    if (place.row < step && place.row + step < place.rows) {
      const int other = at + step * place.lanes;
      for (int i = 0; i < WIDTH; ++i) {
        shared_sums[at * WIDTH + i] += shared_sums[other * WIDTH + i];
        shared_products[at * WIDTH + i] += shared_products[other * WIDTH + i];
      }
    }
  }
  if (place.active && place.row == 0) {
    const Index out = ((Index)place.sample * slabs + place.slab) * packs + place.pack;
    const Index half = (Index)samples * slabs * packs;
    for (int i = 0; i < WIDTH; ++i) {
      sums[out * WIDTH + i] = shared_sums[at * WIDTH + i];
      sums[(half + out) * WIDTH + i] = shared_products[at * WIDTH + i];
    }
  }
}

// What is subtracted from the gradient for mean and deviation being functions of the input,
// (2, samples, channels): the means over a cell, one to a block, of δ · weight and of δ · weight · x̂.
KERNEL cell_gradients(const float* sums, const float* weight, float* means, int samples, int channels,
                      int cell_samples, int cell_channels, double count) {
  __shared__ double shared[2 * BLOCK];
  const Cells cells = cell_of_block(channels, cell_samples, cell_channels);
  const int at = threadIdx.x, size = cell_samples * cell_channels;
  const Index half = (Index)samples * channels;
  double total[2] = {0.0, 0.0};
  for (int i = at; i < size; i += BLOCK) {
    const int channel = cells.first_channel + i % cell_channels;
    const Index from = (Index)(cells.first_sample + i / cell_channels) * channels + channel;
    const double scale = weight ? weight[channel] : 1.0f;
    total[0] += sums[from] * scale;
    total[1] += sums[half + from] * scale;
  }
  shared[at] = total[0];
  shared[BLOCK + at] = total[1];
  for (int step = BLOCK / 2; step > 0; step /= 2) {
    __syncthreads();
    if (at < step) {
      shared[at] += shared[at + step];
      shared[BLOCK + at] += shared[BLOCK + at + step];
    }
  }
  __syncthreads();
  for (int i = at; i < size; i += BLOCK) {
    const Index out = (Index)(cells.first_sample + i / cell_channels) * channels + cells.first_channel + i % cell_channels;
    means[out] = (float)(shared[0] / count);
    means[half + out] = (float)(shared[BLOCK] / count);
  }
}

// factor · (δ · weight − mean₁ − x̂ · mean₂), without means where the statistics were given.
KERNEL input_gradient(const Value* x, const Value* dy, Value* dx, const float* means, const float* mean,
                      const float* factor, const float* weight, const float* bias, Index voxels, int packs, int slabs,
                      int slab, int stride, int samples, float setting) {
  const Place place = place_of(voxels, packs, slabs, slab);
  if (!place.active) return;
  const Standard standard = standard_of(place, mean, factor, weight, bias, packs, stride, setting);
  float constant[WIDTH], linear[WIDTH];
  for (int i = 0; i < WIDTH; ++i) {
    const Index at = ((Index)place.sample * packs + place.pack) * WIDTH + i;
    constant[i] = means ? means[at] : 0.0f;
    linear[i] = means ? means[(Index)samples * packs * WIDTH + at] : 0.0f;
  }
  const Index first = (Index)place.sample * voxels * packs + place.pack;
  for (Index voxel = place.from + place.row; voxel < place.to; voxel += place.rows) {
    const Pack seen = packs_of(x)[first + voxel * packs];
    Pack pack = packs_of(dy)[first + voxel * packs];
    for (int i = 0; i < WIDTH; ++i) {
      const float unit = (get(seen.of[i]) - standard.mean[i]) * standard.factor[i];
      const float delta = get(pack.of[i]) * slope(unit * standard.weight[i] + standard.bias[i], standard.setting[i]);
      pack.of[i] = put(standard.factor[i] * (delta * standard.weight[i] - constant[i] - unit * linear[i]));
    }
    packs_of(dx)[first + voxel * packs] = pack;
  }
}
