use std::fs;
use std::path::PathBuf;

use candle::Device;
use sconce_zoo as zoo;
use sconce_zoo::hub::{Found, HubOptions, PushOptions, fetch, pull, push, search};
use test_hub::{Fault, Kind};

use super::{MODEL, NAME, Scene, TOKEN, contents, reference};
use crate::fixture::packed;

/// A hub without models, and one in a folder.
fn scene() -> anyhow::Result<(Scene, PathBuf)> {
    let scene = Scene::new()?;
    let model = packed(scene.folder.path(), 1, "model")?;
    Ok((scene, model))
}

fn options(scene: &Scene) -> PushOptions<'_> {
    PushOptions { hub: scene.options(), ..PushOptions::default() }
}

#[test]
fn what_is_pushed_is_what_is_pulled() -> anyhow::Result<()> {
    let (scene, model) = scene()?;
    let wish = PushOptions {
        private: true,
        message: Some("the first"),
        tag: Some("v1"),
        ..options(&scene)
    };

    let pushed = push(&model, &reference(NAME), &wish)?;

    assert!(pushed.created && pushed.removed.is_empty());
    assert_eq!(pushed.files.len(), contents(&model)?.len());
    assert_eq!(pushed.url, format!("{}/owner/model", scene.hub.endpoint()));
    assert_eq!(scene.hub.is_private(MODEL), Some(true));
    assert_eq!(scene.hub.commits(MODEL), ["initial commit", "the first"]);
    for name in [NAME.to_owned(), format!("{NAME}@v1"), format!("{NAME}@{}", pushed.commit)] {
        let output = scene.folder.path().join("copy");
        let pulled = pull(&reference(&name), Some(&output), &scene.options())?;
        assert_eq!(pulled.commit, pushed.commit);
        assert!(contents(&output)? == contents(&model)?);
        assert!(zoo::verify(&output, &Device::Cpu)?.ok());
        fs::remove_dir_all(&output)?;
    }
    // It is private.
    scene.hub.add_user("of-another", "another");
    let stranger = HubOptions { token: Some("of-another"), ..scene.options() };
    let error = fetch(&reference(NAME), &stranger).unwrap_err().to_string();
    assert!(error.contains("or it is not public"), "{error}");
    Ok(())
}

#[test]
fn only_what_is_new_is_sent_and_what_is_gone_is_removed() -> anyhow::Result<()> {
    let (scene, model) = scene()?;
    let first = push(&model, &reference(NAME), &options(&scene))?;

    let again = push(&model, &reference(NAME), &options(&scene))?;
    assert_eq!((&again.commit, again.files.len(), again.created), (&first.commit, 0, false));
    assert!(again.to_string().contains("nothing to do"), "{again}");
    assert_eq!(scene.hub.commits(MODEL).len(), 2);

    // Another card, no evaluation, the same weights.
    let run = scene.folder.path().join("run-1");
    fs::remove_dir_all(run.join("validation"))?;
    let other = scene.folder.path().join("other");
    let wish = zoo::PackOptions { name: "another".to_owned(), ..crate::fixture::options() };
    zoo::pack(&run, &other, &wish)?;
    scene.hub.forget();
    let second = push(&other, &reference(NAME), &options(&scene))?;

    assert!(second.files.contains(&"README.md".to_owned()), "{second:?}");
    assert!(!second.files.iter().any(|name| name.contains("safetensors")), "{second:?}");
    assert_eq!(second.removed, ["eval/raw.json", "eval/summary.json"]);
    let mut there = scene.hub.get(MODEL, "main");
    assert!(there.remove(".gitattributes").is_some());
    assert!(there.into_iter().collect::<Vec<_>>() == contents(&other)?);
    // The first is still what it was.
    let old = fetch(&reference(&format!("{NAME}@{}", first.commit)), &scene.options())?;
    assert!(contents(&old)? == contents(&model)?);
    Ok(())
}

#[test]
fn a_branch_is_made_and_a_commit_is_not_changed() -> anyhow::Result<()> {
    let (scene, model) = scene()?;
    push(&model, &reference(NAME), &options(&scene))?;
    let other = packed(scene.folder.path(), 2, "other")?;

    let pushed = push(&other, &reference(&format!("{NAME}@trial")), &options(&scene))?;

    let trial = fetch(&reference(&format!("{NAME}@trial")), &scene.options())?;
    assert!(contents(&trial)? == contents(&other)?);
    assert!(contents(&fetch(&reference(NAME), &scene.options())?)? == contents(&model)?);
    let commit = reference(&format!("{NAME}@{}", pushed.commit));
    let error = push(&model, &commit, &options(&scene)).unwrap_err().to_string();
    assert!(
        error.ends_with("a commit cannot be changed; name a branch, or none for main"),
        "{error}"
    );
    Ok(())
}

