// Activations and their slopes. The numbers are those that the host gives them.

enum {
  ACT_IDENTITY,
  ACT_RELU,
  ACT_LEAKY_RELU,
  ACT_ELU,
  ACT_GELU,
  ACT_GELU_TANH,
  ACT_SILU,
  ACT_SIGMOID,
  ACT_TANH,
  ACT_SOFTPLUS,
  ACT_LOG_SIGMOID,
  ACT_MISH,
  ACT_HARDSWISH,
  ACT_PRELU,        // a leaky ReLU whose slopes are learned
  ACT_PRELU_SLOPES  // the same, but that its slope is its derivative by the one that is learned
};

struct Act {
  uint kind;
  float setting;  // the slope of a leaky ReLU, the factor of an ELU
};

// e to the x, minus 1, where x is at most 0 (Kahan's way: the rounding of both steps cancels).
inline float exp_minus_1(float x) {
  const float e = precise::exp(x);
  if (e == 1.0f) return x;
  const float below = e - 1.0f;
  return below == -1.0f ? -1.0f : below * x / precise::log(e);
}

// The logarithm of 1 + x, where x is from 0 to 1, likewise.
inline float log_1_plus(float x) {
  const float above = 1.0f + x;
  return above == 1.0f ? x : precise::log(above) * x / (above - 1.0f);
}

// The error function, to 1.5e-7 (Abramowitz and Stegun, 7.1.26).
inline float error_function(float x) {
  const float size = x < 0.0f ? -x : x;
  const float t = 1.0f / (1.0f + 0.3275911f * size);
  float sum = 1.061405429f;
  sum = sum * t - 1.453152027f;
  sum = sum * t + 1.421413741f;
  sum = sum * t - 0.284496736f;
  sum = sum * t + 0.254829592f;
  const float value = 1.0f - sum * t * precise::exp(-size * size);
  return x < 0.0f ? -value : value;
}

inline float sigmoid(float x) {
  // The exponential sees no positive value: it could overflow.
  const float e = precise::exp(x < 0.0f ? x : -x);
  return x < 0.0f ? e / (1.0f + e) : 1.0f / (1.0f + e);
}

inline float softplus(float x) {
  const float linear = x < 0.0f ? 0.0f : x;
  return linear + log_1_plus(precise::exp(x < 0.0f ? x : -x));
}

// What the tanh of the approximate GELU is of.
inline float gelu_inner(float x) { return 0.7978845608f * (x + 0.044715f * x * x * x); }

// `setting` is that of the activation, but where slopes are learned.
inline float act_value(uint kind, float setting, float x) {
  switch (kind) {
    case ACT_RELU:
      return x <= 0.0f ? 0.0f : x;  // NaN stays NaN
    case ACT_LEAKY_RELU:
    case ACT_PRELU:
    case ACT_PRELU_SLOPES:
      return x > 0.0f ? x : setting * x;
    case ACT_ELU:
      return x > 0.0f ? x : setting * exp_minus_1(x);
    case ACT_GELU:
      return 0.5f * x * (1.0f + error_function(x * 0.7071067812f));
    case ACT_GELU_TANH:
      return 0.5f * x * (1.0f + precise::tanh(gelu_inner(x)));
    case ACT_SILU:
      return x * sigmoid(x);
    case ACT_SIGMOID:
      return sigmoid(x);
    case ACT_TANH:
      return precise::tanh(x);
    case ACT_SOFTPLUS:
      return softplus(x);
    case ACT_LOG_SIGMOID:
      return -softplus(-x);
    case ACT_MISH:
      return x * precise::tanh(softplus(x));
    case ACT_HARDSWISH:
      return x < -3.0f ? 0.0f : (x > 3.0f ? x : x * (x + 3.0f) / 6.0f);
    default:
      return x;
  }
}

inline float act_slope(uint kind, float setting, float x) {
  switch (kind) {
    case ACT_RELU:
      return x > 0.0f ? 1.0f : 0.0f;
    case ACT_LEAKY_RELU:
    case ACT_PRELU:
      return x > 0.0f ? 1.0f : setting;
    case ACT_PRELU_SLOPES:
      return x > 0.0f ? 0.0f : x;
    case ACT_ELU:
      return x > 0.0f ? 1.0f : setting * precise::exp(x);
    case ACT_GELU: {
      const float density = 0.3989422804f * precise::exp(-0.5f * x * x);
      return 0.5f * (1.0f + error_function(x * 0.7071067812f)) + x * density;
    }
    case ACT_GELU_TANH: {
      const float t = precise::tanh(gelu_inner(x));
      const float inner = 0.7978845608f * (1.0f + 3.0f * 0.044715f * x * x);
      return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * inner;
    }
    case ACT_SILU:
      return sigmoid(x) * (1.0f + x * sigmoid(-x));
    case ACT_SIGMOID:
      return sigmoid(x) * sigmoid(-x);
    case ACT_TANH: {
      const float t = precise::tanh(x);
      return 1.0f - t * t;
    }
    case ACT_SOFTPLUS:
      return sigmoid(x);
    case ACT_LOG_SIGMOID:
      return sigmoid(-x);
    case ACT_MISH: {
      const float t = precise::tanh(softplus(x));
      return t + x * (1.0f - t * t) * sigmoid(x);
    }
    case ACT_HARDSWISH:
      return x < -3.0f ? 0.0f : (x > 3.0f ? 1.0f : x / 3.0f + 0.5f);
    default:
      return 1.0f;
  }
}

struct Activation {
  uint count;
  Act act;
};

kernel void activate(constant Activation& setting [[buffer(0)]],
                     device const Element* x [[buffer(1)]], device Element* y [[buffer(2)]],
                     uint3 group [[threadgroup_position_in_grid]],
                     uint index [[thread_index_in_threadgroup]]) {
  const uint at = group.x * THREADS + index;
  if (at < setting.count) y[at] = narrow(act_value(setting.act.kind, setting.act.setting, widen(x[at])));
}

kernel void activate_gradient(constant Activation& setting [[buffer(0)]],
                              device const Element* x [[buffer(1)]],
                              device const Element* dy [[buffer(2)]],
                              device Element* dx [[buffer(3)]],
                              uint3 group [[threadgroup_position_in_grid]],
                              uint index [[thread_index_in_threadgroup]]) {
  const uint at = group.x * THREADS + index;
  if (at < setting.count) dx[at] = narrow(widen(dy[at]) * act_slope(setting.act.kind, setting.act.setting, widen(x[at])));
}
