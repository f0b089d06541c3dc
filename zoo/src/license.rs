//! The licenses that a card can name.

use crate::{Error, Result};

/// One license of the hub's list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct License {
    /// What the hub calls it.
    pub(crate) id: &'static str,
    /// What people call it.
    pub(crate) name: &'static str,
    /// Where its text is; empty where there is none.
    pub(crate) url: &'static str,
}

const fn license(id: &'static str, name: &'static str, url: &'static str) -> License {
    License { id, name, url }
}

const LICENSES: &[License] = &[
    license("apache-2.0", "Apache License 2.0", "https://www.apache.org/licenses/LICENSE-2.0"),
    license("bsd-3-clause", "BSD 3-Clause License", "https://opensource.org/license/bsd-3-clause"),
    license("cc0-1.0", "CC0 1.0 Universal", "https://creativecommons.org/publicdomain/zero/1.0/"),
    license("cc-by-2.0", "CC BY 2.0", "https://creativecommons.org/licenses/by/2.0/"),
    license("cc-by-2.5", "CC BY 2.5", "https://creativecommons.org/licenses/by/2.5/"),
    license("cc-by-3.0", "CC BY 3.0", "https://creativecommons.org/licenses/by/3.0/"),
    license("cc-by-4.0", "CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/"),
    license("cc-by-sa-3.0", "CC BY-SA 3.0", "https://creativecommons.org/licenses/by-sa/3.0/"),
    license("cc-by-sa-4.0", "CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0/"),
    license("cc-by-nc-2.0", "CC BY-NC 2.0", "https://creativecommons.org/licenses/by-nc/2.0/"),
    license("cc-by-nc-3.0", "CC BY-NC 3.0", "https://creativecommons.org/licenses/by-nc/3.0/"),
    license("cc-by-nc-4.0", "CC BY-NC 4.0", "https://creativecommons.org/licenses/by-nc/4.0/"),
    license(
        "cc-by-nc-sa-2.0",
        "CC BY-NC-SA 2.0",
        "https://creativecommons.org/licenses/by-nc-sa/2.0/",
    ),
    license(
        "cc-by-nc-sa-3.0",
        "CC BY-NC-SA 3.0",
        "https://creativecommons.org/licenses/by-nc-sa/3.0/",
    ),
    license(
        "cc-by-nc-sa-4.0",
        "CC BY-NC-SA 4.0",
        "https://creativecommons.org/licenses/by-nc-sa/4.0/",
    ),
    license("cc-by-nd-4.0", "CC BY-ND 4.0", "https://creativecommons.org/licenses/by-nd/4.0/"),
    license(
        "cc-by-nc-nd-3.0",
        "CC BY-NC-ND 3.0",
        "https://creativecommons.org/licenses/by-nc-nd/3.0/",
    ),
    license(
        "cc-by-nc-nd-4.0",
        "CC BY-NC-ND 4.0",
        "https://creativecommons.org/licenses/by-nc-nd/4.0/",
    ),
    license("gpl-3.0", "GNU GPL 3.0", "https://www.gnu.org/licenses/gpl-3.0.html"),
    license("mit", "MIT License", "https://opensource.org/license/mit"),
    license("odbl", "Open Database License 1.0", "https://opendatacommons.org/licenses/odbl/1-0/"),
    license("odc-by", "ODC Attribution 1.0", "https://opendatacommons.org/licenses/by/1-0/"),
    license("pddl", "ODC Public Domain 1.0", "https://opendatacommons.org/licenses/pddl/1-0/"),
    license(OTHER, "another license", ""),
];

/// What the hub calls a license that is not on its list.
pub(crate) const OTHER: &str = "other";

impl License {
    /// The license of that identifier.
    pub(crate) fn find(id: &str) -> Result<Self> {
        let found = LICENSES.iter().copied().find(|license| license.id == id);
        found.ok_or_else(|| {
            let ids: Vec<&str> = LICENSES.iter().map(|license| license.id).collect();
            Error::Option {
                what: "the license",
                value: id.to_owned(),
                reason: format!("it is none of {}", ids.join(", ")),
            }
        })
    }

    /// What SPDX calls it; `None` where it is none of theirs.
    pub(crate) fn spdx(&self) -> Option<String> {
        match self.id {
            OTHER => None,
            "apache-2.0" => Some("Apache-2.0".to_owned()),
            "gpl-3.0" => Some("GPL-3.0-only".to_owned()),
            "odbl" => Some("ODbL-1.0".to_owned()),
            "odc-by" => Some("ODC-By-1.0".to_owned()),
            "pddl" => Some("PDDL-1.0".to_owned()),
            "bsd-3-clause" => Some("BSD-3-Clause".to_owned()),
            id => Some(id.to_uppercase()),
        }
    }

    /// What the file `LICENSE` says where no text was given.
    pub(crate) fn text(&self, model: &str) -> String {
        if self.id == OTHER {
            return format!(
                "No license has been chosen for the weights of {model}.\n\n\
                 Weights follow the license of the data that they were trained on: ask whoever \
                 gave you this folder.\n"
            );
        }
        format!(
            "The weights of {model}, and the files beside them, are licensed under\n\n    {} \
             ({})\n    {}\n\nWeights follow the license of the data that they were trained on.\n",
            self.name, self.id, self.url
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licenses_are_found_by_the_names_of_the_hub() -> anyhow::Result<()> {
        assert_eq!(License::find("cc-by-nc-sa-4.0")?.name, "CC BY-NC-SA 4.0");
        let error = License::find("CC BY").unwrap_err().to_string();
        assert!(
            error.starts_with("the license \"CC BY\" cannot be used: it is none of apache-2.0,")
        );
        Ok(())
    }

    #[test]
    fn no_license_is_listed_twice() {
        let mut ids: Vec<&str> = LICENSES.iter().map(|license| license.id).collect();
        ids.sort_unstable();
        ids.dedup();

        assert_eq!(ids.len(), LICENSES.len());
    }
}
