//! Which files make up which case, for layouts that say so by patterns.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::pattern::{Captures, Found, Pattern};
use super::{Patterns, expect_data_folder};
use crate::problem::{Problem, ProblemKind, Severity};
use crate::{Description, Error, Result};

/// The files of all cases of a folder.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) ids: Vec<String>,
    pub(crate) cases: BTreeMap<String, Entry>,
    pub(crate) problems: Vec<Problem>,
}

/// The files of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) group: String,
    /// One file with all channels, or one for each.
    pub(crate) images: Vec<PathBuf>,
    /// Label files, with the rater who drew them where the pattern names raters.
    pub(crate) labels: Vec<(Option<String>, PathBuf)>,
}

impl Entry {
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.images.iter().chain(self.labels.iter().map(|(_, path)| path)).cloned().collect()
    }
}

impl Index {
    pub(crate) fn entry(&self, id: &str, description: &Description) -> Result<&Entry> {
        let unknown =
            || Error::UnknownCase { id: id.to_owned(), dataset: description.name.clone() };
        self.cases.get(id).ok_or_else(unknown)
    }

    /// Leaves out the cases without a label, and remarks how many they are.
    pub(crate) fn leave_out_unlabelled(&mut self) {
        let without = |entry: &Entry| entry.labels.is_empty();
        let first = self.cases.iter().find(|(_, entry)| without(entry)).map(|(id, _)| id.clone());
        let Some(first) = first else { return };
        let all = self.cases.len();
        self.cases.retain(|_, entry| !without(entry));
        self.ids = self.cases.keys().cloned().collect();
        let count = all - self.cases.len();
        let all = match count {
            1 => format!("case {first} has no label and is left out"),
            _ => format!("case {first} and {} others have no label and are left out", count - 1),
        };
        let message = format!("{all}; complete the folder if there should be one");
        self.problems.push(Problem::new(Severity::Warning, ProblemKind::LeftOut, message));
    }

    /// That some case is left, by labels of these names.
    pub(crate) fn expect_cases(&self, root: &Path, labels: &Patterns) -> Result<()> {
        if !self.ids.is_empty() {
            return Ok(());
        }
        let patterns: Vec<String> = labels.as_slice().iter().map(Pattern::to_string).collect();
        Err(Error::NoCases {
            path: root.to_owned(),
            pattern: patterns.join("` or `"),
            remedy: "check the folder and the setting `label`".to_owned(),
        })
    }

    pub(crate) fn group<'a>(&'a self, id: &'a str) -> &'a str {
        self.cases.get(id).map_or(id, |entry| &entry.group)
    }

    /// Who drew the labels of a case, in the order of these.
    pub(crate) fn raters(&self, id: &str) -> Vec<&str> {
        let labels = self.cases.get(id).map_or(&[][..], |entry| &entry.labels);
        let mut names: Vec<&str> =
            labels.iter().filter_map(|(rater, _)| rater.as_deref()).collect();
        names.dedup();
        names
    }

    pub(crate) fn files(&self, id: &str) -> Vec<PathBuf> {
        self.cases.get(id).map(Entry::files).unwrap_or_default()
    }
}

/// Where to look for the files of cases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search<'a> {
    pub(crate) images: &'a [Pattern],
    /// One for each of `images`, or none at all.
    pub(crate) labels: &'a [Pattern],
    /// How to name a case; absent, by all that varies in the image's name.
    pub(crate) id: Option<&'a Pattern>,
    /// How to name a case's group; absent, it is the case.
    pub(crate) group: Option<&'a Pattern>,
    /// The files that `{channel}` stands for.
    pub(crate) channels: &'a [String],
}

/// A name that patterns use with a meaning of its own.
const CHANNEL: &str = "channel";
const RATER: &str = "rater";

