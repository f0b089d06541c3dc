//! Repositories: files, commits that never change, branches and tags.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

/// What all repositories hold.
#[derive(Debug, Default)]
pub(crate) struct Store {
    /// `models/owner/name` → repository.
    pub(crate) repositories: BTreeMap<String, Repository>,
    /// SHA-256 → what was uploaded.
    pub(crate) objects: BTreeMap<String, Object>,
    /// Token → user.
    pub(crate) users: BTreeMap<String, String>,
}

/// A large file.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) bytes: Arc<Vec<u8>>,
    /// What xet calls it, where it came that way.
    pub(crate) xet: Option<String>,
}

/// A repository.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    pub(crate) private: bool,
    /// In the order that they were made.
    pub(crate) commits: Vec<Commit>,
    /// Branch → commit.
    pub(crate) branches: BTreeMap<String, String>,
    /// Tag → commit.
    pub(crate) tags: BTreeMap<String, String>,
}

/// A commit.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) files: BTreeMap<String, Entry>,
}

/// A file of a commit.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// In the repository itself.
    Inline(Arc<Vec<u8>>),
    /// Among the objects, by its SHA-256.
    Large { oid: String, size: u64 },
}

impl Entry {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Large { size, .. } => *size,
        }
    }

    /// What git calls the file, or the pointer that stands for it.
    pub(crate) fn git_oid(&self) -> String {
        match self {
            Self::Inline(bytes) => git_oid(bytes),
            Self::Large { oid, size } => git_oid(pointer(oid, *size).as_bytes()),
        }
    }
}

fn pointer(oid: &str, size: u64) -> String {
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n")
}

fn git_oid(bytes: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hexadecimal(&hash.finalize())
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

impl Repository {
    /// One with the commit that the hub itself makes.
    pub(crate) fn new(private: bool) -> Self {
        let mut repository = Self { private, ..Self::default() };
        let attributes = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n";
        let entry = Entry::Inline(Arc::new(attributes.into()));
        let files = BTreeMap::from([(".gitattributes".to_owned(), entry)]);
        repository.commit("main", "initial commit", files);
        repository
    }

    /// Adds a commit, and moves the branch there.
    pub(crate) fn commit(
        &mut self,
        branch: &str,
        title: &str,
        files: BTreeMap<String, Entry>,
    ) -> String {
        let parent = self.branches.get(branch).cloned().unwrap_or_default();
        let mut said = format!("{parent}\n{title}\n{}\n", self.commits.len());
        for (name, entry) in &files {
            _ = writeln!(said, "{name} {}", entry.git_oid());
        }
        let mut hash = Sha1::new();
        hash.update(said);
        let id = hexadecimal(&hash.finalize());
        self.commits.push(Commit { id: id.clone(), title: title.to_owned(), files });
        self.branches.insert(branch.to_owned(), id.clone());
        id
    }

    /// The commit that a branch, a tag, or its own name stands for.
    pub(crate) fn find(&self, revision: &str) -> Option<&Commit> {
        let named = self.branches.get(revision).or_else(|| self.tags.get(revision));
        let id = named.map_or(revision, String::as_str);
        self.commits.iter().find(|commit| commit.id == id)
    }
}

impl Store {
    /// A file's bytes.
    pub(crate) fn bytes(&self, entry: &Entry) -> Option<Arc<Vec<u8>>> {
        match entry {
            Entry::Inline(bytes) => Some(Arc::clone(bytes)),
            Entry::Large { oid, .. } => Some(Arc::clone(&self.objects.get(oid)?.bytes)),
        }
    }

    /// What xet calls a file, where it came that way.
    pub(crate) fn xet(&self, entry: &Entry) -> Option<&str> {
        match entry {
            Entry::Inline(_) => None,
            Entry::Large { oid, .. } => self.objects.get(oid)?.xet.as_deref(),
        }
    }

    /// What the hub says of a file of a tree.
    pub(crate) fn described(&self, path: &str, entry: &Entry) -> Value {
        let mut value = json!({
            "type": "file", "oid": entry.git_oid(), "size": entry.size(), "path": path,
        });
        if let Entry::Large { oid, size } = entry {
            let pointer = pointer(oid, *size).len();
            value["lfs"] = json!({ "oid": oid, "size": size, "pointerSize": pointer });
        }
        if let Some(xet) = self.xet(entry) {
            value["xetHash"] = json!(xet);
        }
        value
    }

    /// What the hub says of a repository at a commit; `id` is its name with that of its kind before it.
    pub(crate) fn information(&self, id: &str, repository: &Repository, commit: &Commit) -> Value {
        let (_, name) = id.split_once('/').unwrap_or_default();
        let card = commit.files.get("README.md").and_then(|entry| self.bytes(entry));
        let card = card.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let card = card.unwrap_or_default();
        let siblings: Vec<Value> =
            commit.files.keys().map(|name| json!({ "rfilename": name })).collect();
        json!({
            "_id": sha256(name.as_bytes())[..24],
            "id": name,
            "modelId": name,
            "author": name.split('/').next(),
            "sha": commit.id,
            "private": repository.private,
            "gated": false,
            "disabled": false,
            "downloads": 0,
            "likes": 0,
            "createdAt": "2026-01-01T00:00:00.000Z",
            "lastModified": "2026-01-01T00:00:00.000Z",
            "tags": tags(&card),
            "library_name": front(&card, "library_name"),
            "pipeline_tag": front(&card, "pipeline_tag"),
            "siblings": siblings,
        })
    }
}

/// A value of a card's front matter.
fn front(card: &str, key: &str) -> Option<String> {
    let (yaml, _) = card.strip_prefix("---\n")?.split_once("\n---")?;
    let value = yaml.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(value.trim().trim_matches('"').to_owned())
}

/// The tags that the hub makes of a card.
pub(crate) fn tags(card: &str) -> Vec<String> {
    let mut tags: Vec<String> = front(card, "library_name").into_iter().collect();
    tags.extend(front(card, "license").map(|license| format!("license:{license}")));
    tags.extend(front(card, "pipeline_tag"));
    let listed = card.lines().skip_while(|line| *line != "tags:").skip(1);
    let listed = listed.map_while(|line| line.strip_prefix("- "));
    tags.extend(listed.map(|tag| tag.trim_matches('"').to_owned()));
    tags
}
