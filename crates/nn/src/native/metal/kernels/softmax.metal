// Softmax and its logarithm over the middle axis of (outer, classes, inner): a thread has one place of
// outer and inner.

struct Classes {
  uint outer;
  uint classes;
  uint inner;
  uint logarithm;  // whether it is asked for
};

kernel void softmax(constant Classes& setting [[buffer(0)]], device const Element* x [[buffer(1)]],
                    device Element* y [[buffer(2)]], uint3 group [[threadgroup_position_in_grid]],
                    uint index [[thread_index_in_threadgroup]]) {
  const uint at = group.x * THREADS + index, inner = setting.inner;
  if (at >= setting.outer * inner) return;
  const uint first = at / inner * setting.classes * inner + at % inner;
  float most = widen(x[first]);
  for (uint i = 1; i < setting.classes; ++i) {
    const float value = widen(x[first + i * inner]);
    if (value > most) most = value;
  }
  float sum = 0.0f;
  for (uint i = 0; i < setting.classes; ++i) sum += precise::exp(widen(x[first + i * inner]) - most);
  const float below = precise::log(sum), share = 1.0f / sum;
  for (uint i = 0; i < setting.classes; ++i) {
    const float shifted = widen(x[first + i * inner]) - most;
    y[first + i * inner] = narrow(setting.logarithm != 0 ? shifted - below : precise::exp(shifted) * share);
  }
}

// From the result: dy − p Σ dy of the logarithm, p (dy − Σ p dy) of p itself.
kernel void softmax_gradient(constant Classes& setting [[buffer(0)]],
                             device const Element* y [[buffer(1)]],
                             device const Element* dy [[buffer(2)]],
                             device Element* dx [[buffer(3)]],
                             uint3 group [[threadgroup_position_in_grid]],
                             uint index [[thread_index_in_threadgroup]]) {
  const uint at = group.x * THREADS + index, inner = setting.inner;
  if (at >= setting.outer * inner) return;
  const uint first = at / inner * setting.classes * inner + at % inner;
  float sum = 0.0f;
  for (uint i = 0; i < setting.classes; ++i) {
    const float given = widen(dy[first + i * inner]);
    sum += setting.logarithm != 0 ? given : given * widen(y[first + i * inner]);
  }
  for (uint i = 0; i < setting.classes; ++i) {
    const float result = widen(y[first + i * inner]), given = widen(dy[first + i * inner]);
    const float slope = setting.logarithm != 0 ? given - precise::exp(result) * sum : result * (given - sum);
    dx[first + i * inner] = narrow(slope);
  }
}
