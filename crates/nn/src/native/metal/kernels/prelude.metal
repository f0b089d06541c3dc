// What the kernels ask of the language. The tests run the same kernels as C++, behind a header that takes
// this file's place.

#include <metal_stdlib>
#include <metal_simdgroup_matrix>

using namespace metal;

// An array that the threads of a group share.
#define SHARED(type, name, count) threadgroup type name[count]
// Tiles stay in registers only where every index into them is known.
#define UNROLL _Pragma("clang loop unroll(full)")
