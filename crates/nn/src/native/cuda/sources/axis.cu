// A sparse linear map along one axis of (outer, axis, inner): output `o` has the terms
// `starts[o] .. starts[o + 1]`.

KERNEL map_axis(const Value* x, Value* y, const int* starts, const int* inputs, const float* weights, int ins,
                int outs, Index packs, Index count) {
  for (Index at = thread_of_grid(); at < count; at += threads_of_grid()) {
    const Index rest = at / packs;
    const int out = (int)(rest % outs);
    const Pack* from = packs_of(x) + rest / outs * ins * packs + at % packs;
    float sum[WIDTH];
    for (int i = 0; i < WIDTH; ++i) sum[i] = 0.0f;
    for (int term = starts[out]; term < starts[out + 1]; ++term) {
      const Pack pack = from[inputs[term] * packs];
      for (int i = 0; i < WIDTH; ++i) sum[i] += get(pack.of[i]) * weights[term];
    }
    Pack result;
    for (int i = 0; i < WIDTH; ++i) result.of[i] = put(sum[i]);
    packs_of(y)[at] = result;
  }
}
