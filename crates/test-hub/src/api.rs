//! Everything below `/api`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::http::{Answer, Request};
use crate::store::{Entry, Repository};
use crate::{Shared, State, commit, files};

/// Who asks; `None` where they do not say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asker(pub(crate) Option<String>);

/// Who asks, or a refusal where the token is nobody's.
fn asker(state: &State, request: &Request) -> Result<Asker, Answer> {
    let Some(header) = request.header("authorization") else { return Ok(Asker(None)) };
    let user = header.strip_prefix("Bearer ").and_then(|token| state.store.users.get(token));
    match user {
        Some(user) => Ok(Asker(Some(user.clone()))),
        None => Err(Answer::refusal(401, "", "Invalid credentials in Authorization header")),
    }
}

/// The repository, or why the one who asks may not see it.
pub(crate) fn readable<'a>(
    state: &'a State,
    request: &Request,
    id: &str,
) -> Result<&'a Repository, Answer> {
    let asker = asker(state, request)?;
    let found = state.store.repositories.get(id);
    let found = found.filter(|it| !it.private || asker.0.as_deref() == Some(owner(id)));
    // As the hub does, which does not tell those who are not logged in what there is.
    let status = if asker.0.is_some() { 404 } else { 401 };
    found.ok_or_else(|| Answer::refusal(status, "RepoNotFound", "Repository not found"))
}

/// Who asks, where they may change it.
pub(crate) fn writable(state: &State, request: &Request, id: &str) -> Result<Asker, Answer> {
    let asker = asker(state, request)?;
    if asker.0.is_none() {
        return Err(Answer::refusal(401, "", "Invalid username or password."));
    }
    readable(state, request, id)?;
    if asker.0.as_deref() == Some(owner(id)) {
        return Ok(asker);
    }
    Err(Answer::refusal(403, "", "You do not have the rights to change this repository"))
}

pub(crate) fn no_revision(revision: &str) -> Answer {
    Answer::refusal(404, "RevisionNotFound", &format!("Invalid rev id: {revision}"))
}

/// Of `models/owner/name`.
fn owner(id: &str) -> &str {
    id.split('/').nth(1).unwrap_or_default()
}

/// Answers a request below `/api`, whose parts these are.
pub(crate) fn answer(
    shared: &Shared,
    state: &mut State,
    request: &Request,
    parts: &[&str],
) -> Answer {
    match (request.method.as_str(), parts) {
        ("GET", ["whoami-v2"]) => who(state, request),
        ("GET", [kind @ ("models" | "datasets")]) => search(shared, state, request, kind),
        ("POST", ["repos", "create"]) => create(shared, state, request),
        ("DELETE", ["repos", "delete"]) => delete(state, request),
        ("POST", ["validate-yaml"]) => Answer::json(&json!({ "errors": [], "warnings": [] })),
        (_, [kind @ ("models" | "datasets"), owner, name, rest @ ..]) => {
            let id = format!("{kind}/{owner}/{name}");
            of_repository(shared, state, request, &id, rest)
        }
        _ => Answer::refusal(404, "", "nothing is here"),
    }
}

fn of_repository(
    shared: &Shared,
    state: &mut State,
    request: &Request,
    id: &str,
    rest: &[&str],
) -> Answer {
    match (request.method.as_str(), rest) {
        ("GET", []) => information(state, request, id, "main"),
        ("GET", ["revision", revision]) => information(state, request, id, revision),
        ("GET", ["tree", revision, below @ ..]) => {
            tree(shared, state, request, id, (revision, &below.join("/")))
        }
        ("POST", ["paths-info", revision]) => paths(state, request, id, revision),
        ("GET", ["refs"]) => refs(state, request, id),
        ("GET", ["commits", revision]) => commits(state, request, id, revision),
        ("GET", ["xet-read-token", ..]) => files::xet_token(shared, state, request, id, false),
        ("GET", ["xet-write-token", ..]) => files::xet_token(shared, state, request, id, true),
        ("POST", ["preupload", _]) => preupload(state, request, id),
        ("POST", ["commit", branch]) => commit::commit(shared, state, request, id, branch),
        ("POST", ["branch", branch]) => commit::branch(state, request, id, branch),
        ("POST", ["tag", revision]) => commit::tag(state, request, id, revision),
        _ => Answer::refusal(404, "", "nothing is here"),
    }
}

