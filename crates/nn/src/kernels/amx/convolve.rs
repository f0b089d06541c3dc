//! The convolution and its transpose: voxels by source channels, times source by target channels.

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::block::{Block, Factors, Step};
use super::padded::{Padded, runs, target};
use super::sweep::Sweep;
use super::tiles::{Line, ROWS, Sums, Tiles, VALUES, flat};
use super::voxels::Voxels;
use super::weights::{PAIR, pack};
use crate::isa::isa;
use crate::kernels::element::Element;
use crate::kernels::fresh::in_tasks;
use crate::kernels::reading::Part;

/// Tasks below which threads would wait for each other, and voxels of a task: few enough that what it reads
/// stays in the cache.
const TASKS: usize = 16;
const VOXELS: Range<usize> = 64..4096;

pub(super) fn convolve<T: Tiles, U: Element>(
    grant: T::Grant,
    sweep: &Sweep,
    parts: &[Part<'_>],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Vec<U> {
    let isa = isa();
    let padded = Padded::new(sweep);
    let voxels = Voxels::new(parts, sweep.source, sweep.batch);
    let (source, weights) = (voxels.pad(isa, &padded), pack(isa, sweep, weight));
    let panels = sweep.target.channels.div_ceil(VALUES);
    let mut biases = vec![0.0; panels * VALUES];
    if let Some(bias) = bias {
        biases[..bias.len()].copy_from_slice(bias);
    }
    let chunks = voxels.chunks();
    let setting =
        Setting { sweep, padded, source: &source, weights: &weights, bias: &biases, chunks };
    let cut = Cut::new(sweep);
    let tasks = cut.tasks();
    let run = |task: usize, lines: &mut [&mut [MaybeUninit<U>]]| {
        let of_task = OfTask::<T, U> { setting: &setting, grant, task: &tasks[task], lines };
        isa.run(of_task);
    };
    let [depth, height, _] = sweep.target.space;
    let lines = (sweep.batch * depth * height, sweep.target.line());
    #[expect(unsafe_code, reason = "see `in_tasks`")]
    // SAFETY: the classes of the last axis have all voxels of a line, the panels all channels of a voxel,
    // and the runs all voxels of a class of the lines of a task.
    unsafe {
        in_tasks(lines, tasks.len(), |line| cut.task_of(line), run)
    }
}

/// What all tasks share.
struct Setting<'a> {
    sweep: &'a Sweep,
    padded: Padded,
    /// `(N, planes, chunks, places, 32)`.
    source: &'a [Line],
    weights: &'a [Line],
    /// Up to the end of the last panel.
    bias: &'a [f32],
    /// Pieces of 32 source channels.
    chunks: usize,
}

/// Voxels that are the rows of a left tile.
struct Left {
    /// Where what the first tap sees begins.
    at: usize,
    /// The first of the lines of a plane, and the place of the first voxel after it.
    line: usize,
    place: usize,
    count: usize,
}

impl Setting<'_> {
    #[inline(always)]
    fn run<T: Tiles, U: Element>(
        &self,
        grant: T::Grant,
        task: &Task,
        lines: &mut [&mut [MaybeUninit<U>]],
    ) {
        let channels = self.sweep.target.channels;
        let mut block = Block::<T>::new(grant);
        let mut sums = [Sums::ZERO; 4];
        let panel_lines = self.chunks * self.sweep.taps() * PAIR;
        for (start, class) in self.sweep.axes[2].iter().enumerate() {
            let steps = self.steps([task.classes[0], task.classes[1], start]);
            let lefts = self.lefts(task, class.count);
            for panel in 0..channels.div_ceil(VALUES) {
                let kept = VALUES.min(channels - panel * VALUES);
                let right = flat(&self.weights[panel * panel_lines..][..panel_lines]);
                let factors = Factors { left: flat(self.source), step: VALUES, right };
                for pair in lefts.chunks(2) {
                    let at = [pair[0].at, pair[pair.len() - 1].at];
                    let [upper, lower] = at.map(|at| VALUES * at);
                    let steps = steps.iter().map(|step| Step {
                        left: [step.left[0] + upper, step.left[1] + lower],
                        ..*step
                    });
                    block.sum((pair.len(), kept.div_ceil(ROWS)), factors, &steps, &mut sums);
                    for (left, sums) in pair.iter().zip(sums.chunks_exact(2)) {
                        let panel = (panel * VALUES, kept);
                        self.write(left, (start, class.count), panel, sums, lines);
                    }
                }
            }
        }
    }

    /// Writes the sums of up to 32 channels of voxels of one class of the last axis.
    #[inline(always)]
    fn write<U: Element>(
        &self,
        left: &Left,
        (start, count): (usize, usize),
        (first, kept): (usize, usize),
        sums: &[Sums],
        lines: &mut [&mut [MaybeUninit<U>]],
    ) {
        let (channels, classes) = (self.sweep.target.channels, self.sweep.axes[2].len());
        for voxel in 0..left.count {
            let target = target(left.place + voxel, count, self.padded.width);
            let Some((line, at)) = target else { continue };
            let x = start + classes * at;
            let to = &mut lines[left.line + line][x * channels + first..][..kept];
            let bias = self.bias[first..].chunks_exact(ROWS);
            for ((to, bias), sums) in to.chunks_mut(ROWS).zip(bias).zip(sums) {
                for ((to, sum), bias) in to.iter_mut().zip(sums.0[voxel]).zip(bias) {
                    to.write(U::of(sum + bias));
                }
            }
        }
    }

    /// The products of the voxels of three classes, from where the first tap would see the first voxel
    /// of all.
    fn steps(&self, classes: [usize; 3]) -> Vec<Step> {
        let [z, y, x] = [0, 1, 2].map(|axis| &self.sweep.axes[axis][classes[axis]].taps);
        let [_, high, wide] = self.sweep.kernel;
        let taps = self.sweep.taps();
        let mut steps = Vec::with_capacity(self.chunks * z.len() * y.len() * x.len());
        for chunk in 0..self.chunks {
            for &(tap_z, at_z) in z {
                for &(tap_y, at_y) in y {
                    for &(tap_x, at_x) in x {
                        let (plane, place) = self.padded.place([at_z, at_y, at_x]);
                        let left = (plane * self.chunks + chunk) * self.padded.plane() + place;
                        let tap = (tap_z * high + tap_y) * wide + tap_x;
                        let right = (chunk * taps + tap) * PAIR;
                        steps.push(Step { left: [VALUES * left; 2], right: VALUES * right });
                    }
                }
            }
        }
        steps
    }

    /// The voxels of a task, of lines with `count` of them.
    fn lefts(&self, task: &Task, count: usize) -> Vec<Left> {
        let (padded, mut lefts) = (&self.padded, Vec::new());
        for (index, z) in task.z.clone().enumerate() {
            let plane = task.n * padded.depth + z * self.sweep.stride[0];
            let start = plane * self.chunks * padded.plane() + task.y.start * padded.width;
            for (place, count) in runs(task.y.len(), count, padded.width, ROWS) {
                let line = index * task.y.len();
                lefts.push(Left { at: start + place, line, place, count });
            }
        }
        lefts
    }
}

