use std::path::Path;

/// Endings of files that may be images, longest first.
const ENDINGS: &[&str] = &[
    ".nii.gz",
    ".nii",
    ".hdr",
    ".seg.nrrd",
    ".nrrd",
    ".nhdr",
    ".mha",
    ".mhd",
    ".png",
    ".jpeg",
    ".jpg",
    ".tiff",
    ".tif",
    ".gif",
];

/// Words that label maps have in their names, be they followed by a number.
const LABELS: &[&str] = &[
    "groundtruth",
    "label",
    "labelmap",
    "labels",
    "mask",
    "masks",
    "probabilities",
    "seg",
    "segmentation",
    "segmentations",
    "truth",
];

/// What was looked for where no image is found.
pub(super) fn any_image() -> String {
    format!("*{{{}}}", ENDINGS.join(","))
}

pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A file's name without the ending of an image, and that ending; `None` where it has none.
pub(super) fn split(path: &Path) -> Option<(String, &'static str)> {
    let name = name(path);
    let lower = name.to_ascii_lowercase();
    let ending = ENDINGS.iter().find(|ending| lower.ends_with(**ending))?;
    Some((name[..name.len() - ending.len()].to_owned(), ending))
}

/// What an image is called, and which of its channels a file holds: the name without its ending
/// and `_0000`, which says channel 0, as does a name without it.
pub(super) fn image_and_channel(path: &Path) -> (String, usize) {
    let stem = split(path).map_or_else(|| name(path), |(stem, _)| stem);
    let divided = stem.rsplit_once('_').filter(|(id, number)| number.len() == 4 && !id.is_empty());
    match divided.and_then(|(id, number)| Some((id.to_owned(), number.parse().ok()?))) {
        Some(found) => found,
        None => (stem, 0),
    }
}

/// Whether a file is called as label maps are: `mask`, `case01_seg02`, `segmentation-7`.
pub(super) fn is_label(path: &Path) -> bool {
    let stem = split(path).map_or_else(|| name(path), |(stem, _)| stem).to_ascii_lowercase();
    let mut words = stem.split(|c: char| !c.is_alphanumeric());
    words.any(|word| {
        // With a number, this is the name of a scanner.
        word == "gt" || LABELS.contains(&word.trim_end_matches(|c: char| c.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_maps_are_known_by_whole_words() {
        let is_label = |name: &str| is_label(Path::new(name));
        for name in [
            "task01_seg01.nii.gz",
            "truth.nii.gz",
            "mask-3.png",
            "ISIC_0000_Segmentation.png",
            "BraTS-00002-000-seg.nii.gz",
            "patient001_frame01_gt.nii.gz",
            "label1.tif",
            "a_probabilities.nii.gz",
        ] {
            assert!(is_label(name), "{name}");
        }
        for name in ["image.nii.gz", "case_0000.nii.gz", "unmasked.png", "segment.nii", "GT450.tif"]
        {
            assert!(!is_label(name), "{name}");
        }
    }

    #[test]
    fn four_digits_at_the_end_are_a_channel() {
        let read = |name: &str| image_and_channel(Path::new(name));
        assert_eq!(read("a/b_0001.nii.gz"), ("b".to_owned(), 1));
        assert_eq!(read("b_01.nii.gz"), ("b_01".to_owned(), 0));
        assert_eq!(read("_0001.png"), ("_0001".to_owned(), 0));
        assert_eq!(read("b_000x"), ("b_000x".to_owned(), 0));
    }
}
