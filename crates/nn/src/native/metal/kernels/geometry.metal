// Which voxels a convolution reads: all of its index arithmetic.
//
// A convolution goes from a fine grid to a coarse one, its adjoint back. Both are computed from the side
// of the result: for each voxel of it, a sum over taps. The adjoint of a stride reads other taps for each
// residue that a voxel leaves, so that such residues, the phases, are computed apart, each like a
// convolution without stride.

struct Axis {
  uint fine;
  uint coarse;
  uint taps;
  uint stride;
  uint padding;
  uint dilation;
};

struct Geometry {
  uint batch;
  uint groups;
  uint fine_channels;    // of a group
  uint coarse_channels;  // of a group
  Axis axes[3];          // slowest first
  uint adjoint;          // whether from the coarse grid to the fine one
  uint has_bias;
};

// Along one axis: place `p` writes voxel `out_first + p * out_step`, and by tap `t` it reads voxel
// `in_first + p * in_step + t * in_tap` with the weight at `tap_first + t * tap_step`.
struct Walk {
  int places;
  int taps;
  int out_first;
  int out_step;
  int out_extent;
  int in_first;
  int in_step;
  int in_tap;
  int in_extent;
  int tap_first;
  int tap_step;
  int tap_extent;
};

struct Walks {
  Walk z;
  Walk y;
  Walk x;
};

inline Walk forward_walk(constant Axis& axis) {
  Walk walk;
  walk.places = static_cast<int>(axis.coarse);
  walk.taps = static_cast<int>(axis.taps);
  walk.out_first = 0;
  walk.out_step = 1;
  walk.out_extent = walk.places;
  walk.in_first = -static_cast<int>(axis.padding);
  walk.in_step = static_cast<int>(axis.stride);
  walk.in_tap = static_cast<int>(axis.dilation);
  walk.in_extent = static_cast<int>(axis.fine);
  walk.tap_first = 0;
  walk.tap_step = 1;
  walk.tap_extent = walk.taps;
  return walk;
}

inline Walk adjoint_walk(constant Axis& axis, int phase) {
  const int stride = static_cast<int>(axis.stride), dilation = static_cast<int>(axis.dilation);
  const int fine = static_cast<int>(axis.fine);
  const int reach = phase + static_cast<int>(axis.padding);
  Walk walk;
  walk.places = phase < fine ? (fine - phase + stride - 1) / stride : 0;
  walk.out_first = phase;
  walk.out_step = stride;
  walk.out_extent = fine;
  walk.in_step = 1;
  walk.in_extent = static_cast<int>(axis.coarse);
  walk.tap_extent = static_cast<int>(axis.taps);
  // Taps that meet a coarse voxel are those with `reach - tap * dilation` a multiple of the stride: every
  // so many, since this is a linear congruence.
  walk.taps = 0;
  walk.tap_first = 0;
  walk.tap_step = 1;
  for (int tap = 0; tap < walk.tap_extent; ++tap) {
    if ((reach - tap * dilation) % stride != 0) continue;
    if (walk.taps == 0) walk.tap_first = tap;
    if (walk.taps == 1) walk.tap_step = tap - walk.tap_first;
    ++walk.taps;
  }
  walk.in_first = walk.taps > 0 ? (reach - walk.tap_first * dilation) / stride : 0;
  walk.in_tap = walk.taps > 1 ? -(walk.tap_step * dilation) / stride : 0;
  return walk;
}

inline uint phases_of(constant Geometry& geometry) {
  const uint all = geometry.axes[0].stride * geometry.axes[1].stride * geometry.axes[2].stride;
  return geometry.adjoint != 0 ? all : 1;
}

inline Walks walks_of(constant Geometry& geometry, uint phase) {
  constant Axis& z = geometry.axes[0];
  constant Axis& y = geometry.axes[1];
  constant Axis& x = geometry.axes[2];
  Walks walks;
  if (geometry.adjoint == 0) {
    walks.z = forward_walk(z);
    walks.y = forward_walk(y);
    walks.x = forward_walk(x);
  } else {
    walks.z = adjoint_walk(z, static_cast<int>(phase / (y.stride * x.stride)));
    walks.y = adjoint_walk(y, static_cast<int>(phase / x.stride % y.stride));
    walks.x = adjoint_walk(x, static_cast<int>(phase % x.stride));
  }
  return walks;
}