#[test]
fn who_may_not_push_is_told_why() -> anyhow::Result<()> {
    let (scene, model) = scene()?;
    let refused = |name: &str, options: &PushOptions<'_>| {
        push(&model, &reference(name), options).unwrap_err().to_string()
    };

    let foreign = refused("hub:another/model", &options(&scene));
    assert_eq!(
        foreign,
        "cannot push to hub:another/model: the hub forbids it to this user; ask its owner, or use another token"
    );
    let offline = PushOptions { hub: scene.offline(), ..PushOptions::default() };
    assert!(refused(NAME, &offline).ends_with("HF_HUB_OFFLINE is set; go online"));
    let unknown = HubOptions { token: Some("nobody's-token"), ..scene.options() };
    let unknown = refused(NAME, &PushOptions { hub: unknown, ..PushOptions::default() });
    assert!(unknown.contains("log in to it again"), "{unknown}");
    for (status, said) in [
        (412, "it was changed meanwhile"),
        (413, "it is too large for the hub"),
        (500, "the hub itself fails (status 500)"),
    ] {
        scene.hub.fail(Fault::new(Kind::Status(status), 100, "POST", "/commit/"));
        let error = refused(NAME, &options(&scene));
        assert!(error.contains(said), "{error}");
        assert!(!error.contains(TOKEN));
        scene.hub.recover();
        assert_eq!(scene.hub.commits(MODEL), ["initial commit"], "something was changed");
    }
    assert!(push(&model, &reference(NAME), &options(&scene)).is_ok());
    Ok(())
}

#[test]
fn a_push_that_meets_another_changes_nothing() -> anyhow::Result<()> {
    let (scene, model) = scene()?;
    push(&model, &reference(NAME), &options(&scene))?;
    let before = scene.hub.get(MODEL, "main");
    let other = packed(scene.folder.path(), 2, "other")?;
    // What the hub said before somebody else's commit.
    let stale = format!(r#"{{"id":"owner/model","sha":"{}"}}"#, scene.hub.put(MODEL, &[]));
    let current: Vec<_> =
        before.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    scene.hub.put(MODEL, &current);
    scene.hub.fail(Fault::new(Kind::Replace(stale.into()), 1, "GET", "/revision/main"));

    let error = push(&other, &reference(NAME), &options(&scene)).unwrap_err().to_string();

    assert!(error.contains("it was changed meanwhile"), "{error}");
    assert!(scene.hub.get(MODEL, "main") == before);
    Ok(())
}

#[test]
fn models_are_found_by_what_their_cards_say() -> anyhow::Result<()> {
    let (scene, model) = scene()?;
    for name in ["tiny-organ", "tiny-other", "large"] {
        push(&model, &reference(&format!("hub:owner/{name}")), &options(&scene))?;
    }
    scene.hub.put("models/somebody/tiny-text", &[("README.md", b"of another library".to_vec())]);

    let found = search("TINY", &scene.options())?;

    let ids: Vec<&str> = found.iter().map(|found| found.id.as_str()).collect();
    assert_eq!(ids, ["owner/tiny-organ", "owner/tiny-other"]);
    let Found { license, tags, .. } = &found[0];
    assert_eq!(license.as_deref(), Some("cc-by-4.0"));
    assert!(tags.contains(&"2d".to_owned()) && !tags.contains(&"sconce".to_owned()), "{tags:?}");
    assert!(found[0].to_string().starts_with("hub:owner/tiny-organ  cc-by-4.0"), "{}", found[0]);
    assert!(search("nothing of that kind", &scene.options())?.is_empty());
    // More than a page.
    for name in ["a", "b", "c", "d", "e"] {
        push(&model, &reference(&format!("hub:owner/many-{name}")), &options(&scene))?;
    }
    assert_eq!(search("", &scene.options())?.len(), 8);
    let offline = search("tiny", &scene.offline()).unwrap_err().to_string();
    assert_eq!(offline, "cannot search the hub: HF_HUB_OFFLINE is set; go online");
    scene.hub.fail(Fault::new(Kind::Status(403), 1, "GET", "/api/models"));
    let error = search("tiny", &scene.options()).unwrap_err().to_string();
    assert!(error.starts_with("cannot search the hub: the hub forbids it"), "{error}");
    Ok(())
}
