//! `CITATION.cff`: how to cite a model, in the Citation File Format 1.2.0.

use std::fmt::Write as _;

use crate::PackOptions;
use crate::card::quoted;
use crate::license::License;

/// The file's name.
pub(crate) const NAME: &str = "CITATION.cff";

/// A work to be cited with a model: its data, or the method that it was trained by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// What it is called.
    pub title: String,
    /// Who made it, as they are to be named, in order; persons as `Family, Given`, anything without a comma is an institution or group.
    pub authors: Vec<String>,
    /// The year that it was published in.
    pub year: u16,
    /// Its digital object identifier, such as `10.1038/s41597-020-00622-y`; may be empty.
    pub doi: String,
    /// Whether it is a data set; else an article.
    pub is_data: bool,
}

/// The file of a model.
pub(crate) fn text(options: &PackOptions, license: License) -> String {
    let mut yaml = "cff-version: 1.2.0\n\
                    message: If you use this model, please cite it and the works below.\n\
                    type: software\n"
        .to_owned();
    _ = writeln!(yaml, "title: {}", quoted(&options.name));
    let nobody = [format!("the authors of {}", options.name)];
    let authors = if options.authors.is_empty() { &nobody[..] } else { &options.authors[..] };
    put_authors(&mut yaml, "", authors);
    if let Some(spdx) = license.spdx() {
        _ = writeln!(yaml, "license: {spdx}");
    }
    if !options.works.is_empty() {
        yaml += "references:\n";
    }
    for work in &options.works {
        _ = writeln!(yaml, "- type: {}", if work.is_data { "data" } else { "article" });
        _ = writeln!(yaml, "  title: {}", quoted(&work.title));
        put_authors(&mut yaml, "  ", &work.authors);
        _ = writeln!(yaml, "  year: {}", work.year);
        if !work.doi.is_empty() {
            _ = writeln!(yaml, "  doi: {}", quoted(&work.doi));
        }
    }
    yaml
}

fn put_authors(yaml: &mut String, indent: &str, authors: &[String]) {
    _ = writeln!(yaml, "{indent}authors:");
    for author in authors {
        match author.split_once(", ") {
            Some((family, given)) => {
                _ = writeln!(yaml, "{indent}- family-names: {}", quoted(family));
                _ = writeln!(yaml, "{indent}  given-names: {}", quoted(given));
            }
            None => _ = writeln!(yaml, "{indent}- name: {}", quoted(author)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persons_groups_and_works_are_told_apart() -> anyhow::Result<()> {
        let works = vec![Work {
            title: "Data: \"much\"".to_owned(),
            authors: vec!["Doe, Jane".to_owned(), "A Group".to_owned()],
            year: 2020,
            doi: "10.1/x".to_owned(),
            is_data: true,
        }];
        let options = PackOptions { name: "a model".to_owned(), works, ..PackOptions::default() };

        let text = text(&options, License::find("cc-by-4.0")?);

        assert_eq!(
            text,
            "cff-version: 1.2.0\n\
             message: If you use this model, please cite it and the works below.\n\
             type: software\ntitle: \"a model\"\nauthors:\n- name: \"the authors of a model\"\n\
             license: CC-BY-4.0\nreferences:\n- type: data\n  title: \"Data: \\\"much\\\"\"\n  authors:\n  \
             - family-names: \"Doe\"\n    given-names: \"Jane\"\n  - name: \"A Group\"\n  year: 2020\n  \
             doi: \"10.1/x\"\n"
        );
        Ok(())
    }

    #[test]
    fn a_license_without_a_name_of_its_own_is_left_out() -> anyhow::Result<()> {
        let text = text(&PackOptions::default(), License::find("other")?);

        assert!(!text.contains("license:"), "{text}");
        Ok(())
    }
}
