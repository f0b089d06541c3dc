use ndarray::{Array4, Axis, concatenate};
use sconce_data::ProblemKind;

use super::{canonical, kits, made, phantom, supine};
use crate::folder::Folder;

#[test]
fn lits_lies_in_batches_and_its_test_volumes_are_not_cases() {
    let (folder, phantom) = (Folder::new(), phantom());
    for (number, batch, id) in [(0, "Training Batch 1", 0), (1, "Training Batch 2", 28)] {
        let (image, masks) = made(&phantom, number);
        folder.volume(&format!("{batch}/volume-{id}.nii"), &supine(), &image);
        folder.mask(&format!("{batch}/segmentation-{id}.nii"), &supine(), &masks[0]);
        folder.volume(&format!("{batch}/test-volume-{id}.nii"), &supine(), &image);
    }

    assert_eq!(folder.recognized(), Some("lits"));
    let dataset = folder.open_recognized();
    assert_eq!(dataset.ids(), ["0", "28"]);
    assert_eq!(dataset.description().channels, ["CT"]);
    assert_eq!(dataset.problems(), []);
    let (image, masks) = made(&phantom, 1);
    assert_eq!(canonical(&dataset.read("28").unwrap()), (image, vec![masks[0].clone()]));
}

#[test]
fn kits_of_every_year_leaves_out_images_whose_labels_are_kept() {
    let phantom = phantom();
    for (layout, above, label) in [
        ("kits19", "data/", "segmentation"),
        ("kits23", "", "aggregated_MAJ_seg"),
        ("kits23", "dataset/", "segmentation"),
    ] {
        let folder = Folder::new();
        for (number, id) in [(0, "case_00000"), (1, "case_00210")] {
            let (image, masks) = made(&phantom, number);
            folder.volume(&format!("{above}{id}/imaging.nii.gz"), &kits(), &image);
            if number == 0 {
                folder.mask(&format!("{above}{id}/{label}.nii.gz"), &kits(), &masks[0]);
                if above == "dataset/" {
                    let instance = format!("{above}{id}/instances/kidney_instance-1_annotation-1");
                    folder.mask(&format!("{instance}.nii.gz"), &kits(), &masks[0]);
                }
            }
        }

        assert_eq!(folder.recognized(), Some(layout));
        let dataset = folder.open_recognized();
        assert_eq!(dataset.ids(), ["case_00000"]);
        let [problem] = dataset.problems() else { panic!("{:?}", dataset.problems()) };
        assert_eq!(problem.kind, ProblemKind::LeftOut);
        assert!(problem.message.starts_with("case case_00210 has no label"), "{problem}");
        let (image, masks) = made(&phantom, 0);
        assert_eq!(
            canonical(&dataset.read("case_00000").unwrap()),
            (image, vec![masks[0].clone()])
        );
    }
}

#[test]
fn raters_of_kits_are_made_up_of_instances() {
    let (folder, phantom) = (Folder::new(), phantom());
    let (image, masks) = made(&phantom, 0);
    let of = |rater: usize, class: u16| masks[rater].mapv(|label| u16::from(label == class));
    for (above, kind) in [("a/", "instances"), ("b/kits21/data/", "segmentations")] {
        let case = format!("{above}case_00000");
        folder.volume(&format!("{case}/imaging.nii.gz"), &kits(), &image);
        for (rater, mask) in masks.iter().enumerate() {
            let file = |what: &str| format!("{case}/{kind}/{what}_annotation-{}.nii.gz", rater + 1);
            // The kidney goes on below the tumour.
            let kidney = mask.mapv(|label| u16::from(label > 0));
            folder.mask(&file("kidney_instance-1"), &kits(), &kidney);
            if rater == 0 {
                // Marked once only: the others' masks have it too; the tumour covers it.
                folder.mask(&file("cyst_instance-1"), &kits(), &of(0, 2));
            }
            if rater != 1 {
                folder.mask(&file("tumor_instance-1"), &kits(), &of(rater, 2));
            }
        }
        folder.volume(&format!("{above}case_00001/imaging.nii.gz"), &kits(), &image);

        let root = folder.root().join(above.split('/').next().unwrap());
        let layout = sconce_data::LayoutConfig::from(sconce_data::KitsRaters::default());
        let dataset = sconce_data::Layout::open(&layout, &root).unwrap();
        assert_eq!(dataset.ids(), ["case_00000"]);
        assert_eq!(dataset.description().raters, ["1", "2", "3"]);
        let (_, found) = canonical(&dataset.read("case_00000").unwrap());
        assert_eq!(found[0], masks[0]);
        // Rater 2 did not mark the tumour: the first annotation stands for it, over the cyst.
        let mut second = masks[1].mapv(|label| u16::from(label > 0));
        second.zip_mut_with(&of(0, 2), |label, &tumour| {
            *label = if tumour == 1 { 2 } else { *label }
        });
        assert_eq!(found[1], second);
        let mut third = masks[2].mapv(|label| u16::from(label > 0));
        third.zip_mut_with(&of(0, 2), |label, &cyst| *label = if cyst == 1 { 3 } else { *label });
        third.zip_mut_with(&of(2, 2), |label, &tumour| {
            *label = if tumour == 1 { 2 } else { *label }
        });
        assert_eq!(found[2], third);
        let strange = format!("{case}/{kind}/ureter_instance-1_annotation-1.nii.gz");
        folder.mask(&strange, &kits(), &of(0, 1));
        let dataset = sconce_data::Layout::open(&layout, &root).unwrap();
        let message = crate::folder::unreadable(&*dataset, "case_00000");
        assert!(message.contains("annotation of \"ureter\""), "{message}");
    }
}

