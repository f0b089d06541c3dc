//! Several data sets, each with labels for some classes, as one.

use std::fs;
use std::path::Path;

use sconce_data::{
    Class, ConvertTo, Dataset, Fold, Layout as _, LayoutConfig, Partial, Phantom, PhantomConfig,
    PhantomOrgan, convert,
};
use volume::Label;

use crate::folder::{Folder, one_line};

fn phantom(cases: usize, organs: &[PhantomOrgan]) -> Phantom {
    let config = PhantomConfig {
        cases,
        size: [1, 32, 32],
        spacing: [3.0; 3],
        raters: 2,
        organs: organs.to_vec(),
        ..PhantomConfig::default()
    };
    Phantom::new(config).unwrap()
}

/// A folder with three cases of kidneys and one of livers.
fn folder() -> Folder {
    let folder = Folder::new();
    phantom(3, &[PhantomOrgan::Kidney]).write(&folder.root().join("kidneys"), |_, _| ()).unwrap();
    phantom(1, &[PhantomOrgan::Liver]).write(&folder.root().join("livers"), |_, _| ()).unwrap();
    folder
}

fn layout(text: &str) -> LayoutConfig {
    toml::from_str(text).unwrap()
}

const BOTH: &str =
    "[[partial.sets]]\nfolder = \"kidneys\"\n[[partial.sets]]\nfolder = \"livers\"\nweight = 2.0\n";

fn values(dataset: &dyn Dataset, id: &str) -> Vec<u16> {
    match dataset.read(id).unwrap().label {
        Some(Label::Raters(masks)) => masks[0].values(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn classes_of_all_sets_are_told_apart_and_each_case_labels_its_own() {
    let folder = folder();
    let dataset = layout(BOTH).open(folder.root()).unwrap();
    let description = dataset.description();

    let class = |name: &str, value: u16| Class::new(name, [value]);
    assert_eq!(
        description.classes,
        [class("background", 0), class("kidney", 1), class("liver", 2)]
    );
    assert!(description.independent && description.has_regions());
    assert_eq!(description.regions_class_order, [1, 2]);
    assert_eq!(
        dataset.ids(),
        ["kidneys_case01", "kidneys_case02", "kidneys_case03", "livers_case01"]
    );
    assert_eq!(dataset.labelled("kidneys_case02"), Some(&[1][..]));
    assert_eq!(dataset.labelled("livers_case01"), Some(&[2][..]));
    assert_eq!(values(dataset.as_ref(), "kidneys_case02"), [0, 1]);
    assert_eq!(values(dataset.as_ref(), "livers_case01"), [0, 2]);
    assert_eq!(dataset.files("livers_case01").len(), 3);
    // Three cases of one set are drawn as often as half a case of the other.
    let weights = dataset.ids().iter().map(|id| dataset.weight(id) * 3.0);
    assert_eq!(weights.collect::<Vec<_>>(), [1.0, 1.0, 1.0, 6.0]);
    assert_eq!(Fold::new(dataset.as_ref(), 2, 0, 1).unwrap().val.len(), 2);
    let to = folder.root().join("other");
    let error =
        convert(dataset.as_ref(), &to, ConvertTo::Raters, &|_, _| ()).unwrap_err().to_string();
    assert!(error.contains("label some of its classes") && !to.exists(), "{error}");
    let error = dataset.read("case01").unwrap_err().to_string();
    assert!(error.contains("there is no case case01"), "{error}");
}

#[test]
fn a_class_of_one_name_is_one_class_whatever_its_value() {
    let folder = folder();
    let both = [PhantomOrgan::Liver, PhantomOrgan::Kidney];
    phantom(1, &both).write(&folder.root().join("both"), |_, _| ()).unwrap();
    let text = format!("{BOTH}[[partial.sets]]\nfolder = \"both\"\n");
    let dataset = layout(&text).open(folder.root()).unwrap();

    assert_eq!(dataset.description().classes.len(), 3);
    assert_eq!(dataset.labelled("both_case01"), None);
    // The set itself has 1 for the liver, as its files; in the union, that is the kidney.
    assert_eq!(values(dataset.as_ref(), "both_case01"), [0, 1, 2]);
    let of = |organ: PhantomOrgan| phantom(1, &[organ]);
    let count = |dataset: &dyn Dataset, id: &str, value: u16| match dataset.read(id).unwrap().label
    {
        Some(Label::Raters(masks)) => masks[0].data.iter().filter(|&&it| it == value).count(),
        other => panic!("{other:?}"),
    };
    let kidney = count(&of(PhantomOrgan::Kidney), "case01", 1);
    assert!(kidney > 0);
    assert_eq!(count(dataset.as_ref(), "both_case01", 1), kidney);
}

#[test]
fn sets_that_do_not_fit_together_are_refused() {
    let folder = folder();
    let refusal =
        |text: &str, root: &Path| one_line(&layout(text).open(root).map(|_| ()).unwrap_err());
    let root = folder.root();

    assert!(refusal("[partial]", root).contains("names no data set; add a table"));
    let twice = format!("{BOTH}[[partial.sets]]\nfolder = \"livers\"\n");
    assert!(refusal(&twice, root).contains("would be called livers_case01"));
    let missing = refusal("[[partial.sets]]\nfolder = \"spleens\"", root);
    assert!(missing.contains("spleens") && missing.contains("no such folder"), "{missing}");
    fs::write(
        root.join("livers/layout.json"),
        r#"{"raters": {"channels": ["MR"], "classes": [{"name": "background", "values": [0]}, {"name": "liver", "values": [1]}]}}"#,
    )
    .unwrap();
    let channels = refusal(BOTH, root);
    assert!(channels.contains("have the channels MR, but those of kidneys have CT"), "{channels}");
    assert_eq!(layout(BOTH).name(), "partial");
    assert!(
        toml::from_str::<LayoutConfig>("[[partial.sets]]\nfolder = \"a\"\nweight = 0.0").is_err()
    );
    assert_eq!(Partial::default().sets.len(), 0);
}
