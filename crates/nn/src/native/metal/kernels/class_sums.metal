// Sums over voxels, for each sample and class, of what losses compare; logits are (samples, classes, voxels).
//
// A group has one slab of voxels of one sample. It sums class after class, so that each of its threads
// keeps what the classes of its voxels share: the largest logit, and the logarithm of the sum above it.

// Voxels of a thread.
enum { EACH = 8 };

struct ClassSums {
  uint samples;
  uint classes;
  uint voxels;
  uint slabs;
  uint shared;    // whether labels are shares, else they are indices
  uint weighted;  // whether voxels have a weight
  uint alone;     // whether each class is by itself
  uint count;
  uint kind;
  float exponent;
  float gamma;
  float low;
  float high;
  float log_low;
  float log_high;
};

inline Summand summand_of(constant ClassSums& setting) {
  Summand summand;
  summand.kind = static_cast<int>(setting.kind);
  summand.exponent = setting.exponent;
  summand.gamma = setting.gamma;
  summand.low = setting.low;
  summand.high = setting.high;
  summand.log_low = setting.log_low;
  summand.log_high = setting.log_high;
  return summand;
}

// What the classes of a voxel share.
struct Common {
  float most;
  float log_sum;
};

inline Common common_of(constant ClassSums& setting, device const Element* x, uint sample, uint voxel) {
  Common common;
  common.most = common.log_sum = 0.0f;
  if (setting.alone != 0) return common;
  const uint first = sample * setting.classes * setting.voxels + voxel;
  common.most = widen(x[first]);
  for (uint i = 1; i < setting.classes; ++i) {
    const float value = widen(x[first + i * setting.voxels]);
    if (value > common.most) common.most = value;
  }
  float sum = 0.0f;
  for (uint i = 0; i < setting.classes; ++i) {
    sum += precise::exp(widen(x[first + i * setting.voxels]) - common.most);
  }
  common.log_sum = precise::log(sum);
  return common;
}

inline Seen seen_of(constant ClassSums& setting, device const Element* x, device const float* shares,
                    device const uint* indices, Common common, uint sample, uint channel, uint voxel) {
  const uint at = (sample * setting.classes + channel) * setting.voxels + voxel;
  const float value = widen(x[at]);
  float t = 0.0f;
  if (setting.shared != 0) {
    t = shares[at];
  } else if (indices[sample * setting.voxels + voxel] == channel) {
    t = 1.0f;
  }
  const Summand summand = summand_of(setting);
  if (setting.alone != 0) return seen_alone(summand, value, t);
  return seen_among(summand, value, common.most, common.log_sum, t);
}

// The sums of slabs, (count, samples, slabs, classes).
kernel void class_sums(constant ClassSums& setting [[buffer(0)]], device const Element* x [[buffer(1)]],
                       device const float* shares [[buffer(2)]], device const uint* indices [[buffer(3)]],
                       device const float* weight [[buffer(4)]], device float* sums [[buffer(5)]],
                       uint3 group [[threadgroup_position_in_grid]],
                       uint index [[thread_index_in_threadgroup]]) {
  SHARED(float, added, THREADS);
  const uint slab = group.x, sample = group.y, first = slab * THREADS * EACH + index;
  const Summand summand = summand_of(setting);
  Common common[EACH];
  UNROLL
  for (uint i = 0; i < EACH; ++i) {
    const uint voxel = first + i * THREADS;
    common[i].most = common[i].log_sum = 0.0f;
    if (voxel < setting.voxels) common[i] = common_of(setting, x, sample, voxel);
  }
  for (uint channel = 0; channel < setting.classes; ++channel) {
    Five mine = {{0.0f, 0.0f, 0.0f, 0.0f, 0.0f}};
    UNROLL
    for (uint i = 0; i < EACH; ++i) {
      const uint voxel = first + i * THREADS;
      if (voxel < setting.voxels) {
        const float factor = setting.weighted != 0 ? weight[sample * setting.voxels + voxel] : 1.0f;
        const Seen seen = seen_of(setting, x, shares, indices, common[i], sample, channel, voxel);
        const Five terms = terms_of(summand, seen);
        for (uint k = 0; k < 5; ++k) mine.of[k] += terms.of[k] * factor;
      }
    }
    for (uint k = 0; k < setting.count; ++k) {
      added[index] = mine.of[k];
      threadgroup_barrier(mem_flags::mem_threadgroup);
      for (uint step = THREADS / 2; step > 0; step /= 2) {
        if (index < step) added[index] += added[index + step];
        threadgroup_barrier(mem_flags::mem_threadgroup);
      }
      if (index == 0) {
        sums[((k * setting.samples + sample) * setting.slabs + slab) * setting.classes + channel] = added[0];
      }
      threadgroup_barrier(mem_flags::mem_threadgroup);
    }
  }
}

// The gradient, of the sums times `factors`, (count, samples, classes): a thread has one voxel.
kernel void class_sums_gradient(constant ClassSums& setting [[buffer(0)]], device const Element* x [[buffer(1)]],
                                device const float* shares [[buffer(2)]],
                                device const uint* indices [[buffer(3)]],
                                device const float* weight [[buffer(4)]],
                                device const float* factors [[buffer(5)]], device Element* dx [[buffer(6)]],
                                uint3 group [[threadgroup_position_in_grid]],
                                uint index [[thread_index_in_threadgroup]]) {
  const uint at = group.x * THREADS + index;
  if (at >= setting.samples * setting.voxels) return;
  const uint sample = at / setting.voxels, voxel = at % setting.voxels;
  const Summand summand = summand_of(setting);
  const bool alone = setting.alone != 0;
  const Common common = common_of(setting, x, sample, voxel);
  const float weighted = setting.weighted != 0 ? weight[at] : 1.0f;
  // First what each class does by itself, then, from the sum of that, what the others have of it.
  float all = 0.0f;
  for (uint pass = alone ? 1 : 0; pass < 2; ++pass) {
    for (uint channel = 0; channel < setting.classes; ++channel) {
      Five given = {{0.0f, 0.0f, 0.0f, 0.0f, 0.0f}};
      for (uint k = 0; k < setting.count; ++k) {
        given.of[k] = factors[(k * setting.samples + sample) * setting.classes + channel];
      }
      const Seen seen = seen_of(setting, x, shares, indices, common, sample, channel, voxel);
      const float slope = logit_slope(summand, seen, given, alone) * weighted;
      if (pass == 0) {
        all += slope;
      } else {
        const uint to = (sample * setting.classes + channel) * setting.voxels + voxel;
        float whole = slope;
        if (!alone) whole -= precise::exp(widen(x[to]) - common.most - common.log_sum) * all;
        dx[to] = narrow(whole);
      }
    }
  }
}