fn who(state: &State, request: &Request) -> Answer {
    match asker(state, request) {
        Err(refusal) => refusal,
        Ok(Asker(None)) => Answer::refusal(401, "", "Invalid username or password."),
        Ok(Asker(Some(name))) => Answer::json(&json!({
            "type": "user", "id": name, "name": name, "fullname": name, "orgs": [],
            "auth": { "type": "access_token", "accessToken": { "displayName": "test", "role": "write" } },
        })),
    }
}

fn search(shared: &Shared, state: &State, request: &Request, kind: &str) -> Answer {
    let lower = |name: &str| request.query(name).map(|text| text.to_lowercase());
    let (text, filter, author) = (lower("search"), request.query("filter"), lower("author"));
    let mut found = Vec::new();
    for (id, repository) in &state.store.repositories {
        let Some(name) = id.strip_prefix(kind).and_then(|id| id.strip_prefix('/')) else {
            continue;
        };
        if readable(state, request, id).is_err() {
            continue;
        }
        let Some(commit) = repository.find("main") else { continue };
        let value = state.store.information(id, repository, commit);
        let tagged =
            |tag: &String| value["tags"].as_array().is_some_and(|it| it.contains(&json!(tag)));
        if text.as_ref().is_none_or(|text| name.to_lowercase().contains(text.as_str()))
            && filter.as_ref().is_none_or(tagged)
            && author.as_ref().is_none_or(|author| owner(id).to_lowercase() == *author)
        {
            found.push(value);
        }
    }
    let path = format!("{}{}", shared.hub, request.path());
    let query: Vec<String> = ["search", "filter", "author"]
        .iter()
        .filter_map(|name| Some(format!("{name}={}", request.query(name)?)))
        .collect();
    page(request, found, &format!("{path}?{}", query.join("&")))
}

/// A page of a list, and where the next one is.
fn page(request: &Request, all: Vec<Value>, here: &str) -> Answer {
    let number = |name: &str| request.query(name).and_then(|text| text.parse::<usize>().ok());
    let (from, most) =
        (number("cursor").unwrap_or(0), number("limit").unwrap_or(PAGE).clamp(1, PAGE));
    let length = all.len();
    let answer = Answer::json(&Value::Array(all.into_iter().skip(from).take(most).collect()));
    let next = from + most;
    if next >= length {
        return answer;
    }
    answer.with("Link", format!("<{here}&limit={most}&cursor={next}>; rel=\"next\""))
}

/// Small, so that each test turns pages.
const PAGE: usize = 5;

fn create(shared: &Shared, state: &mut State, request: &Request) -> Answer {
    let user = match asker(state, request) {
        Ok(Asker(Some(user))) => user,
        Ok(Asker(None)) => return Answer::refusal(401, "", "Invalid username or password."),
        Err(refusal) => return refusal,
    };
    let Ok(asked) = request.json() else { return Answer::refusal(400, "", "no JSON") };
    let owner = asked["organization"].as_str().unwrap_or(&user);
    if owner != user {
        return Answer::refusal(403, "", "You do not have the rights to create a repository here");
    }
    let name = asked["name"].as_str().unwrap_or_default();
    let kind = asked["type"].as_str().unwrap_or("model");
    let id = format!("{kind}s/{owner}/{name}");
    let place = if kind == "model" { String::new() } else { format!("{kind}s/") };
    let url = format!("{}/{place}{owner}/{name}", shared.hub);
    if state.store.repositories.contains_key(&id) {
        let answer = Answer::refusal(409, "", "You already created this repository");
        return Answer {
            body: json!({ "error": "exists", "url": url }).to_string().into(),
            ..answer
        };
    }
    let private = asked["private"] == json!(true) || asked["visibility"] == json!("private");
    state.store.repositories.insert(id, Repository::new(private));
    Answer::json(&json!({ "url": url, "name": format!("{owner}/{name}") }))
}

fn delete(state: &mut State, request: &Request) -> Answer {
    let Ok(asked) = request.json() else { return Answer::refusal(400, "", "no JSON") };
    let text = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
    let kind = asked["type"].as_str().unwrap_or("model");
    let id = format!("{kind}s/{}/{}", text("organization"), text("name"));
    if let Err(refusal) = writable(state, request, &id) {
        return refusal;
    }
    state.store.repositories.remove(&id);
    Answer::new(200, "")
}

