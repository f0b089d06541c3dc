use ndarray::{Array3, Array4};
use sconce_data::write_image;
use volume::{Grid, Image};

use crate::folder::{Folder, hard, masks};

/// Whether a file has this ending.
fn is(name: &str, ending: &str) -> bool {
    std::path::Path::new(name).extension().is_some_and(|found| found == ending)
}

/// A photograph of 4 × 5 pixels.
fn plane() -> Grid {
    Grid::new([1, 4, 5], [1.0; 3]).unwrap()
}

/// Which pixels of picture `number` are foreground.
fn foreground(number: usize) -> Array3<u16> {
    Array3::from_shape_fn((1, 4, 5), |(_, y, x)| u16::from((x + y + number).is_multiple_of(3)))
}

impl Folder {
    /// A photograph, in colour, or, as JPEG, in grey.
    fn photograph(&self, name: &str) -> &Self {
        let channels = if is(name, "jpg") { 1 } else { 3 };
        let data = Array4::from_shape_fn((channels, 1, 4, 5), |(c, _, y, x)| {
            f32::from(u8::try_from(40 * c + 9 * y + x).unwrap())
        });
        write_image(self.place(name), &Image::new(plane(), data).unwrap()).unwrap();
        self
    }

    /// A mask of 0 and 255, as most sets have them.
    fn drawn(&self, name: &str, number: usize) -> &Self {
        let data = foreground(number).mapv(|inside| 255.0 * f32::from(inside));
        let data = data.insert_axis(ndarray::Axis(0));
        if is(name, "gif") {
            return self.bytes(name, &gif(&data.into_iter().collect::<Vec<f32>>()));
        }
        write_image(self.place(name), &Image::new(plane(), data).unwrap()).unwrap();
        self
    }
}

/// A GIF file of 5 × 4 pixels, black or white, as DRIVE's masks are.
fn gif(pixels: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let grey: Vec<u8> = pixels.iter().map(|&value| u8::from(value > 0.0)).collect();
    let mut encoder = gif::Encoder::new(&mut bytes, 5, 4, &[0, 0, 0, 255, 255, 255]).unwrap();
    let frame = gif::Frame { width: 5, height: 4, buffer: grey.into(), ..Default::default() };
    encoder.write_frame(&frame).unwrap();
    drop(encoder);
    bytes
}

/// Each set: its layout, whether it is known by its names, and of two cases image, mask and identifier.
type Set = (&'static str, bool, [[&'static str; 3]; 2]);

const SETS: &[Set] = &[
    (
        "cvc_clinicdb",
        true,
        [
            ["Original/1.tif", "Ground Truth/1.tif", "1"],
            ["Original/612.tif", "Ground Truth/612.tif", "612"],
        ],
    ),
    (
        "cvc_clinicdb",
        true,
        [
            ["PNG/Original/1.png", "PNG/Ground Truth/1.png", "1"],
            ["PNG/Original/2.png", "PNG/Ground Truth/2.png", "2"],
        ],
    ),
    (
        "busi",
        true,
        [
            ["benign/benign (1).png", "benign/benign (1)_mask.png", "benign_1"],
            ["normal/normal (1).png", "normal/normal (1)_mask.png", "normal_1"],
        ],
    ),
    (
        "bus2017",
        true,
        [
            ["original/000001.png", "GT/000001.png", "000001"],
            ["original/000163.png", "GT/000163.png", "000163"],
        ],
    ),
    (
        "isic2018",
        true,
        [
            [
                "ISIC2018_Task1-2_Training_Input/ISIC_0000000.jpg",
                "ISIC2018_Task1_Training_GroundTruth/ISIC_0000000_segmentation.png",
                "ISIC_0000000",
            ],
            [
                "ISIC2018_Task1-2_Training_Input/ISIC_0000001.jpg",
                "ISIC2018_Task1_Training_GroundTruth/ISIC_0000001_segmentation.png",
                "ISIC_0000001",
            ],
        ],
    ),
    (
        "dsb2018",
        true,
        [
            ["stage1_train/0a/images/0a.png", "stage1_train/0a/masks/1f.png", "0a"],
            ["stage1_train/0b/images/0b.png", "stage1_train/0b/masks/2f.png", "0b"],
        ],
    ),
    (
        "kvasir_seg",
        false,
        [
            ["images/cju0.jpg", "masks/cju0.jpg", "cju0"],
            ["images/cju1.jpg", "masks/cju1.jpg", "cju1"],
        ],
    ),
    (
        "endotect",
        true,
        [
            ["test/images/6d2c.jpg", "test/masks/6d2c.png", "6d2c"],
            [
                "test/ulcerative-colitis_images/1a.jpg",
                "test/ulcerative-colitis_masks/1a.png",
                "ulcerative-colitis_1a",
            ],
        ],
    ),
    (
        "fuseg",
        false,
        [
            ["train/images/0011.png", "train/labels/0011.png", "train_0011"],
            ["validation/images/0011.png", "validation/labels/0011.png", "validation_0011"],
        ],
    ),
    (
        "dfuc2022",
        true,
        [
            ["DFUC2022_train_images/100001.jpg", "DFUC2022_train_masks/100001.png", "100001"],
            ["DFUC2022_train_images/100002.jpg", "DFUC2022_train_masks/100002.png", "100002"],
        ],
    ),
];

