use std::fs;

use candle::Device;
use sconce_zoo as zoo;
use sconce_zoo::hub::{HubOptions, commit, fetch, fetch_data_set, fetch_weights, pull};
use test_hub::{Fault, Kind};

use super::{MODEL, NAME, Scene, TOKEN, contents, reference};

#[test]
fn a_model_is_fetched_once_and_then_found_offline() -> anyhow::Result<()> {
    let (scene, model) = Scene::with_model()?;
    fs::write(model.join("huge.bin"), "of no use")?;
    let published = scene.publish(&model)?;
    let reference = reference(NAME);

    let error = fetch(&reference, &scene.offline()).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot get hub:owner/model from the hub: it is not in the cache; go online once, or give a \
         folder"
    );
    assert!(scene.hub.requests().is_empty());

    let fetched = fetch(&reference, &scene.options())?;
    let verification = zoo::verify(&fetched, &Device::Cpu)?;
    assert!(verification.ok(), "{verification}");
    assert!(zoo::load(&fetched).is_ok());
    assert_eq!(commit(&fetched), Some(published.as_str()));
    let requests = scene.hub.requests();
    let authorization = format!("Bearer {TOKEN}");
    for request in &requests {
        assert_eq!(request.header("authorization"), Some(authorization.as_str()), "{request:?}");
        assert!(!request.target.contains("huge.bin"), "{request:?}");
    }

    assert_eq!(fetch(&reference, &scene.offline())?, fetched);
    assert_eq!(scene.hub.requests().len(), requests.len());

    fetch(&reference, &scene.options())?;
    let again = &scene.hub.requests()[requests.len()..];
    assert!(again.iter().all(|request| request.target.starts_with("/api/")), "{again:?}");
    Ok(())
}

#[test]
fn the_token_stays_at_the_hub_that_it_is_for() -> anyhow::Result<()> {
    let (scene, _) = Scene::with_model()?;
    let mirror = Scene::new()?;
    let config = contents(&scene.folder.path().join("model"))?;
    let config: Vec<_> =
        config.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    mirror.hub.put(MODEL, &config);
    let elsewhere = Kind::Redirect(mirror.hub.endpoint().to_owned());
    scene.hub.fail(Fault::new(elsewhere, 100, "", "plan.json"));

    fetch(&reference(NAME), &scene.options())?;

    // Large files are at the storage; and this once, a small one is at a mirror.
    for asked in [scene.hub.storage_requests(), mirror.hub.requests()] {
        assert!(!asked.is_empty());
        for request in asked {
            assert_eq!(request.header("authorization"), None, "{request:?}");
            assert!(!format!("{request:?}").contains(TOKEN), "{request:?}");
        }
    }
    Ok(())
}

#[test]
fn a_revision_is_what_it_was_whatever_came_after_it() -> anyhow::Result<()> {
    let (scene, model) = Scene::with_model()?;
    let first = scene.publish(&model)?;
    let before = contents(&model)?;
    fs::write(model.join("README.md"), "# another\n")?;
    let sums = fs::read_to_string(model.join("SHA256SUMS"))?;
    let hash = engine::file::sha256(&b"# another\n"[..])?;
    let lines = sums.lines().map(|line| match line.split_once("  ") {
        Some((_, "README.md")) => format!("{hash}  README.md\n"),
        _ => format!("{line}\n"),
    });
    fs::write(model.join("SHA256SUMS"), lines.collect::<Vec<_>>().concat())?;
    let second = scene.publish(&model)?;
    let output = scene.folder.path().join("copy");

    let pulled = pull(&reference(&format!("{NAME}@{first}")), Some(&output), &scene.options())?;
    assert_eq!(
        (pulled.commit.as_str(), pulled.folder.as_path()),
        (first.as_str(), output.as_path())
    );
    assert_eq!(contents(&output)?, before);
    assert!(contents(&output)?.len() == pulled.files.len() + 1 && pulled.bytes > 1000);
    assert!(!fs::symlink_metadata(output.join("config.json"))?.is_symlink());

    let newest = pull(&reference(NAME), None, &scene.options())?;
    assert_eq!(newest.commit, second);
    assert_eq!(fs::read_to_string(newest.folder.join("README.md"))?, "# another\n");
    let taken = pull(&reference(NAME), Some(&output), &scene.options()).unwrap_err().to_string();
    assert!(taken.ends_with("is not empty; remove it, or choose another output folder"), "{taken}");

    // A commit that is there needs no word of the hub about it.
    let by_commit = reference(&format!("{NAME}@{first}"));
    assert!(fetch(&by_commit, &scene.offline())?.join("README.md").exists());
    Ok(())
}

