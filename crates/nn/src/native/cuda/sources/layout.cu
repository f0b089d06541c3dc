// The order of values.

// Matrices (batch, rows, columns) to (batch, columns, rows), from one type to another: a block moves
// 32 by 32 values.
template <class From, class To, class Convert>
DEVICE void transpose_tile(const From* from, To* to, int rows, int columns, Convert convert) {
  __shared__ float tile[32][33];
  const int down = (rows + 31) / 32, across = (columns + 31) / 32;
  const Index matrix = blockIdx.x / (down * across);
  const int row = (int)(blockIdx.x / across % down) * 32, column = (int)(blockIdx.x % across) * 32;
  const int lane = threadIdx.x % 32, first = threadIdx.x / 32;
  from += matrix * rows * columns;
  to += matrix * rows * columns;
  for (int i = first; i < 32; i += BLOCK / 32) {
    if (row + i < rows && column + lane < columns) {
      tile[i][lane] = convert.in(from[(Index)(row + i) * columns + column + lane]);
    }
  }
  __syncthreads();
  for (int i = first; i < 32; i += BLOCK / 32) {
    if (column + i < columns && row + lane < rows) {
      to[(Index)(column + i) * rows + row + lane] = convert.out(tile[lane][i]);
    }
  }
}

struct Same {
  DEVICE float in(Value value) { return get(value); }
  DEVICE Value out(float value) { return put(value); }
};
struct Narrow {
  DEVICE float in(float value) { return value; }
  DEVICE Value out(float value) { return put(value); }
};
struct Widen {
  DEVICE float in(Value value) { return get(value); }
  DEVICE float out(float value) { return value; }
};

KERNEL transpose(const Value* from, Value* to, int rows, int columns) {
  transpose_tile(from, to, rows, columns, Same());
}

KERNEL transpose_narrow(const float* from, Value* to, int rows, int columns) {
  transpose_tile(from, to, rows, columns, Narrow());
}

KERNEL transpose_widen(const Value* from, float* to, int rows, int columns) {
  transpose_tile(from, to, rows, columns, Widen());
}

// `count` packs, `packs` to a row, from one matrix into another; rows are `stride` apart, and begin at
// `start`, in packs.
KERNEL copy_rows(const Value* from, Value* to, Index count, int packs, Index from_stride, Index from_start,
                 Index to_stride, Index to_start) {
  for (Index at = thread_of_grid(); at < count; at += threads_of_grid()) {
    const Index row = at / packs, pack = at % packs;
    packs_of(to)[to_start + row * to_stride + pack] = packs_of(from)[from_start + row * from_stride + pack];
  }
}

KERNEL narrow(const float* from, Value* to, Index count) {
  for (Index at = thread_of_grid(); at < count; at += threads_of_grid()) to[at] = put(from[at]);
}

KERNEL accumulate(const Value* from, float* sums, Index count) {
  for (Index at = thread_of_grid(); at < count; at += threads_of_grid()) sums[at] += get(from[at]);
}
