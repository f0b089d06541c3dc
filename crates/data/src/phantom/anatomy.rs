use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use volume::Grid;

use super::random::below;

/// A body of one tissue, in mm from the centre of the field of view.
#[derive(Clone, Debug)]
struct Body {
    shape: Shape,
    /// Its intensity, HU.
    hu: f64,
}

#[derive(Clone, Debug)]
struct Shape {
    /// Centre, mm, `(z, y, x)`.
    centre: [f64; 3],
    /// Semi-axes, mm; an endless one makes a tube.
    radii: [f64; 3],
    /// Cosine and sine of the turn about z.
    turn: [f64; 2],
    /// Waves on the surface: amplitude in mm, then a wave vector in 1/mm, then a phase.
    bumps: Vec<(f64, [f64; 3], f64)>,
}

impl Shape {
    fn ellipsoid(centre: [f64; 3], radii: [f64; 3], angle: f64) -> Self {
        Self { centre, radii, turn: [angle.cos(), angle.sin()], bumps: Vec::new() }
    }

    /// The distance from the surface, mm, negative inside (to first order: exact on the surface of
    /// a smooth ellipsoid), and the direction in which it grows.
    fn level(&self, place: [f64; 3]) -> (f64, [f64; 3]) {
        let [z, y, x] = std::array::from_fn(|axis| place[axis] - self.centre[axis]);
        let [cos, sin] = self.turn;
        let local = [z, cos * y + sin * x, cos * x - sin * y];
        let once: [f64; 3] = std::array::from_fn(|axis| local[axis] / self.radii[axis]);
        let twice: [f64; 3] = std::array::from_fn(|axis| once[axis] / self.radii[axis]);
        let (k0, k1) = (norm(once), norm(twice));
        let smallest = self.radii.iter().copied().fold(f64::INFINITY, f64::min);
        let ratio = if k1 > 0.0 { k0 / k1 } else { smallest };
        let bumps: f64 = self
            .bumps
            .iter()
            .map(|(height, wave, phase)| {
                height * (wave[0] * z + wave[1] * y + wave[2] * x + phase).cos()
            })
            .sum();
        let [nz, ny, nx] = if k1 > 0.0 { twice.map(|part| part / k1) } else { [0.0, 0.0, 1.0] };
        ((k0 - 1.0) * ratio + bumps, [nz, cos * ny - sin * nx, sin * ny + cos * nx])
    }
}

fn norm([a, b, c]: [f64; 3]) -> f64 {
    (a * a + b * b + c * c).sqrt()
}

/// What is in one case: tissues, an organ, lesions in it.
#[derive(Clone, Debug)]
pub(super) struct Anatomy {
    grid: Grid,
    /// From the back to the front: each covers what came before.
    tissues: Vec<Body>,
    organ: Body,
    lesions: Vec<Body>,
}

/// Which tissue is the second organ: after fat and muscle.
const SECOND: usize = 2;

/// What a contrast agent adds to the second organ, where it is one to be told apart from the first, HU.
const UPTAKE: f64 = 60.0;

/// Blur of the imaginary scanner, standard deviation, mm.
const BLUR: f64 = 0.6;

