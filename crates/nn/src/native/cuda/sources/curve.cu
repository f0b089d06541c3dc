// Activations and their slopes. `setting` is the slope of 2, the factor of 3, and the slope of 13, which is
// learned; 14 is 13, but for its slope, which is the derivative by the slope that is learned.

DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// fmaxf would turn NaN into 0, but the logarithm keeps it.
DEVICE float softplus(float x) { return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))); }

#define TANH_SCALE 0.797884561f
#define TANH_CUBE 0.044715f

DEVICE float curve(float x, float setting) {
  switch (CURVE) {
    case 1: return x <= 0.0f ? 0.0f : x;
    case 2: case 13: case 14: return x > 0.0f ? x : x * setting;
    case 3: return x > 0.0f ? x : setting * expm1f(x);
    case 4: return 0.5f * x * (1.0f + erff(x * 0.707106781f));
    case 5: return 0.5f * x * (1.0f + tanhf(TANH_SCALE * (x + TANH_CUBE * x * x * x)));
    case 6: return x * sigmoid(x);
    case 7: return sigmoid(x);
    case 8: return tanhf(x);
    case 9: return softplus(x);
    case 10: return -softplus(-x);
    case 11: return x * tanhf(softplus(x));
    case 12: return x < -3.0f ? 0.0f : x > 3.0f ? x : x * (x + 3.0f) / 6.0f;
    default: return x;
  }
}

DEVICE float slope(float x, float setting) {
  switch (CURVE) {
    case 1: return x > 0.0f ? 1.0f : 0.0f;
    case 2: case 13: return x > 0.0f ? 1.0f : setting;
    case 3: return x > 0.0f ? 1.0f : setting * expf(x);
    case 4: return 0.5f * (1.0f + erff(x * 0.707106781f)) + x * expf(-0.5f * x * x) * 0.398942280f;
    case 5: {
      const float tanh = tanhf(TANH_SCALE * (x + TANH_CUBE * x * x * x));
      const float inner = TANH_SCALE * (1.0f + 3.0f * TANH_CUBE * x * x);
      return 0.5f * (1.0f + tanh) + 0.5f * x * (1.0f - tanh * tanh) * inner;
    }
    case 6: return sigmoid(x) * (1.0f + x * sigmoid(-x));
    case 7: return sigmoid(x) * sigmoid(-x);
    case 8: { const float tanh = tanhf(x); return 1.0f - tanh * tanh; }
    case 9: return sigmoid(x);
    case 10: return sigmoid(-x);
    case 11: {
      const float tanh = tanhf(softplus(x));
      return tanh + x * (1.0f - tanh * tanh) * sigmoid(x);
    }
    case 12: return x < -3.0f ? 0.0f : x > 3.0f ? 1.0f : x / 3.0f + 0.5f;
    case 14: return x > 0.0f ? 0.0f : x;
    default: return 1.0f;
  }
}
