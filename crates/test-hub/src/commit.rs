//! What changes a repository.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::api;
use crate::http::{Answer, Request};
use crate::store::{Commit, Entry, Object, sha256};
use crate::{Shared, State};

/// One commit, in lines of JSON: its title, then each change.
pub(crate) fn commit(
    shared: &Shared,
    state: &mut State,
    request: &Request,
    id: &str,
    branch: &str,
) -> Answer {
    if let Err(refusal) = api::writable(state, request, id) {
        return refusal;
    }
    if let Err(error) = take_over(shared, state) {
        return Answer::refusal(500, "", &error.to_string());
    }
    let Some(repository) = state.store.repositories.get(id) else {
        return api::no_revision(branch);
    };
    let Some(Commit { id: head, files, .. }) =
        repository.branches.get(branch).and_then(|head| repository.find(head))
    else {
        return api::no_revision(branch);
    };
    let (mut files, mut title) = (files.clone(), String::new());
    for line in request.body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let Ok(line) = serde_json::from_slice::<Value>(line) else {
            return Answer::refusal(400, "", "a line is no JSON");
        };
        let value = &line["value"];
        let path = value["path"].as_str().unwrap_or_default().to_owned();
        match line["key"].as_str().unwrap_or_default() {
            "header" => {
                value["summary"].as_str().unwrap_or_default().clone_into(&mut title);
                if value["parentCommit"].as_str().is_some_and(|parent| parent != head) {
                    return Answer::refusal(412, "", "The branch has moved");
                }
            }
            _ if !api_path(&path) => return Answer::refusal(400, "", "no path of a repository"),
            "file" => {
                let content = value["content"].as_str().unwrap_or_default();
                let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(content) else {
                    return Answer::refusal(400, "", "a file is no base64");
                };
                files.insert(path, Entry::Inline(Arc::new(bytes)));
            }
            "lfsFile" => {
                let oid = value["oid"].as_str().unwrap_or_default().to_owned();
                let Some(object) = state.store.objects.get(&oid) else {
                    return Answer::refusal(400, "", "a large file was not uploaded");
                };
                files.insert(path, Entry::Large { size: object.bytes.len() as u64, oid });
            }
            "deletedFile" => _ = files.remove(&path),
            "deletedFolder" => files.retain(|name, _| !name.starts_with(&path)),
            other => return Answer::refusal(400, "", &format!("no change is called {other}")),
        }
    }
    let Some(repository) = state.store.repositories.get_mut(id) else {
        return api::no_revision(branch);
    };
    let commit = repository.commit(branch, &title, files);
    let url = format!("{}/{id}/commit/{commit}", shared.hub);
    Answer::json(
        &json!({ "success": true, "commitOid": commit, "commitUrl": url, "hookOutput": "" }),
    )
}

/// Whether the hub lets a file be called so.
fn api_path(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | ".." | ".git"))
}

/// Makes objects of what has come in chunks meanwhile.
fn take_over(shared: &Shared, state: &mut State) -> anyhow::Result<()> {
    let Some(xet) = &shared.xet else { return Ok(()) };
    let known: BTreeSet<String> =
        state.store.objects.values().filter_map(|object| object.xet.clone()).collect();
    for (name, bytes) in xet.files(&known)? {
        let object = Object { bytes: Arc::new(bytes), xet: Some(name) };
        state.store.objects.insert(sha256(&object.bytes), object);
    }
    Ok(())
}

/// Makes a branch.
pub(crate) fn branch(state: &mut State, request: &Request, id: &str, branch: &str) -> Answer {
    let from = request.json().ok();
    let from = from.as_ref().and_then(|it| it["startingPoint"].as_str()).unwrap_or("main");
    name(state, request, id, from, |repository| &mut repository.branches, branch)
}

/// Makes a tag.
pub(crate) fn tag(state: &mut State, request: &Request, id: &str, revision: &str) -> Answer {
    let Ok(asked) = request.json() else { return Answer::refusal(400, "", "no JSON") };
    let tag = asked["tag"].as_str().unwrap_or_default();
    name(state, request, id, revision, |repository| &mut repository.tags, tag)
}

fn name(
    state: &mut State,
    request: &Request,
    id: &str,
    revision: &str,
    names: impl Fn(&mut crate::store::Repository) -> &mut std::collections::BTreeMap<String, String>,
    new: &str,
) -> Answer {
    if let Err(refusal) = api::writable(state, request, id) {
        return refusal;
    }
    let Some(repository) = state.store.repositories.get_mut(id) else {
        return api::no_revision(revision);
    };
    let Some(commit) = repository.find(revision).map(|commit| commit.id.clone()) else {
        return api::no_revision(revision);
    };
    let names = names(repository);
    if names.contains_key(new) {
        return Answer::refusal(409, "", "Reference already exists");
    }
    names.insert(new.to_owned(), commit);
    Answer::json(&json!({}))
}
