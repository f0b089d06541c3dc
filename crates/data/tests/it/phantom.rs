use sconce_data::{
    Dataset, Layout as _, LayoutConfig, Phantom, PhantomClasses, PhantomConfig, PhantomOrgan,
    read_soft_labels,
};
use volume::{Label, LabelMap};

use crate::folder::Folder;

fn small() -> PhantomConfig {
    PhantomConfig { cases: 6, size: [6, 24, 24], spacing: [6.0, 4.0, 4.0], ..Default::default() }
}

fn phantom(config: PhantomConfig) -> Phantom {
    Phantom::new(config).unwrap()
}

const RATERS: usize = 500;

/// How often each voxel was marked with each class by many raters: `(class, voxel)`.
fn marked(phantom: &Phantom, id: &str) -> Vec<Vec<f64>> {
    let truth = phantom.truth(id).unwrap();
    let mut share = vec![vec![0.0; truth.grid.len()]; truth.classes()];
    for mask in phantom.masks(id, 0..RATERS).unwrap() {
        for (voxel, &label) in mask.data.iter().enumerate() {
            share[usize::from(label)][voxel] += 1.0 / RATERS as f64;
        }
    }
    share
}

/// For each class: the mean squared difference of the raters' mean from the truth, as a multiple
/// of what chance explains, P (1 − P) / raters, over voxels where chance has a say.
fn scatter(phantom: &Phantom, id: &str) -> Vec<f64> {
    let (truth, shares) = (phantom.truth(id).unwrap(), marked(phantom, id));
    let of_class = |(class, shares): (usize, &Vec<f64>)| {
        let truth = truth.data.index_axis(ndarray::Axis(0), class);
        let (mut ratio, mut count) = (0.0, 0.0);
        for (share, &p) in shares.iter().zip(&truth) {
            let p = f64::from(p);
            // Where all raters there could be agree, these must.
            if !(1e-6..=1.0 - 1e-6).contains(&p) {
                assert!((share - p).abs() < 1e-2, "a mark where none can be");
            }
            if p > 0.02 && p < 0.98 {
                ratio += (share - p).powi(2) / (p * (1.0 - p) / RATERS as f64);
                count += 1.0;
            }
        }
        if count > 0.0 { ratio / count } else { 1.0 }
    };
    shares.iter().enumerate().map(of_class).collect()
}

#[test]
fn the_mean_of_many_raters_is_the_truth() {
    for classes in [PhantomClasses::Organ, PhantomClasses::OrganAndLesions] {
        let phantom = phantom(PhantomConfig { classes, miss_rate: 0.3, ..small() });
        for id in &phantom.ids()[..4] {
            for (class, ratio) in scatter(&phantom, id).into_iter().enumerate() {
                // Voxels are correlated, so the mean of their ratios scatters about 1.
                assert!((0.3..3.0).contains(&ratio), "{id}, class {class}: {ratio}");
            }
        }
    }
}

#[test]
fn a_wrong_truth_would_be_noticed() {
    let phantom = phantom(small());
    let other = self::phantom(PhantomConfig { bias: 2.5, ..small() });

    // The same anatomy, marked by raters of another population.
    let truth = other.truth("case01").unwrap();
    let shares = marked(&phantom, "case01");
    let organ = truth.data.index_axis(ndarray::Axis(0), 1);
    let worst = shares[1].iter().zip(&organ).map(|(share, &p)| (share - f64::from(p)).abs());
    assert!(worst.fold(0.0, f64::max) > 0.1);
}

#[test]
fn the_same_settings_give_the_same_bits_in_any_order_on_any_number_of_threads() {
    use rayon::prelude::*;

    let read_all = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let phantom = phantom(small());
        let ids: Vec<&String> = phantom.ids().iter().rev().collect();
        pool.install(|| {
            let mut cases: Vec<_> = ids.par_iter().map(|id| phantom.read(id).unwrap()).collect();
            cases.reverse();
            cases
        })
    };

    let (one, four) = (read_all(1), read_all(4));
    assert_eq!(one, four);
    assert_eq!(one[2], phantom(small()).read("case03").unwrap());
    // More cases, or more raters, leave those that there are as they are.
    let more = phantom(PhantomConfig { cases: 9, raters: 7, ..small() }).read("case03").unwrap();
    assert_eq!(one[2].image, more.image);
    let first = |label: &Option<Label>| match label {
        Some(Label::Raters(masks)) => masks[..4].to_vec(),
        _ => Vec::<LabelMap>::new(),
    };
    assert_eq!(first(&one[2].label), first(&more.label));
    assert_ne!(
        one[2].image,
        phantom(PhantomConfig { seed: 1, ..small() }).read("case03").unwrap().image
    );
}

#[test]
fn what_is_written_is_read_by_the_layout_of_raters() {
    for size in [[6, 24, 24], [1, 24, 24]] {
        let (folder, phantom) = (Folder::new(), phantom(PhantomConfig { size, ..small() }));
        let mut told = Vec::new();
        phantom.write(folder.root(), |done, total| told.push((done, total))).unwrap();
        assert_eq!(told.last(), Some(&(6, 6)));

        let text = std::fs::read_to_string(folder.root().join("layout.json")).unwrap();
        let layout: LayoutConfig = serde_json::from_str(&text).unwrap();
        let dataset = layout.open(folder.root()).unwrap();

        assert_eq!(dataset.ids(), phantom.ids());
        assert_eq!(dataset.description().raters, phantom.description().raters);
        assert_eq!(dataset.description().classes, phantom.description().classes);
        assert_eq!(dataset.problems(), []);
        for id in phantom.ids() {
            assert_eq!(dataset.read(id).unwrap(), phantom.read(id).unwrap());
            let truth = read_soft_labels(folder.root().join(id).join("truth.nii.gz")).unwrap();
            assert_eq!(truth, phantom.truth(id).unwrap());
        }
    }
}

