use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use candle::Device;
use sconce_zoo::hub::{FetchOptions, fetch, fetch_data_set, fetch_weights};
use sconce_zoo::{self as zoo, HubReference, Reference};
use serde_json::json;

use crate::fixture::packed;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A hub with one repository, `owner/model`, whose files are those of a folder.
struct Hub {
    address: SocketAddr,
    /// The first line of each request, and whether it came with the right token.
    seen: Arc<Mutex<Vec<(String, bool)>>>,
}

impl Hub {
    /// Serves for as long as the test runs.
    fn serving(folder: PathBuf) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up is the client's business.
                _ = answer(&stream, &folder, &log);
            }
        });
        Ok(Self { address, seen })
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    fn requests(&self) -> Vec<(String, bool)> {
        self.seen.lock().expect("no request panics").clone()
    }
}

fn answer(
    mut stream: &TcpStream,
    folder: &Path,
    log: &Mutex<Vec<(String, bool)>>,
) -> anyhow::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut authorized = false;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        authorized |= line == "authorization: bearer secret";
        if line.is_empty() {
            break;
        }
    }
    log.lock().expect("no request panics").push((first.clone(), authorized));
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let (status, headers, body) = respond(path, folder)?;
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    )?;
    if method != "HEAD" {
        stream.write_all(&body)?;
    }
    Ok(stream.flush()?)
}

fn respond(path: &str, folder: &Path) -> anyhow::Result<(&'static str, String, Vec<u8>)> {
    let is_data = path.contains("/datasets/");
    let api = if is_data { "/api/datasets/owner/model" } else { "/api/models/owner/model" };
    if path == format!("{api}/revision/main") {
        return Ok(("200 OK", String::new(), json!({ "sha": COMMIT }).to_string().into_bytes()));
    }
    if path == format!("{api}/tree/{COMMIT}") {
        let mut entries = vec![json!({ "type": "directory", "oid": "0", "path": "eval" })];
        for name in files(folder)? {
            let size = fs::metadata(folder.join(&name))?.len();
            entries.push(json!({ "type": "file", "oid": "0", "size": size, "path": name }));
        }
        return Ok(("200 OK", String::new(), serde_json::to_vec(&entries)?));
    }
    let folders = if is_data { "/datasets" } else { "" };
    let prefix = format!("{folders}/owner/model/resolve/{COMMIT}/");
    if let Some(name) = path.strip_prefix(&prefix).filter(|name| folder.join(name).is_file()) {
        // Any text that is another for other files will do.
        let tag = name.replace('/', "-");
        let headers = format!("ETag: \"{tag}\"\r\nX-Repo-Commit: {COMMIT}\r\n");
        return Ok(("200 OK", headers, fs::read(folder.join(name))?));
    }
    let code = if path.starts_with(api) { "RevisionNotFound" } else { "RepoNotFound" };
    Ok(("404 Not Found", format!("X-Error-Code: {code}\r\n"), Vec::new()))
}

fn files(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        match name.as_str() {
            "eval" => names.extend(["raw", "summary"].map(|name| format!("eval/{name}.json"))),
            _ => names.push(name),
        }
    }
    names.sort();
    Ok(names)
}

