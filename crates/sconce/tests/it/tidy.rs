use std::fs;
use std::path::{Path, PathBuf};

/// Where a file has good reason to be longer, it says so here.
const LONG: &[(&str, usize, &str)] = &[];

/// None may pass this: longer ones ask to be split.
const MOST_LINES: usize = 400;

#[test]
fn files_stay_short_enough_to_read() {
    let mut long = Vec::new();
    for path in sources() {
        let lines = fs::read_to_string(&path).expect("sources are text").lines().count();
        let name = path.strip_prefix(root()).expect("below the root").display().to_string();
        let most = LONG.iter().find(|entry| entry.0 == name).map_or(MOST_LINES, |entry| entry.1);
        if lines > most {
            long.push(format!("{name}: {lines} lines"));
        }
    }
    assert!(long.is_empty(), "split these files:\n{}", long.join("\n"));
}

#[test]
fn every_library_has_one_integration_target() {
    for folder in fs::read_dir(root().join("crates")).expect("crates") {
        let tests = folder.expect("an entry").path().join("tests");
        let Ok(entries) = fs::read_dir(&tests) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            assert!(
                path.extension() != Some("rs".as_ref()) && !path.join("main.rs").exists()
                    || path.ends_with("it"),
                "{}: each further target links candle again",
                path.display()
            );
        }
    }
}

#[test]
fn nothing_is_ignored_and_nothing_is_left_to_do() {
    // Written in two halves, so that this file does not find itself.
    let forbidden =
        [["#[ig", "nore]"], ["todo", "!("], ["unimpl", "emented!("]].map(|it| it.concat());
    for path in sources() {
        let text = fs::read_to_string(&path).expect("sources are text");
        for word in &forbidden {
            assert!(!text.contains(word.as_str()), "{} contains {word}", path.display());
        }
    }
}

/// Something that only some of the code may do: see `crates/README.md`.
struct Privilege {
    /// What gives it away, in any line of code.
    words: &'static [&'static str],
    /// The folder that has it.
    owner: &'static str,
    /// Files elsewhere with good reason, and the reason.
    exceptions: &'static [(&'static str, &'static str)],
}

const PRIVILEGES: &[Privilege] = &[
    Privilege {
        words: &["env::var"],
        owner: "bin/",
        exceptions: &[("crates/golden/src/named.rs", "what tests are told of the machine")],
    },
    Privilege {
        words: &["nifti::", "tiff::", "png::", "image::codecs", "image::open", "image::load"],
        owner: "crates/data/",
        exceptions: &[("crates/engine/src/report/picture.rs", "draws pictures into a page")],
    },
    Privilege { words: &["mpi::"], owner: "crates/ranks/", exceptions: &[] },
    Privilege { words: &["prost::"], owner: "crates/onnx/", exceptions: &[] },
    Privilege { words: &["hf_hub::"], owner: "zoo/", exceptions: &[] },
    Privilege {
        words: &["ureq::", "rustls::", "std::net::"],
        owner: "crates/engine/src/observe/mlflow/",
        exceptions: &[("crates/test-hub/src/server.rs", "a hub for tests, never published")],
    },
];

#[test]
fn nobody_does_what_only_others_may() {
    for Privilege { words, owner, exceptions } in PRIVILEGES {
        let mut found = Vec::new();
        for path in sources() {
            let name = path.strip_prefix(root()).expect("below the root").display().to_string();
            // Tests look at the house from outside.
            if name.starts_with(owner) || name.contains("/tests/") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("sources are text");
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            if code.into_iter().any(|line| words.iter().any(|word| line.contains(word))) {
                found.push(name);
            }
        }
        found.sort();
        let known: Vec<&str> = exceptions.iter().map(|(name, _)| *name).collect();
        assert_eq!(found, known, "only {owner} may use {words:?}, and what is excepted here");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace")
}

/// Every Rust file of the workspace.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["crates", "bin", "zoo", "benchmarks"].iter().map(|name| root().join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the workspace") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 50, "the search for sources is broken");
    found
}
