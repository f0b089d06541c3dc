// The largest value of each window.

struct Windows {
  int input[3], output[3], kernel[3], stride[3], padding[3];
};

// For each channel of each window its largest value, and the tap that has it, first of several; each
// where there is a place for it. NaN wins.
KERNEL max_pool(const Value* x, Value* y, int* taps, Windows windows, Index count, int packs) {
  const int* in = windows.input;
  const int* out = windows.output;
  for (Index at = thread_of_grid(); at < count; at += threads_of_grid()) {
    const int pack = (int)(at % packs);
    Index rest = at / packs;
    int start[3];
    for (int axis = 2; axis >= 0; --axis) {
      start[axis] = (int)(rest % out[axis]) * windows.stride[axis] - windows.padding[axis];
      rest /= out[axis];
    }
    const Pack* sample = packs_of(x) + rest * in[0] * in[1] * in[2] * packs + pack;
    float best[WIDTH];
    int which[WIDTH];
    for (int i = 0; i < WIDTH; ++i) {
      best[i] = 0.0f;
      which[i] = -1;
    }
    int tap = 0;
    for (int a = start[0]; a < start[0] + windows.kernel[0]; ++a) {
      for (int b = start[1]; b < start[1] + windows.kernel[1]; ++b) {
        for (int c = start[2]; c < start[2] + windows.kernel[2]; ++c, ++tap) {
          if (a < 0 || b < 0 || c < 0 || a >= in[0] || b >= in[1] || c >= in[2]) continue;
          const Pack seen = sample[(((Index)a * in[1] + b) * in[2] + c) * packs];
          for (int i = 0; i < WIDTH; ++i) {
            const float value = get(seen.of[i]);
            if (which[i] < 0 || value > best[i] || value != value) {
              best[i] = value;
              which[i] = tap;
            }
          }
        }
      }
    }
    if (y) {
      Pack result;
      for (int i = 0; i < WIDTH; ++i) result.of[i] = put(best[i]);
      packs_of(y)[at] = result;
    }
    if (taps) {
      for (int i = 0; i < WIDTH; ++i) taps[at * WIDTH + i] = which[i];
    }
  }
}

// Each voxel of the input asks the windows that it lies in, in their order, whether they took it.
KERNEL max_pool_gradient(const int* taps, const Value* dy, Value* dx, Windows windows, Index count, int packs) {
  const int* in = windows.input;
  const int* out = windows.output;
  for (Index at = thread_of_grid(); at < count; at += threads_of_grid()) {
    const int pack = (int)(at % packs);
    Index rest = at / packs;
    int place[3], first[3], last[3];
    for (int axis = 2; axis >= 0; --axis) {
      place[axis] = (int)(rest % in[axis]) + windows.padding[axis];
      rest /= in[axis];
      const int before = place[axis] - windows.kernel[axis] + windows.stride[axis];
      first[axis] = before > 0 ? before / windows.stride[axis] : 0;
      last[axis] = place[axis] / windows.stride[axis];
      if (last[axis] >= out[axis]) last[axis] = out[axis] - 1;
    }
    float sum[WIDTH];
    for (int i = 0; i < WIDTH; ++i) sum[i] = 0.0f;
    for (int a = first[0]; a <= last[0]; ++a) {
      for (int b = first[1]; b <= last[1]; ++b) {
        for (int c = first[2]; c <= last[2]; ++c) {
          const int tap = ((place[0] - a * windows.stride[0]) * windows.kernel[1] + place[1] - b * windows.stride[1]) *
                              windows.kernel[2] + place[2] - c * windows.stride[2];
          const Index from = (((rest * out[0] + a) * out[1] + b) * out[2] + c) * packs + pack;
          const Pack given = packs_of(dy)[from];
          for (int i = 0; i < WIDTH; ++i) {
            if (taps[from * WIDTH + i] == tap) sum[i] += get(given.of[i]);
          }
        }
      }
    }
    Pack result;
    for (int i = 0; i < WIDTH; ++i) result.of[i] = put(sum[i]);
    packs_of(dx)[at] = result;
  }
}
