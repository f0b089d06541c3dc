use std::fs;

use sconce_zoo as zoo;
use sconce_zoo::hub::fetch;
use test_hub::{Fault, Kind};

use super::{MODEL, NAME, Scene, contents, reference};

/// The names of what is half there.
fn incomplete(scene: &Scene) -> anyhow::Result<Vec<(String, usize)>> {
    let found = contents(&scene.root().join("blobs"))?.into_iter();
    let found = found.filter(|(name, _)| name.contains('.'));
    Ok(found.map(|(name, bytes)| (name, bytes.len())).collect())
}

#[test]
fn a_broken_connection_is_made_again() -> anyhow::Result<()> {
    let (scene, _) = Scene::with_model()?;
    scene.hub.fail(Fault::new(Kind::Cut(1000), 2, "GET", "/objects/"));
    scene.hub.fail(Fault::new(Kind::Cut(10), 1, "GET", "/resolve/"));

    let folder = fetch(&reference(NAME), &scene.options())?;

    assert!(zoo::load(&folder).is_ok());
    assert!(incomplete(&scene)?.is_empty());
    Ok(())
}

#[test]
fn a_file_goes_on_where_it_ended() -> anyhow::Result<()> {
    const BLOCK: usize = 32 << 20;
    let scene = Scene::new()?;
    let large: Vec<u8> =
        (0..BLOCK + 1000).map(|at| u8::try_from(at % 251)).collect::<Result<_, _>>()?;
    let sums = format!("{}  large.bin\n", engine::file::sha256(large.as_slice())?);
    scene.hub.put(MODEL, &[("SHA256SUMS", sums.into_bytes()), ("large.bin", large.clone())]);
    // The second block never comes.
    scene.hub.fail(Fault::new(Kind::Cut(10), 1, "GET", "/SHA256SUMS"));
    let second = Fault::new(Kind::Cut(500), 100, "GET", "/large.bin");
    scene.hub.fail(second.of_range(&format!("bytes={BLOCK}-")));

    let error = fetch(&reference(NAME), &scene.options()).unwrap_err().to_string();

    assert!(
        error.starts_with("cannot get hub:owner/model from the hub: the connection failed"),
        "{error}"
    );
    assert!(error.ends_with("; check the network, or work from the cache"), "{error}");
    let left = incomplete(&scene)?;
    assert!(
        matches!(left.as_slice(), [(name, BLOCK)] if name.ends_with(".incomplete")),
        "{left:?}"
    );
    // Half of it is nothing that a program would take for a model.
    let offline = fetch(&reference(NAME), &scene.offline()).unwrap_err().to_string();
    assert!(offline.contains("it is not in the cache"), "{offline}");

    scene.hub.recover();
    scene.hub.forget();
    let folder = fetch(&reference(NAME), &scene.options())?;

    assert!(fs::read(folder.join("large.bin"))? == large);
    let requests = scene.hub.requests();
    let asked = requests.iter().filter(|it| it.method == "GET" && it.target.ends_with("large.bin"));
    let ranges: Vec<_> = asked.map(|request| request.header("range")).collect();
    assert_eq!(ranges, [Some(format!("bytes={BLOCK}-{}", BLOCK + 999).as_str())]);
    assert!(incomplete(&scene)?.is_empty());
    Ok(())
}

#[test]
fn what_came_wrong_is_removed_and_named() -> anyhow::Result<()> {
    for (target, file) in
        [("/objects/", "safetensors"), ("/plan.json", "plan.json"), ("/SHA256SUMS", "SHA256SUMS")]
    {
        let (scene, _) = Scene::with_model()?;
        scene.hub.fail(Fault::new(Kind::Corrupt, 1, "GET", target));

        let error = fetch(&reference(NAME), &scene.options()).unwrap_err().to_string();

        assert!(error.contains(file), "{error}");
        assert!(
            error.ends_with(
                "is not the file that was packed, by its size or hash, and was removed; try again, or tell its \
                 owner"
            ),
            "{error}"
        );
        assert!(fetch(&reference(NAME), &scene.offline()).is_err());
        assert!(incomplete(&scene)?.is_empty());
        // The next attempt fetches what was removed, and that alone.
        scene.hub.forget();
        let folder = fetch(&reference(NAME), &scene.options())?;
        assert!(zoo::load(&folder).is_ok());
    }
    Ok(())
}

