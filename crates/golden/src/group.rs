use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use anyhow::Context;
use serde::Deserialize;

use crate::{Case, named};

/// The cases of one manifest.
#[derive(Debug)]
pub struct Group {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    pub(crate) cases: Vec<Case>,
}

/// Where the cases of a group come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The copy in this crate: a test of it that runs no case tests nothing, and fails.
    Compact,
    /// The folder that `SCONCE_GOLDEN_DIR` names.
    Named(PathBuf),
    /// There is no such group, in words.
    Absent(String),
}

/// Cases that are known not to be supported, and why.
#[derive(Debug)]
pub struct Exempt {
    /// The function of the cases.
    pub function: &'static str,
    /// Which of that function's cases.
    pub when: fn(&Case) -> bool,
    /// Why, in words that a user would accept.
    pub reason: &'static str,
}

#[derive(Deserialize)]
struct Manifest {
    cases: Vec<Case>,
}

impl Group {
    /// Reads a group from the folder that `SCONCE_GOLDEN_DIR` names, and from no other; where the
    /// variable is unset, from the compact copy.
    ///
    /// Where the named folder lacks the group, there are no cases, and [`Group::check`] says that
    /// they were skipped.
    ///
    /// # Panics
    ///
    /// Where the group cannot be read: the test that asks for it cannot go on.
    pub fn load(name: &str) -> Self {
        Self::from(named::folder(), name)
    }

    fn from(named: Option<PathBuf>, name: &str) -> Self {
        let manifest = format!("{name}.json");
        let origin = match named {
            None => Origin::Compact,
            Some(folder) if folder.join(&manifest).is_file() => Origin::Named(folder),
            Some(folder) => Origin::Absent(format!("{} holds no {manifest}", folder.display())),
        };
        let folder = match &origin {
            Origin::Compact => Path::new(env!("CARGO_MANIFEST_DIR")).join("data"),
            Origin::Named(folder) => folder.clone(),
            Origin::Absent(_) => return Self { name: name.to_owned(), origin, cases: Vec::new() },
        };
        match Self::read(&folder, name) {
            Ok(cases) => Self { name: name.to_owned(), origin, cases },
            Err(error) => panic!("golden group {name} in {}: {error:#}", folder.display()),
        }
    }

    fn read(folder: &Path, name: &str) -> anyhow::Result<Vec<Case>> {
        let text = fs::read_to_string(folder.join(format!("{name}.json"))).context("manifest")?;
        let manifest: Manifest = serde_json::from_str(&text).context("manifest")?;
        let bytes = fs::read(folder.join(format!("{name}.safetensors"))).context("tensors")?;
        let bytes = Arc::new(bytes);
        let mut cases = manifest.cases;
        for case in &mut cases {
            folder.clone_into(&mut case.folder);
            case.bytes = Arc::clone(&bytes);
        }
        Ok(cases)
    }

    /// The cases, in the order of the manifest.
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// Runs every case that is `mine`, and prints how many passed, and what was skipped.
    ///
    /// # Panics
    ///
    /// Where a case fails that no entry of `exempt` covers, where a case passes that one does
    /// cover, where a case panics, exempt or not, and where no case of the compact copy passes.
    pub fn check(
        &self,
        mine: impl Fn(&Case) -> bool,
        exempt: &[Exempt],
        run: impl Fn(&Case) -> anyhow::Result<()>,
    ) {
        let outcome = self.run(mine, exempt, run);
        // Past the harness, which shows what a test prints only where it fails.
        drop(io::stderr().write_all(outcome.report.as_bytes()));
        let wrong = outcome.wrong;
        assert!(wrong.is_empty(), "{} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
        assert!(
            outcome.passed > 0 || self.origin != Origin::Compact,
            "no case of the compact copy of group {} passed: the copy or the filter is wrong",
            self.name,
        );
    }

    fn run(
        &self,
        mine: impl Fn(&Case) -> bool,
        exempt: &[Exempt],
        run: impl Fn(&Case) -> anyhow::Result<()>,
    ) -> Outcome {
        let mut passed: BTreeMap<&str, usize> = BTreeMap::new();
        let mut exempted: BTreeMap<&str, usize> = BTreeMap::new();
        let mut wrong = Vec::new();
        let mut count = 0;
        for case in self.cases.iter().filter(|case| mine(case)) {
            count += 1;
            let entry =
                exempt.iter().find(|entry| entry.function == case.function && (entry.when)(case));
            let Ok(outcome) = catch_unwind(AssertUnwindSafe(|| run(case))) else {
                wrong.push(format!("{} ({}): panicked (see above)", case.id, case.function));
                continue;
            };
            match (outcome, entry) {
                (Ok(()), None) => *passed.entry(&case.function).or_default() += 1,
                (Err(_), Some(entry)) => *exempted.entry(entry.reason).or_default() += 1,
                (Err(error), None) => {
                    wrong.push(format!("{} ({}): {error:#}", case.id, case.function));
                }
                (Ok(()), Some(entry)) => wrong.push(format!(
                    "{} ({}) passes, so this exemption is stale: {}",
                    case.id, case.function, entry.reason,
                )),
            }
        }
        let total: usize = passed.values().sum();
        let name = &self.name;
        let mut report = match &self.origin {
            Origin::Absent(why) => format!("golden {name}: skipped, {why}\n"),
            Origin::Named(folder) if count == 0 => {
                format!(
                    "golden {name}: skipped, no case of {} is for this test\n",
                    folder.display()
                )
            }
            _ => format!("golden {name}: {total} cases passed\n"),
        };
        let lines = passed.iter().map(|(function, count)| format!("  {count:4} {function}\n"));
        let exempt = exempted.iter().map(|(why, count)| format!("  {count:4} exempt: {why}\n"));
        report.extend(lines.chain(exempt));
        Outcome { report, wrong, passed: total }
    }
}

/// What came of the cases of a test.
struct Outcome {
    report: String,
    wrong: Vec<String>,
    passed: usize,
}

#[cfg(test)]
mod tests {
    use anyhow::{Result, bail};
    use serde_json::json;

