//! From tiles to slices of the image's own grid, as they become known.

use ndarray::{Array2, Array4, Axis};
use preprocess::{Prepared, Restore, Returning};
use rayon::prelude::*;
use volume::Image;

use super::needs::at_once;
use super::segmentation::{Canvas, Part, Reading, Segmentation, Wanted};
use super::{Predictor, Window};
use crate::Result;

/// The networks of one plan on their way over an image.
#[derive(Debug)]
pub(super) struct Course<'a> {
    predictor: &'a Predictor,
    window: Window<'a>,
    returning: Returning<'a>,
    restore: &'a Restore,
}

impl<'a> Course<'a> {
    pub(super) fn new(predictor: &'a Predictor, prepared: &'a Prepared, apart: bool) -> Self {
        let Prepared { image, restore, .. } = prepared;
        Self {
            predictor,
            window: Window::new(predictor, image, apart),
            returning: restore.returning(predictor.outputs(apart)),
            restore,
        }
    }

    /// How many tiles it will look at.
    pub(super) fn tiles(&self) -> usize {
        self.window.tiles()
    }

    /// Looks at tiles until all slices before `end` can be made; returns before which slice they can.
    fn until(&mut self, end: usize, seen: &mut dyn FnMut()) -> Result<usize> {
        while self.returning.ready() < end
            && let Some(known) = self.window.advance(seen)?
        {
            self.returning.push(known)?;
        }
        Ok(self.returning.ready())
    }
}

/// Lets all networks, which see the image turned and cut in one way, speak of slice after slice.
pub(super) fn together(
    courses: &mut [Course<'_>],
    restore: &Restore,
    reading: &Reading<'_>,
    seen: &mut dyn FnMut(),
) -> Result<Segmentation> {
    let mut canvas = Canvas::new(restore, reading);
    let all: usize = courses.iter().map(|course| course.predictor.networks()).sum();
    let alone = courses.len() == 1;
    let slices = restore.region().size[0];
    let [_, height, width] = restore.region().size;
    let most = at_once(reading.classes, (height * width) as f64);
    let mut next = 0;
    while next < slices {
        let ready = courses[0].until(next + 1, seen)?;
        let end = if alone && reading.is_of_logits() { ready } else { ready.min(next + most) };
        let mut parts = vec![Part::default(); end - next];
        for course in &mut *courses {
            course.until(end, seen)?;
            let of_plan = share(course.predictor.networks(), all);
            course.returning.each(end, parts.par_iter_mut(), |part, slice| {
                if alone && !reading.has_thresholds() {
                    let labels = match reading.paint {
                        None => slice.labels_of(reading.classes),
                        Some(paint) => slice.regions(0.0, paint),
                    };
                    let [h, w] = slice.size();
                    part.labels = Some(Array2::from_shape_vec((h, w), labels).expect("a slice"));
                }
                if !(alone && reading.is_of_logits()) {
                    part.add(&slice.values(), of_plan, share(1, all), reading);
                }
            });
        }
        let finished: Vec<_> = parts.into_par_iter().map(|part| part.finish(reading)).collect();
        for (z, slice) in (next..).zip(finished) {
            canvas.put(z, slice);
        }
        next = end;
    }
    canvas.finish(reading.activation())
}

/// Lets the networks of one plan speak of the whole image, and then those of the next: where their slices are not the same, the
/// mean of all is held.
pub(super) fn one_after_another(
    courses: Vec<Course<'_>>,
    restore: &Restore,
    reading: &Reading<'_>,
    seen: &mut dyn FnMut(),
) -> Result<Segmentation> {
    let all: usize = courses.iter().map(|course| course.predictor.networks()).sum();
    let wanted = Wanted { probabilities: true, ..Wanted::default() };
    let own = Reading { wanted, ..reading.clone() };
    let mut mean: Option<Array4<f32>> = None;
    for mut course in courses {
        let (restore, of_plan) = (course.restore, share(course.predictor.networks(), all));
        let found = together(std::slice::from_mut(&mut course), restore, &own, seen)?;
        let Image { data: mut values, .. } = found.probabilities.expect("as wanted");
        match &mut mean {
            None => {
                values.par_mapv_inplace(|value| value * of_plan);
                mean = Some(values);
            }
            Some(mean) => {
                let sum = ndarray::Zip::from(mean).and(&values);
                sum.par_for_each(|sum, value| *sum += value * of_plan);
            }
        }
    }
    let mean = mean.expect("at least one network");
    let whole = Restore::unchanged(restore.grid().clone());
    let mut canvas = Canvas::new(&whole, reading);
    let slices: Vec<_> = mean.axis_iter(Axis(1)).collect();
    for (at, few) in slices.chunks(2 * rayon::current_num_threads()).enumerate() {
        let finished: Vec<_> =
            few.par_iter().map(|slice| Part::of_mean(slice.to_owned()).finish(reading)).collect();
        for (z, slice) in finished.into_iter().enumerate() {
            canvas.put(at * 2 * rayon::current_num_threads() + z, slice);
        }
    }
    canvas.finish(reading.activation())
}

#[expect(clippy::cast_possible_truncation, reason = "a share, at most 1")]
fn share(of: usize, all: usize) -> f32 {
    (of as f64 / all as f64) as f32
}
