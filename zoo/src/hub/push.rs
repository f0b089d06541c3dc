use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use candle::Device;
use hf_hub::HFError;
use hf_hub::repository::{CommitOperation, RepoTypeModel};
use serde::Serialize;

use super::HubOptions;
use super::cache::git_oid;
use super::client::{Listed, Repository, builder, client, is_commit, list};
use super::reason::Task;
use crate::manifest::{self, Hashes};
use crate::{Error, HubReference, Result, show, sign, verify};

/// How to publish a model.
#[derive(Clone, Copy, Debug, Default)]
pub struct PushOptions<'a> {
    /// How to reach the hub.
    pub hub: HubOptions<'a>,
    /// Whether the repository is private, where it has to be made.
    pub private: bool,
    /// What the commit is called; `None` for a text that says what it is.
    pub message: Option<&'a str>,
    /// What the commit is to be tagged with.
    pub tag: Option<&'a str>,
}

/// A model that was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// The model.
    pub reference: String,
    /// Whether its repository was made.
    pub created: bool,
    /// Its commit: the new one, or the one that was there where nothing is new.
    pub commit: String,
    /// Its page on the hub.
    pub url: String,
    /// The files that are new or different, sorted.
    pub files: Vec<String>,
    /// The files that are gone, sorted.
    pub removed: Vec<String>,
    /// The size of the files, bytes.
    pub bytes: u64,
}

/// The longest list of files that is compared with; another is written anew.
const LONGEST: u64 = 1 << 20;

/// Publishes a model folder at the hub: everything that its `SHA256SUMS` lists, and its signature where it has one, in one
/// commit to the branch that the reference names. The repository and the branch are made where they are not there. Files
/// that are the same there are not sent again, and those of the model's last version that are gone here are removed there.
///
/// # Errors
///
/// [`Error::Hub`], where the folder does not verify, holds a link, a file that was not packed or something that looks like a
/// token; where the reference is a commit; where the hub refuses, or the model was changed there meanwhile. Then nothing is
/// changed at the hub, but that the repository may be there, empty. [`Error::NotAModel`], where the folder is none.
pub fn push(folder: &Path, reference: &HubReference, options: &PushOptions<'_>) -> Result<Pushed> {
    let task = Task { what: "push to", reference, offline: options.hub.offline };
    if options.hub.offline {
        return Err(task.refused("HF_HUB_OFFLINE is set; go online"));
    }
    let branch = reference.revision().unwrap_or("main");
    if is_commit(branch) {
        return Err(task.refused("a commit cannot be changed; name a branch, or none for main"));
    }
    let files = check(folder, options, &task)?;
    let failed = |cause: HFError| task.failed(&cause);
    let client = client(&options.hub).map_err(failed)?;
    let id = format!("{}/{}", reference.owner(), reference.name());
    let repository = client.model(reference.owner(), reference.name());
    let created = match repository.info().send() {
        Ok(_) => false,
        Err(error) if is_absent(&error) => {
            let create = client.create_repository().repo_id(&id).repo_type(RepoTypeModel);
            create.private(options.private).send().map_err(failed)?;
            true
        }
        Err(error) => return Err(failed(error)),
    };
    let head = head(&repository, branch, &task)?;
    let there: BTreeMap<String, Listed> = list(&repository, &head, &task)?
        .into_iter()
        .map(|file| (file.name.clone(), file))
        .collect();
    let published = published(&repository, &head, &there, &task)?;
    let (mut changed, mut bytes) = (Vec::new(), 0);
    for (name, hash) in &files {
        let path = folder.join(name);
        let size = fs::metadata(&path).map_err(Error::io(&path))?.len();
        let same = match there.get(name) {
            Some(file) if file.size != size => false,
            Some(file) if file.large => published.get(name) == Some(hash),
            Some(file) => git_oid(&path, size)? == file.oid,
            None => false,
        };
        if !same {
            changed.push(name.clone());
            bytes += size;
        }
    }
    let last = published.keys().map(String::as_str).chain([sign::SIGNATURE]);
    let mut removed: Vec<String> = last
        .filter(|name| there.contains_key(*name) && !files.contains_key(*name))
        .map(str::to_owned)
        .collect();
    removed.sort();
    let commit = if changed.is_empty() && removed.is_empty() {
        head
    } else {
        let add = changed.iter().map(|name| CommitOperation::add_file(name, folder.join(name)));
        let operations = add.chain(removed.iter().map(CommitOperation::delete)).collect();
        let message = options.message.map_or_else(
            || format!("Upload a model of sconce {}", env!("CARGO_PKG_VERSION")),
            str::to_owned,
        );
        let commit = repository
            .create_commit()
            .operations(operations)
            .commit_message(message)
            .revision(branch)
            .parent_commit(head)
            .send()
            .map_err(failed)?;
        let commit = commit.commit_oid.filter(|commit| is_commit(commit));
        commit.ok_or_else(|| task.refused("the hub names no commit; look at its page"))?
    };
    if let Some(tag) = options.tag {
        repository.create_tag().tag(tag).revision(&commit).send().map_err(failed)?;
    }
    let endpoint = builder(&options.hub).build().map_err(failed)?.endpoint().to_owned();
    Ok(Pushed {
        reference: reference.to_string(),
        created,
        commit,
        url: format!("{endpoint}/{id}"),
        files: changed,
        removed,
        bytes,
    })
}

