// Runs CUDA kernels on the CPU, as standard input says; see cuda_sources.rs, which speaks to it.
//
// Arrays have a margin on both sides that no kernel may touch, and begin as garbage.
#include "cuda.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <utility>

[[noreturn]] static void fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

struct Argument {
  bool is_pointer;
  void* pointer;
  std::vector<char> bytes;
};

using Call = std::function<void(const std::vector<Argument>&, std::function<void(std::function<void()>)>)>;

struct Kernel {
  bool waits;
  Call call;
};

struct Kernels {
  std::map<std::string, Kernel> named;
  float (*get)(const void*, size_t);
  void (*put)(void*, size_t, float);
};

template <class T>
T argument_as(const Argument& argument) {
  T value;
  if constexpr (std::is_pointer_v<T>) {
    if (!argument.is_pointer) fail("a number is passed for an array");
    value = static_cast<T>(argument.pointer);
  } else {
    if (argument.is_pointer) fail("an array is passed for a number");
    if (argument.bytes.size() != sizeof(T)) fail("an argument has another size than its parameter");
    std::memcpy(&value, argument.bytes.data(), sizeof(T));
  }
  return value;
}

template <class... P, size_t... I>
static Call bind_with(void (*kernel)(P...), std::index_sequence<I...>) {
  return [kernel](const std::vector<Argument>& arguments, std::function<void(std::function<void()>)> run) {
    if (arguments.size() != sizeof...(P)) fail("a kernel has another number of parameters");
    const std::tuple<P...> values{argument_as<P>(arguments[I])...};
    run([&] { kernel(std::get<I>(values)...); });
  };
}

template <class... P>
static Call bind(void (*kernel)(P...)) {
  return bind_with(kernel, std::index_sequence_for<P...>());
}

#define VALUE 0
#define WIDTH 1
#define WIDE 0
#define VARIANT single_narrow
#include "cuda_variant.inc"

#define VALUE 0
#define WIDTH 4
#define WIDE 0
#define VARIANT single
#include "cuda_variant.inc"

#define VALUE 1
#define WIDTH 1
#define WIDE 0
#define VARIANT brain_narrow
#include "cuda_variant.inc"

#define VALUE 1
#define WIDTH 8
#define WIDE 0
#define VARIANT brain
#include "cuda_variant.inc"

#define VALUE 2
#define WIDTH 1
#define WIDE 1
#define VARIANT half_narrow
#include "cuda_variant.inc"

#define VALUE 2
#define WIDTH 8
#define WIDE 1
#define VARIANT half
#include "cuda_variant.inc"

static Kernels& kernels_of(uint32_t value, uint32_t width) {
  static std::map<std::pair<uint32_t, uint32_t>, Kernels> all = {
      {{0, 1}, single_narrow::kernels()}, {{0, 4}, single::kernels()}, {{1, 1}, brain_narrow::kernels()},
      {{1, 8}, brain::kernels()},         {{2, 1}, half_narrow::kernels()}, {{2, 8}, half::kernels()},
  };
  const auto found = all.find({value, width});
  if (found == all.end()) fail("no such variant");
  return found->second;
}

static std::vector<char> take(size_t count) {
  std::vector<char> bytes(count);
  if (count && std::fread(bytes.data(), 1, count, stdin) != count) fail("the input ends early");
  return bytes;
}

