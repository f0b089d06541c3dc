use sconce_data::ProblemKind;

use crate::folder::{Folder, block, hard, unreadable, value};
use crate::samples;

const V2: &str = r#"{"channel_names": {"0": "T2", "1": "ADC"}, "numTraining": 2,
    "labels": {"background": 0, "zone": 1, "lesion": 2}, "file_ending": ".nii.gz"}"#;

const LABELS: [u16; 12] = [0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 1, 1];

#[test]
fn version_2_lists_cases_by_their_files() {
    let folder = Folder::new();
    folder.text("dataset.json", V2);
    for case in ["b_01", "a_01"] {
        folder
            .image(&format!("imagesTr/{case}_0000.nii.gz"), &block(), 1)
            .image(&format!("imagesTr/{case}_0001.nii.gz"), &block(), 1)
            .labels(&format!("labelsTr/{case}.nii.gz"), &block(), &LABELS);
    }
    folder.image("imagesTs/c_01_0000.nii.gz", &block(), 1);

    let dataset = folder.open("[nnunet_raw]");

    assert_eq!(dataset.ids(), ["a_01", "b_01"]);
    assert_eq!(dataset.problems(), []);
    let case = dataset.read("b_01").unwrap();
    assert_eq!(case.image.data.shape(), [2, 2, 2, 3]);
    assert_eq!(hard(&case), LABELS);
    let test = folder.open("[nnunet_raw]\nimages = \"imagesTs\"\nlabels = \"labelsTs\"");
    assert_eq!(test.ids(), ["c_01"]);
    assert!(unreadable(&*test, "c_01").contains("imagesTs/c_01_0001.nii.gz: case c_01 needs it"));
}

#[test]
fn the_decathlon_lists_cases_with_all_channels_in_one_file() {
    let folder = Folder::new();
    folder
        .text(
            "dataset.json",
            r#"{"name": "Prostate", "modality": {"0": "T2", "1": "ADC"}, "numTraining": 2,
                "labels": {"0": "background", "1": "zone", "2": "lesion"},
                "training": [
                    {"image": "./imagesTr/p_0001.nii.gz", "label": "./labelsTr/p_0001.nii.gz"},
                    {"image": "./imagesTr/p_0002.nii.gz", "label": "./labelsTr/p_0002.nii.gz"},
                    {"image": "./imagesTr/p_0002.nii.gz", "label": "./labelsTr/p_0002.nii.gz"}]}"#,
        )
        .image("imagesTr/p_0001.nii.gz", &block(), 2)
        .image("imagesTr/p_0002_0000.nii.gz", &block(), 1)
        .image("imagesTr/p_0002_0001.nii.gz", &block(), 1)
        .image("imagesTr/p_0003.nii.gz", &block(), 2)
        .labels("labelsTr/p_0001.nii.gz", &block(), &LABELS)
        .labels("labelsTr/p_0002.nii.gz", &block(), &LABELS)
        .labels("labelsTr/p_0004.nii.gz", &block(), &LABELS);

    let dataset = folder.open("[nnunet_raw]");

    assert_eq!(dataset.description().name, "Prostate");
    assert_eq!(dataset.ids(), ["p_0001", "p_0002"]);
    let case = dataset.read("p_0001").unwrap();
    assert_eq!(case.image.data[[1, 1, 1, 2]], value(1, 1, 1, 2));
    assert_eq!(hard(&dataset.read("p_0002").unwrap()), LABELS);
    let kinds: Vec<_> = dataset.problems().iter().map(|problem| problem.kind).collect();
    assert_eq!(kinds, [ProblemKind::DuplicateCase, ProblemKind::Unlisted, ProblemKind::NoImage],);
}

