//! Makes the compact copy in `data/` of a full golden folder.
//!
//! ```console
//! cargo run --release -p sconce-golden --example compact -- FULL crates/golden/data
//! ```
//!
//! Of each function it takes the two cases with the smallest tensors, then whatever else is small,
//! until the group's share of the two megabytes is spent; files that these cases speak of come
//! along.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, ensure};
use safetensors::SafeTensors;
use serde_json::Value;

/// Each group, what it may take in bytes, and the folder that its files are relative to.
const GROUPS: &[(&str, usize, &str)] = &[
    ("augment", 110_000, ""),
    ("io", 190_000, ""),
    ("losses", 400_000, ""),
    ("metrics", 180_000, ""),
    ("nets", 500_000, ""),
    ("nnunet", 150_000, "nnunet"),
    ("ops", 210_000, ""),
    ("raters", 110_000, ""),
];

/// Functions that come first, whatever the size of their cases.
const FIRST: &[&str] = &["PlainConvUNet", "ResidualEncoderUNet"];

fn main() -> anyhow::Result<()> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let full = arguments.next().context("the full folder is missing")?;
    let compact = arguments.next().context("the folder to write is missing")?;
    fs::create_dir_all(&compact)?;
    for &(group, budget, below) in GROUPS {
        shrink(&full, &compact, group, budget, below).context(group)?;
    }
    Ok(())
}

fn shrink(
    full: &Path,
    compact: &Path,
    group: &str,
    budget: usize,
    below: &str,
) -> anyhow::Result<()> {
    let mut manifest: Value =
        serde_json::from_slice(&fs::read(full.join(format!("{group}.json")))?)?;
    let bytes = fs::read(full.join(format!("{group}.safetensors")))?;
    let file = SafeTensors::deserialize(&bytes)?;
    let mut by_function: BTreeMap<String, Vec<Need>> = BTreeMap::new();
    for case in manifest["cases"].as_array().context("no cases")? {
        let need = Need::of(case, &file, &full.join(below))?;
        by_function
            .entry(case["function"].as_str().unwrap_or_default().to_owned())
            .or_default()
            .push(need);
    }
    let mut ranked: Vec<(bool, usize, usize, Need)> = Vec::new();
    for (function, mut needs) in by_function {
        needs.sort_by_key(|need| need.bytes);
        let later = !FIRST.contains(&function.as_str());
        let each = needs.into_iter().enumerate();
        ranked.extend(each.map(|(rank, need)| (later, rank.min(2), need.bytes, need)));
    }
    ranked.sort_by_key(|&(later, rank, bytes, _)| (rank, later, bytes));

    let mut chosen = Chosen::default();
    for (_, _, _, need) in &ranked {
        chosen.take_if_it_fits(need, budget);
    }
    let names: BTreeSet<&String> = chosen.tensors.keys().collect();
    let mut tensors = Vec::new();
    for name in names {
        tensors.push((name.clone(), file.tensor(name)?));
    }
    let count = chosen.ids.len();
    if let Some(cases) = manifest["cases"].as_array_mut() {
        cases.retain(|case| case["id"].as_str().is_some_and(|id| chosen.ids.contains(id)));
        ensure!(cases.len() == count, "two cases share an id");
    }
    if let Some(object) = manifest.as_object_mut() {
        object.remove("n_cases");
    }
    fs::write(compact.join(format!("{group}.json")), serde_json::to_string(&manifest)?)?;
    fs::write(
        compact.join(format!("{group}.safetensors")),
        safetensors::serialize(tensors, None)?,
    )?;
    for name in chosen.files.keys() {
        let (from, to) = (full.join(below).join(name), compact.join(below).join(name));
        fs::create_dir_all(to.parent().context("a file has a folder")?)?;
        fs::copy(&from, &to).with_context(|| from.display().to_string())?;
    }
    Ok(())
}

/// What a case needs, with the size of each part.
struct Need {
    id: String,
    json: usize,
    tensors: BTreeMap<String, usize>,
    files: BTreeMap<String, usize>,
    bytes: usize,
}

impl Need {
    fn of(case: &Value, file: &SafeTensors<'_>, root: &Path) -> anyhow::Result<Self> {
        let mut words = Vec::new();
        for part in ["inputs", "outputs", "params"] {
            collect(&case[part], &mut words);
        }
        let (mut tensors, mut files) = (BTreeMap::new(), BTreeMap::new());
        for word in words {
            for name in file.names() {
                let prefix = word.strip_suffix('*');
                if *name == word || prefix.is_some_and(|prefix| name.starts_with(prefix)) {
                    tensors.insert((*name).to_owned(), file.tensor(name)?.data().len());
                }
            }
            for name in paths(root, &word)? {
                let size = usize::try_from(fs::metadata(root.join(&name))?.len())?;
                files.insert(name, size);
            }
        }
        let id = case["id"].as_str().context("a case without id")?.to_owned();
        let json = case.to_string().len();
        let sum = |sizes: &BTreeMap<String, usize>| sizes.values().sum::<usize>();
        Ok(Self { id, json, bytes: json + sum(&tensors) + sum(&files), tensors, files })
    }
}

/// Every text in a value.
fn collect(value: &Value, words: &mut Vec<String>) {
    match value {
        Value::String(text) => words.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, words)),
        Value::Object(object) => object.values().for_each(|item| collect(item, words)),
        _ => {}
    }
}

/// The files that a word names: itself, all below it where it is a folder, and its other half
/// where it is one of a pair.
fn paths(root: &Path, word: &str) -> anyhow::Result<Vec<String>> {
    let path = root.join(word);
    let looks_like_one = word.contains('/') && !word.starts_with('/') && !word.contains("..");
    if !looks_like_one || !path.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let mut open = vec![path];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                open.push(entry?.path());
            }
            continue;
        }
        for other in ["hdr", "img"] {
            let half = path.with_extension(other);
            if path.extension().is_some_and(|it| it == "hdr" || it == "img") && half.exists() {
                found.push(half.strip_prefix(root)?.display().to_string());
            }
        }
        found.push(path.strip_prefix(root)?.display().to_string());
    }
    Ok(found)
}

#[derive(Default)]
struct Chosen {
    ids: BTreeSet<String>,
    tensors: BTreeMap<String, usize>,
    files: BTreeMap<String, usize>,
    bytes: usize,
}

impl Chosen {
    fn take_if_it_fits(&mut self, need: &Need, budget: usize) {
        let new = |wanted: &BTreeMap<String, usize>, held: &BTreeMap<String, usize>| {
            wanted
                .iter()
                .filter(|(name, _)| !held.contains_key(*name))
                .map(|it| it.1)
                .sum::<usize>()
        };
        let more = need.json + new(&need.tensors, &self.tensors) + new(&need.files, &self.files);
        if self.bytes + more > budget {
            return;
        }
        self.bytes += more;
        self.ids.insert(need.id.clone());
        self.tensors.extend(need.tensors.clone());
        self.files.extend(need.files.clone());
    }
}
