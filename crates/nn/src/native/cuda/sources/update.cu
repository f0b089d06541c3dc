// Steps of optimizers on many parameters at once. A row of the table has the addresses of a parameter, of its gradient,
// and of what is remembered of it; `extents` has the values of each row, then the number of the first block of each.

#define COLUMNS 5
#define PIECE 4096

struct Piece {
  float* value;
  const float* gradient;
  float* memory[3];
  int from, to;
};

DEVICE Piece piece_of_block(float* const* table, const int* extents, int rows) {
  const int* firsts = extents + rows;
  const int block = blockIdx.x;
  int row = 0, beyond = rows;
  while (beyond - row > 1) {
    const int middle = (row + beyond) / 2;
    if (firsts[middle] <= block) row = middle;
    else beyond = middle;
  }
  Piece piece;
  float* const* addresses = table + row * COLUMNS;
  piece.value = addresses[0];
  piece.gradient = addresses[1];
  for (int i = 0; i < 3; ++i) piece.memory[i] = addresses[2 + i];
  piece.from = (block - firsts[row]) * PIECE;
  piece.to = extents[row] - piece.from < PIECE ? extents[row] : piece.from + PIECE;
  return piece;
}

KERNEL descend(float* const* table, const int* extents, int rows, float decay, float momentum, float fresh,
               int nesterov, int first, float rate) {
  const Piece piece = piece_of_block(table, extents, rows);
  for (int at = piece.from + threadIdx.x; at < piece.to; at += BLOCK) {
    const float value = piece.value[at];
    float direction = piece.gradient[at];
    if (decay != 0.0f) direction += value * decay;
    if (momentum != 0.0f) {
      const float buffer = first ? direction : piece.memory[0][at] * momentum + direction * fresh;
      piece.memory[0][at] = buffer;
      direction = nesterov ? direction + buffer * momentum : buffer;
    }
    piece.value[at] = value - direction * rate;
  }
}

// `shrink` is what the parameter is multiplied by first, `unit` what the root of the mean square is.
KERNEL adapt(float* const* table, const int* extents, int rows, float decay, float shrink, float keep, float take,
             float keep_square, float take_square, float unit, float eps, int amsgrad, float rate) {
  const Piece piece = piece_of_block(table, extents, rows);
  for (int at = piece.from + threadIdx.x; at < piece.to; at += BLOCK) {
    const float value = piece.value[at];
    float gradient = piece.gradient[at];
    if (decay != 0.0f) gradient += value * decay;
    const float mean = piece.memory[0][at] * keep + gradient * take;
    float square = piece.memory[1][at] * keep_square + gradient * gradient * take_square;
    piece.memory[0][at] = mean;
    piece.memory[1][at] = square;
    if (amsgrad) {
      const float largest = piece.memory[2][at];
      if (!(largest < square)) square = largest;
      piece.memory[2][at] = square;
    }
    piece.value[at] = value * shrink - mean / (sqrtf(square) * unit + eps) * rate;
  }
}
