//! Where the voxels of a NIfTI file lie.

use volume::Grid;

use super::header::{Header, Qform};
use crate::format::axes::{Affine, cross, norm, on_grid};
use crate::format::decoded::Trouble;

/// The grid of a file, by nibabel's rules; the voxel size in the header, mm, `(z, y, x)`; and
/// what there is to remark.
///
/// 1. An sform with a positive code wins, whatever else the header says. It may shear.
/// 2. Else a qform with a positive code.
/// 3. Else the voxel sizes alone, x running towards the *left*, the centre at the origin.
///
/// ITK differs: it may prefer the qform, refuses shear, takes voxel sizes from `pixdim` even where
/// the sform says otherwise, and without either form lets axes run towards left, posterior and
/// superior from an origin at the first voxel. A note says so wherever this makes a difference.
pub(super) fn grid(header: &Header) -> Result<(Grid, [f64; 3], Vec<String>), Trouble> {
    let mut notes = Vec::new();
    let extent = |axis: usize| header.dims.get(axis).copied().unwrap_or(1);
    let size = [extent(2), extent(1), extent(0)];
    let zooms = zooms(header, &mut notes);

    let qform = header.qform.as_ref().map(|qform| from_qform(qform, header, zooms, &mut notes));
    let sform = header.sform.and_then(|rows| from_sform(rows, header, zooms, &mut notes));
    let affine = match (&sform, &qform) {
        (Some(sform), Some(qform)) if differ(sform, qform, size) => {
            notes.push(
                "sform and qform disagree; the sform is used (programs built on ITK may use the \
                 qform)"
                    .to_owned(),
            );
            *sform
        }
        (Some(form), _) | (None, Some(form)) => *form,
        (None, None) => {
            notes.push(
                "there is no orientation in the header: left and right are a guess (programs \
                 built on ITK may guess otherwise)"
                    .to_owned(),
            );
            from_zooms(zooms, size)
        }
    };

    let grid = on_grid(&affine, size)?;
    let sheared = (0..3).any(|axis| {
        let along = |row: usize| grid.direction[row][axis] * grid.direction[row][(axis + 1) % 3];
        (along(0) + along(1) + along(2)).abs() > 1e-3
    });
    if sheared {
        notes.push("its axes are not at right angles; programs built on ITK refuse it".to_owned());
    }
    let stated = [zooms[2], zooms[1], zooms[0]];
    if (0..3).any(|axis| (stated[axis] - grid.spacing[axis]).abs() > 1e-3 * grid.spacing[axis]) {
        notes.push(format!(
            "voxel sizes {stated:?} mm (pixdim) disagree with the orientation's {:?} mm, which are \
             used",
            grid.spacing
        ));
    }
    Ok((grid, stated, notes))
}

/// The voxel sizes of the header, mm, x y z: positive, whatever it says.
fn zooms(header: &Header, notes: &mut Vec<String>) -> [f64; 3] {
    std::array::from_fn(|axis| {
        let zoom = header.pixdim[axis + 1].abs() * header.millimetres;
        if zoom.is_finite() && zoom > 0.0 {
            return zoom;
        }
        if axis < header.dims.len() {
            notes.push(format!("the header has no voxel size for axis {}; 1 mm is used", axis + 1));
        }
        1.0
    })
}

fn from_sform(
    rows: Affine,
    header: &Header,
    zooms: [f64; 3],
    notes: &mut Vec<String>,
) -> Option<Affine> {
    let mut rows = rows.map(|row| row.map(|value| value * header.millimetres));
    let column = |rows: &Affine, axis: usize| [rows[0][axis], rows[1][axis], rows[2][axis]];
    // Some writers of single slices leave out the axis across them.
    if header.dims.get(2).copied().unwrap_or(1) == 1 && norm(column(&rows, 2)) == 0.0 {
        let across = cross(column(&rows, 0), column(&rows, 1));
        let length = norm(across);
        if length > 0.0 {
            for (row, component) in rows.iter_mut().zip(across) {
                row[2] = component / length * zooms[2];
            }
        }
    }
    if on_grid(&rows, [1; 3]).is_ok() {
        return Some(rows);
    }
    notes.push("its sform does not span space, and is not used".to_owned());
    None
}

fn from_qform(qform: &Qform, header: &Header, zooms: [f64; 3], notes: &mut Vec<String>) -> Affine {
    let [mut b, mut c, mut d] = qform.quaternion;
    let length = b * b + c * c + d * d;
    let a = if length <= 1.0 {
        (1.0 - length).sqrt()
    } else {
        if length > 1.0 + 1e-6 {
            notes.push("its qform is no rotation, and was made one".to_owned());
        }
        [b, c, d] = [b, c, d].map(|value| value / length.sqrt());
        0.0
    };
    let rotation = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ];
    let hand = if header.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let scale = [zooms[0], zooms[1], zooms[2] * hand];
    std::array::from_fn(|row| {
        let [x, y, z] = std::array::from_fn(|axis| rotation[row][axis] * scale[axis]);
        [x, y, z, qform.offset[row] * header.millimetres]
    })
}

fn from_zooms(zooms: [f64; 3], [d, h, w]: [usize; 3]) -> Affine {
    let half = |extent: usize, zoom: f64| (extent as f64 - 1.0) / 2.0 * zoom;
    [
        [-zooms[0], 0.0, 0.0, half(w, zooms[0])],
        [0.0, zooms[1], 0.0, -half(h, zooms[1])],
        [0.0, 0.0, zooms[2], -half(d, zooms[2])],
    ]
}