/// The lines of a task.
struct OfTask<'a, 'b, T: Tiles, U> {
    setting: &'a Setting<'a>,
    grant: T::Grant,
    task: &'a Task,
    lines: &'a mut [&'b mut [MaybeUninit<U>]],
}

impl<T: Tiles, U: Element> WithSimd for OfTask<'_, '_, T, U> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.setting.run::<T, U>(self.grant, self.task, self.lines);
    }
}

/// Lines of one class along each of the two slower axes, numbered within it.
struct Task {
    n: usize,
    classes: [usize; 2],
    z: Range<usize>,
    y: Range<usize>,
}

/// How the lines of the target are cut into tasks.
struct Cut<'a> {
    sweep: &'a Sweep,
    /// By class along the slowest axis, and the next.
    classes: Vec<OfClass>,
    /// Tasks of a sample.
    tasks: usize,
}

/// How those of one class are.
struct OfClass {
    /// The number of its first task.
    first: usize,
    /// Lines of a task along either axis.
    size: [usize; 2],
    /// Tasks along either axis.
    tasks: [usize; 2],
}

impl<'a> Cut<'a> {
    fn new(sweep: &'a Sweep) -> Self {
        let [depth, height, width] = sweep.target.space;
        let wanted = sweep.batch * depth * height * width / TASKS;
        let lines = wanted.clamp(VOXELS.start, VOXELS.end).div_ceil(width);
        let (mut classes, mut tasks) = (Vec::new(), 0);
        for z in &sweep.axes[0] {
            for y in &sweep.axes[1] {
                let high = lines.min(y.count);
                let size = [(lines / high).min(z.count), high];
                let along = [z.count.div_ceil(size[0]), y.count.div_ceil(size[1])];
                classes.push(OfClass { first: tasks, size, tasks: along });
                tasks += along[0] * along[1];
            }
        }
        Self { sweep, classes, tasks }
    }

    fn tasks(&self) -> Vec<Task> {
        let mut tasks = Vec::new();
        for n in 0..self.sweep.batch {
            for (index, class) in self.classes.iter().enumerate() {
                let wide = self.sweep.axes[1].len();
                let classes = [index / wide, index % wide];
                let range = |axis: usize, at: usize| {
                    let count = self.sweep.axes[axis][classes[axis]].count;
                    at * class.size[axis]..count.min((at + 1) * class.size[axis])
                };
                for at in 0..class.tasks[0] * class.tasks[1] {
                    let (z, y) = (range(0, at / class.tasks[1]), range(1, at % class.tasks[1]));
                    tasks.push(Task { n, classes, z, y });
                }
            }
        }
        tasks
    }

    /// The number of the task that has a line.
    fn task_of(&self, line: usize) -> usize {
        let [depth, height, _] = self.sweep.target.space;
        let (y, rest) = (line % height, line / height);
        let (z, n) = (rest % depth, rest / depth);
        let [deep, high] = [0, 1].map(|axis| self.sweep.axes[axis].len());
        let class = &self.classes[z % deep * high + y % high];
        let along = |axis: usize, at: usize| at / class.size[axis];
        n * self.tasks + class.first + along(0, z / deep) * class.tasks[1] + along(1, y / high)
    }
}
