// Activations of tensors of any shape.

KERNEL activate(const Value* x, Value* y, Index count, float setting) {
  const Index packs = count / WIDTH;
  for (Index at = thread_of_grid(); at < packs; at += threads_of_grid()) {
    Pack pack = packs_of(x)[at];
    for (int i = 0; i < WIDTH; ++i) pack.of[i] = put(curve(get(pack.of[i]), setting));
    packs_of(y)[at] = pack;
  }
  const Index rest = packs * WIDTH + thread_of_grid();
  if (rest < count) y[rest] = put(curve(get(x[rest]), setting));
}

KERNEL activate_gradient(const Value* x, const Value* dy, Value* dx, Index count, float setting) {
  const Index packs = count / WIDTH;
  for (Index at = thread_of_grid(); at < packs; at += threads_of_grid()) {
    const Pack seen = packs_of(x)[at];
    Pack pack = packs_of(dy)[at];
    for (int i = 0; i < WIDTH; ++i) {
      pack.of[i] = put(get(pack.of[i]) * slope(get(seen.of[i]), setting));
    }
    packs_of(dx)[at] = pack;
  }
  const Index rest = packs * WIDTH + thread_of_grid();
  if (rest < count) dx[rest] = put(get(dy[rest]) * slope(get(x[rest]), setting));
}