#[test]
fn the_organ_is_some_40_hu_brighter_than_what_is_around_it() {
    let phantom = phantom(PhantomConfig { cases: 8, ..Default::default() });
    let mut lesions = 0;
    for id in phantom.ids() {
        let (case, truth) = (phantom.read(id).unwrap(), phantom.truth(id).unwrap());
        let mean = |wanted: &dyn Fn([f32; 3]) -> bool, low: f32, high: f32| {
            let (mut sum, mut count) = (0.0, 0.0);
            for ((_, z, y, x), &hu) in case.image.data.indexed_iter() {
                let p = std::array::from_fn(|class| truth.data[[class, z, y, x]]);
                if wanted(p) && (low..high).contains(&hu) {
                    sum += f64::from(hu);
                    count += 1.0;
                }
            }
            (sum / count, count)
        };
        let (organ, voxels) = mean(&|p| p[1] > 0.99, -200.0, 400.0);
        // Soft tissue: neither fat, nor bone, nor air.
        let (around, _) = mean(&|p| p[0] > 0.999, 0.0, 110.0);
        assert!(voxels > 300.0, "{id}: {voxels} voxels");
        assert!((20.0..65.0).contains(&(organ - around)), "{id}: {organ} and {around} HU");
        let (lesion, count) = mean(&|p| p[2] > 0.75, -200.0, 400.0);
        if count > 20.0 {
            lesions += 1;
            assert!((15.0..75.0).contains(&(organ - lesion)), "{id}: {organ} and {lesion} HU");
        }
    }
    assert!((2..8).contains(&lesions), "lesions in {lesions} of 8 cases");
}

#[test]
fn persistent_raters_keep_their_bias_over_cases() {
    // All that differs between raters is how far outside they draw.
    let config = PhantomConfig { boundary: 0.0, miss_rate: 0.0, bias: 3.0, raters: 6, ..small() };
    let order = |phantom: &Phantom, id: &str| {
        let Some(Label::Raters(masks)) = phantom.read(id).unwrap().label else { panic!("raters") };
        let size = |mask: &LabelMap| mask.data.iter().filter(|&&label| label > 0).count();
        let mut order: Vec<usize> = (0..masks.len()).collect();
        order.sort_by_key(|&rater| size(&masks[rater]));
        order
    };

    let persistent = phantom(PhantomConfig { persistent_raters: true, ..config.clone() });
    assert_eq!(order(&persistent, "case01"), order(&persistent, "case02"));
    let met = phantom(config);
    assert_ne!(order(&met, "case01"), order(&met, "case02"));
}

#[test]
fn settings_without_sense_are_refused() {
    let refusal = |config| Phantom::new(config).unwrap_err().to_string();

    assert!(refusal(PhantomConfig { cases: 0, ..small() }).contains("at least one case"));
    assert!(refusal(PhantomConfig { miss_rate: 1.5, ..small() }).contains("miss rate"));
    assert!(refusal(PhantomConfig { noise: f64::NAN, ..small() }).contains("noise"));
    assert!(refusal(PhantomConfig { correlation: 0.0, ..small() }).contains("correlation"));
    assert!(refusal(PhantomConfig { size: [0, 4, 4], ..small() }).contains("[0, 4, 4] voxels"));
    let message = phantom(small()).truth("case77").unwrap_err().to_string();
    assert!(message.starts_with("there is no case case77 in phantom"), "{message}");
}

#[test]
fn each_organ_is_labelled_by_itself_and_both_are_always_shown() {
    let organs = |organs: &[PhantomOrgan]| {
        phantom(PhantomConfig { organs: organs.to_vec(), raters: 1, ..small() })
    };
    let (kidney, liver) = (PhantomOrgan::Kidney, PhantomOrgan::Liver);
    let [both, kidneys, livers] = [&[liver, kidney][..], &[kidney], &[liver]].map(organs);
    let names: Vec<&str> =
        both.description().classes.iter().map(|class| class.name.as_str()).collect();
    assert_eq!(names, ["background", "liver", "kidney"]);

    for id in both.ids() {
        assert_eq!(both.read(id).unwrap().image, kidneys.read(id).unwrap().image);
        assert_eq!(both.read(id).unwrap().image, livers.read(id).unwrap().image);
        let mask = |phantom: &Phantom| phantom.masks(id, 0..1).unwrap().remove(0).data;
        let (all, kidneys, livers) = (mask(&both), mask(&kidneys), mask(&livers));
        for ((all, kidney), liver) in all.iter().zip(&kidneys).zip(&livers) {
            let expected = if *liver == 1 { 1 } else { 2 * kidney };
            assert_eq!(*all, expected);
        }
        assert!(kidneys.iter().any(|&it| it == 1) && livers.iter().any(|&it| it == 1), "{id}");
    }
    for (class, ratio) in scatter(&both, &both.ids()[0]).into_iter().enumerate() {
        assert!((0.3..3.0).contains(&ratio), "class {class}: {ratio}");
    }
    let twice = PhantomConfig { organs: vec![kidney, kidney], ..small() };
    assert!(Phantom::new(twice).unwrap_err().to_string().contains("one organ of each kind"));
}
