// Softmax and its logarithm over the middle axis of (outer, classes, inner): a thread has one place of outer and inner.

KERNEL softmax(const Value* x, Value* y, Index count, int classes, Index inner, int logarithm) {
  for (Index at = thread_of_grid(); at < count; at += threads_of_grid()) {
    const Index first = at / inner * classes * inner + at % inner;
    float most = get(x[first]);
    for (int i = 1; i < classes; ++i) {
      const float value = get(x[first + i * inner]);
      if (value > most) most = value;
    }
    float sum = 0.0f;
    for (int i = 0; i < classes; ++i) sum += expf(get(x[first + i * inner]) - most);
    const float below = logf(sum), share = 1.0f / sum;
    for (int i = 0; i < classes; ++i) {
      const float shifted = get(x[first + i * inner]) - most;
      y[first + i * inner] = put(logarithm ? shifted - below : expf(shifted) * share);
    }
  }
}

// From the result: dy − p Σ dy of the logarithm, p (dy − Σ p dy) of p itself.
KERNEL softmax_gradient(const Value* y, const Value* dy, Value* dx, Index count, int classes, Index inner,
                        int logarithm) {
  for (Index at = thread_of_grid(); at < count; at += threads_of_grid()) {
    const Index first = at / inner * classes * inner + at % inner;
    float sum = 0.0f;
    for (int i = 0; i < classes; ++i) {
      const float given = get(dy[first + i * inner]);
      sum += logarithm ? given : given * get(y[first + i * inner]);
    }
    for (int i = 0; i < classes; ++i) {
      const float result = get(y[first + i * inner]), given = get(dy[first + i * inner]);
      dx[first + i * inner] = put(logarithm ? given - expf(result) * sum : result * (given - sum));
    }
  }
}