// Places of all samples.
inline uint places_of(Walks walks, uint batch) {
  return batch * static_cast<uint>(walks.z.places * walks.y.places * walks.x.places);
}

inline uint taps_of(Walks walks) {
  return static_cast<uint>(walks.z.taps * walks.y.taps * walks.x.taps);
}

// A place: where its first tap reads, and which voxel it writes.
struct Row {
  int sample;  // -1 where there is no such place
  int z;
  int y;
  int x;
  uint out;
};

inline Row row_of(Walks walks, uint places, uint place) {
  Row row;
  row.sample = -1;
  row.z = row.y = row.x = 0;
  row.out = 0;
  if (place < places) {
    const int at = static_cast<int>(place);
    const int x = at % walks.x.places, y = at / walks.x.places % walks.y.places;
    const int rest = at / walks.x.places / walks.y.places;
    const int z = rest % walks.z.places;
    row.sample = rest / walks.z.places;
    row.z = walks.z.in_first + z * walks.z.in_step;
    row.y = walks.y.in_first + y * walks.y.in_step;
    row.x = walks.x.in_first + x * walks.x.in_step;
    const int out_z = row.sample * walks.z.out_extent + walks.z.out_first + z * walks.z.out_step;
    const int out_y = out_z * walks.y.out_extent + walks.y.out_first + y * walks.y.out_step;
    row.out =
        static_cast<uint>(out_y * walks.x.out_extent + walks.x.out_first + x * walks.x.out_step);
  }
  return row;
}

// A tap and a channel that it reads: how far from the first tap, and the row of packed weights.
struct Column {
  int z;
  int y;
  int x;
  uint channel;
  uint weight;
};

// Far enough that no voxel is there.
enum { NOWHERE = -(1 << 28) };

inline Column column_of(Walks walks, uint channels, uint at) {
  Column column;
  column.z = NOWHERE;
  column.y = column.x = 0;
  column.channel = column.weight = 0;
  if (at < taps_of(walks) * channels) {
    const int tap = static_cast<int>(at / channels);
    const int x = tap % walks.x.taps, y = tap / walks.x.taps % walks.y.taps;
    const int z = tap / walks.x.taps / walks.y.taps;
    column.z = z * walks.z.in_tap;
    column.y = y * walks.y.in_tap;
    column.x = x * walks.x.in_tap;
    column.channel = at % channels;
    const int tap_z = walks.z.tap_first + z * walks.z.tap_step;
    const int tap_y = tap_z * walks.y.tap_extent + walks.y.tap_first + y * walks.y.tap_step;
    const int tap_x = tap_y * walks.x.tap_extent + walks.x.tap_first + x * walks.x.tap_step;
    column.weight = static_cast<uint>(tap_x) * channels + column.channel;
  }
  return column;
}

// The voxel that is read, of all samples; -1 where it is padding, or there is no such row or column.
inline int voxel_of(Walks walks, Row row, Column column) {
  const int z = row.z + column.z, y = row.y + column.y, x = row.x + column.x;
  const bool inside = row.sample >= 0 && z >= 0 && z < walks.z.in_extent && y >= 0 &&
                      y < walks.y.in_extent && x >= 0 && x < walks.x.in_extent;
  if (!inside) return -1;
  return ((row.sample * walks.z.in_extent + z) * walks.y.in_extent + y) * walks.x.in_extent + x;
}

// Channels of a group on the side that is read, and on the side that is written.
inline uint inputs_of(constant Geometry& geometry) {
  return geometry.adjoint != 0 ? geometry.coarse_channels : geometry.fine_channels;
}

inline uint outputs_of(constant Geometry& geometry) {
  return geometry.adjoint != 0 ? geometry.fine_channels : geometry.coarse_channels;
}