#[test]
fn a_file_that_is_shorter_than_listed_is_refused() -> anyhow::Result<()> {
    let (scene, _) = Scene::with_model()?;
    scene.hub.fail(Fault::new(Kind::Truncate(1000), 100, "GET", "/objects/"));

    let error = fetch(&reference(NAME), &scene.options()).unwrap_err().to_string();

    assert!(error.contains("the hub sends less of "), "{error}");
    assert!(fetch(&reference(NAME), &scene.offline()).is_err());
    Ok(())
}

#[test]
fn refusals_are_told_apart_and_only_some_are_tried_again() -> anyhow::Result<()> {
    let cases = [
        (401, "the hub does not accept the token; log in to it again, or set HF_TOKEN", false),
        (403, "the hub forbids it to this user; ask its owner, or use another token", false),
        (
            404,
            "there is nothing of that name, or it is not public; check the name, or log in to the hub",
            false,
        ),
        (429, "the hub asks for a pause; try again in some minutes", true),
        (500, "the hub itself fails (status 500); try again later", true),
    ];
    let refused = |target: &str, (status, said, again): (u16, &str, bool)| -> anyhow::Result<()> {
        let (scene, _) = Scene::with_model()?;
        scene.hub.fail(Fault::new(Kind::Status(status), 1000, "", target));

        let error = fetch(&reference(NAME), &scene.options()).unwrap_err().to_string();

        let missing = "\"SHA256SUMS\" is missing from it; tell its owner";
        let said = if (status, target) == (404, "/resolve/") { missing } else { said };
        assert_eq!(error, format!("cannot get hub:owner/model from the hub: {said}"), "{target}");
        let asked = scene.hub.requests().into_iter();
        let asked = asked.filter(|request| request.target.contains(target)).count();
        assert_eq!(asked > 1, again, "{status} at {target}: asked {asked} times");
        assert!(!scene.root().join("refs").exists());
        Ok(())
    };
    // All at once, since most of the time is spent waiting to ask again.
    std::thread::scope(|scope| {
        let pairs = ["/revision/", "/tree/", "/resolve/"].into_iter();
        let pairs = pairs.flat_map(|target| cases.map(|case| (target, case)));
        let all: Vec<_> =
            pairs.map(|(target, case)| scope.spawn(move || refused(target, case))).collect();
        all.into_iter().try_for_each(|one| one.join().expect("no case panics"))
    })
}

#[test]
fn a_hub_that_recovers_is_forgiven() -> anyhow::Result<()> {
    let (scene, _) = Scene::with_model()?;
    for (status, times) in [(500, 2), (429, 1), (503, 1)] {
        scene.hub.fail(Fault::new(Kind::Status(status), times, "", "/tree/"));
    }

    assert!(fetch(&reference(NAME), &scene.options()).is_ok());
    Ok(())
}

#[test]
fn what_another_program_has_left_half_is_fetched_again() -> anyhow::Result<()> {
    let (scene, model) = Scene::with_model()?;
    let folder = fetch(&reference(NAME), &scene.options())?;
    let weights = fs::canonicalize(folder.join("model.safetensors"))?;
    fs::write(&weights, "half")?;

    fetch(&reference(NAME), &scene.options())?;

    assert!(fs::read(weights)? == fs::read(model.join("model.safetensors"))?);
    Ok(())
}

#[test]
fn a_hub_that_is_not_there_is_said() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let options = zoo::hub::HubOptions { endpoint: Some(&endpoint), ..scene.options() };

    let error = fetch(&reference(NAME), &options).unwrap_err().to_string();

    assert!(error.contains("the connection failed: "), "{error}");
    assert!(!error.contains("http://"), "{error}");
    Ok(())
}
