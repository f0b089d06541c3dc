//! The two hosts.

use std::io::BufReader;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use crate::http::{Answer, Request};
use crate::{Fault, Shared, api, files};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    Hub = 0,
    Storage = 1,
}

/// Opens both ports, and answers at each for as long as the process runs; 0 is any free port.
pub(crate) fn start(
    port: u16,
    make: impl FnOnce(String, String) -> Shared,
) -> anyhow::Result<Arc<Shared>> {
    let hub = TcpListener::bind(("127.0.0.1", port))?;
    let storage = TcpListener::bind("127.0.0.1:0")?;
    let address = |listener: &TcpListener| -> std::io::Result<String> {
        Ok(format!("http://{}", listener.local_addr()?))
    };
    let shared = Arc::new(make(address(&hub)?, address(&storage)?));
    for (host, listener) in [(Host::Hub, hub), (Host::Storage, storage)] {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A client that hangs up is the client's business.
                thread::spawn(move || _ = serve(&stream, &shared, host));
            }
        });
    }
    Ok(shared)
}

fn serve(stream: &TcpStream, shared: &Shared, host: Host) -> anyhow::Result<()> {
    let mut writer = stream;
    let Some(request) = Request::read(&mut BufReader::new(stream), &mut writer)? else {
        return Ok(());
    };
    let (answer, cut) = {
        let mut state = shared.state();
        let noted = Request { body: Vec::new(), ..request.clone() };
        state.requests[host as usize].push(noted);
        let fault = Fault::take(&mut state.faults, &request);
        let instead = fault.as_ref().and_then(|fault| fault.instead(&request));
        let answer = instead.unwrap_or_else(|| route(shared, &mut state, &request, host));
        fault.map_or((answer.clone(), None), |fault| fault.spoil(answer))
    };
    answer.write(&mut writer, &request.method, cut)?;
    if cut.is_some() {
        _ = stream.shutdown(std::net::Shutdown::Both);
    }
    Ok(())
}

fn route(shared: &Shared, state: &mut crate::State, request: &Request, host: Host) -> Answer {
    if host == Host::Storage {
        return files::storage(state, request);
    }
    let parts = request.parts();
    let mut parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if parts.first() == Some(&"api") {
        return api::answer(shared, state, request, &parts[1..]);
    }
    let kind = if parts.first() == Some(&"datasets") { parts.remove(0) } else { "models" };
    match (request.method.as_str(), parts.as_slice()) {
        ("GET" | "HEAD", [owner, name, "resolve", revision, path @ ..]) => {
            let id = format!("{kind}/{owner}/{name}");
            files::resolve(shared, state, request, &id, (revision, &path.join("/")))
        }
        ("POST", [owner, name, "info", "lfs", "objects", "batch"]) => {
            let id = format!("{kind}/{owner}/{}", name.trim_end_matches(".git"));
            files::batch(shared, state, request, &id)
        }
        _ => Answer::refusal(404, "", "nothing is here"),
    }
}
