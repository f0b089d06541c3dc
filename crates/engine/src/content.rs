//! Hashes of what data hold, whatever the files that it lies in are called or compressed by.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use data::Case;
use ndarray::ArrayBase;
use sha2::{Digest as _, Sha256};
use volume::{Grid, Label, LabelMap};

use crate::file::hexadecimal;

/// The SHA-256 hash of a case: of its grid, its image and its label.
///
/// Of each image and label map its kind goes in, its shape, its grid and its voxels: numbers as they are in memory,
/// little-endian, the last axis fastest.
pub(crate) fn of_case(case: &Case) -> String {
    let mut content = Content::new();
    content.array("image", &case.image.grid, &case.image.data, f32::to_le_bytes);
    if let Some(label) = &case.label {
        content.label(label);
    }
    content.finish()
}

/// The SHA-256 hash of a prediction's labels and of what they are held against.
pub(crate) fn of_scored(labels: &LabelMap, reference: &Label) -> String {
    let mut content = Content::new();
    content.map("prediction", labels);
    content.label(reference);
    content.finish()
}

/// The SHA-256 hash of many cases: of a line for each, in the order of their names, as `sha256sum` writes it.
pub(crate) fn of_all(cases: &BTreeMap<String, String>) -> String {
    let mut lines = String::new();
    for (id, hash) in cases {
        _ = writeln!(lines, "{hash}  {id}");
    }
    hexadecimal(&Sha256::digest(lines))
}

/// A hash that is being made.
struct Content(Sha256);

impl Content {
    fn new() -> Self {
        Self(Sha256::new())
    }

    fn label(&mut self, label: &Label) {
        match label {
            Label::Hard(map) => self.map("label", map),
            Label::Raters(maps) => maps.iter().for_each(|map| self.map("rater", map)),
            Label::Soft(soft) => self.array("soft", &soft.grid, &soft.data, f32::to_le_bytes),
        }
    }

    fn map(&mut self, name: &str, map: &LabelMap) {
        self.array(name, &map.grid, &map.data, u16::to_le_bytes);
    }

    fn array<T: Copy, D: ndarray::Dimension, const N: usize>(
        &mut self,
        name: &str,
        grid: &Grid,
        data: &ArrayBase<impl ndarray::Data<Elem = T>, D>,
        bytes: impl Fn(T) -> [u8; N],
    ) {
        self.0.update(format!("{name} {:?}\n", data.shape()));
        let Grid { size, spacing, origin, direction } = grid;
        for &extent in size {
            self.0.update((extent as u64).to_le_bytes());
        }
        for number in spacing.iter().chain(origin).chain(direction.as_flattened()) {
            self.0.update(number.to_le_bytes());
        }
        // In pieces, so that it needs no copy of all.
        let mut piece = Vec::with_capacity(1 << 16);
        for &value in data {
            piece.extend_from_slice(&bytes(value));
            if piece.len() >= 1 << 16 {
                self.0.update(&piece);
                piece.clear();
            }
        }
        self.0.update(&piece);
    }

    fn finish(self) -> String {
        hexadecimal(&self.0.finalize())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Array4};
    use volume::Image;

    use super::*;

    fn case(change: impl FnOnce(&mut Image, &mut Vec<LabelMap>)) -> anyhow::Result<Case> {
        let grid = Grid::new([3, 4, 5], [1.0; 3])?;
        let mut image = Image::new(grid.clone(), Array4::zeros((1, 3, 4, 5)))?;
        let map = |label| LabelMap::new(grid.clone(), Array3::from_elem(grid.size, label));
        let mut maps = vec![map(0)?, map(1)?];
        change(&mut image, &mut maps);
        Ok(Case { id: "case".to_owned(), image, label: Some(Label::raters(maps)?) })
    }

    #[test]
    fn whatever_differs_in_a_case_is_seen_and_its_name_is_not() -> anyhow::Result<()> {
        let same = case(|_, _| {})?;
        let hash = of_case(&same);

        assert_eq!(hash, of_case(&Case { id: "another".to_owned(), ..same }));
        let changed = [
            case(|image, _| image.data[[0, 2, 3, 4]] = f32::MIN_POSITIVE)?,
            case(|image, _| image.grid.origin[1] = 0.5)?,
            case(|_, maps| maps[1].data[[2, 3, 4]] = 2)?,
            case(|_, maps| maps.reverse())?,
            Case { label: None, ..case(|_, _| {})? },
        ];
        for (at, case) in changed.iter().enumerate() {
            assert_ne!(hash, of_case(case), "{at}");
        }
        Ok(())
    }

    #[test]
    fn many_cases_have_the_hash_of_what_sha256sum_lists() {
        let cases = [("b", "11"), ("a", "00")].map(|(id, hash)| (id.to_owned(), hash.to_owned()));
        // printf '00  a\n11  b\n' | sha256sum
        let expected = "0c7e019cac56a27ffdd0ee3480c6174c23acbc9a949411d06bbe81de282ca7ec";
        assert_eq!(of_all(&BTreeMap::from(cases)), expected);
    }
}
