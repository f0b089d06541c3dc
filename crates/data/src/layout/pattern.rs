use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What a pattern's `{names}` stood for in one path: a few, so that a list is smaller and faster than a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Captures(Vec<(String, String)>);

impl Captures {
    pub(crate) fn get(&self, name: &str) -> Option<&String> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    pub(crate) fn insert(&mut self, name: String, value: String) {
        match self.0.iter_mut().find(|(own, _)| *own == name) {
            Some((_, own)) => *own = value,
            None => self.0.push((name, value)),
        }
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(own, _)| own == name)?;
        Some(self.0.remove(at).1)
    }
}

impl std::ops::Index<&str> for Captures {
    type Output = String;

    fn index(&self, name: &str) -> &String {
        self.get(name).expect("a name of the pattern")
    }
}

/// The names of files, as a path below the data folder in which parts vary.
///
/// | | stands for |
/// |---|---|
/// | `{name}` | one or more characters of a file or folder name, as many as possible; wherever the same name comes again, the same characters |
/// | `*` | any number of characters of a file or folder name |
/// | `?` | one character |
///
/// A `/` at the end says that a folder is meant, such as one with the slices of a DICOM series.
///
/// Between a `{name}` and another, or a `*`, there must be something that shows where it ends.
/// Folders are divided by `/` on every system. A file whose name starts with a dot is found only
/// by a pattern that starts with one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    parts: Vec<Vec<Token>>,
    /// Whether it stands for folders, not for files.
    folders: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Text(String),
    Name(String),
    Any,
    One,
}

impl Token {
    /// Whether it stands for any number of characters.
    fn is_long(&self) -> bool {
        matches!(self, Self::Name(_) | Self::Any)
    }
}

/// A path that a pattern found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) captures: Captures,
    pub(crate) path: PathBuf,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where it leaves the data folder or a brace has no partner.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let wrong = |why: &str| {
            Error::settings(
                format!("`{text}` is no pattern: {why}"),
                "write it like `images/{id}.png`",
            )
        };
        let folders = text.ends_with('/');
        let parts = text
            .strip_suffix('/')
            .unwrap_or(&text)
            .split('/')
            .map(|part| match part {
                "" | "." | ".." => Err(wrong("it must be a path below the data folder")),
                part => tokens(part).ok_or_else(|| wrong("its braces do not make up {names}")),
            })
            .map(|part| match part {
                Ok(part) if part.windows(2).any(|pair| pair.iter().all(Token::is_long)) => {
                    Err(wrong("it leaves open where a {name} ends"))
                }
                part => part,
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { text, parts, folders })
    }

    /// The `{names}` in it, in the order in which they come first.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for token in self.parts.iter().flatten() {
            if let Token::Name(name) = token
                && !names.contains(&name.as_str())
            {
                names.push(name);
            }
        }
        names
    }

    /// All paths below `root` that match, in the order of their names; a folder that is not there
    /// holds none.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], where a folder cannot be listed.
    pub(crate) fn find(&self, root: &Path) -> Result<Vec<Found>> {
        self.find_with(root, &Captures::default())
    }

    /// As [`Pattern::find`], where some names are known already.
    pub(crate) fn find_with(&self, root: &Path, known: &Captures) -> Result<Vec<Found>> {
        let mut found = vec![Found { captures: known.clone(), path: root.to_owned() }];
        for (depth, part) in self.parts.iter().enumerate() {
            let last = depth + 1 == self.parts.len();
            let mut next = Vec::new();
            for Found { captures, path } in found {
                if let Some(name) = spelled(part, &captures) {
                    next.push(Found { captures, path: path.join(name) });
                    continue;
                }
                let dot = matches!(&part[0], Token::Text(text) if text.starts_with('.'));
                for name in entries(&path, last && !self.folders)? {
                    let hidden = name.starts_with('.') && !dot;
                    if hidden {
                        continue;
                    }
                    let mut captures = captures.clone();
                    if matches(part, &name, &mut captures) {
                        next.push(Found { captures, path: path.join(name) });
                    }
                }
            }
            found = next;
        }
        found.retain(|found| if self.folders { found.path.is_dir() } else { found.path.is_file() });
        Ok(found)
    }

    /// What the names stand for in a text, where that matches as a whole.
    pub(crate) fn captures(&self, text: &str) -> Option<Captures> {
        let mut captures = Captures::default();
        let names: Vec<&str> = text.split('/').collect();
        let matched = names.len() == self.parts.len()
            && self.parts.iter().zip(names).all(|(part, name)| matches(part, name, &mut captures));
        matched.then_some(captures)
    }

    /// Whether a file that it finds may have this name, whatever the folders above it.
    pub(crate) fn is_name(&self, name: &str) -> bool {
        self.parts.last().is_some_and(|part| matches(part, name, &mut Captures::default()))
    }

    /// The text with names filled in; `None` where one is not known, or a wildcard is left.
    pub(crate) fn fill(&self, captures: &Captures) -> Option<String> {
        let parts: Option<Vec<String>> =
            self.parts.iter().map(|part| spelled(part, captures)).collect();
        Some(parts?.join("/"))
    }

    /// The text with the names filled in that are known.
    pub(crate) fn describe(&self, captures: &Captures) -> String {
        captures.0.iter().fold(self.text.clone(), |text, (name, value)| {
            text.replace(&format!("{{{name}}}"), value)
        })
    }
}

