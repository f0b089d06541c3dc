use sconce_data::{k_fold, write_splits};

use crate::folder::{Folder, block, masks, slice, unreadable};

const NODULES: &str = r#"
    [raters]
    image = "set/{patient}/{nodule}/images/{slice}.png"
    label = "set/{patient}/{nodule}/mask-{rater}/{slice}.png"
    group = "{patient}"
    classes = [{ name = "background", values = [0] }, { name = "nodule", values = [255] }]
"#;

fn nodules() -> Folder {
    let folder = Folder::new();
    for (patient, nodule, slices) in [("p1", "n0", 2), ("p1", "n1", 1), ("p2", "n0", 1)] {
        for number in 0..slices {
            let case = format!("set/{patient}/{nodule}");
            folder.image(&format!("{case}/images/s{number}.png"), &slice(), 1);
            for rater in 0..3_u16 {
                let mut labels = [0; 6];
                labels[usize::from(rater)] = 255;
                let mask = format!("{case}/mask-{rater}/s{number}.png");
                folder.labels(&mask, &slice(), &labels);
            }
        }
    }
    folder
}

#[test]
fn each_case_has_the_masks_of_its_raters() {
    let folder = nodules();
    let dataset = folder.open(NODULES);

    assert_eq!(dataset.ids(), ["p1_n0_s0", "p1_n0_s1", "p1_n1_s0", "p2_n0_s0"]);
    assert_eq!(dataset.description().raters, ["0", "1", "2"]);
    assert_eq!(dataset.raters("p1_n0_s1"), ["0", "1", "2"]);
    assert_eq!(
        masks(&dataset.read("p1_n0_s1").unwrap()),
        [[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]],
    );
}

#[test]
fn a_patient_is_never_on_both_sides_of_a_split() {
    let dataset = nodules().open(NODULES);

    assert_eq!(dataset.group("p1_n0_s0"), "p1");
    assert_eq!(dataset.group("p1_n1_s0"), "p1");
    for fold in k_fold(&*dataset, 2, 0).unwrap() {
        fold.check(&*dataset).unwrap();
        assert!(fold.val.len() == 3 || fold.val.len() == 1);
    }
}

#[test]
fn not_every_rater_need_have_seen_every_case() {
    let folder = Folder::new();
    for (case, raters) in [("case01", 3), ("case02", 1), ("case03", 0)] {
        folder.image(&format!("{case}/image.nii.gz"), &block(), 1);
        for rater in 0..raters {
            // The last rater of each case comes last in the whole set.
            let name = format!("{case}/task01_seg{:02}.nii.gz", 3 - rater);
            folder.labels(&name, &block(), &[u16::from(rater == 0); 12]);
        }
    }

    let dataset = folder.open("[raters]");

    assert_eq!(dataset.description().raters, ["01", "02", "03"]);
    assert_eq!(dataset.raters("case02"), ["03"]);
    assert_eq!(masks(&dataset.read("case01").unwrap())[2], [1; 12]);
    assert_eq!(masks(&dataset.read("case02").unwrap()).len(), 1);
    assert_eq!(dataset.read("case03").unwrap().label, None);
}

#[test]
fn masks_need_a_rater_and_an_image() {
    let folder = nodules();
    let nobody = NODULES.replace("mask-{rater}", "mask-0");
    assert!(folder.refusal(&nobody).contains("does not say whose mask it is"));

    folder.labels("set/p9/n0/mask-0/s0.png", &slice(), &[0; 6]);
    folder.labels("set/p2/n0/mask-1/s0.png", &slice(), &[0, 9, 0, 0, 0, 0]);
    let dataset = folder.open(NODULES);
    assert_eq!(dataset.problems().len(), 1);
    assert!(dataset.problems()[0].message.contains("p9/n0/mask-0/s0.png"));
    let message = unreadable(&*dataset, "p2_n0_s0");
    assert!(message.contains("mask-1/s0.png: it holds the label values [0, 9]"), "{message}");
}

#[test]
fn a_split_of_another_set_is_refused() {
    let (folder, dataset) = (Folder::new(), nodules().open(NODULES));
    let path = folder.root().join("splits_final.json");
    let mut folds = k_fold(&*dataset, 2, 0).unwrap();
    folds[1].val[0] = "somebody".to_owned();
    write_splits(&path, &folds).unwrap();

    let folds = sconce_data::read_splits(&path).unwrap();

    assert!(folds[0].check(&*dataset).is_ok());
    let error = folds[1].check(&*dataset).unwrap_err().to_string();
    assert!(error.starts_with("there is no case somebody in "), "{error}");
}
