use std::fs;

use sconce_zoo as zoo;
use sconce_zoo::hub::{PushOptions, fetch, fetch_data_set, push};
use test_hub::{Fault, Kind};

use super::{MODEL, NAME, Scene, contents, reference};
use crate::fixture::packed;

/// Publishes a model whose weights are these, with the hash that they have.
fn with_weights(scene: &Scene, weights: Vec<u8>) -> anyhow::Result<()> {
    let sums = format!("{}  model.safetensors\n", engine::file::sha256(weights.as_slice())?);
    scene.hub.put(MODEL, &[("SHA256SUMS", sums.into_bytes()), ("model.safetensors", weights)]);
    Ok(())
}

#[test]
fn weights_with_a_header_that_lies_are_not_kept() -> anyhow::Result<()> {
    let model = tempfile::tempdir()?;
    let good = fs::read(packed(model.path(), 1, "model")?.join("model.safetensors"))?;
    let bomb = [&u64::MAX.to_le_bytes()[..], &good[8..]].concat();
    let large = [&(99u64 << 20).to_le_bytes()[..], &good[8..]].concat();
    let cut = good[..good.len() - 100].to_vec();
    for (weights, said) in [
        (bomb, "its header is cut short or damaged"),
        (large, "its header is cut short or damaged"),
        (cut, "its length is not what its header says"),
        (b"no".to_vec(), "it is cut short"),
    ] {
        let scene = Scene::new()?;
        with_weights(&scene, weights)?;

        let error = fetch(&reference(NAME), &scene.options()).unwrap_err().to_string();

        assert!(
            error.ends_with(&format!(
                "model.safetensors is not usable: {said}; get the model again"
            )),
            "{error}"
        );
        assert!(fetch(&reference(NAME), &scene.offline()).is_err());
        let left = contents(&scene.root())?;
        assert!(!left.iter().any(|(name, _)| name.contains("safetensors")), "{left:?}");
        assert_eq!(left.iter().filter(|(name, _)| name.starts_with("blobs/")).count(), 1);
    }
    Ok(())
}

#[test]
fn names_that_lead_out_of_the_cache_are_refused() -> anyhow::Result<()> {
    let evil = b"evil".to_vec();
    let hash = engine::file::sha256(evil.as_slice())?;
    for name in ["../evil", "a/../../../../evil", "/evil", "a//evil", "c:\\evil"] {
        let scene = Scene::new()?;
        let sums = format!("{hash}  {name}\n").into_bytes();
        scene.hub.put(MODEL, &[("SHA256SUMS", sums.clone()), (name, evil.clone())]);
        let error = fetch(&reference(NAME), &scene.options()).unwrap_err().to_string();
        assert!(error.contains("which would lie outside; tell its owner"), "{error}");

        // The list alone names it.
        scene.hub.put(MODEL, &[("SHA256SUMS", sums), ("evil", evil.clone())]);
        let error = fetch(&reference(NAME), &scene.options()).unwrap_err().to_string();
        assert!(error.contains("line 1 names a file outside the folder"), "{error}");

        scene.hub.put("datasets/owner/data", &[(name, evil.clone())]);
        let output = scene.folder.path().join("data");
        let data = reference("hub:owner/data");
        let error = fetch_data_set(&data, &output, &scene.options()).unwrap_err().to_string();
        assert!(error.contains("which would lie outside; tell its owner"), "{error}");

        assert!(scene.outside()?.is_empty(), "{:?}", scene.outside()?);
        assert!(!scene.folder.path().with_file_name("evil").exists());
        assert!(contents(&scene.cache)?.iter().all(|(_, bytes)| *bytes != evil));
    }
    Ok(())
}

#[test]
fn hashes_and_commits_that_lead_out_of_the_cache_are_refused() -> anyhow::Result<()> {
    let tree = r#"[{"type":"file","path":"SHA256SUMS","size":4,"oid":"../../../../evil"}]"#;
    let information = r#"{"id":"owner/model","sha":"../../../../evil"}"#;
    for (target, answer) in [("/tree/", tree), ("/revision/", information)] {
        let (scene, _) = Scene::with_model()?;
        let before = scene.outside()?;
        scene.hub.fail(Fault::new(Kind::Replace(answer.into()), 100, "", target));

        let error = fetch(&reference(NAME), &scene.options()).unwrap_err().to_string();

        assert!(
            error.contains("the hub gives no hash of") || error.contains("the hub names no commit"),
            "{error}"
        );
        assert_eq!(scene.outside()?, before);
    }
    Ok(())
}

#[test]
fn whatever_the_hub_says_the_token_is_not_repeated() -> anyhow::Result<()> {
    let (scene, _) = Scene::with_model()?;
    for target in ["/revision/", "/tree/"] {
        let said = format!("no, {}", super::TOKEN);
        scene.hub.fail(Fault::new(Kind::Replace(said.into()), 1, "", target));

        let error = anyhow::Error::from(fetch(&reference(NAME), &scene.options()).unwrap_err());

        assert!(!format!("{error:#} {error:?}").contains(super::TOKEN), "{error:?}");
    }
    Ok(())
}

#[test]
fn a_folder_with_a_link_or_a_token_is_not_published() -> anyhow::Result<()> {
    let (scene, model) = Scene::with_model()?;
    scene.hub.forget();
    let options = PushOptions { hub: scene.options(), ..PushOptions::default() };
    let refused = || push(&model, &reference("hub:owner/new"), &options).unwrap_err().to_string();

    fs::write(model.join("notes.txt"), "not packed")?;
    assert!(refused().contains("does not verify: notes.txt was not packed"), "{}", refused());
    fs::remove_file(model.join("notes.txt"))?;

    #[cfg(unix)]
    {
        let secret = scene.folder.path().join("secret");
        fs::write(&secret, "of the machine")?;
        for name in ["notes.txt", "eval/notes.txt"] {
            std::os::unix::fs::symlink(&secret, model.join(name))?;
            assert!(refused().contains(&format!("{name} is a link")), "{}", refused());
            fs::remove_file(model.join(name))?;
        }
        // A link to a file that was packed, and one to a folder.
        let plan = model.join("plan.json");
        fs::rename(&plan, scene.folder.path().join("plan.json"))?;
        std::os::unix::fs::symlink(scene.folder.path().join("plan.json"), &plan)?;
        assert!(refused().contains("plan.json is a link"), "{}", refused());
        fs::remove_file(&plan)?;
        fs::rename(scene.folder.path().join("plan.json"), &plan)?;
        std::os::unix::fs::symlink(scene.folder.path(), model.join("more"))?;
        assert!(refused().contains("more is a link"), "{}", refused());
        fs::remove_file(model.join("more"))?;
    }

    for token in [super::TOKEN.to_owned(), format!("hf_{}", "aB3".repeat(12))] {
        let run = crate::fixture::run(&scene.folder.path().join(&token), 2)?;
        let output = scene.folder.path().join(format!("with-{token}"));
        let options = zoo::PackOptions { description: token, ..crate::fixture::options() };
        zoo::pack(&run, &output, &options)?;
        let push_options = PushOptions { hub: scene.options(), ..PushOptions::default() };
        let error = push(&output, &reference("hub:owner/new"), &push_options).unwrap_err();
        assert!(error.to_string().contains("README.md holds what looks like a token"), "{error}");
        assert!(
            !error.to_string().contains("aB3aB3") && !error.to_string().contains(": secret-token")
        );
    }
    assert!(scene.hub.requests().is_empty(), "the hub was asked");
    Ok(())
}