/// Whether there is no such repository, for all that this user can see.
fn is_absent(error: &HFError) -> bool {
    match error {
        HFError::RepoNotFound { .. } => true,
        HFError::AuthRequired { context } => context.error_code.as_deref() == Some("RepoNotFound"),
        _ => false,
    }
}

/// The commit that a branch ends with; the branch is made where it is not there.
fn head(repository: &Repository, branch: &str, task: &Task<'_>) -> Result<String> {
    let ask = || repository.info().revision(branch).send();
    let info = match ask() {
        Err(HFError::RevisionNotFound { .. }) => {
            repository.create_branch().branch(branch).send().and_then(|()| ask())
        }
        answer => answer,
    };
    let head = info.map_err(|cause| task.failed(&cause))?.sha.filter(|commit| is_commit(commit));
    head.ok_or_else(|| task.refused("the hub names no commit of it; tell the hub's owner"))
}

/// The hashes of the version that is there; none where there is none, or where its list is damaged.
fn published(
    repository: &Repository,
    head: &str,
    there: &BTreeMap<String, Listed>,
    task: &Task<'_>,
) -> Result<Hashes> {
    let Some(sums) = there.get(manifest::NAME).filter(|sums| sums.size <= LONGEST) else {
        return Ok(Hashes::new());
    };
    let ask = repository.download_file_to_bytes().filename(&sums.name).revision(head);
    let bytes = ask.send().map_err(|cause| task.failed(&cause))?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(manifest::parse(&text).unwrap_or_default())
}

/// The files to publish, with their hashes, of a folder that may be published.
fn check(folder: &Path, options: &PushOptions<'_>, task: &Task<'_>) -> Result<Hashes> {
    let mut files = manifest::read(folder)?;
    if let Some(link) = find_link(folder)? {
        return Err(task.refused(&format!(
            "{link} is a link, and what it leads to may not be meant for others; put the file there itself"
        )));
    }
    let found = verify(folder, &Device::Cpu)?;
    if !found.ok() {
        let findings = found.findings().join("; ");
        return Err(task.refused(&format!("{} does not verify: {findings}", folder.display())));
    }
    for name in [manifest::NAME, sign::SIGNATURE] {
        let path = folder.join(name);
        if path.is_file() {
            files.insert(name.to_owned(), manifest::hash(&path)?);
        }
    }
    for name in files.keys() {
        let path = folder.join(name);
        if holds_token(&fs::read(&path).map_err(Error::io(&path))?, options.hub.token) {
            return Err(task.refused(&format!(
                "{name} holds what looks like a token of the hub; remove it, and pack the model again"
            )));
        }
    }
    Ok(files)
}

/// A link below a folder, where there is one; what tools have put there is not looked at, and not published.
fn find_link(folder: &Path) -> Result<Option<String>> {
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Error::io(&folder))? {
            let entry = entry.map_err(Error::io(&folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if prefix.is_empty() && manifest::TOOLS.contains(&name.as_str()) {
                continue;
            }
            let kind = entry.file_type().map_err(Error::io(entry.path()))?;
            if kind.is_symlink() {
                return Ok(Some(format!("{prefix}{name}")));
            }
            if kind.is_dir() {
                folders.push((entry.path(), format!("{prefix}{name}/")));
            }
        }
    }
    Ok(None)
}

/// Whether a file holds the token that is used, or one of the form that the hub gives out.
fn holds_token(bytes: &[u8], own: Option<&str>) -> bool {
    let own = own.filter(|own| own.len() >= 8);
    if own.is_some_and(|own| bytes.windows(own.len()).any(|window| window == own.as_bytes())) {
        return true;
    }
    // `hf_` and thirty letters or digits: random bytes hold that once in 10^24.
    let starts = bytes.windows(3).enumerate().filter(|(_, window)| *window == b"hf_");
    starts.into_iter().any(|(at, _)| {
        let rest = &bytes[at + 3..];
        rest.len() >= 30 && rest[..30].iter().all(u8::is_ascii_alphanumeric)
    })
}

impl fmt::Display for Pushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reference, commit, url, files, removed, bytes, created } = self;
        if files.is_empty() && removed.is_empty() {
            writeln!(f, "{reference}: nothing to do, it is there already")?;
        } else {
            let made = if *created { ", in a new repository" } else { "" };
            let (count, gone) = (files.len(), removed.len());
            let size = show::size(*bytes);
            writeln!(f, "pushed {reference}: {count} files, {size}; {gone} removed{made}")?;
        }
        write!(f, "commit  {commit}\npage    {url}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_and_names_that_look_alike_are_not() {
        let token = format!("key: hf_{}", "aB3".repeat(11));

        assert!(holds_token(token.as_bytes(), None));
        assert!(!holds_token(b"hf_hub_download(repo_id), hf_", None));
        assert!(holds_token(b"so secret-token it is", Some("secret-token")));
        assert!(!holds_token(b"so secret it is", Some("secret-token")));
    }
}
