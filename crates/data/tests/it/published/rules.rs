use sconce_data::{Layout as _, LayoutConfig};

use super::published;
use crate::folder::{Folder, one_line};

#[test]
fn each_says_where_to_get_it_and_how_its_folder_looks() {
    for layout in published() {
        let (name, source) = (layout.name(), layout.source().unwrap());
        assert!(source.page.starts_with("http"), "{name}");
        assert!(!source.title.is_empty() && !source.steps.is_empty(), "{name}");
        let documentation = source.documentation();
        assert!(documentation.text.contains("\nroot"), "{name}: {documentation:?}");
        assert!(!documentation.source.is_empty(), "{name}");
        assert!(documentation.settings.iter().all(|(_, meaning)| !meaning.is_empty()), "{name}");
    }
    assert_eq!(published().count(), 20);
}

#[test]
fn a_folder_of_something_else_is_refused_with_what_was_looked_for() {
    let folder = Folder::new();
    folder.text("readme.txt", "nothing to see here");
    for layout in published() {
        let message = one_line(&layout.open(folder.root()).unwrap_err());
        assert!(message.contains("nothing matches `"), "{message}");
        assert!(message.contains(layout.source().unwrap().title), "{message}");
        assert!(!layout.knows(folder.root()).unwrap());
    }
}

#[test]
fn a_part_of_a_set_is_whole_by_its_own_number_of_cases() {
    let whole = |settings: &str| {
        let layout: LayoutConfig = toml::from_str(settings).unwrap();
        layout.whole()
    };

    assert_eq!(whole("[isic2018]"), 2594);
    assert_eq!(whole("[isic2018]\npart = \"Test\""), 1000);
    assert_eq!(whole("[lits]"), 131);
    assert_eq!(whole("[raters]"), 0);
}