/// Whether two affines put the corner voxels of an image at different places, by more than a
/// tenth of a voxel.
fn differ(a: &Affine, b: &Affine, [d, h, w]: [usize; 3]) -> bool {
    let place = |affine: &Affine, row: usize, voxel: [f64; 3]| {
        (0..3).map(|axis| affine[row][axis] * voxel[axis]).sum::<f64>() + affine[row][3]
    };
    let step = norm([a[0][0], a[1][0], a[2][0]]);
    (0..8).any(|corner: usize| {
        let last = [w, h, d].map(|extent| extent as f64 - 1.0);
        let voxel =
            std::array::from_fn(|axis| if corner >> axis & 1 == 1 { last[axis] } else { 0.0 });
        (0..3).any(|row| (place(a, row, voxel) - place(b, row, voxel)).abs() > 0.1 * step)
    })
}

/// The unit quaternion `b`, `c`, `d` and handedness of a grid's axes, for writing a qform; `None`
/// where they are not at right angles, which a qform cannot say.
pub(super) fn quaternion(grid: &Grid) -> Option<([f64; 3], f64)> {
    let mut m: [[f64; 3]; 3] =
        std::array::from_fn(|row| std::array::from_fn(|axis| grid.direction[row][2 - axis]));
    let column = |m: &[[f64; 3]; 3], axis: usize| [m[0][axis], m[1][axis], m[2][axis]];
    let across = cross(column(&m, 0), column(&m, 1));
    let dot = |a: [f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    let along = dot(across, column(&m, 2));
    if dot(column(&m, 0), column(&m, 1)).abs() > 1e-5 || (along.abs() - 1.0).abs() > 1e-5 {
        return None;
    }
    let hand = along.signum();
    for row in &mut m {
        row[2] *= hand;
    }
    // The largest of the four is found first, so that nothing is divided by something small.
    let squares = [
        1.0 + m[0][0] + m[1][1] + m[2][2],
        1.0 + m[0][0] - m[1][1] - m[2][2],
        1.0 - m[0][0] + m[1][1] - m[2][2],
        1.0 - m[0][0] - m[1][1] + m[2][2],
    ];
    let largest =
        (0..4).fold(0, |best, next| if squares[next] > squares[best] { next } else { best });
    let s = squares[largest].max(0.0).sqrt() * 2.0;
    let (zy, xz, yx) = (m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]);
    let (xy, xz_sum, yz) = (m[0][1] + m[1][0], m[0][2] + m[2][0], m[1][2] + m[2][1]);
    let [a, b, c, d] = match largest {
        0 => [s / 4.0, zy / s, xz / s, yx / s],
        1 => [zy / s, s / 4.0, xy / s, xz_sum / s],
        2 => [xz / s, xy / s, s / 4.0, yz / s],
        _ => [yx / s, xz_sum / s, yz / s, s / 4.0],
    };
    // Only b, c and d are stored: a must not be negative.
    let sign = if a < 0.0 { -1.0 } else { 1.0 };
    Some(([b * sign, c * sign, d * sign], hand))
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "values that f64 holds exactly")]
mod tests {
    use super::*;
    use nifti::{Endianness, NiftiType};

    #[test]
    fn a_quaternion_leads_back_to_its_axes() {
        let header = |hand| Header {
            dims: vec![4, 3, 2],
            voxel_type: NiftiType::Uint8,
            endianness: Endianness::Little,
            pixdim: [hand, 0.5, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0],
            vox_offset: 352,
            scale: None,
            qform: None,
            sform: None,
            millimetres: 1.0,
            pair: false,
            notes: Vec::new(),
        };
        for quaternion in [[0.0; 3], [0.6, 0.0, 0.8], [0.1, -0.7, 0.3], [0.0, 1.0, 0.0]] {
            for hand in [1.0, -1.0] {
                let qform = Qform { quaternion, offset: [7.0, 8.0, 9.0] };
                let affine = from_qform(&qform, &header(hand), [0.5, 1.0, 2.0], &mut Vec::new());
                let grid = on_grid(&affine, [2, 3, 4]).unwrap();

                let (back, back_hand) = super::quaternion(&grid).unwrap();
                let qform = Qform { quaternion: back, offset: [7.0, 8.0, 9.0] };
                let again =
                    from_qform(&qform, &header(back_hand), [0.5, 1.0, 2.0], &mut Vec::new());

                assert_eq!(grid.spacing.map(|mm| (mm * 1e9).round() / 1e9), [2.0, 1.0, 0.5]);
                for row in 0..3 {
                    for column in 0..4 {
                        approx::assert_abs_diff_eq!(
                            affine[row][column],
                            again[row][column],
                            epsilon = 1e-7
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn without_orientation_x_runs_to_the_left_and_the_centre_is_the_origin() {
        let grid = on_grid(&from_zooms([0.5, 1.0, 2.0], [3, 5, 9]), [3, 5, 9]).unwrap();

        assert_eq!(grid.origin, [2.0, -2.0, -2.0]);
        assert_eq!(grid.position([1.0, 2.0, 4.0]), [0.0; 3]);
        assert_eq!(grid.position([1.0, 2.0, 5.0]), [-0.5, 0.0, 0.0]);
    }
}