#[test]
fn weights_of_others_are_fetched_alone() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let weights = ("model.safetensors", b"weights".to_vec());
    scene.hub.put(MODEL, &[weights, ("pytorch_model.bin", b"of no use".to_vec())]);
    let reference = reference(NAME);

    let file = fetch_weights(&reference, &scene.options())?;

    assert_eq!(fs::read_to_string(&file)?, "weights");
    assert!(!scene.hub.requests().iter().any(|request| request.target.contains("pytorch_model")));
    assert_eq!(fetch_weights(&reference, &scene.offline())?, file);
    scene.hub.put(MODEL, &[("README.md", b"empty".to_vec())]);
    let error = fetch_weights(&reference, &scene.options()).unwrap_err().to_string();
    assert!(error.contains("it has no model.safetensors"), "{error}");
    Ok(())
}

#[test]
fn damaged_weights_of_others_do_not_stay() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    scene.hub.put(MODEL, &[("model.safetensors", b"weights".to_vec())]);
    scene.hub.fail(Fault::new(Kind::Corrupt, 1, "GET", "/objects/"));

    let error = fetch_weights(&reference(NAME), &scene.options()).unwrap_err().to_string();

    assert!(error.contains("model.safetensors came damaged"), "{error}");
    let file = fetch_weights(&reference(NAME), &scene.options())?;
    assert_eq!(fs::read_to_string(file)?, "weights");
    Ok(())
}

#[test]
fn what_the_hub_does_not_have_is_said() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    scene.hub.put(MODEL, &[("README.md", b"no model".to_vec())]);
    let refused = |name: &str, options: &HubOptions<'_>| {
        fetch(&reference(name), options).unwrap_err().to_string()
    };

    for name in ["hub:owner/other", "hub:owner/other@v2"] {
        let reason = "there is nothing of that name, or it is not public; check the name, or log in to the \
                      hub";
        let said = format!("cannot get {name} from the hub: {reason}");
        assert_eq!(refused(name, &scene.options()), said);
    }
    assert_eq!(
        refused("hub:owner/model@v2", &scene.options()),
        "cannot get hub:owner/model@v2 from the hub: it has no revision v2; check the name"
    );
    let unknown = HubOptions { token: Some("nobody's"), ..scene.options() };
    assert_eq!(
        refused(NAME, &unknown),
        "cannot get hub:owner/model from the hub: the hub does not accept the token; log in to it again, or \
         set HF_TOKEN"
    );
    assert!(!format!("{unknown:?}").contains("nobody's"));
    let none = refused(NAME, &scene.options());
    assert!(none.contains("it was not made by `sconce zoo pack`"), "{none}");
    assert!(!scene.root().join("refs").exists());
    Ok(())
}

#[test]
fn a_model_that_lacks_a_file_is_not_taken_for_whole() -> anyhow::Result<()> {
    let (scene, model) = Scene::with_model()?;
    fs::remove_file(model.join("plan.json"))?;
    scene.publish(&model)?;

    let error = fetch(&reference(NAME), &scene.options()).unwrap_err().to_string();

    assert_eq!(
        error,
        "cannot get hub:owner/model from the hub: plan.json is missing from it; tell its owner"
    );
    assert!(fetch(&reference(NAME), &scene.offline()).is_err());
    Ok(())
}

#[test]
fn a_data_set_is_fetched_whole_or_not_at_all() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let table = ("train-00000.parquet", vec![7; 3000]);
    scene.hub.put("datasets/owner/data", &[("README.md", b"what it is".to_vec()), table]);
    let output = scene.folder.path().join("data");
    let name = reference("hub:owner/data");

    fetch_data_set(&name, &output, &scene.options())?;

    let names: Vec<String> = contents(&output)?.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["README.md", "train-00000.parquet"]);
    assert_eq!(fs::read(output.join("train-00000.parquet"))?, [7; 3000]);

    let error = fetch_data_set(&name, &output, &scene.options()).unwrap_err();
    assert!(error.to_string().contains("is there already"), "{error}");
    let other = scene.folder.path().join("other");
    let error = fetch_data_set(&name, &other, &scene.offline()).unwrap_err();
    assert!(error.to_string().contains("go online"), "{error}");
    let nobody = reference("hub:nobody/data");
    let error = fetch_data_set(&nobody, &other, &scene.options()).unwrap_err();
    assert!(error.to_string().contains("nothing of that name"), "{error}");
    assert!(!other.exists());
    assert_eq!(fs::read_dir(scene.folder.path())?.count(), 1, "the data alone");
    Ok(())
}
