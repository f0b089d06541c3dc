use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::group::Origin;
use crate::{Case, Group, named};

impl Group {
    /// Reads references that come as one folder each, below the folder `name`: `meta.json` says
    /// what is known of them, and each `*.safetensors` holds what came out.
    ///
    /// Each such file is a [`Case`]: its `function` is the name of the file without ending and
    /// number, its `params` what `meta.json` says, its `outputs` all tensors of the file; other
    /// files of the folder are found with [`Case::file`]. The compact copy holds none.
    ///
    /// # Panics
    ///
    /// Where a folder cannot be read.
    pub fn load_folders(name: &str) -> Self {
        let root = named::folder().map(|folder| folder.join(name));
        Self::folders_below(root, name)
    }

    fn folders_below(root: Option<PathBuf>, name: &str) -> Self {
        let absent = match &root {
            None => Some(format!("the compact copy holds no {name}")),
            Some(root) if !root.is_dir() => {
                let parent = root.parent().unwrap_or(root).display();
                Some(format!("{parent} holds no {name}"))
            }
            Some(_) => None,
        };
        let (origin, cases) = match (absent, root) {
            (None, Some(root)) => match cases(&root) {
                Ok(cases) => (Origin::Named(root), cases),
                Err(error) => panic!("golden folders in {}: {error:#}", root.display()),
            },
            (why, _) => (Origin::Absent(why.unwrap_or_default()), Vec::new()),
        };
        Self { name: name.to_owned(), origin, cases }
    }
}

fn cases(root: &Path) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    for folder in sorted(root)?.into_iter().filter(|path| path.is_dir()) {
        let text = fs::read_to_string(folder.join("meta.json"));
        let meta: Value = serde_json::from_str(&text.with_context(|| display(&folder))?)
            .with_context(|| display(&folder))?;
        for file in sorted(&folder)? {
            if file.extension().is_some_and(|ending| ending == "safetensors") {
                cases.push(case(&folder, &file, &meta).with_context(|| display(&file))?);
            }
        }
    }
    Ok(cases)
}

fn case(folder: &Path, file: &Path, meta: &Value) -> anyhow::Result<Case> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let bytes = fs::read(file)?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let outputs: BTreeMap<&str, &str> =
        tensors.names().into_iter().map(|name| (name, name)).collect();
    let case = json!({
        "id": format!("{name}/{stem}"),
        "function": stem.trim_end_matches(|letter: char| letter.is_ascii_digit()),
        "params": meta,
        "outputs": outputs,
    });
    let case: Case = serde_json::from_value(case)?;
    Ok(Case { folder: folder.to_owned(), bytes: Arc::new(bytes), ..case })
}

fn sorted(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| display(folder))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::{Dtype, TensorView};

    use super::*;

    #[test]
    fn each_file_of_tensors_is_a_case() -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        let folder = root.path().join("some_model");
        fs::create_dir(&folder)?;
        fs::write(folder.join("meta.json"), r#"{ "heads": 3 }"#)?;
        let data = 2.5f64.to_le_bytes();
        let view = TensorView::new(Dtype::F64, vec![1], &data)?;
        let bytes = safetensors::serialize([("logits", view)], None)?;
        fs::write(folder.join("net_io_fold12.safetensors"), bytes)?;

        let group = Group::folders_below(Some(root.path().to_owned()), "models");

        let [case] = group.cases() else { panic!("one file, one case") };
        assert_eq!((&*case.id, &*case.function), ("some_model/net_io_fold12", "net_io_fold"));
        assert_eq!(case.param("heads")?.to_bits(), 3f64.to_bits());
        assert_eq!(case.output("logits")?.values, [2.5]);
        assert_eq!(case.file("model", "plans.json"), folder.join("model/plans.json"));
        Ok(())
    }

    #[test]
    fn where_there_are_none_the_test_says_so() {
        for root in [None, Some(PathBuf::from("nowhere/models"))] {
            let group = Group::folders_below(root, "models");

            assert!(group.cases().is_empty());
            group.check(|_| true, &[], |_| anyhow::bail!("nothing to run"));
        }
    }
}