fn reference(text: &str) -> HubReference {
    match text.parse() {
        Ok(Reference::Hub(reference)) => reference,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_data_set_is_fetched_whole_or_not_at_all() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("source");
    fs::create_dir(&source)?;
    fs::write(source.join("README.md"), "what it is")?;
    fs::write(source.join("train-00000.parquet"), [7; 3000])?;
    let hub = Hub::serving(source.clone())?;
    let (endpoint, cache) = (hub.endpoint(), folder.path().join("cache"));
    let options =
        FetchOptions { endpoint: Some(&endpoint), cache: Some(&cache), ..FetchOptions::default() };
    let output = folder.path().join("data");

    fetch_data_set(&reference("hub:owner/model"), &output, &options)?;

    let mut names: Vec<_> = fs::read_dir(&output)?.map(|it| it.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["README.md", "train-00000.parquet"]);
    assert_eq!(fs::read(output.join("train-00000.parquet"))?, [7; 3000]);

    let error = fetch_data_set(&reference("hub:owner/model"), &output, &options).unwrap_err();
    assert!(error.to_string().contains("is there already"), "{error}");
    let other = folder.path().join("other");
    let offline = FetchOptions { offline: true, ..options };
    let error = fetch_data_set(&reference("hub:owner/model"), &other, &offline).unwrap_err();
    assert!(error.to_string().contains("go online"), "{error}");
    let error = fetch_data_set(&reference("hub:nobody/model"), &other, &options).unwrap_err();
    assert!(error.to_string().contains("nothing of that name"), "{error}");
    assert!(!other.exists());
    assert_eq!(fs::read_dir(folder.path())?.count(), 2, "source and data alone");
    Ok(())
}

#[test]
fn a_model_is_fetched_once_and_then_found_offline() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let model = packed(folder.path(), 1, "model")?;
    fs::write(model.join("huge.bin"), "of no use")?;
    let hub = Hub::serving(model)?;
    let (endpoint, cache) = (hub.endpoint(), folder.path().join("cache"));
    let options = FetchOptions {
        offline: false,
        endpoint: Some(&endpoint),
        token: Some("secret"),
        cache: Some(&cache),
    };
    let offline = FetchOptions { offline: true, ..options };
    let reference = reference("hub:owner/model");

    let error = fetch(&reference, &offline).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot get hub:owner/model from the hub: it is not in the cache; go online once, or give a \
         folder"
    );
    assert!(hub.requests().is_empty());

    let fetched = fetch(&reference, &options)?;
    let verification = zoo::verify(&fetched, &Device::Cpu)?;
    assert!(verification.ok(), "{verification}");
    assert!(zoo::load(&fetched).is_ok());
    let requests = hub.requests();
    assert!(requests.iter().all(|(_, authorized)| *authorized), "{requests:?}");
    assert!(!requests.iter().any(|(line, _)| line.contains("huge.bin")), "{requests:?}");

    assert_eq!(fetch(&reference, &offline)?, fetched);
    assert_eq!(hub.requests().len(), requests.len());

    fetch(&reference, &options)?;
    let again = &hub.requests()[requests.len()..];
    assert!(again.iter().all(|(line, _)| line.starts_with("GET /api/")), "{again:?}");
    Ok(())
}

#[test]
fn weights_of_others_are_fetched_alone() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let repository = folder.path().join("repository");
    fs::create_dir(&repository)?;
    fs::write(repository.join("model.safetensors"), "weights")?;
    fs::write(repository.join("pytorch_model.bin"), "of no use")?;
    let hub = Hub::serving(repository.clone())?;
    let (endpoint, cache) = (hub.endpoint(), folder.path().join("cache"));
    let options =
        FetchOptions { endpoint: Some(&endpoint), cache: Some(&cache), ..FetchOptions::default() };
    let offline = FetchOptions { offline: true, ..options };
    let reference = reference("hub:owner/model");

    let file = fetch_weights(&reference, &options)?;

    assert_eq!(fs::read_to_string(&file)?, "weights");
    assert!(!hub.requests().iter().any(|(line, _)| line.contains("pytorch")));
    assert_eq!(fetch_weights(&reference, &offline)?, file);
    fs::remove_file(repository.join("model.safetensors"))?;
    let other = FetchOptions { cache: Some(folder.path()), ..options };
    let error = fetch_weights(&reference, &other).unwrap_err().to_string();
    assert!(error.contains("it has no model.safetensors"), "{error}");
    Ok(())
}

#[test]
fn what_the_hub_does_not_have_is_said() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let hub = Hub::serving(folder.path().to_owned())?;
    let (endpoint, cache) = (hub.endpoint(), folder.path().join("cache"));
    let options =
        FetchOptions { endpoint: Some(&endpoint), cache: Some(&cache), ..FetchOptions::default() };

    let refused = |name: &str| fetch(&reference(name), &options).unwrap_err().to_string();

    for name in ["hub:owner/other", "hub:owner/other@v2"] {
        let reason = "there is nothing of that name, or it is not public; check the name, or log in to the \
                      hub";
        assert_eq!(refused(name), format!("cannot get {name} from the hub: {reason}"));
    }
    assert_eq!(
        refused("hub:owner/model@v2"),
        "cannot get hub:owner/model@v2 from the hub: it has no revision v2; check the name"
    );
    Ok(())
}

#[test]
fn a_model_that_lacks_a_file_is_not_taken_for_whole() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let model = packed(folder.path(), 1, "model")?;
    fs::remove_file(model.join("plan.json"))?;
    let hub = Hub::serving(model)?;
    let (endpoint, cache) = (hub.endpoint(), folder.path().join("cache"));
    let options =
        FetchOptions { endpoint: Some(&endpoint), cache: Some(&cache), ..FetchOptions::default() };

    let error = fetch(&reference("hub:owner/model"), &options).unwrap_err().to_string();

    assert_eq!(
        error,
        "cannot get hub:owner/model from the hub: plan.json is missing from it; tell its owner"
    );
    Ok(())
}