impl Anatomy {
    /// Draws the anatomy of a case.
    pub(super) fn draw(grid: &Grid, rng: &mut ChaCha8Rng) -> Self {
        let half: [f64; 3] =
            std::array::from_fn(|axis| grid.size[axis] as f64 * grid.spacing[axis] / 2.0);
        let [hz, hy, hx] = half;
        let planar = grid.is_planar();
        // A slice shows bodies cut through their middle.
        let depth = |z: f64| if planar { 0.0 } else { z };
        let tube = f64::INFINITY;
        let mut tissues = Vec::new();
        let mut add = |shape: Shape, hu: f64| tissues.push(Body { shape, hu });

        let (by, bx) = (hy * rng.random_range(0.88..0.96), hx * rng.random_range(0.88..0.96));
        let outline = |scale: f64| Shape::ellipsoid([0.0; 3], [tube, by * scale, bx * scale], 0.0);
        add(outline(1.0), -100.0 + 8.0 * normal(rng)); // fat
        add(outline(0.9), 55.0 + 4.0 * normal(rng)); // muscle and the like

        let organ_hu = 95.0 + 5.0 * normal(rng);
        let side = if rng.random_bool(0.85) { 1.0 } else { -1.0 };
        let radii = [
            if planar { hz.max(hy) } else { hz } * rng.random_range(0.45..0.65),
            hy * rng.random_range(0.34..0.48),
            hx * rng.random_range(0.30..0.42),
        ];
        let centre = [
            depth(hz * rng.random_range(-0.15..0.15)),
            hy * rng.random_range(-0.12..0.18),
            side * hx * rng.random_range(0.22..0.34),
        ];
        let mut organ = Shape::ellipsoid(centre, radii, rng.random_range(-0.6..0.6));
        let mean = f64::midpoint(radii[1], radii[2]);
        organ.bumps = (0..4)
            .map(|_| {
                let wave = |radius: f64, rng: &mut ChaCha8Rng| 2.2 * normal(rng) / radius;
                let waves = [depth(wave(mean, rng)), wave(mean, rng), wave(mean, rng)];
                (0.05 * mean, waves, rng.random_range(0.0..6.3))
            })
            .collect();

        // What is as bright as the organ, but is not: on the other side, smaller, further back.
        let other = [
            depth(hz * rng.random_range(-0.3..0.3)),
            hy * rng.random_range(-0.35..-0.05),
            -side * hx * rng.random_range(0.40..0.52),
        ];
        let small = mean * rng.random_range(0.35..0.55);
        add(
            Shape::ellipsoid(other, [small * 1.4, small, small], 0.3),
            organ_hu + 6.0 * normal(rng),
        );
        // A spine, a vessel beside it, gas, and a cyst that is no lesion of the organ.
        let spine = [0.0, -0.62 * by, hx * rng.random_range(-0.04..0.04)];
        add(Shape::ellipsoid(spine, [tube, 0.15 * by, 0.15 * bx], 0.0), 420.0 + 60.0 * normal(rng));
        let vessel = [0.0, -0.33 * by, -side * hx * rng.random_range(0.0..0.12)];
        add(
            Shape::ellipsoid(vessel, [tube, 0.08 * by, 0.08 * bx], 0.0),
            150.0 + 15.0 * normal(rng),
        );
        let gas = [
            depth(hz * rng.random_range(-0.6..0.6)),
            hy * rng.random_range(0.35..0.55),
            -side * hx * rng.random_range(0.15..0.40),
        ];
        let bubble = 0.12 * hy.min(hx);
        add(Shape::ellipsoid(gas, [bubble, bubble * 0.7, bubble * 1.3], 0.0), -700.0);
        let cyst = [depth(other[0]), other[1] + small, other[2] + side * small];
        add(Shape::ellipsoid(cyst, [bubble; 3], 0.0), 12.0 + 6.0 * normal(rng));

        let lesions = (0..rng.random_range(0..=3))
            .map(|_| {
                let radius = mean * rng.random_range(0.22..0.42);
                let away = |rng: &mut ChaCha8Rng| 0.42 * normal(rng).clamp(-1.3, 1.3);
                let [cos, sin] = organ.turn;
                let (v, u) = (away(rng) * radii[1], away(rng) * radii[2]);
                let centre = [
                    depth(centre[0] + away(rng) * radii[0]),
                    centre[1] + cos * v - sin * u,
                    centre[2] + sin * v + cos * u,
                ];
                let stretch = rng.random_range(0.8..1.25);
                let axes = [radius, radius * stretch, radius / stretch];
                let shape = Shape::ellipsoid(centre, axes, rng.random_range(0.0..3.1));
                Body { shape, hu: organ_hu - rng.random_range(35.0..55.0) }
            })
            .collect();
        let organ = Body { shape: organ, hu: organ_hu };
        Self { grid: grid.clone(), tissues, organ, lesions }
    }

    /// The same after a contrast agent, which the second organ takes up.
    pub(super) fn enhanced(mut self) -> Self {
        self.tissues[SECOND].hu += UPTAKE;
        self
    }

