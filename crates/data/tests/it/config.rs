use std::fs;

use sconce_data::{Layout as _, LayoutConfig, recognize};

use crate::folder::{Folder, one_line};

#[test]
fn every_layout_survives_its_own_config_file() {
    assert_eq!(&LayoutConfig::NAMES[..4], ["nnunet_raw", "pairs", "raters", "phantom"]);
    for layout in LayoutConfig::defaults() {
        let text = toml::to_string(&layout).unwrap();
        assert_eq!(toml::from_str::<LayoutConfig>(&text).unwrap(), layout, "{text}");
        let empty: LayoutConfig = toml::from_str(&format!("[{}]", layout.name())).unwrap();
        assert_eq!(empty, layout);
    }
}

#[test]
fn mistakes_in_a_config_file_are_pointed_at() {
    let message = |text: &str| toml::from_str::<LayoutConfig>(text).unwrap_err().to_string();

    let unknown = message("[pairs]\nimages = \"a/{id}.png\"\n");
    assert!(unknown.contains("line 2, column 1"), "{unknown}");
    assert!(unknown.contains("unknown field `images`"), "{unknown}");
    let open = message("[raters]\nimage = \"a/{id.png\"\n");
    assert!(open.contains("line 2, column 9") && open.contains("braces"), "{open}");
    let ambiguous = message("[pairs]\nlabel = [\"{a}{b}.png\"]\n");
    assert!(ambiguous.contains("leaves open where a {name} ends"), "{ambiguous}");
}

#[test]
fn folders_that_say_what_they_are_are_recognized() {
    let folder = Folder::new();
    assert!(recognize(folder.root()).unwrap_err().to_string().contains("nothing in it says"));
    folder.text("dataset.json", "{}");
    assert_eq!(recognize(folder.root()).unwrap().name(), "nnunet_raw");
    folder.text("layout.json", r#"{"raters": {"group": "{id}"}}"#);
    assert_eq!(recognize(folder.root()).unwrap().name(), "raters");
    folder.text("layout.json", r#"{"raters": {"groups": 1}}"#);
    assert!(recognize(folder.root()).unwrap_err().to_string().contains("unknown field"));
}

#[test]
fn a_data_folder_that_is_not_there_is_named_with_a_remedy() {
    let folder = Folder::new();
    let (missing, file) = (folder.root().join("missing"), folder.root().join("file"));
    fs::write(&file, "").unwrap();
    let expect = |message: String, path: &std::path::Path, cause: &str| {
        let expected =
            format!("cannot read {}: {cause}; give the folder that holds the data", path.display());
        assert_eq!(message, expected);
    };
    for (path, cause) in
        [(&missing, "there is no such folder"), (&file, "it is a file, not a folder")]
    {
        expect(one_line(&recognize(path).unwrap_err()), path, cause);
        for layout in LayoutConfig::defaults() {
            // Generated cases lie in no folder.
            if layout.name() != "phantom" {
                expect(one_line(&layout.open(path).unwrap_err()), path, cause);
            }
        }
    }
}
