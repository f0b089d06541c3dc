//! The guide's page on data sets is what the layouts say of themselves.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use sconce::data::{Documentation, Layout as _, LayoutConfig};

const PAGE: &str = include_str!("../../guide/datasets.md");
/// What follows in the page is made of the layouts' comments.
const MARK: &str = "## Set by set\n";

/// The sections on published data sets.
fn sections() -> String {
    let mut page = String::from(MARK);
    for layout in LayoutConfig::defaults() {
        let Some(source) = layout.source() else { continue };
        let Documentation { text, source: paper, settings } = source.documentation();
        write!(page, "\n### `{}`: {}\n\n", layout.name(), source.title).expect("a string grows");
        let mut fenced = false;
        for line in text.lines() {
            let (begins, ends) = (line.starts_with("root"), fenced && line.is_empty());
            if begins || ends {
                page.push_str(if begins { "```text\n" } else { "```\n" });
                fenced = begins;
            }
            page.push_str(line);
            page.push('\n');
        }
        if fenced {
            page.push_str("```\n");
        }
        let names: Vec<String> = settings.iter().map(|(name, _)| format!("`{name}`")).collect();
        let cases =
            if source.cases > 0 { format!(" ({} cases)", source.cases) } else { String::new() };
        write!(
            page,
            "\nTo be had{cases} at <{}>: {}. Licence: {}. Settings: {}. {}\n",
            source.page,
            source.steps,
            source.licence,
            names.join(", "),
            paper.replace('\n', " "),
        )
        .expect("a string grows");
    }
    page
}

#[test]
fn the_page_on_data_sets_says_what_the_layouts_say() {
    let (_, written) = PAGE.split_once(MARK).expect("the page has that headline");
    let wanted = sections();
    if format!("{MARK}{written}") != wanted {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("datasets.md");
        fs::write(&path, &wanted).expect("the folder is there for that");
        panic!(
            "guide/datasets.md is not up to date from \"Set by set\" on; take {}",
            path.display()
        );
    }
}
