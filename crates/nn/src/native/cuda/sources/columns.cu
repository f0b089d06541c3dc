// A convolution as a product of matrices. A row of columns is what one coarse voxel sees of the fine
// grid: (taps, channels of a group).

struct Geometry {
  int fine[3], coarse[3], kernel[3], stride[3], padding[3], dilation[3];
};

DEVICE int taps_of(const Geometry& geometry) { return geometry.kernel[0] * geometry.kernel[1] * geometry.kernel[2]; }

// Rows from `first_row` on, of packs from `first_pack` on, `group` of them.
KERNEL unfold(const Value* x, Value* columns, Geometry geometry, Index first_row, Index count, int packs,
              int first_pack, int group) {
  const int taps = taps_of(geometry);
  for (Index at = thread_of_grid(); at < count; at += threads_of_grid()) {
    const int pack = (int)(at % group);
    int tap = (int)(at / group % taps);
    Index rest = first_row + at / group / taps, voxel = 0, size = 1;
    bool inside = true;
    for (int axis = 2; axis >= 0; --axis) {
      const int coarse = (int)(rest % geometry.coarse[axis]), position = tap % geometry.kernel[axis];
      rest /= geometry.coarse[axis];
      tap /= geometry.kernel[axis];
      const int fine = coarse * geometry.stride[axis] + position * geometry.dilation[axis] - geometry.padding[axis];
      inside = inside && fine >= 0 && fine < geometry.fine[axis];
      voxel += size * fine;
      size *= geometry.fine[axis];
    }
    Pack result;
    if (inside) {
      result = packs_of(x)[(rest * size + voxel) * packs + first_pack + pack];
    } else {
      for (int i = 0; i < WIDTH; ++i) result.of[i] = put(0.0f);
    }
    packs_of(columns)[at] = result;
  }
}

// The adjoint: each fine voxel from `first_voxel` on adds up what columns of rows `first_row` to
// `last_row` have for it, tap by tap, on what it has.
KERNEL fold(const Value* columns, float* sums, Geometry geometry, Index first_row, Index last_row, Index first_voxel,
            Index count, int packs, int first_pack, int group) {
  const int taps = taps_of(geometry);
  for (Index at = thread_of_grid(); at < count; at += threads_of_grid()) {
    const int pack = (int)(at % group);
    const Index voxel = first_voxel + at / group;
    Index rest = voxel;
    int place[3];
    for (int axis = 2; axis >= 0; --axis) {
      place[axis] = (int)(rest % geometry.fine[axis]) + geometry.padding[axis];
      rest /= geometry.fine[axis];
    }
    float sum[WIDTH];
    for (int i = 0; i < WIDTH; ++i) sum[i] = 0.0f;
    for (int tap = 0; tap < taps; ++tap) {
      int positions = tap;
      Index row = 0, size = 1;
      bool inside = true;
      for (int axis = 2; axis >= 0; --axis) {
        const int reach = place[axis] - positions % geometry.kernel[axis] * geometry.dilation[axis];
        positions /= geometry.kernel[axis];
        const int coarse = reach / geometry.stride[axis];
        inside = inside && reach >= 0 && reach % geometry.stride[axis] == 0 && coarse < geometry.coarse[axis];
        row += size * coarse;
        size *= geometry.coarse[axis];
      }
      row += rest * size;
      if (!inside || row < first_row || row >= last_row) continue;
      const Pack seen = packs_of(columns)[((row - first_row) * taps + tap) * group + pack];
      for (int i = 0; i < WIDTH; ++i) sum[i] += get(seen.of[i]);
    }
    float* to = sums + (voxel * packs + first_pack + pack) * WIDTH;
    for (int i = 0; i < WIDTH; ++i) to[i] += sum[i];
  }
}