impl TryFrom<String> for Pattern {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn tokens(part: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = part;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '*' => {
                tokens.push(Token::Any);
                1
            }
            '?' => {
                tokens.push(Token::One);
                1
            }
            '{' => {
                let end = rest.find('}')?;
                let name = &rest[1..end];
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
                if name.is_empty() || !name.chars().all(plain) {
                    return None;
                }
                tokens.push(Token::Name(name.to_owned()));
                end + 1
            }
            '}' => return None,
            _ => {
                let end = rest.find(['*', '?', '{', '}']).unwrap_or(rest.len());
                tokens.push(Token::Text(rest[..end].to_owned()));
                end
            }
        };
        rest = &rest[length..];
    }
    Some(tokens)
}

/// The one name that a part stands for, where nothing about it is open.
fn spelled(part: &[Token], captures: &Captures) -> Option<String> {
    part.iter()
        .map(|token| match token {
            Token::Text(text) => Some(text.as_str()),
            Token::Name(name) => captures.get(name).map(String::as_str),
            Token::Any | Token::One => None,
        })
        .collect()
}

/// Whether a whole name matches; where it does, `captures` holds what the names stand for.
fn matches(part: &[Token], name: &str, captures: &mut Captures) -> bool {
    let Some((token, rest)) = part.split_first() else {
        return name.is_empty();
    };
    match token {
        Token::Text(text) => {
            name.strip_prefix(text.as_str()).is_some_and(|name| matches(rest, name, captures))
        }
        Token::One => {
            let mut characters = name.chars();
            characters.next().is_some() && matches(rest, characters.as_str(), captures)
        }
        Token::Any => ends(name, true).any(|end| matches(rest, &name[end..], captures)),
        Token::Name(key) => {
            if let Some(known) = captures.get(key).cloned() {
                return name
                    .strip_prefix(known.as_str())
                    .is_some_and(|name| matches(rest, name, captures));
            }
            for end in ends(name, false) {
                captures.insert(key.clone(), name[..end].to_owned());
                if matches(rest, &name[end..], captures) {
                    return true;
                }
                captures.remove(key);
            }
            false
        }
    }
}

/// Where a part of `name` may end, furthest first.
fn ends(name: &str, empty: bool) -> impl Iterator<Item = usize> + '_ {
    let ends = name.char_indices().map(|(at, c)| at + c.len_utf8()).rev();
    ends.chain(empty.then_some(0))
}

/// The names in a folder, sorted: files where `files`, else folders. Names that are no Unicode
/// match no pattern.
fn entries(folder: &Path, files: bool) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(Error::reading(folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::reading(folder))?;
        // A link counts as what it leads to.
        let kind = entry.file_type().map_err(Error::reading(folder))?;
        let wanted = kind.is_symlink() || kind.is_file() == files;
        if let (true, Ok(name)) = (wanted, entry.file_name().into_string()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captures(pattern: &str, name: &str) -> Option<Vec<String>> {
        let mut captures = Captures::default();
        let part = &Pattern::new(pattern).unwrap().parts[0];
        matches(part, name, &mut captures)
            .then(|| captures.0.into_iter().map(|(_, value)| value).collect())
    }

    #[test]
    fn names_take_as_much_as_they_can_and_the_same_wherever_they_come_again() {
        assert_eq!(captures("{b}_{c}.png", "a_b_0.png"), Some(vec!["a_b".into(), "0".into()]));
        assert_eq!(captures("{b}-{b}.png", "x-x.png"), Some(vec!["x".into()]));
        assert_eq!(captures("{b}-{b}.png", "x-y.png"), None);
        assert_eq!(captures("{b}.png", ".png"), None);
        assert_eq!(captures("?eg_*.png", "Seg_1.png"), Some(vec![]));
        assert_eq!(captures("?eg_*.png", "eg_1.png"), None);
        assert_eq!(captures("{b}é*", "äé"), Some(vec!["ä".into()]));
    }

    #[test]
    fn paths_outside_the_folder_and_open_braces_are_refused() {
        for text in
            ["", "/a/{id}", "../{id}", "a//b", "{id", "id}", "{}", "{a b}", "*{id}", "{a}{b}"]
        {
            assert!(Pattern::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn files_are_found_in_the_order_of_their_names() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        for name in ["b/x/2.png", "b/x/1.png", "a/x/1.png", "a/y/1.png", "a/x/1.txt", "a/x/.3.png"]
        {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap())?;
            fs::write(path, "")?;
        }

        let found = Pattern::new("{who}/x/{id}.png")?.find(folder.path())?;

        let names: Vec<String> =
            found.iter().map(|it| format!("{}{}", it.captures["who"], it.captures["id"])).collect();
        assert_eq!(names, ["a1", "b1", "b2"]);
        assert_eq!(Pattern::new("c/{id}.png")?.find(folder.path())?, []);
        Ok(())
    }
}
