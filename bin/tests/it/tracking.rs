//! `sconce train --mlflow`: who is asked, and what is said where nobody answers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use crate::program::{Ran, command, sconce, workplace};

const LINE: &str = "train run.toml --data data --output run --device cpu --set train.epochs=2";

#[test]
fn an_address_that_is_none_is_refused_before_anything_is_done() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();

    for wrong in ["run2.toml", "localhost:5000", "ftp://host", "http://me:secret@host"] {
        let ran = sconce(folder, format!("{LINE} --mlflow {wrong}").split(' '))?;
        assert_eq!(ran.code, Some(2), "{wrong}: {ran:?}");
        assert!(!folder.join("run").exists(), "{wrong}");
    }
    let ran = sconce(folder, format!("{LINE} --mlflow").split(' '))?;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.error().contains("or set MLFLOW_TRACKING_URI"), "{ran:?}");
    Ok(())
}

#[test]
fn a_server_that_is_not_there_stops_no_training() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();
    let address = format!("http://{}", TcpListener::bind("127.0.0.1:0")?.local_addr()?);

    let ran = sconce(folder, format!("{LINE} --quiet --mlflow {address}").split(' '))?;

    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines: Vec<&str> = ran.err.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with(&format!("MLflow at {address} does not take")), "{lines:?}");
    assert!(lines[1].starts_with("MLflow lacks "), "{lines:?}");
    assert!(folder.join("run/validation/summary.json").exists());
    // Whose server it is, is nobody's business.
    let port = address.rsplit(':').next().unwrap_or_default();
    let provenance = std::fs::read_to_string(folder.join("run/provenance.json"))?;
    assert!(!provenance.contains(port) && provenance.contains("--mlflow"), "{provenance}");
    Ok(())
}

#[test]
fn the_server_and_the_login_of_the_environment_are_used() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}/tracking", listener.local_addr()?);
    let (send, seen) = mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            _ = send.send(head.join("\n").to_ascii_lowercase());
            let answer = "HTTP/1.1 401 no\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            // A client that hangs up is the client's business.
            _ = stream.write_all(answer.as_bytes());
        }
    });

    let output = command(folder)
        .args(format!("{LINE} --quiet --mlflow").split(' '))
        .env("MLFLOW_TRACKING_URI", &address)
        .env("MLFLOW_EXPERIMENT_NAME", "mine")
        .env("MLFLOW_TRACKING_USERNAME", "somebody")
        .env("MLFLOW_TRACKING_PASSWORD", "secret")
        .output()?;

    let ran = Ran::of(&output);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("give a token, or a name and password"), "{ran:?}");
    let request = seen.recv()?;
    assert!(
        request.starts_with(
            "get /tracking/api/2.0/mlflow/experiments/get-by-name?experiment_name=mine "
        ),
        "{request}"
    );
    // somebody:secret
    assert!(request.contains("authorization: basic c29tzwjvzhk6c2vjcmv0"), "{request}");
    Ok(())
}
