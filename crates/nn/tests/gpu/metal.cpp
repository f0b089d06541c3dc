// Runs one Metal kernel: `metal LIBRARY KERNEL X Y Z THREADS`, a grid of so many groups of threads. Reads
// the settings, inputs and sizes of outputs, and writes the outputs, in the form that `Message` has.
//
// `kernels.metal` is what the device gets.
#include <cstdio>
#include <tuple>
#include <utility>

#include "metal.hpp"

namespace f32 {
#define MATRICES 1
#include "kernels.metal"
#undef MATRICES
}  // namespace f32

namespace plain {
#define MATRICES 0
#include "kernels.metal"
#undef MATRICES
}  // namespace plain

#define MATRICES 1
namespace f16 {
#define ELEMENT_F16
#include "kernels.metal"
#undef ELEMENT_F16
}  // namespace f16

namespace bf16 {
#define ELEMENT_BF16
#include "kernels.metal"
#undef ELEMENT_BF16
}  // namespace bf16

#undef kernel
#undef device
#undef constant
#undef threadgroup
#undef thread

namespace {

typedef std::vector<unsigned char> Bytes;

[[noreturn]] void fail(const char* what, const std::string& detail = "") {
  std::fprintf(stderr, "%s%s\n", what, detail.c_str());
  std::exit(1);
}

uint32_t read_word() {
  uint32_t word = 0;
  if (std::fread(&word, sizeof word, 1, stdin) != 1) fail("the message ends early");
  return word;
}

Bytes read_bytes() {
  Bytes bytes(read_word());
  if (!bytes.empty() && std::fread(bytes.data(), bytes.size(), 1, stdin) != 1) fail("bytes missing");
  return bytes;
}

// Memory between walls of NaN: reading past an end spoils a result, writing past one is noticed.
class Buffer {
 public:
  explicit Buffer(const Bytes& bytes) : all(bytes.size() + 2 * WALL, 0xff), size(bytes.size()) {
    std::copy(bytes.begin(), bytes.end(), all.begin() + WALL);
  }
  unsigned char* begin() { return all.data() + WALL; }
  bool walls_stand() const {
    for (size_t at = 0; at < WALL; ++at) {
      if (all[at] != 0xff || all[all.size() - 1 - at] != 0xff) return false;
    }
    return true;
  }
  size_t count() const { return size; }

 private:
  static constexpr size_t WALL = 1 << 14;
  Bytes all;
  size_t size;
};

struct Call {
  uint3 groups;
  int threads;
  std::vector<Buffer> buffers;
  uint3 group;
};

// An argument of a kernel, by its place and type: settings are a reference, tensors are pointers, and
// after the place of the group come the numbers of the thread, its SIMD group and its lane.
template <class T, bool POINTER, bool REFERENCE>
struct Argument;

template <class T>
struct Argument<T, true, false> {
  static T get(Call& call, size_t at, size_t) {
    if (at >= call.buffers.size()) fail("a kernel takes more buffers than it was given");
    return reinterpret_cast<T>(call.buffers[at].begin());
  }
};

template <class T>
struct Argument<T, false, true> {
  static T get(Call& call, size_t at, size_t) {
    typedef typename std::remove_reference<T>::type Setting;
    if (call.buffers[at].count() != sizeof(Setting)) fail("settings of another size");
    return *reinterpret_cast<Setting*>(call.buffers[at].begin());
  }
};

template <>
struct Argument<uint3, false, false> {
  static uint3 get(Call& call, size_t, size_t) { return call.group; }
};

template <>
struct Argument<unsigned, false, false> {
  static unsigned get(Call&, size_t at, size_t place) {
    const int numbers[3] = {gpu::thread(), gpu::thread() / gpu::LANES, gpu::lane()};
    return static_cast<unsigned>(numbers[at - place - 1]);
  }
};

template <class... A>
constexpr size_t place_of_group() {
  const bool is[] = {std::is_same<A, uint3>::value...};
  size_t at = 0;
  while (!is[at]) ++at;
  return at;
}

template <class... A, size_t... I>
void invoke(void (*function)(A...), Call& call, std::index_sequence<I...>) {
  constexpr size_t place = place_of_group<A...>();
  function(Argument<A, std::is_pointer<A>::value, std::is_reference<A>::value>::get(call, I, place)...);
}

template <class... A>
void run(void (*function)(A...), Call& call) {
  if (place_of_group<A...>() != call.buffers.size()) fail("another number of buffers");
  for (unsigned z = 0; z < call.groups.z; ++z) {
    for (unsigned y = 0; y < call.groups.y; ++y) {
      for (unsigned x = 0; x < call.groups.x; ++x) {
        ++gpu::group_number;
        call.group = uint3{x, y, z};
        gpu::run_block(call.threads, [&](int) { invoke(function, call, std::index_sequence_for<A...>()); });
      }
    }
  }
}

}  // namespace

#define KERNELS(K)                                                                              \
  K(activate) K(activate_gradient) K(pack_weight) K(convolve_wide) K(convolve_narrow)           \
  K(convolve_plain) K(weight_gradient_wide) K(weight_gradient_narrow) K(merge_weight_gradient)  \
  K(channel_sums) K(merge_sums) K(moments) K(merge_moments) K(normalize_cells)                  \
  K(norm_gradient_sums) K(cell_means) K(norm_input_gradient) K(max_pool) K(max_pool_gradient)   \
  K(map_axis) K(join) K(softmax) K(softmax_gradient) K(class_sums) K(class_sums_gradient)

#define IN(library, name) \
  if (which == #library "/" #name) return run(library::name, call);
#define IN_F32(name) IN(f32, name)
#define IN_PLAIN(name) IN(plain, name)
#define IN_F16(name) IN(f16, name)
#define IN_BF16(name) IN(bf16, name)

namespace {

void dispatch(const std::string& which, Call& call) {
  KERNELS(IN_F32)
  KERNELS(IN_PLAIN)
  KERNELS(IN_F16)
  KERNELS(IN_BF16)
  fail("no kernel ", which);
}

}  // namespace

int main(int count, char** words) {
  if (count != 7) fail("six words are needed");
  const auto number = [&](int at) { return static_cast<unsigned>(std::atoi(words[at])); };
  Call call{uint3{number(3), number(4), number(5)}, std::atoi(words[6]), {}, uint3{0, 0, 0}};
  const uint32_t inputs = read_word(), outputs = read_word();
  for (uint32_t i = 0; i < inputs; ++i) call.buffers.emplace_back(read_bytes());
  for (uint32_t i = 0; i < outputs; ++i) call.buffers.emplace_back(Bytes(read_word(), 0xff));
  dispatch(std::string(words[1]) + "/" + words[2], call);
  for (auto& buffer : call.buffers) {
    if (!buffer.walls_stand()) fail("written beyond the end");
  }
  for (uint32_t i = 0; i < outputs; ++i) {
    Buffer& buffer = call.buffers[inputs + i];
    std::fwrite(buffer.begin(), buffer.count(), 1, stdout);
  }
  return 0;
}