    /// For each voxel in standard order, the level of the second organ, mm.
    pub(super) fn second_level(&self) -> Vec<f64> {
        let shape = &self.tissues[SECOND].shape;
        self.places().map(|place| shape.level(place).0).collect()
    }

    /// For each voxel in standard order, the level of the organ, then those of the lesions, mm.
    pub(super) fn levels(&self) -> Vec<Vec<f64>> {
        let bodies = std::iter::once(&self.organ).chain(&self.lesions);
        bodies.map(|body| self.places().map(|place| body.shape.level(place).0).collect()).collect()
    }

    /// The image: tissues weighed by how much of a voxel they fill, then noise, in whole HU.
    pub(super) fn image(&self, noise_hu: f64, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let bodies: Vec<&Body> =
            self.tissues.iter().chain([&self.organ]).chain(&self.lesions).collect();
        self.places()
            .map(|place| {
                let hu = bodies.iter().fold(-1000.0, |hu, body| {
                    let share = self.share(&body.shape, place);
                    hu + share * (body.hu - hu)
                });
                let noisy = hu + noise_hu * normal(rng);
                #[expect(clippy::cast_possible_truncation, reason = "whole and within ±4096")]
                let stored = noisy.round().clamp(-1024.0, 3071.0) as f32;
                stored
            })
            .collect()
    }

    /// How much of the voxel at `place` a body fills: its edge, blurred by the scanner and by the
    /// extent of the voxel across it (a box of width `b` has variance `b² / 12`).
    fn share(&self, shape: &Shape, place: [f64; 3]) -> f64 {
        let (level, normal) = shape.level(place);
        let box_variance: f64 =
            (0..3).map(|axis| (normal[axis] * self.grid.spacing[axis]).powi(2) / 12.0).sum();
        // Beyond 6 standard deviations, 1e-9 of the difference in HU is left.
        match -level / (BLUR * BLUR + box_variance).sqrt() {
            far if far > 6.0 => 1.0,
            far if far < -6.0 => 0.0,
            near => below(near),
        }
    }

    /// The centres of the voxels, mm from the centre of the field of view, `(z, y, x)`.
    fn places(&self) -> impl Iterator<Item = [f64; 3]> + '_ {
        let [d, h, w] = self.grid.size;
        let along = |axis: usize, at: usize| {
            (at as f64 - (self.grid.size[axis] as f64 - 1.0) / 2.0) * self.grid.spacing[axis]
        };
        (0..d * h * w).map(move |index| {
            [along(0, index / (h * w)), along(1, index / w % h), along(2, index % w)]
        })
    }
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    rng.sample(StandardNormal)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "a unit vector along an axis")]
mod tests {
    use super::*;

    #[test]
    fn levels_are_distances_near_the_surface() {
        let shape = Shape::ellipsoid([1.0, 2.0, 3.0], [4.0, 2.0, 6.0], 0.0);

        // On the axis z, 1 mm outside: (5/4 − 1) · (5/4) / (5/16) = 1.
        let (level, normal) = shape.level([6.0, 2.0, 3.0]);
        approx::assert_abs_diff_eq!(level, 1.0, epsilon = 1e-12);
        assert_eq!(normal, [1.0, 0.0, 0.0]);
        approx::assert_abs_diff_eq!(shape.level([1.0, 4.0, 3.0]).0, 0.0, epsilon = 1e-12);
        approx::assert_abs_diff_eq!(shape.level([1.0, 2.0, 3.0]).0, -2.0, epsilon = 1e-12);
    }

    #[test]
    fn a_turned_shape_turns_its_surface_and_its_normal() {
        let quarter = std::f64::consts::FRAC_PI_2;
        let shape = Shape::ellipsoid([0.0; 3], [9.0, 2.0, 6.0], quarter);

        // The axis of 6 mm now runs along y.
        let (level, normal) = shape.level([0.0, 6.0, 0.0]);
        approx::assert_abs_diff_eq!(level, 0.0, epsilon = 1e-12);
        approx::assert_abs_diff_eq!(normal[1].abs(), 1.0, epsilon = 1e-12);
    }
}