template <class T>
static T take() {
  const std::vector<char> bytes = take(sizeof(T));
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

constexpr size_t MARGIN = 256;
constexpr char UNTOUCHED = 0x5a, GARBAGE = static_cast<char>(0xff);  // NaN, as a float
static std::map<uint64_t, std::vector<char>> arrays;

static char* array(uint64_t id) {
  const auto found = arrays.find(id);
  if (found == arrays.end()) fail("no such array");
  return found->second.data() + MARGIN;
}

static void check(const std::string& kernel) {
  for (const auto& [id, bytes] : arrays) {
    for (size_t at = 0; at < MARGIN; ++at) {
      if (bytes[at] != UNTOUCHED || bytes[bytes.size() - 1 - at] != UNTOUCHED) {
        fail(kernel + " writes beside an array");
      }
    }
  }
}

static void launch() {
  const auto value = take<uint32_t>(), width = take<uint32_t>();
  cuda::curve = static_cast<int>(take<uint32_t>());
  const std::vector<char> letters = take(take<uint32_t>());
  const std::string name(letters.begin(), letters.end());
  cuda::grid.x = take<uint32_t>();
  std::vector<Argument> arguments(take<uint32_t>());
  for (Argument& argument : arguments) {
    const auto tag = take<uint8_t>();
    argument.is_pointer = tag != 0;
    argument.pointer = tag == 1 ? array(take<uint64_t>()) : nullptr;
    if (tag == 0) argument.bytes = take(take<uint32_t>());
  }
  Kernels& kernels = kernels_of(value, width);
  const auto found = kernels.named.find(name);
  if (found == kernels.named.end()) fail("no kernel " + name);
  const Kernel& kernel = found->second;
  kernel.call(arguments, [&](std::function<void()> body) {
    for (cuda::block.x = 0; cuda::block.x < cuda::grid.x; ++cuda::block.x) {
      if (kernel.waits) {
        gpu::run_block(256, [&](int) { body(); });
      } else {
        for (cuda::lone_thread = 0; cuda::lone_thread < 256; ++cuda::lone_thread) body();
      }
    }
  });
  check(name);
}

static void multiply() {
  const Kernels& kernels = kernels_of(take<uint32_t>(), 1);
  const char* factors[2];
  uint64_t starts[2], transposed[2];
  for (int which = 0; which < 2; ++which) {
    factors[which] = array(take<uint64_t>());
    starts[which] = take<uint64_t>();
    transposed[which] = take<uint64_t>();
  }
  const auto m = take<uint64_t>(), n = take<uint64_t>(), k = take<uint64_t>();
  char* result = array(take<uint64_t>());
  for (size_t row = 0; row < m; ++row) {
    for (size_t column = 0; column < n; ++column) {
      double sum = 0;
      for (size_t i = 0; i < k; ++i) {
        const size_t a = transposed[0] ? i * m + row : row * k + i;
        const size_t b = transposed[1] ? column * k + i : i * n + column;
        sum += static_cast<double>(kernels.get(factors[0], starts[0] + a)) * kernels.get(factors[1], starts[1] + b);
      }
      kernels.put(result, row * n + column, static_cast<float>(sum));
    }
  }
}

int main() {
  for (int command; (command = std::getchar()) != EOF;) {
    switch (command) {
      case 'A': {
        const auto id = take<uint64_t>(), bytes = take<uint64_t>();
        std::vector<char> array(bytes + 2 * MARGIN, UNTOUCHED);
        std::memset(array.data() + MARGIN, GARBAGE, bytes);
        arrays[id] = std::move(array);
        break;
      }
      case 'W': {
        const auto id = take<uint64_t>(), bytes = take<uint64_t>();
        const std::vector<char> values = take(bytes);
        std::memcpy(array(id), values.data(), bytes);
        break;
      }
      case 'R': {
        const auto id = take<uint64_t>(), bytes = take<uint64_t>();
        std::fwrite(array(id), 1, bytes, stdout);
        std::fflush(stdout);
        break;
      }
      case 'T': {
        char* to = array(take<uint64_t>());
        const auto count = take<uint64_t>();
        for (uint64_t at = 0; at < count; ++at) {
          const auto id = take<uint64_t>();
          const char* address = id == UINT64_MAX ? nullptr : array(id);
          std::memcpy(to + at * sizeof address, &address, sizeof address);
        }
        break;
      }
      case 'L':
        launch();
        break;
      case 'P':
        multiply();
        break;
      default:
        fail("no such command");
    }
  }
}