fn information(state: &State, request: &Request, id: &str, revision: &str) -> Answer {
    match readable(state, request, id) {
        Err(refusal) => refusal,
        Ok(repository) => match repository.find(revision) {
            Some(commit) => Answer::json(&state.store.information(id, repository, commit)),
            None => no_revision(revision),
        },
    }
}

fn tree(
    shared: &Shared,
    state: &State,
    request: &Request,
    id: &str,
    (revision, below): (&str, &str),
) -> Answer {
    let repository = match readable(state, request, id) {
        Ok(repository) => repository,
        Err(refusal) => return refusal,
    };
    let Some(commit) = repository.find(revision) else { return no_revision(revision) };
    let recursive = request.query("recursive").is_some_and(|it| it.eq_ignore_ascii_case("true"));
    let prefix = if below.is_empty() { String::new() } else { format!("{below}/") };
    let (mut folders, mut listed) = (BTreeSet::new(), Vec::new());
    for (path, entry) in &commit.files {
        let Some(rest) = path.strip_prefix(&prefix) else { continue };
        for (at, _) in rest.match_indices('/') {
            folders.insert(format!("{prefix}{}", &rest[..at]));
        }
        if recursive || !rest.contains('/') {
            listed.push(state.store.described(path, entry));
        }
    }
    let folders = folders.into_iter().filter(|it| recursive || !it[prefix.len()..].contains('/'));
    listed.extend(
        folders.map(|it| json!({ "type": "directory", "oid": commit.id, "size": 0, "path": it })),
    );
    let here = format!("{}{}?recursive={recursive}", shared.hub, request.path());
    page(request, listed, &here)
}

fn paths(state: &State, request: &Request, id: &str, revision: &str) -> Answer {
    let repository = match readable(state, request, id) {
        Ok(repository) => repository,
        Err(refusal) => return refusal,
    };
    let Some(commit) = repository.find(revision) else { return no_revision(revision) };
    let asked = request.json().unwrap_or_default();
    let asked = asked["paths"].as_array().cloned().unwrap_or_default();
    let found = asked.iter().filter_map(|path| {
        let (path, entry) = commit.files.get_key_value(path.as_str()?)?;
        Some(state.store.described(path, entry))
    });
    Answer::json(&Value::Array(found.collect()))
}

fn refs(state: &State, request: &Request, id: &str) -> Answer {
    let repository = match readable(state, request, id) {
        Ok(repository) => repository,
        Err(refusal) => return refusal,
    };
    let list = |names: &std::collections::BTreeMap<String, String>, kind: &str| -> Vec<Value> {
        let each = names.iter();
        each.map(|(name, commit)| {
            json!({ "name": name, "ref": format!("refs/{kind}/{name}"), "targetCommit": commit })
        })
        .collect()
    };
    Answer::json(&json!({
        "branches": list(&repository.branches, "heads"),
        "tags": list(&repository.tags, "tags"),
        "converts": [],
    }))
}

fn commits(state: &State, request: &Request, id: &str, revision: &str) -> Answer {
    match readable(state, request, id) {
        Err(refusal) => refusal,
        Ok(repository) if repository.find(revision).is_none() => no_revision(revision),
        Ok(repository) => {
            let each = repository.commits.iter().rev().map(|commit| {
                json!({
                    "id": commit.id, "title": commit.title, "message": "", "authors": [],
                    "date": "2026-01-01T00:00:00.000Z",
                })
            });
            Answer::json(&Value::Array(each.collect()))
        }
    }
}

/// Which files are large, by the hub's rules: 10 MB, or what `.gitattributes` says.
fn preupload(state: &State, request: &Request, id: &str) -> Answer {
    if let Err(refusal) = writable(state, request, id) {
        return refusal;
    }
    let Ok(asked) = request.json() else { return Answer::refusal(400, "", "no JSON") };
    let main = state.store.repositories.get(id).and_then(|it| it.find("main"));
    let asked = asked["files"].as_array().cloned().unwrap_or_default();
    let each = asked.iter().map(|file| {
        let path = file["path"].as_str().unwrap_or_default();
        let large =
            file["size"].as_u64().unwrap_or(0) > 10_000_000 || path.ends_with(".safetensors");
        let there = main.and_then(|main| main.files.get(path)).map(Entry::git_oid);
        let mode = if large { "lfs" } else { "regular" };
        json!({ "path": path, "uploadMode": mode, "shouldIgnore": false, "oid": there })
    });
    Answer::json(&json!({ "files": each.collect::<Vec<_>>() }))
}
