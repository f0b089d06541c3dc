use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use anyhow::Context;
use serde::Deserialize;

use crate::Case;

/// The cases of one manifest.
#[derive(Debug)]
pub struct Group {
    name: String,
    cases: Vec<Case>,
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
    /// Reads a group from the folder that `SCONCE_GOLDEN_DIR` names, or from the compact copy.
    ///
    /// # Panics
    ///
    /// Where the group cannot be read: the test that asks for it cannot go on.
    pub fn load(name: &str) -> Self {
        let compact = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
        let named = env::var_os("SCONCE_GOLDEN_DIR").map(PathBuf::from);
        if let Some(named) = &named {
            assert!(named.is_dir(), "SCONCE_GOLDEN_DIR is {}, not a folder", named.display());
        }
        let folder =
            named.filter(|folder| folder.join(format!("{name}.json")).is_file()).unwrap_or(compact);
        match Self::read(&folder, name) {
            Ok(group) => group,
            Err(error) => panic!("golden group {name} in {}: {error:#}", folder.display()),
        }
    }

    fn read(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let text = fs::read_to_string(folder.join(format!("{name}.json"))).context("manifest")?;
        let manifest: Manifest = serde_json::from_str(&text).context("manifest")?;
        let bytes = fs::read(folder.join(format!("{name}.safetensors"))).context("tensors")?;
        let bytes = Arc::new(bytes);
        let mut cases = manifest.cases;
        for case in &mut cases {
            folder.clone_into(&mut case.folder);
            case.bytes = Arc::clone(&bytes);
        }
        Ok(Self { name: name.to_owned(), cases })
    }

    /// The cases, in the order of the manifest.
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// Runs every case that is `mine`, and prints how many passed.
    ///
    /// # Panics
    ///
    /// Where a case fails that no entry of `exempt` covers, where a case passes that one does
    /// cover, and where no case is `mine` at all.
    pub fn check(
        &self,
        mine: impl Fn(&Case) -> bool,
        exempt: &[Exempt],
        run: impl Fn(&Case) -> anyhow::Result<()>,
    ) {
        let mut passed: BTreeMap<&str, usize> = BTreeMap::new();
        let mut exempted: BTreeMap<&str, usize> = BTreeMap::new();
        let mut wrong = Vec::new();
        for case in self.cases.iter().filter(|case| mine(case)) {
            let outcome = catch_unwind(AssertUnwindSafe(|| run(case)))
                .unwrap_or_else(|_| Err(anyhow::anyhow!("panicked (see above)")));
            let entry =
                exempt.iter().find(|entry| entry.function == case.function && (entry.when)(case));
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
        let mut report = format!("golden {}: {total} cases passed\n", self.name);
        let lines = passed.iter().map(|(function, count)| format!("  {count:4} {function}\n"));
        let exempt = exempted.iter().map(|(why, count)| format!("  {count:4} exempt: {why}\n"));
        report.extend(lines.chain(exempt));
        #[expect(clippy::print_stderr, reason = "the count is part of the test's result")]
        {
            eprint!("{report}");
        }
        assert!(wrong.is_empty(), "{} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
        assert!(
            total + exempted.len() > 0,
            "no case of group {} is this crate's: the manifest or the filter is wrong",
            self.name,
        );
    }
}