#[test]
fn pictures_and_masks_are_found_under_the_names_of_each_set() {
    for &(layout, known, cases) in SETS {
        let folder = Folder::new();
        for (number, [image, mask, _]) in cases.into_iter().enumerate() {
            folder.photograph(image).drawn(mask, number);
        }
        assert_eq!(folder.recognized(), known.then_some(layout));
        let dataset = folder.open(&format!("[{layout}]"));
        assert_eq!(dataset.ids(), cases.map(|[_, _, id]| id), "{layout}");
        assert_eq!(dataset.description().channels, ["R", "G", "B"], "{layout}");
        for (number, [_, mask, id]) in cases.into_iter().enumerate() {
            let case = dataset.read(id).unwrap();
            assert_eq!(case.image.data.shape(), [3, 1, 4, 5]);
            let found = hard(&case);
            let expected: Vec<u16> = foreground(number).into_iter().collect();
            // JPEG blurs edges of single pixels.
            let wrong = found.iter().zip(&expected).filter(|(a, b)| a != b).count();
            assert!(wrong == 0 || is(mask, "jpg") && wrong <= 4, "{layout} {id}: {found:?}");
        }
    }
}

#[test]
fn several_masks_of_a_picture_of_busi_are_one() {
    let folder = Folder::new();
    folder.photograph("malignant/malignant (7).png").drawn("malignant/malignant (7)_mask.png", 0);
    folder.drawn("malignant/malignant (7)_mask_1.png", 1);

    let case = folder.open_recognized().read("malignant_7").unwrap();
    let both = foreground(0) + foreground(1);
    assert_eq!(hard(&case), both.into_iter().collect::<Vec<_>>());
}

#[test]
fn drive_has_two_raters_of_its_test_pictures() {
    let folder = Folder::new();
    folder
        .photograph("training/images/21_training.tif")
        .drawn("training/1st_manual/21_manual1.gif", 0)
        .photograph("test/images/01_test.tif")
        .drawn("test/1st_manual/01_manual1.gif", 1)
        .drawn("test/2nd_manual/01_manual2.gif", 2)
        .drawn("test/mask/01_test_mask.gif", 0);

    assert_eq!(folder.recognized(), Some("drive"));
    let dataset = folder.open_recognized();
    assert_eq!(dataset.ids(), ["01", "21"]);
    assert_eq!(dataset.raters("01"), ["1st", "2nd"]);
    assert_eq!(dataset.raters("21"), ["1st"]);
    let expected = [foreground(1), foreground(2)].map(|mask| mask.into_iter().collect::<Vec<_>>());
    assert_eq!(masks(&dataset.read("01").unwrap()), expected);
}

#[test]
fn slices_of_a_patient_of_lidc_belong_together() {
    let folder = Folder::new();
    for slice in 0..2 {
        let case = "LIDC-IDRI-slices/LIDC-IDRI-0001/nodule-0";
        folder.photograph(&format!("{case}/images/slice-{slice}.png"));
        for rater in 0..4 {
            folder.drawn(&format!("{case}/mask-{rater}/slice-{slice}.png"), rater);
        }
    }

    assert_eq!(folder.recognized(), Some("lidc_slices"));
    let dataset = folder.open_recognized();
    let id = "LIDC-IDRI-0001_nodule-0_slice-1";
    assert_eq!((dataset.ids()[1].as_str(), dataset.group(id)), (id, "LIDC-IDRI-0001"));
    assert_eq!(dataset.raters(id), ["0", "1", "2", "3"]);
    assert_eq!(masks(&dataset.read(id).unwrap()).len(), 4);
}
