//! The largest value of each window.

use super::fresh::in_pieces;
use crate::geometry::three;
use crate::pool::Windows;

/// A pooling with three axes.
pub(crate) struct Setting {
    batch: usize,
    channels: usize,
    input: [usize; 3],
    output: [usize; 3],
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: [usize; 3],
}

impl Setting {
    pub(crate) fn new(windows: &Windows) -> Self {
        Self {
            batch: windows.input.batch,
            channels: windows.input.channels,
            input: three(&windows.input.space, 1),
            output: three(&windows.output, 1),
            kernel: three(&windows.kernel, 1),
            stride: three(&windows.stride, 1),
            padding: three(&windows.padding, 0),
        }
    }

    /// The part of the window of `output` along `axis` that lies in the input.
    fn window(&self, axis: usize, output: usize) -> std::ops::Range<usize> {
        let start = output * self.stride[axis];
        let end = (start + self.kernel[axis]).saturating_sub(self.padding[axis]);
        start.saturating_sub(self.padding[axis])..end.min(self.input[axis])
    }

    /// For each channel of the output voxel `(z, y, x)`, its largest value in `sample`, and the input
    /// voxel that has it.
    fn best(&self, sample: &[f32], [z, y, x]: [usize; 3], value: &mut [f32], voxel: &mut [usize]) {
        let mut first = true;
        for z in self.window(0, z) {
            for y in self.window(1, y) {
                for x in self.window(2, x) {
                    let at = (z * self.input[1] + y) * self.input[2] + x;
                    let seen = &sample[at * self.channels..][..self.channels];
                    for ((&seen, value), voxel) in
                        seen.iter().zip(value.iter_mut()).zip(voxel.iter_mut())
                    {
                        if first || seen > *value || seen.is_nan() {
                            *value = seen;
                            *voxel = at;
                        }
                    }
                    first = false;
                }
            }
        }
    }

    fn sample(&self, space: [usize; 3]) -> usize {
        space.iter().product::<usize>() * self.channels
    }

    /// The largest values, `(N, *S', C)`.
    pub(crate) fn max_pool(&self, x: &[f32]) -> Vec<f32> {
        let [depth, height, width] = self.output;
        let line = width * self.channels;
        in_pieces(self.batch * depth * height * line, line, |index, line| {
            let (z, row) = (index / height % depth, index % height);
            let size = self.sample(self.input);
            let sample = &x[index / height / depth * size..][..size];
            let mut voxel = vec![0; self.channels];
            for (column, value) in line.chunks_exact_mut(self.channels).enumerate() {
                self.best(sample, [z, row, column], value, &mut voxel);
            }
        })
    }

    /// The gradient with respect to the input, given that of the output.
    pub(crate) fn max_pool_gradient(&self, x: &[f32], gradient: &[f32]) -> Vec<f32> {
        let [depth, height, width] = self.output;
        // Windows of different samples never meet; those of one sample may overlap.
        let (input, output) = (self.sample(self.input), self.sample(self.output));
        in_pieces(x.len(), input, |n, dx| {
            let (x, gradient) = (&x[n * input..][..input], &gradient[n * output..][..output]);
            let (mut value, mut voxel) = (vec![0.0; self.channels], vec![0; self.channels]);
            for (at, gradient) in gradient.chunks_exact(self.channels).enumerate() {
                let place = [at / width / height % depth, at / width % height, at % width];
                self.best(x, place, &mut value, &mut voxel);
                for (channel, (&at, &gradient)) in voxel.iter().zip(gradient).enumerate() {
                    dx[at * self.channels + channel] += gradient;
                }
            }
        })
    }
}
