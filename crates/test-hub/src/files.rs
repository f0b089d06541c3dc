//! Files, there and back: `resolve`, and the batches and uploads of large ones.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::{self, Asker};
use crate::http::{Answer, Request};
use crate::store::{Entry, Object, sha256};
use crate::{Shared, State};

/// `GET` or `HEAD` of `OWNER/NAME/resolve/REVISION/PATH`.
pub(crate) fn resolve(
    shared: &Shared,
    state: &State,
    request: &Request,
    id: &str,
    (revision, path): (&str, &str),
) -> Answer {
    let repository = match api::readable(state, request, id) {
        Ok(repository) => repository,
        Err(refusal) => return refusal,
    };
    let Some(commit) = repository.find(revision) else { return api::no_revision(revision) };
    let Some(entry) = commit.files.get(path) else {
        return Answer::refusal(404, "EntryNotFound", "Entry not found")
            .with("X-Repo-Commit", commit.id.clone());
    };
    let headers = |answer: Answer| answer.with("X-Repo-Commit", commit.id.clone());
    match entry {
        Entry::Inline(bytes) => {
            let answer = headers(Answer::new(200, bytes.to_vec()));
            let answer = answer.with("ETag", format!("\"{}\"", entry.git_oid()));
            answer.with("Accept-Ranges", "bytes").ranged(request.header("range"))
        }
        Entry::Large { oid, size } => {
            // As the hub does: large files are at another host.
            let answer = headers(Answer::new(302, ""))
                .with("Location", format!("{}/objects/{oid}", shared.storage))
                .with("X-Linked-ETag", format!("\"{oid}\""))
                .with("X-Linked-Size", size.to_string())
                .with("ETag", format!("\"{}\"", entry.git_oid()));
            match state.store.xet(entry) {
                Some(xet) => {
                    let route = format!("{}/api/{id}/xet-read-token/{}", shared.hub, commit.id);
                    answer.with("X-Xet-Hash", xet).with("X-Xet-Refresh-Route", route)
                }
                None => answer,
            }
        }
    }
}

/// `GET`, `HEAD` and `PUT` at the other host, where the hub's users are unknown.
pub(crate) fn storage(state: &mut State, request: &Request) -> Answer {
    let parts = request.parts();
    let Some(oid) = parts.get(1).filter(|_| parts[0] == "objects") else {
        return Answer::refusal(404, "", "no such object");
    };
    if request.method == "PUT" {
        if sha256(&request.body) != *oid {
            return Answer::refusal(400, "", "the object has another hash");
        }
        let object = Object { bytes: Arc::new(request.body.clone()), xet: None };
        state.store.objects.insert(oid.clone(), object);
        return Answer::new(200, "");
    }
    match state.store.objects.get(oid) {
        Some(object) => Answer::new(200, object.bytes.to_vec())
            .with("ETag", format!("\"{oid}\""))
            .with("Accept-Ranges", "bytes")
            .ranged(request.header("range")),
        None => Answer::refusal(404, "", "no such object"),
    }
}

/// How each of several large files is to be uploaded.
pub(crate) fn batch(shared: &Shared, state: &State, request: &Request, id: &str) -> Answer {
    if let Err(refusal) = api::writable(state, request, id) {
        return refusal;
    }
    let Ok(asked) = request.json() else { return Answer::refusal(400, "", "no JSON") };
    let offers = asked["transfers"].as_array().cloned().unwrap_or_default();
    let xet = offers.contains(&json!("xet")) && shared.xet.is_some();
    let objects = asked["objects"].as_array().cloned().unwrap_or_default();
    let objects: Vec<Value> = objects
        .into_iter()
        .map(|object| {
            let oid = object["oid"].as_str().unwrap_or_default();
            let href = format!("{}/objects/{oid}", shared.storage);
            let there = state.store.objects.contains_key(oid);
            let mut answer = json!({ "oid": oid, "size": object["size"] });
            if !there && !xet {
                answer["actions"] = json!({ "upload": { "href": href } });
            }
            answer
        })
        .collect();
    let transfer = if xet { "xet" } else { "basic" };
    Answer::json(&json!({ "transfer": transfer, "objects": objects }))
}

/// Whom and where to ask for the chunks of large files.
pub(crate) fn xet_token(
    shared: &Shared,
    state: &State,
    request: &Request,
    id: &str,
    write: bool,
) -> Answer {
    let allowed = if write {
        api::writable(state, request, id)
    } else {
        api::readable(state, request, id).map(|_| Asker::default())
    };
    if let Err(refusal) = allowed {
        return refusal;
    }
    let Some(xet) = &shared.xet else { return Answer::refusal(404, "", "no chunks here") };
    // Long after any test.
    let (token, until) = ("token-of-the-storage", 4_000_000_000u64);
    let body = json!({ "accessToken": token, "exp": until, "casUrl": xet.endpoint() });
    Answer::json(&body)
        .with("X-Xet-Cas-Url", xet.endpoint())
        .with("X-Xet-Access-Token", token)
        .with("X-Xet-Token-Expiration", until.to_string())
}