#[test]
fn brats_has_four_sequences_and_regions_that_overlap() {
    let phantom = phantom();
    let (image, masks) = made(&phantom, 0);
    // Values of the files: 1, 2, 4, and 3 from 2023.
    for (layout, above, id, names, join, last) in [
        ("brats", "HGG/", "Brats18_2013_10_1", ["t1", "t1ce", "t2", "flair"], "_", 4),
        ("brats", "", "BraTS20_Training_355", ["t1", "t1ce", "t2", "flair"], "_", 4),
        ("brats2023", "Training/", "BraTS-GLI-00000-000", ["t1n", "t1c", "t2w", "t2f"], "-", 3),
    ] {
        let folder = Folder::new();
        for (channel, name) in (0u16..).zip(names) {
            let data = image.mapv(|value| value + f32::from(channel));
            folder.volume(&format!("{above}{id}/{id}{join}{name}.nii.gz"), &supine(), &data);
        }
        let values = masks[0].mapv(|label| [0, 2, last][usize::from(label)]);
        let label = if id.ends_with("355") {
            "W39_1998.09.19_Segm".to_owned()
        } else {
            format!("{id}{join}seg")
        };
        folder.mask(&format!("{above}{id}/{label}.nii.gz"), &supine(), &values);

        assert_eq!(folder.recognized(), Some(layout));
        let dataset = folder.open_recognized();
        assert_eq!(dataset.ids(), [id]);
        assert_eq!(dataset.description().channels, names);
        assert!(dataset.description().has_regions());
        assert_eq!(dataset.description().regions_class_order, [2, 1, last]);
        let case = dataset.read(id).unwrap();
        let four: Vec<Array4<f32>> = (0u16..4).map(|c| image.mapv(|v| v + f32::from(c))).collect();
        let four: Vec<_> = four.iter().map(|data| data.view()).collect();
        assert_eq!(canonical(&case), (concatenate(Axis(0), &four).unwrap(), vec![values]));
    }
}

#[test]
fn visits_of_a_patient_of_brats_belong_together_and_cavities_are_a_region_of_2024() {
    let (folder, phantom) = (Folder::new(), phantom());
    let (image, mut masks) = made(&phantom, 0);
    masks[0][[0, 0, 0]] = 2;
    for visit in ["100", "101"] {
        let name = format!("BraTS-GLI-00005-{visit}/BraTS-GLI-00005-{visit}");
        for channel in ["t1n", "t1c", "t2w", "t2f"] {
            folder.volume(&format!("{name}-{channel}.nii.gz"), &supine(), &image);
        }
        let cavity = masks[0].mapv(|label| [0, 3, 4][usize::from(label)]);
        folder.mask(&format!("{name}-seg.nii.gz"), &supine(), &cavity);
    }

    let dataset = folder.open("[brats2024]");
    assert_eq!(dataset.ids(), ["BraTS-GLI-00005-100", "BraTS-GLI-00005-101"]);
    assert_eq!(dataset.group("BraTS-GLI-00005-101"), "BraTS-GLI-00005");
    assert_eq!(dataset.description().classes[4].values, [4]);
    dataset.read("BraTS-GLI-00005-100").unwrap();
    // As a set of 2023 it has a value that it should not have.
    let dataset = folder.open("[brats2023]");
    let message = crate::folder::unreadable(&*dataset, "BraTS-GLI-00005-100");
    assert!(message.contains("label values [0, 3, 4]"), "{message}");
    // One sequence, one region: as in the paper on Unified Focal loss.
    let dataset = folder.open(
        r#"[brats2024]
        channels = ["t1c"]
        classes = [{ name = "background", values = [0, 1, 2, 4] },
                   { name = "enhancing tissue", values = [3] }]
        regions_class_order = []"#,
    );
    let (_, found) = canonical(&dataset.read("BraTS-GLI-00005-100").unwrap());
    assert_eq!(found[0], masks[0].mapv(|label| u16::from(label == 1)));
}

