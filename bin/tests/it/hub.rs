use crate::program::sconce;

const LINE: &str = "predict -m hub:owner/model -i data/case01/image.nii.gz -o out --device cpu";

#[cfg(not(feature = "hub"))]
#[test]
fn a_program_without_the_hub_says_how_to_get_one_with_it() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;

    let ran = sconce(folder.path(), LINE.split(' '))?;

    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.error().contains("--features hub"), "{ran:?}");
    Ok(())
}

#[cfg(feature = "hub")]
mod with {
    use std::fs;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::path::Path;
    use std::sync::{Arc, Mutex};
    use std::thread;

    use super::{LINE, sconce};
    use crate::program::{Ran, command, files, good, trained};

    #[test]
    fn offline_an_empty_cache_is_said_in_one_line() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;

        for line in [LINE, "evaluate -m hub:owner/model --data data", "zoo show hub:owner/model"] {
            let ran = sconce(folder.path(), line.split(' '))?;
            assert_eq!(ran.code, Some(1), "{ran:?}");
            assert_eq!(
                ran.error(),
                "error: cannot get hub:owner/model from the hub: it is not in the cache; go online \
                 once, or give a folder"
            );
        }
        let wrong = sconce(folder.path(), LINE.replace("owner/", "").split(' '))?;
        assert!(wrong.error().contains("give hub:OWNER/NAME"), "{wrong:?}");
        Ok(())
    }

    #[test]
    fn offline_a_model_in_the_cache_is_used() -> anyhow::Result<()> {
        let workplace = trained()?;
        let folder = workplace.path();
        good(folder, "zoo pack run --output packed")?;
        let cache = folder.join("hf/hub/models--owner--model");
        let commit = "0123456789abcdef0123456789abcdef01234567";
        fs::create_dir_all(cache.join("refs"))?;
        fs::write(cache.join("refs/main"), commit)?;
        let snapshot = cache.join("snapshots").join(commit);
        for file in files(&folder.join("packed"))? {
            let to = snapshot.join(file.strip_prefix(folder.join("packed"))?);
            fs::create_dir_all(to.parent().unwrap_or(Path::new("")))?;
            fs::copy(file, to)?;
        }

        good(folder, LINE)?;
        good(folder, "zoo verify hub:owner/model@main --device cpu")?;

        let local = LINE.replace("hub:owner/model", "packed").replace("out", "local");
        good(folder, &local)?;
        let read = |name: &str| fs::read(folder.join(name).join("image.nii.gz"));
        assert!(read("out")? == read("local")?, "the model of the hub predicts something else");
        Ok(())
    }

    /// Refuses everyone, and remembers what they asked.
    fn refusing(listener: TcpListener, seen: Arc<Mutex<Vec<String>>>) {
        let answer = move |mut stream: &TcpStream| -> std::io::Result<()> {
            let mut request = String::new();
            for line in BufReader::new(stream).lines() {
                let line = line?;
                if line.is_empty() {
                    break;
                }
                request.push_str(&line.to_ascii_lowercase());
                request.push('\n');
            }
            seen.lock().expect("no request panics").push(request);
            let head = "HTTP/1.1 404 Not Found\r\nX-Error-Code: RepoNotFound\r\n";
            write!(stream, "{head}Connection: close\r\nContent-Length: 0\r\n\r\n")
        };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up is the client's business.
                _ = answer(&stream);
            }
        });
    }

    #[test]
    fn online_the_hub_of_the_environment_is_asked_with_its_token() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let seen = Arc::new(Mutex::new(Vec::new()));
        refusing(listener, Arc::clone(&seen));

        let output = command(folder.path())
            .args(LINE.split(' '))
            .env_remove("HF_HUB_OFFLINE")
            .env("HF_ENDPOINT", &endpoint)
            .env("HF_TOKEN", "secret")
            .output()?;

        let ran = Ran::of(&output);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            ran.error().contains("from the hub: there is nothing of that name, or it is"),
            "{ran:?}"
        );
        let requests = seen.lock().expect("no request panics");
        assert!(!requests.is_empty());
        for request in requests.iter() {
            assert!(request.contains("/owner/model"), "{request}");
            assert!(request.contains("authorization: bearer secret"), "{request}");
        }
        Ok(())
    }
}
