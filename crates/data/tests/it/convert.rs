//! Data sets in other layouts: the same cases.

use sconce_data::{ConvertTo, Dataset, Layout as _, Phantom, PhantomConfig, convert, recognize};
use volume::Label;

use crate::folder::{Folder, block, hard};

/// Opens a folder as what it is taken for.
fn reopened(folder: &Folder) -> Box<dyn Dataset> {
    recognize(&folder.root().join("out")).unwrap().open(&folder.root().join("out")).unwrap()
}

fn converted(dataset: &dyn Dataset, to: ConvertTo) -> (Folder, Box<dyn Dataset>) {
    let folder = Folder::new();
    convert(dataset, &folder.root().join("out"), to, &|_, _| {}).unwrap();
    let again = reopened(&folder);
    (folder, again)
}

fn same(a: &dyn Dataset, b: &dyn Dataset) {
    assert_eq!(a.ids(), b.ids());
    assert_eq!(a.description().channels, b.description().channels);
    for id in a.ids() {
        let (one, other) = (a.read(id).unwrap(), b.read(id).unwrap());
        assert_eq!(one.image.grid.difference(&other.image.grid), None);
        assert_eq!(one.image.data, other.image.data);
        match (&one.label, &other.label) {
            (Some(Label::Soft(one)), Some(Label::Soft(other))) => assert_eq!(one.data, other.data),
            (Some(Label::Raters(one)), Some(Label::Raters(other))) => {
                assert!(one.iter().zip(other.iter()).all(|(one, other)| one.data == other.data));
                assert_eq!(a.raters(id).len(), b.raters(id).len());
            }
            (Some(Label::Hard(one)), Some(Label::Hard(other))) => assert_eq!(one.data, other.data),
            (None, None) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Two patients, of whom one was seen twice, with labels 0, 7 and 9, one of them missing.
fn visits() -> (Folder, Box<dyn Dataset>) {
    let folder = Folder::new();
    for (name, labelled) in [("p1_a", true), ("p1_b", false), ("p2_a", true)] {
        folder.image(&format!("images/{name}.nii.gz"), &block(), 2);
        if labelled {
            let labels = [0, 7, 7, 0, 0, 9, 0, 0, 0, 0, 0, 255];
            folder.labels(&format!("labels/{name}.nii.gz"), &block(), &labels);
        }
    }
    let dataset = folder.open(
        r#"[pairs]
        image = "images/{patient}_{visit}.nii.gz"
        label = "labels/{patient}_{visit}.nii.gz"
        group = "{patient}"
        channels = ["T1", "T2"]
        ignore = 255
        classes = [{ name = "background", values = [0] }, { name = "a", values = [7] },
                   { name = "b", values = [9] }]"#,
    );
    (folder, dataset)
}

#[test]
fn pairs_keep_groups_channels_and_what_is_ignored() {
    let (_folder, dataset) = visits();
    let (folder, again) = converted(&*dataset, ConvertTo::Pairs);
    same(&*dataset, &*again);
    assert_eq!(again.group("p1_b"), "p1");
    assert_eq!(again.description().ignore, Some(3));
    // There once more is refused, and nothing is overwritten.
    let error = convert(&*dataset, &folder.root().join("out"), ConvertTo::Pairs, &|_, _| {});
    assert!(error.unwrap_err().to_string().contains("is not empty"));
}

#[test]
fn nnunet_gets_a_file_for_each_channel_and_consecutive_values() {
    let (_folder, dataset) = visits();
    let (folder, again) = converted(&*dataset, ConvertTo::NnunetRaw);
    assert!(folder.root().join("out/imagesTr/p1_b_0001.nii.gz").is_file());
    assert_eq!(recognize(&folder.root().join("out")).unwrap().name(), "nnunet_raw");
    assert_eq!(again.description().channels, ["T1", "T2"]);
    assert_eq!(again.ids(), ["p1_a", "p1_b", "p2_a"]);
    let case = again.read("p2_a").unwrap();
    assert_eq!(case.image.data, dataset.read("p2_a").unwrap().image.data);
    assert_eq!(hard(&case), [0, 1, 1, 0, 0, 2, 0, 0, 0, 0, 0, 3]);
}

#[test]
fn a_name_that_is_no_file_is_refused() {
    let folder = Folder::new();
    folder.image("a.nii.gz", &block(), 1);
    folder.text("data.csv", "image_path,name\na.nii.gz,../../a\n");
    let dataset = folder.open("[csv]\nid = \"name\"\nlabel = \"\"");
    let out = folder.root().join("some/where/out");
    let error = convert(&*dataset, &out, ConvertTo::Pairs, &|_, _| {}).unwrap_err();
    assert!(error.to_string().contains("is no name of a file"), "{error}");
}

#[test]
fn regions_and_raters_and_probabilities_come_through() {
    let phantom = PhantomConfig { cases: 2, size: [4, 12, 12], raters: 3, ..Default::default() };
    let phantom = Phantom::new(phantom).unwrap();
    let (_folder, again) = converted(&phantom, ConvertTo::Raters);
    same(&phantom, &*again);
    for to in [ConvertTo::NnunetRaw, ConvertTo::Pairs] {
        let folder = Folder::new();
        let error = convert(&phantom, &folder.root().join("out"), to, &|_, _| {}).unwrap_err();
        assert!(error.to_string().contains("sconce labels fuse"), "{error}");
        assert!(recognize(&folder.root().join("out")).is_err());
    }

    let folder = Folder::new();
    folder.image("images/a.nii.gz", &block(), 1);
    folder.soft("labels/a.nii.gz", &block(), &[0.25; 12]);
    let soft = folder.open("[pairs]\nsoft = true");
    let (_folder, again) = converted(&*soft, ConvertTo::Pairs);
    same(&*soft, &*again);

    let folder = Folder::new();
    folder.image("images/a.nii.gz", &block(), 1);
    folder.labels("labels/a.nii.gz", &block(), &[0, 1, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
    let regions = r#"[pairs]
        regions_class_order = [2, 1, 4]
        classes = [{ name = "background", values = [0] }, { name = "whole", values = [1, 2, 4] },
                   { name = "core", values = [1, 4] }, { name = "active", values = [4] }]"#;
    let dataset = folder.open(regions);
    let (_folder, again) = converted(&*dataset, ConvertTo::NnunetRaw);
    // nnU-Net wants values without gaps.
    assert_eq!(again.description().regions_class_order, [2, 1, 3]);
    assert_eq!(again.description().classes[2].values, [1, 3]);
    assert_eq!(hard(&again.read("a").unwrap())[..4], [0, 1, 2, 3]);
    let (_folder, again) = converted(&*dataset, ConvertTo::Pairs);
    assert_eq!(hard(&again.read("a").unwrap())[..4], [0, 1, 2, 4]);
}
