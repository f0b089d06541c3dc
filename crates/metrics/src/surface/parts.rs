use rayon::prelude::*;

/// Places of a row that are looked at in one go: most are far from any surface.
const MANY: usize = 16;

/// A part of a surface: a border voxel, or a corner between voxels.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// `(z, y, x)`, counted in voxels.
    pub(super) at: [i32; 3],
    /// What it looks like: not 0.
    pub(super) code: u8,
    /// Whether the other surface has a part at the same place.
    pub(super) shared: bool,
}

/// The parts of the reference's and of the prediction's surface, on a grid of `size`.
///
/// For a mask and a row `[z, y]`, `encode` says of each place what it looks like: 0 where there is
/// no surface.
pub(super) fn find<T: Sync>(
    [reference, prediction]: [&T; 2],
    size: [usize; 3],
    encode: impl Fn(&T, [usize; 2], &mut [u8]) + Sync,
) -> [Vec<Part>; 2] {
    let [depth, height, width] = size;
    let slices = (0..depth).into_par_iter().map(|z| {
        let (mut r, mut p) = (vec![0; width], vec![0; width]);
        let mut found = [Vec::new(), Vec::new()];
        for y in 0..height {
            encode(reference, [z, y], &mut r);
            encode(prediction, [z, y], &mut p);
            collect(&r, &p, [z, y], &mut found[0]);
            collect(&p, &r, [z, y], &mut found[1]);
        }
        found
    });
    let slices: Vec<_> = slices.collect();
    [0, 1].map(|side| slices.iter().flat_map(|found| &found[side]).copied().collect())
}

/// Adds the parts of one row.
fn collect(codes: &[u8], others: &[u8], [z, y]: [usize; 2], found: &mut Vec<Part>) {
    for (at, (codes, others)) in codes.chunks(MANY).zip(others.chunks(MANY)).enumerate() {
        if codes.iter().fold(0, |any, &code| any | code) == 0 {
            continue;
        }
        for (i, (&code, &other)) in codes.iter().zip(others).enumerate() {
            if code != 0 {
                let at = [z, y, at * MANY + i].map(place);
                found.push(Part { at, code, shared: other != 0 });
            }
        }
    }
}

/// No axis of an image that fits into memory with its neighbours is longer.
fn place(at: usize) -> i32 {
    i32::try_from(at).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_wherever_they_lie_in_a_row() {
        let places = [[0, 15, 16, 47, 48], [0, 14, 17, 46, 48]];
        let encode = |places: &[usize; 5], [z, y]: [usize; 2], codes: &mut [u8]| {
            codes.fill(0);
            if (z, y) == (1, 2) {
                places.iter().zip(1..).for_each(|(&x, code)| codes[x] = code);
            }
        };

        let [reference, prediction] = find([&places[0], &places[1]], [3, 4, 49], encode);

        let told = |parts: &[Part]| {
            assert!(parts.iter().all(|part| part.at[..2] == [1, 2]));
            parts.iter().map(|part| (part.at[2], part.code, part.shared)).collect::<Vec<_>>()
        };
        let others = [(15, 2, false), (16, 3, false), (47, 4, false)];
        assert_eq!(told(&reference), [&[(0, 1, true)], &others[..], &[(48, 5, true)]].concat());
        assert_eq!(prediction.len(), 5);
    }
}
