//! A server that answers as MLflow does, and remembers what it was asked.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use serde_json::{Value, json};

/// What was asked.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// The call, such as `runs/create`.
    pub(super) call: String,
    pub(super) login: Option<String>,
    pub(super) body: Value,
}

/// How a server behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mood {
    #[default]
    Well,
    /// Hangs up on everyone.
    Down,
    /// Lets everyone wait.
    Stuck,
    /// Takes nothing that is logged.
    Strict,
}

#[derive(Debug, Default)]
struct State {
    mood: Mood,
    /// Calls that were not answered.
    turned_away: usize,
    requests: Vec<Request>,
    experiments: BTreeMap<String, String>,
    runs: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Server {
    state: Arc<(Mutex<State>, Condvar)>,
    pub(super) address: String,
}

impl Server {
    /// Below a path, as behind a proxy.
    pub(super) fn start(mood: Mood) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}/tracking/", listener.local_addr()?);
        let state = State { mood, ..State::default() };
        let server = Self { state: Arc::new((Mutex::new(state), Condvar::new())), address };
        let shared = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                // A client that hangs up is the client's business.
                thread::spawn(move || _ = shared.answer(&stream));
            }
        });
        Ok(server)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().expect("no request panics")
    }

    pub(super) fn set(&self, mood: Mood) {
        self.state().mood = mood;
        self.state.1.notify_all();
    }

    /// Waits until a call has gone unanswered.
    pub(super) fn wait_until_missed(&self) {
        let waiting = self.state.1.wait_while(self.state(), |state| state.turned_away == 0);
        drop(waiting.expect("no request panics"));
    }

    /// The bodies of a call, in order.
    pub(super) fn asked(&self, call: &str) -> Vec<Value> {
        let state = self.state();
        let asked = state.requests.iter().filter(|request| request.call == call);
        asked.map(|request| request.body.clone()).collect()
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// Forgets all runs, as a server whose database is new.
    pub(super) fn forget(&self) {
        let mut state = self.state();
        state.runs = 0;
        state.requests.clear();
    }

    fn answer(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let (mut target, mut login, mut length) = (String::new(), None, 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            match line.split_once(": ") {
                Some((key, value)) if key.eq_ignore_ascii_case("authorization") => {
                    login = Some(value.to_owned());
                }
                Some((key, value)) if key.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().expect("a length");
                }
                None => line.split(' ').nth(1).unwrap_or_default().clone_into(&mut target),
                Some(_) => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let call = path.strip_prefix("/tracking/api/2.0/mlflow/").expect("a call of MLflow");
        let body = match length {
            0 => json!({ "query": query }),
            _ => serde_json::from_slice(&body).expect("JSON"),
        };
        let mut state = self.state();
        if state.mood != Mood::Well && state.mood != Mood::Strict {
            state.turned_away += 1;
            self.state.1.notify_all();
        }
        if state.mood == Mood::Down {
            return Ok(());
        }
        let waiting = self.state.1.wait_while(state, |state| state.mood == Mood::Stuck);
        let mut state = waiting.expect("no request panics");
        let (status, answer) = state.reply(call, &body);
        state.requests.push(Request { call: call.to_owned(), login, body });
        drop(state);
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 {status} said\r\nConnection: close\r\n");
        write!(stream, "{head}Content-Length: {}\r\n\r\n{answer}", answer.len())
    }
}

impl State {
    fn reply(&mut self, call: &str, body: &Value) -> (u16, Value) {
        let missing =
            || (404, json!({ "error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none" }));
        match call {
            "experiments/get-by-name" => {
                let query = body["query"].as_str().unwrap_or_default();
                let name = query.strip_prefix("experiment_name=").expect("a name");
                match self.experiments.get(name) {
                    Some(id) => (200, json!({ "experiment": { "experiment_id": id } })),
                    None => missing(),
                }
            }
            "experiments/create" => {
                let id = (self.experiments.len() + 1).to_string();
                let name = body["name"].as_str().expect("a name").replace(' ', "%20");
                self.experiments.insert(name, id.clone());
                (200, json!({ "experiment_id": id }))
            }
            "runs/create" => {
                self.runs += 1;
                (200, json!({ "run": { "info": { "run_id": format!("run{}", self.runs) } } }))
            }
            "runs/update" if self.runs == 0 => missing(),
            "runs/log-batch" if self.mood == Mood::Strict => {
                let message = "no room\nfor that";
                (400, json!({ "error_code": "INVALID_PARAMETER_VALUE", "message": message }))
            }
            "runs/update" | "runs/log-batch" => (200, json!({})),
            other => panic!("{other} is not asked for"),
        }
    }
}
