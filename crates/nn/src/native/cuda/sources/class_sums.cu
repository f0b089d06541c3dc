// Sums over voxels, for each sample and class, of what losses compare; logits are (samples, classes, voxels).
//
// A block has one slab of voxels of one sample. It sums class after class, so that each of its threads
// keeps what the classes of its voxels share: the largest logit, and the logarithm of the sum above it.

// Voxels of a thread.
#define EACH 8

// What is compared: labels are shares, or indices where there are no shares; no weight is 1 everywhere.
struct Compared {
  const Value* x;
  const float* shares;
  const int* indices;
  const float* weight;
  Index voxels;
  int classes;
};

DEVICE float label_of(const Compared& compared, int sample, int channel, Index voxel) {
  const Index row = (Index)sample * compared.classes + channel;
  if (compared.shares) return compared.shares[row * compared.voxels + voxel];
  return compared.indices[sample * compared.voxels + voxel] == channel ? 1.0f : 0.0f;
}

DEVICE float logit_of(const Compared& compared, int sample, int channel, Index voxel) {
  return get(compared.x[((Index)sample * compared.classes + channel) * compared.voxels + voxel]);
}

DEVICE float weight_of(const Compared& compared, int sample, Index voxel) {
  return compared.weight ? compared.weight[sample * compared.voxels + voxel] : 1.0f;
}

// What the classes of a voxel share.
struct Shared {
  float most, log_sum;
};

DEVICE Shared shared_by(const Compared& compared, int sample, Index voxel) {
  float most = logit_of(compared, sample, 0, voxel), sum = 0.0f;
  for (int i = 1; i < compared.classes; ++i) {
    const float value = logit_of(compared, sample, i, voxel);
    if (value > most) most = value;
  }
  for (int i = 0; i < compared.classes; ++i) sum += expf(logit_of(compared, sample, i, voxel) - most);
  const Shared shared = {most, logf(sum)};
  return shared;
}

DEVICE Seen seen_of(const Compared& compared, const Summand& summand, const Shared& shared, int alone, int sample,
                    int channel, Index voxel) {
  const float x = logit_of(compared, sample, channel, voxel), t = label_of(compared, sample, channel, voxel);
  return alone ? seen_alone(summand, x, t) : seen_among(summand, x, shared.most, shared.log_sum, t);
}

// The sums of slabs, (count, samples, slabs, classes).
KERNEL class_sums(const Value* x, const float* shares, const int* indices, const float* weight, float* sums,
                  Index voxels, int classes, int samples, int slabs, int alone, int count, int kind, float exponent,
                  float gamma, float low, float high, float log_low, float log_high) {
  __shared__ double added[BLOCK];
  const Compared compared = {x, shares, indices, weight, voxels, classes};
  const Summand summand = {kind, exponent, gamma, low, high, log_low, log_high};
  const int slab = blockIdx.x % slabs, sample = blockIdx.x / slabs;
  const Index first = (Index)slab * (BLOCK * EACH) + threadIdx.x;
  Shared shared[EACH];
  for (int i = 0; i < EACH; ++i) {
    const Index voxel = first + i * BLOCK;
    const Shared nothing = {0.0f, 0.0f};
    shared[i] = voxel < voxels && !alone ? shared_by(compared, sample, voxel) : nothing;
  }
  for (int channel = 0; channel < classes; ++channel) {
    Five mine = {{0.0f, 0.0f, 0.0f, 0.0f, 0.0f}};
    for (int i = 0; i < EACH; ++i) {
      const Index voxel = first + i * BLOCK;
      if (voxel >= voxels) continue;
      const float factor = weight_of(compared, sample, voxel);
      const Five terms = terms_of(summand, seen_of(compared, summand, shared[i], alone, sample, channel, voxel));
      for (int k = 0; k < 5; ++k) mine.of[k] += terms.of[k] * factor;
    }
    for (int k = 0; k < count; ++k) {
      added[threadIdx.x] = mine.of[k];
      for (int step = BLOCK / 2; step > 0; step /= 2) {
        __syncthreads();
        if (threadIdx.x < step) added[threadIdx.x] += added[threadIdx.x + step];
      }
      if (threadIdx.x == 0) {
        sums[(((Index)k * samples + sample) * slabs + slab) * classes + channel] = (float)added[0];
      }
      __syncthreads();
    }
  }
}

// The gradient, of the sums times `factors`, (count, samples, classes): a thread has one voxel.
KERNEL class_sums_gradient(const Value* x, const float* shares, const int* indices, const float* weight,
                           const float* factors, Value* dx, Index voxels, int classes, int samples, int alone,
                           int count, int kind, float exponent, float gamma, float low, float high, float log_low,
                           float log_high) {
  const Compared compared = {x, shares, indices, weight, voxels, classes};
  const Summand summand = {kind, exponent, gamma, low, high, log_low, log_high};
  for (Index at = thread_of_grid(); at < samples * voxels; at += threads_of_grid()) {
    const int sample = (int)(at / voxels);
    const Index voxel = at % voxels;
    const Shared nothing = {0.0f, 0.0f};
    const Shared shared = alone ? nothing : shared_by(compared, sample, voxel);
    const float weighted = weight_of(compared, sample, voxel);
    // First what each class does by itself, then, from the sum of that, what the others have of it.
    float all = 0.0f;
    for (int pass = alone ? 1 : 0; pass < 2; ++pass) {
      for (int channel = 0; channel < classes; ++channel) {
        Five given = {{0.0f, 0.0f, 0.0f, 0.0f, 0.0f}};
        for (int k = 0; k < 5; ++k) {
          if (k < count) given.of[k] = factors[((Index)k * samples + sample) * classes + channel];
        }
        const Seen seen = seen_of(compared, summand, shared, alone, sample, channel, voxel);
        const float slope = logit_slope(summand, seen, given, alone) * weighted;
        if (pass == 0) {
          all += slope;
        } else {
          float whole = slope;
          if (!alone) whole -= expf(logit_of(compared, sample, channel, voxel) - shared.most - shared.log_sum) * all;
          dx[((Index)sample * classes + channel) * voxels + voxel] = put(whole);
        }
      }
    }
  }
}
