// Values as tensors hold them; kernels compute in single precision.

#if defined(ELEMENT_F16)
typedef half Element;

inline float widen(Element value) { return static_cast<float>(value); }
inline Element narrow(float value) { return static_cast<Element>(value); }
#elif defined(ELEMENT_BF16)
// By its bits: the type itself needs Metal 3.1.
typedef ushort Element;

inline float widen(Element value) { return as_type<float>(static_cast<uint>(value) << 16); }

inline Element narrow(float value) {
  const uint bits = as_type<uint>(value);
  // NaN must not be rounded to infinity.
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<Element>((bits >> 16) | 0x40u);
  // To the nearest, and from halfway to the even one.
  return static_cast<Element>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
#else
typedef float Element;

inline float widen(Element value) { return value; }
inline Element narrow(float value) { return value; }
#endif

// By its bits: a comparison may be taken to be of numbers.
inline bool is_nan(float value) { return (as_type<uint>(value) & 0x7fffffffu) > 0x7f800000u; }

// Threads of every group but those that multiply tiles.
enum { THREADS = 256 };
