use ndarray::{Array3, Array4};
use preprocess::{
    Fingerprint, Fusion, Locations, Normalize, Outside, Plan, PlanConfig, Prepared, Truth, rng,
};
use volume::{Grid, Image, Label, LabelMap};

/// Voxels of a case: no multiples of any chunk.
pub(crate) const SIZE: [usize; 3] = [9, 37, 50];

/// A case of two channels, an ignored slice, an empty margin and corner and, for a soft truth, raters who differ.
pub(crate) fn case(is_soft: bool) -> Prepared {
    let grid = Grid::new(SIZE, [3.0, 1.0, 1.0]).expect("a grid");
    let [d, h, w] = SIZE;
    let data = Array4::from_shape_fn((2, d, h, w), |(c, z, y, x)| {
        let value = ((c + 1) * 7919 * (z * 1000 + y * 50 + x) % 1009) as f32;
        if y < 4 || (y < 9 && x < 20) { 0.0 } else { value + 1.0 }
    });
    let image = Image::new(grid.clone(), data).expect("an image");
    let mask = |from: usize| {
        let values = Array3::from_shape_fn((d, h, w), |(z, y, x)| match (z, y, x) {
            (0, 5.., _) => 2,
            (_, 10..20, x) if (from..from + 9).contains(&x) => 1,
            _ => 0,
        });
        LabelMap::new(grid.clone(), values).expect("a mask")
    };
    let label = if is_soft {
        Label::raters(vec![mask(10), mask(12)]).expect("raters")
    } else {
        Label::Hard(mask(10))
    };
    let mut fingerprint = Fingerprint::new(2);
    fingerprint.add(&image, Some(&label));
    let config = PlanConfig { patch_size: Some([8, 32, 32]), ..PlanConfig::default() };
    let channels = ["T1".to_owned(), "T2".to_owned()];
    let mut plan = Plan::new(&config, &fingerprint, &channels).expect("a plan");
    plan.normalize = vec![Normalize::ZScore { masked: true }, Normalize::ZScore { masked: false }];
    let annotation = (&label, 2, &Fusion::Mean, &mut rng(1, 0, "case"));
    let mut prepared = plan.prepare(&image, Some(annotation)).expect("a case");
    let other = prepared.truth.as_ref().expect("a label").to_soft(3);
    prepared.further = vec![Truth::Soft(other)].into();
    prepared
}

/// A case of nothing but its image, of which a channel is all zeros.
pub(crate) fn bare() -> Prepared {
    let mut prepared = case(false);
    prepared.image.fill(0.0);
    let outside = None::<Outside>;
    Prepared {
        truth: None,
        further: Vec::new().into(),
        outside,
        locations: Locations::default(),
        ..prepared
    }
}