#[test]
fn explicit_paths_regions_and_an_ignored_value() {
    let folder = Folder::new();
    folder
        .text(
            "dataset.json",
            r#"{"channel_names": {"0": "CT"}, "numTraining": 1, "file_ending": ".nii.gz",
                "labels": {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3},
                "regions_class_order": [1, 2],
                "dataset": {"case": {"images": ["somewhere/i.nii.gz"], "label": "else/l.nii.gz"}}}"#,
        )
        .text("imagesTr/readme.txt", "")
        .image("somewhere/i.nii.gz", &block(), 1)
        .labels("else/l.nii.gz", &block(), &[0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0]);

    let dataset = folder.open("[nnunet_raw]");

    let description = dataset.description();
    assert!(description.has_regions());
    assert_eq!((description.ignore, &*description.regions_class_order), (Some(3), &[1, 2][..]));
    // Regions overlap, so voxels keep the values that they have in the file.
    assert_eq!(hard(&dataset.read("case").unwrap())[..4], [0, 1, 2, 3]);
}

#[test]
fn an_ignored_value_comes_after_the_classes() {
    let folder = Folder::new();
    folder
        .text("dataset.json", &V2.replace("\"lesion\": 2", "\"lesion\": 5, \"ignore\": 6"))
        .image("imagesTr/a_0000.nii.gz", &block(), 2)
        .labels("labelsTr/a.nii.gz", &block(), &[0, 1, 5, 6, 0, 0, 0, 0, 0, 0, 0, 0]);

    let dataset = folder.open("[nnunet_raw]");

    assert_eq!(dataset.description().ignore, Some(3));
    // One file that holds both channels is as good as two.
    assert_eq!(hard(&dataset.read("a").unwrap())[..4], [0, 1, 2, 3]);
}

#[test]
fn strange_values_bring_the_labels_that_fit_into_dataset_json() {
    let folder = Folder::new();
    let labels = [0, 1, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    folder.text("dataset.json", V2).image("imagesTr/a_0000.nii.gz", &block(), 2).labels(
        "labelsTr/a.nii.gz",
        &block(),
        &labels,
    );

    let message = unreadable(&*folder.open("[nnunet_raw]"), "a");

    assert!(
        message.ends_with(
            "write `\"labels\": {\"background\": 0, \"zone\": 1, \"lesion\": 255}` in dataset.json"
        ),
        "{message}"
    );
}

#[test]
fn groups_come_from_identifiers() {
    let folder = Folder::new();
    folder.text("dataset.json", V2);
    for case in ["p1_s1", "p1_s2", "p2_s1", "other"] {
        folder.image(&format!("imagesTr/{case}_0000.nii.gz"), &block(), 2);
    }

    let dataset = folder.open("[nnunet_raw]\ngroup = \"{group}_s?\"");

    let groups: Vec<_> = dataset.ids().iter().map(|id| dataset.group(id)).collect();
    assert_eq!(groups, ["other", "p1", "p1", "p2"]);
}

#[test]
fn a_file_beside_a_tiff_states_its_spacing() {
    let folder = Folder::new();
    folder
        .text(
            "dataset.json",
            r#"{"channel_names": {"0": "fluo"}, "labels": {"background": 0, "cell": 1},
                "numTraining": 1, "file_ending": ".tif"}"#,
        )
        .bytes("imagesTr/a_0000.tif", &samples::pages_tiff())
        .text("imagesTr/a.json", r#"{"spacing": [2.0, 0.5, 0.25]}"#);

    let dataset = folder.open("[nnunet_raw]");

    assert_eq!(dataset.read("a").unwrap().image.grid.spacing, [2.0, 0.5, 0.25]);
    assert_eq!(dataset.problems(), []);
    folder.text("imagesTr/a.json", "{}");
    assert!(unreadable(&*dataset, "a").contains("missing field `spacing`"));
}

#[test]
fn a_folder_that_is_no_data_set_is_refused() {
    let folder = Folder::new();
    let message = folder.refusal("[nnunet_raw]");
    assert!(message.ends_with(
        "dataset.json: there is no such file; give a folder in nnU-Net's raw layout, or name \
         another layout"
    ));
    folder.text("dataset.json", V2);
    let message = folder.refusal("[nnunet_raw]");
    assert!(message.ends_with(
        "imagesTr: there is no such folder; put the images there, or name their folder with the \
         setting `images`"
    ));
    folder.text("imagesTr/a.png", "");
    let message = folder.refusal("[nnunet_raw]");
    assert!(message.contains("nothing matches `CASE_0000.nii.gz`"), "{message}");
}