    use super::*;

    /// Two cases of one function, `good` and `bad`.
    fn group(origin: Origin) -> Group {
        let cases = ["good", "bad"].map(|id| json!({ "id": id, "function": "f" }));
        let cases = cases.map(|case| serde_json::from_value(case).unwrap());
        Group { name: "group".to_owned(), origin, cases: cases.to_vec() }
    }

    fn fails_where_bad(case: &Case) -> Result<()> {
        if case.id == "bad" {
            bail!("no")
        }
        Ok(())
    }

    const BAD: Exempt = Exempt { function: "f", when: |case| case.id == "bad", reason: "later" };
    const ALL: Exempt = Exempt { function: "f", when: |_| true, reason: "later" };

    #[test]
    fn failures_are_named_unless_they_are_exempt() {
        let group = group(Origin::Compact);

        let named = group.run(|_| true, &[], fails_where_bad);
        let exempt = group.run(|_| true, &[BAD], fails_where_bad);

        assert_eq!(named.wrong, ["bad (f): no"]);
        assert_eq!((exempt.wrong.len(), exempt.passed), (0, 1));
        assert_eq!(exempt.report, "golden group: 1 cases passed\n     1 f\n     1 exempt: later\n");
    }

    #[test]
    fn an_exemption_of_a_case_that_passes_is_stale() {
        let outcome = group(Origin::Compact).run(|_| true, &[ALL], fails_where_bad);

        assert_eq!(outcome.wrong, ["good (f) passes, so this exemption is stale: later"]);
    }

    #[test]
    fn a_panic_is_wrong_whether_the_case_is_exempt_or_not() {
        let panics = |case: &Case| {
            assert!(case.id != "bad", "a defect");
            Ok(())
        };

        let outcome = group(Origin::Compact).run(|_| true, &[BAD], panics);

        assert_eq!(outcome.wrong, ["bad (f): panicked (see above)"]);
    }

    #[test]
    #[should_panic(expected = "no case of the compact copy of group group passed")]
    fn a_test_of_the_compact_copy_in_which_nothing_passes_fails() {
        group(Origin::Compact).check(|case| case.id == "bad", &[BAD], fails_where_bad);
    }

    #[test]
    fn nothing_stands_in_for_what_a_named_folder_lacks() -> Result<()> {
        let folder = tempfile::tempdir()?;

        // The compact copy has this group.
        let absent = Group::from(Some(folder.path().to_owned()), "losses");

        assert!(absent.cases().is_empty());
        let outcome = absent.run(|_| true, &[], fails_where_bad);
        let expected =
            format!("golden losses: skipped, {} holds no losses.json\n", folder.path().display());
        assert_eq!(outcome.report, expected);
        absent.check(|_| true, &[], fails_where_bad);
        assert!(!Group::from(None, "losses").cases().is_empty());
        Ok(())
    }

    #[test]
    fn a_named_folder_without_a_case_for_the_test_is_reported_as_skipped() {
        let outcome = group(Origin::Named("full".into())).run(|_| false, &[], fails_where_bad);

        assert_eq!(outcome.report, "golden group: skipped, no case of full is for this test\n");
    }
}