impl Search<'_> {
    /// Finds all cases below `root`, and label files that belong to none.
    pub(crate) fn run(&self, root: &Path) -> Result<Index> {
        expect_data_folder(root)?;
        if !self.labels.is_empty() && self.labels.len() != self.images.len() {
            return Err(Error::settings(
                format!("{} image and {} label patterns", self.images.len(), self.labels.len()),
                "give one `label` for each `image`",
            ));
        }
        let mut index = Index::default();
        for (number, images) in self.images.iter().enumerate() {
            self.add(root, images, self.labels.get(number), &mut index)?;
        }
        if index.cases.is_empty() {
            let patterns: Vec<String> = self.images.iter().map(Pattern::to_string).collect();
            return Err(Error::NoCases {
                path: root.to_owned(),
                pattern: patterns.join("` or `"),
                remedy: "check the folder and the setting `image`".to_owned(),
            });
        }
        index.ids = index.cases.keys().cloned().collect();
        Ok(index)
    }

    fn add(
        &self,
        root: &Path,
        images: &Pattern,
        labels: Option<&Pattern>,
        index: &mut Index,
    ) -> Result<()> {
        let mut names = images.names();
        let in_files = names.contains(&CHANNEL);
        names.retain(|&name| name != CHANNEL);
        for template in [self.id, self.group].into_iter().flatten() {
            if let Some(name) = template.names().iter().find(|name| !names.contains(*name)) {
                return Err(Error::settings(
                    format!("`{template}` names {{{name}}}, which `{images}` does not have"),
                    "use names of the image's pattern",
                ));
            }
        }
        let mut labels = Labels::find(root, labels, &names)?;

        let mut found: BTreeMap<Vec<String>, Vec<Found>> = BTreeMap::new();
        for image in images.find(root)? {
            let key = names.iter().map(|&name| image.captures[name].clone()).collect();
            found.entry(key).or_default().push(image);
        }
        for (key, files) in found {
            let mut captures = files[0].captures.clone();
            captures.remove(CHANNEL);
            let fill = |template: Option<&Pattern>| template.and_then(|it| it.fill(&captures));
            let id = fill(self.id).unwrap_or_else(|| key.join("_"));
            let images = if in_files {
                self.by_channel(&id, root, images, &captures)?
            } else if let [first, second, ..] = files.as_slice() {
                return Err(Error::duplicate(id, &first.path, &second.path));
            } else {
                files.into_iter().map(|file| file.path).collect()
            };
            let entry = Entry {
                group: fill(self.group).unwrap_or_else(|| id.clone()),
                images,
                labels: labels.of(&captures),
            };
            if let Some(other) = index.cases.insert(id.clone(), entry) {
                let second = &index.cases[&id].images[0];
                return Err(Error::duplicate(id.as_str(), &other.images[0], second));
            }
        }
        labels.strays(&mut index.problems);
        Ok(())
    }

    /// The image files of a case in the order of the channels, be they there or not.
    fn by_channel(
        &self,
        id: &str,
        root: &Path,
        images: &Pattern,
        captures: &Captures,
    ) -> Result<Vec<PathBuf>> {
        if self.channels.is_empty() {
            return Err(Error::settings(
                format!("`{images}` names {{{CHANNEL}}}, but there are no `channels`"),
                "list what {channel} stands for",
            ));
        }
        let file = |channel: &String| {
            let mut captures = captures.clone();
            captures.insert(CHANNEL.to_owned(), channel.clone());
            match images.find_with(root, &captures)?.as_slice() {
                [one] => Ok(one.path.clone()),
                [] => Ok(root.join(images.describe(&captures))),
                [first, second, ..] => {
                    let id = format!("{id}, channel {channel}");
                    Err(Error::duplicate(id, &first.path, &second.path))
                }
            }
        };
        self.channels.iter().map(file).collect()
    }
}

/// Label files by what they have in common with an image's name.
struct Labels {
    shared: Vec<String>,
    files: BTreeMap<Vec<String>, Vec<(Option<String>, PathBuf)>>,
    used: BTreeSet<Vec<String>>,
}

impl Labels {
    fn find(root: &Path, pattern: Option<&Pattern>, names: &[&str]) -> Result<Self> {
        let mut labels = Self { shared: Vec::new(), files: BTreeMap::new(), used: BTreeSet::new() };
        let Some(pattern) = pattern else {
            return Ok(labels);
        };
        let own = pattern.names();
        let shared = own.iter().filter(|name| names.contains(name));
        labels.shared = shared.map(|&name| name.to_owned()).collect();
        if labels.shared.is_empty() {
            return Err(Error::settings(
                format!("`{pattern}` has no name in common with the image's pattern"),
                "use the same {names} in both",
            ));
        }
        for Found { captures, path } in pattern.find(root)? {
            let rater = captures.get(RATER).cloned();
            labels.files.entry(labels.key(&captures)).or_default().push((rater, path));
        }
        // By rater, then by name: the order of the masks.
        for files in labels.files.values_mut() {
            files.sort();
        }
        Ok(labels)
    }

    fn key(&self, captures: &Captures) -> Vec<String> {
        self.shared.iter().map(|name| captures.get(name).cloned().unwrap_or_default()).collect()
    }

    fn of(&mut self, captures: &Captures) -> Vec<(Option<String>, PathBuf)> {
        let key = self.key(captures);
        let files = self.files.get(&key).cloned().unwrap_or_default();
        self.used.insert(key);
        files
    }

    fn strays(self, problems: &mut Vec<Problem>) {
        for (key, files) in self.files {
            if self.used.contains(&key) {
                continue;
            }
            for (_, path) in files {
                problems.push(no_image(&path));
            }
        }
    }
}

/// A label that no case has a use for.
pub(crate) fn no_image(path: &Path) -> Problem {
    let message = format!(
        "cannot use {}: it is a label without an image; add the image, or remove the label",
        path.display()
    );
    Problem::new(Severity::Warning, ProblemKind::NoImage, message).of_file(path)
}
