use std::fs;

use sconce_zoo as zoo;
use sconce_zoo::hub::{PushOptions, fetch, push, remove};

use super::{NAME, Scene, contents, reference};
use crate::fixture::packed;

/// Two versions that share their weights, both fetched.
fn two() -> anyhow::Result<(Scene, [String; 2])> {
    let scene = Scene::new()?;
    let model = packed(scene.folder.path(), 1, "model")?;
    let wish = zoo::PackOptions { name: "another".to_owned(), ..crate::fixture::options() };
    let other = scene.folder.path().join("other");
    zoo::pack(&scene.folder.path().join("run-1"), &other, &wish)?;
    let options = PushOptions { hub: scene.options(), ..PushOptions::default() };
    let first = push(&model, &reference(NAME), &options)?.commit;
    fetch(&reference(NAME), &scene.options())?;
    let second = push(&other, &reference(NAME), &options)?.commit;
    fetch(&reference(NAME), &scene.options())?;
    fetch(&reference(&format!("{NAME}@{first}")), &scene.options())?;
    Ok((scene, [first, second]))
}

#[test]
fn a_revision_goes_and_what_others_use_stays() -> anyhow::Result<()> {
    let (scene, [first, second]) = two()?;
    let blobs =
        || -> anyhow::Result<usize> { Ok(fs::read_dir(scene.root().join("blobs"))?.count()) };
    let before = blobs()?;

    let removed = remove(&reference(&format!("{NAME}@{first}")), &scene.options())?;

    assert_eq!((removed.commits, removed.kept), (vec![first.clone()], vec![second]));
    // The card, the license, how to cite it and the list are others.
    assert_eq!(blobs()?, before - 4);
    assert!(removed.bytes > 1000, "{}", removed.bytes);
    assert!(zoo::load(&fetch(&reference(NAME), &scene.offline())?).is_ok());
    assert!(fetch(&reference(&format!("{NAME}@{first}")), &scene.offline()).is_err());
    let again = remove(&reference(&format!("{NAME}@{first}")), &scene.options()).unwrap_err();
    assert_eq!(
        again.to_string(),
        format!("cannot remove {NAME}@{first}: this revision is not in the cache")
    );

    // By its name: then nothing is left.
    let outside = scene.outside()?;
    let rest = remove(&reference(&format!("{NAME}@main")), &scene.options())?;
    assert!(rest.kept.is_empty() && rest.bytes > 1000);
    assert!(!scene.root().exists());
    assert_eq!(scene.outside()?, outside);
    Ok(())
}

#[test]
fn all_of_a_model_goes_and_no_other_model() -> anyhow::Result<()> {
    let (scene, _) = two()?;
    let other = scene.cache.join("models--owner--model-2/blobs");
    fs::create_dir_all(&other)?;
    fs::write(other.join("blob"), "of another")?;

    let removed = remove(&reference(NAME), &scene.options())?;

    assert_eq!(removed.commits.len(), 2);
    assert!(!scene.root().exists() && other.join("blob").exists());
    let error = remove(&reference(NAME), &scene.options()).unwrap_err().to_string();
    assert_eq!(error, "cannot remove hub:owner/model: it is not in the cache");
    Ok(())
}

#[cfg(unix)]
#[test]
fn nothing_is_removed_through_a_link() -> anyhow::Result<()> {
    use std::os::unix::fs::symlink;

    let scene = Scene::new()?;
    let precious = scene.folder.path().join("precious");
    fs::create_dir_all(precious.join("snapshots"))?;
    fs::create_dir_all(precious.join("blobs"))?;
    fs::write(precious.join("blobs/file"), "of somebody")?;
    fs::create_dir_all(&scene.cache)?;
    symlink(&precious, scene.root())?;
    let refused = || remove(&reference(NAME), &scene.options()).unwrap_err().to_string();
    assert!(refused().contains("is no folder of the cache, but a link or a file"), "{}", refused());

    // One within the model.
    fs::remove_file(scene.root())?;
    fs::create_dir_all(scene.root().join("snapshots"))?;
    symlink(precious.join("blobs"), scene.root().join("blobs"))?;
    assert!(refused().contains("is no folder of the cache, but a link or a file"), "{}", refused());

    // A file that is a link goes, and not what it leads to.
    fs::remove_file(scene.root().join("blobs"))?;
    fs::create_dir_all(scene.root().join("blobs"))?;
    symlink(precious.join("blobs/file"), scene.root().join("blobs/link"))?;
    symlink(&precious, scene.root().join("snapshots/folder"))?;
    remove(&reference(NAME), &scene.options())?;
    assert!(!scene.root().exists());
    assert_eq!(contents(&precious)?, [("blobs/file".to_owned(), b"of somebody".to_vec())]);
    Ok(())
}
