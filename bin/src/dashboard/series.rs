//! Curves of any length, in little room.

/// Points in the order of their abscissae: neighbors become their mean where there are too many.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    points: Vec<(f64, f64)>,
    /// How much weight a point stands for.
    per_point: usize,
    /// What the next point is made of: sums of abscissae and ordinates, and the weight.
    next: (f64, f64, usize),
}

/// Twice as many as a chart has columns of dots, at most.
const MOST: usize = 160;

impl Series {
    /// Whose points stand for this weight, as long as there are few.
    pub(super) fn new(per_point: usize) -> Self {
        Self { points: Vec::new(), per_point: per_point.max(1), next: (0.0, 0.0, 0) }
    }

    /// Adds a value that counts as much as `weight` others.
    pub(super) fn push(&mut self, x: f64, y: f64, weight: usize) {
        let (xs, ys, before) = self.next;
        self.next = (xs + x * weight as f64, ys + y * weight as f64, before + weight);
        if self.next.2 < self.per_point {
            return;
        }
        let (xs, ys, weight) = std::mem::replace(&mut self.next, (0.0, 0.0, 0));
        self.points.push((xs / weight as f64, ys / weight as f64));
        if self.points.len() >= MOST {
            self.points = self.points.chunks(2).map(mean).collect();
            self.per_point *= 2;
        }
    }

    pub(super) fn points(&self) -> &[(f64, f64)] {
        &self.points
    }
}

fn mean(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let sum = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
    (sum.0 / count, sum.1 / count)
}

/// A curve in at most `width` values: means of what is defined of as many neighbors each.
pub(super) fn thinned(values: &[Option<f64>], width: usize) -> Vec<Option<f64>> {
    if width == 0 {
        return Vec::new();
    }
    let of_part = |part: &[Option<f64>]| {
        let defined: Vec<f64> = part.iter().copied().flatten().collect();
        (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
    };
    let parts = values.len().min(width);
    let ends = (0..=parts).map(|part| part * values.len() / parts.max(1)).collect::<Vec<_>>();
    ends.windows(2).map(|ends| of_part(&values[ends[0]..ends[1]])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_become_means_of_neighbors() {
        let mut series = Series::new(1);
        for step in 0..10_000 {
            series.push(f64::from(step), 3.0 * f64::from(step), 1);
        }

        let points = series.points();

        assert!(points.len() < MOST && points.len() >= MOST / 2, "{}", points.len());
        assert!(points.iter().all(|(x, y)| (y - 3.0 * x).abs() < 1e-6), "on the line");
        assert!(points.is_sorted_by(|a, b| a.0 < b.0));
        // 64 steps each.
        assert_eq!(points[0], (31.5, 94.5));
    }

    #[test]
    fn weights_count() {
        let mut series = Series::new(4);

        series.push(1.0, 8.0, 3);
        assert!(series.points().is_empty());
        series.push(5.0, 4.0, 1);

        assert_eq!(series.points(), [(2.0, 7.0)]);
    }

    #[test]
    fn thinned_curves_leave_out_what_is_undefined() {
        let values = [Some(1.0), None, None, None, Some(2.0), Some(4.0)];

        assert_eq!(thinned(&values, 3), [Some(1.0), None, Some(3.0)]);
        assert_eq!(thinned(&values, 9), values);
        assert_eq!(thinned(&[], 9), []);
        assert_eq!(thinned(&values, 0), []);
    }
}