#[test]
fn bids_names_subjects_and_sessions() {
    let phantom = phantom();
    let (image, masks) = made(&phantom, 0);
    let organ = masks[0].mapv(|label| u16::from(label > 0));
    for (session, ids) in [("", ["01", "02"]), ("ses-1", ["01_1", "02_1"])] {
        let folder = Folder::new();
        for subject in ["sub-01", "sub-02"] {
            let (path, name) = match session {
                "" => (format!("{subject}/anat"), format!("{subject}_")),
                session => (format!("{subject}/{session}/anat"), format!("{subject}_{session}_")),
            };
            folder.volume(&format!("{path}/{name}T1w.nii.gz"), &supine(), &image);
            let label = format!("derivatives/manual/{path}/{name}space-orig_dseg.nii.gz");
            folder.mask(&label, &supine(), &organ);
        }

        assert_eq!(folder.recognized(), Some("bids"));
        let dataset = folder.open_recognized();
        assert_eq!(dataset.ids(), ids);
        assert_eq!(dataset.group(ids[1]), "02");
        assert_eq!(canonical(&dataset.read(ids[1]).unwrap()), (image.clone(), vec![organ.clone()]));
    }
}

#[test]
fn qubiq_has_tasks_raters_and_modalities_as_slices() {
    let (folder, phantom) = (Folder::new(), phantom());
    let plane = volume::Grid::new([1, 20, 20], [1.0; 3]).unwrap();
    for (number, part) in ["Training", "Training", "Validation"].into_iter().enumerate() {
        let (image, masks) = made(&phantom, number);
        let case = format!("{part}/case{:02}", number + 1);
        // Four modalities, one after the other as slices.
        let slices = volume::Grid { size: [4, 20, 20], ..plane.clone() };
        let four = image.slice(ndarray::s![.., 1..5, .., ..]).to_owned();
        folder.volume(&format!("{case}/image.nii.gz"), &slices, &four);
        for task in 1..3 {
            // Of one case a rater is missing, as of the prostate's ninth.
            for (rater, mask) in masks.iter().enumerate().skip(usize::from(number == 1)) {
                let mask = mask.slice(ndarray::s![2..3, .., ..]);
                let mask = mask.mapv(|label| u16::from(label >= task));
                let name = format!("{case}/task{task:02}_seg{:02}.nii.gz", rater + 1);
                folder.mask(&name, &plane, &mask);
            }
        }
    }

    assert_eq!(folder.recognized(), Some("qubiq"));
    let dataset = folder.open("[qubiq]\ntask = 2");
    assert_eq!(dataset.ids(), ["case01", "case02", "case03"]);
    assert_eq!(dataset.description().channels.len(), 4);
    assert_eq!(dataset.description().raters, ["01", "02", "03"]);
    assert_eq!(dataset.raters("case02"), ["02", "03"]);
    let (image, masks) = made(&phantom, 1);
    let case = dataset.read("case02").unwrap();
    assert_eq!(case.image.data.shape(), [4, 1, 20, 20]);
    let slice = image.slice(ndarray::s![0, 1, .., ..]);
    assert_eq!(case.image.data.slice(ndarray::s![0, 0, .., ..]), slice);
    let found = crate::folder::masks(&case);
    let expected = masks[2].slice(ndarray::s![2, .., ..]).mapv(|label| u16::from(label == 2));
    assert_eq!(found[1], expected.into_iter().collect::<Vec<_>>());
}
