//! Runs on an MLflow server, and what becomes of them where it is not there.

mod server;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;

use engine::observe::{MlFlow, MlFlowLogin, MlFlowRun, MlFlowServer, RunStatus};
use engine::{Event, Observer, Origins, Outcome, Run, RunFolder, train};
use serde_json::{Value, json};
use tempfile::tempdir;

use self::server::{Mood, Server};
use crate::fixture::{Balls, config, device, run_from, validated};

/// What a run has to say of its tracking.
type Said = Rc<RefCell<Vec<String>>>;

/// Does something when an epoch is done.
struct AfterEpoch<F: FnMut(usize)>(F);

impl<F: FnMut(usize)> Observer for AfterEpoch<F> {
    fn on(&mut self, event: &Event<'_>) -> engine::Result<ControlFlow<()>> {
        if let Event::Epoch(summary) = event {
            (self.0)(summary.epoch);
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Trains into `root`, tracked at `address`, and ends as `end` says.
fn tracked(
    root: &Path,
    address: &str,
    (epochs, resume): (usize, bool),
    after: impl FnMut(usize),
    end: impl FnOnce(&mut MlFlow, &Outcome),
) -> anyhow::Result<(Outcome, Vec<String>)> {
    let (balls, device, config) = (Balls::new(6, [1, 20, 20]), device(), config(2, epochs));
    let folder = RunFolder::create(root, resume)?;
    let said = Said::default();
    let saying = Rc::clone(&said);
    let run = Run { resume, ..run_from(&config, &balls, &folder, &device, Origins::default()) };
    let mut mlflow = MlFlow::new(
        MlFlowServer::at(address)?.with_login(MlFlowLogin::Token("secret".to_owned())),
        &MlFlowRun {
            experiment: "balls of noise",
            user: Some("somebody"),
            command: "sconce train run.toml",
            config: &config,
            folder: &folder,
            resume,
        },
        move |line| saying.borrow_mut().push(line.to_owned()),
    )?;
    let outcome = train(&run, &mut [&mut mlflow, &mut AfterEpoch(after)])?;
    end(&mut mlflow, &outcome);
    drop(mlflow);
    let said = said.borrow().clone();
    Ok((outcome, said))
}

fn finished(mlflow: &mut MlFlow, _: &Outcome) {
    mlflow.end(RunStatus::Finished);
}

/// Name → step → value, of all batches.
fn curves(server: &Server) -> BTreeMap<String, BTreeMap<u64, f64>> {
    let mut found: BTreeMap<String, BTreeMap<u64, f64>> = BTreeMap::new();
    for batch in server.asked("runs/log-batch") {
        for metric in batch["metrics"].as_array().expect("a list") {
            let (step, value) = (metric["step"].as_u64(), metric["value"].as_f64());
            let curve = found.entry(metric["key"].as_str().expect("a name").to_owned());
            let before = curve.or_default().insert(step.expect("a step"), value.expect("a value"));
            assert_eq!(before, None, "twice: {metric}");
            assert!(metric["timestamp"].as_u64() > Some(1_500_000_000_000), "{metric}");
        }
    }
    found
}

fn statuses(server: &Server) -> Vec<Value> {
    server.asked("runs/update").into_iter().map(|mut body| body["status"].take()).collect()
}

#[test]
fn a_run_is_sent_with_its_settings_curves_and_scores() -> anyhow::Result<()> {
    let (root, server) = (tempdir()?, Server::start(Mood::Well)?);
    let path = root.path().join("my run");
    let scored = path.clone();
    let end = move |mlflow: &mut MlFlow, outcome: &Outcome| {
        let balls = Balls::new(6, [1, 20, 20]);
        let found = validated(&scored, &config(2, 2), &balls, outcome).expect("scores");
        mlflow.scores(&found.calibrated);
        mlflow.end(RunStatus::Finished);
    };

    let (outcome, said) = tracked(&path, &server.address, (2, false), |_| (), end)?;

    assert!(said.is_empty(), "{said:?}");
    let requests = server.requests();
    assert!(requests.iter().all(|it| it.login.as_deref() == Some("Bearer secret")), "{requests:?}");
    let created = &server.asked("runs/create")[0];
    assert_eq!(created["run_name"], "my run");
    assert_eq!(created["user_id"], "somebody");
    let tags = created["tags"].as_array().expect("tags");
    assert!(
        tags.contains(&json!({ "key": "mlflow.source.name", "value": "sconce train run.toml" }))
    );
    let curves = curves(&server);
    let history = &outcome.history;
    for (at, summary) in history.iter().enumerate() {
        let epoch = at as u64 + 1;
        let sent = ["loss/train", "learning_rate"].map(|name| curves[name][&epoch].to_bits());
        assert_eq!(sent, [summary.train_loss, summary.learning_rate].map(f64::to_bits));
        assert_eq!(curves["dice/ball"].get(&epoch).copied(), summary.validation_dice[0]);
    }
    assert_eq!(curves["loss/train"].len(), 2);
    assert!(curves["loss/step"].keys().copied().eq(0..16), "two epochs of eight steps");
    assert!(curves["held_out/ball/dice"].contains_key(&2), "{curves:?}");
    let batches = server.asked("runs/log-batch");
    let settings = batches.iter().flat_map(|it| it["params"].as_array().expect("a list"));
    let settings: BTreeMap<_, _> =
        settings.map(|it| (it["key"].as_str().unwrap_or_default(), &it["value"])).collect();
    assert_eq!(settings["train.epochs"], "2");
    assert_eq!(settings["model.unet.features_per_stage"], "[4, 8]");
    assert!(batches.iter().all(|it| it["params"].as_array().map_or(0, Vec::len) <= 100));
    let tags = batches.iter().flat_map(|it| it["tags"].as_array().expect("a list"));
    let weights: Vec<_> = tags.map(|it| &it["value"]).collect();
    assert_eq!(weights, [&json!(outcome.trained.weights_hash()?)]);
    assert_eq!(statuses(&server), ["FINISHED"]);
    Ok(())
}

#[test]
fn what_could_not_be_sent_is_sent_once_the_server_is_back() -> anyhow::Result<()> {
    let (root, server) = (tempdir()?, Server::start(Mood::Down)?);
    let switch = server.clone();
    let back = move |epoch| {
        if epoch == 1 {
            switch.wait_until_missed();
            switch.set(Mood::Well);
        }
    };

    let (outcome, said) =
        tracked(&root.path().join("run"), &server.address, (3, false), back, finished)?;

    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("MLflow at http://127.0.0.1:"), "{said:?}");
    assert!(said[0].contains("training goes on"), "{said:?}");
    let curves = curves(&server);
    assert!(
        curves["loss/train"].values().copied().eq(outcome.history.iter().map(|it| it.train_loss))
    );
    assert_eq!(curves["loss/step"].len(), 24);
    assert_eq!(server.asked("runs/create").len(), 1);
    assert_eq!(statuses(&server), ["FINISHED"]);
    Ok(())
}

#[test]
fn a_server_that_is_never_there_costs_nothing_but_a_warning() -> anyhow::Result<()> {
    let root = tempdir()?;
    // A port where nobody listens any more.
    let address = format!("http://{}", TcpListener::bind("127.0.0.1:0")?.local_addr()?);

    let (outcome, said) =
        tracked(&root.path().join("run"), &address, (2, false), |_| (), finished)?;

    assert_eq!(outcome.history.len(), 2);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("check the address"), "{said:?}");
    assert!(said[1].contains("log.jsonl"), "{said:?}");
    assert!(!root.path().join("run/mlflow.json").exists());
    Ok(())
}

#[test]
fn no_step_waits_for_a_server_that_does_not_answer() -> anyhow::Result<()> {
    let (root, server) = (tempdir()?, Server::start(Mood::Stuck)?);
    let switch = server.clone();
    // Only when training is over does the server answer its first request.
    let end = move |mlflow: &mut MlFlow, outcome: &Outcome| {
        switch.wait_until_missed();
        assert!(switch.requests().is_empty());
        switch.set(Mood::Well);
        finished(mlflow, outcome);
    };

    let (_, said) = tracked(&root.path().join("run"), &server.address, (2, false), |_| (), end)?;

    assert!(said.is_empty(), "{said:?}");
    assert_eq!(curves(&server)["loss/step"].len(), 16);
    assert_eq!(statuses(&server), ["FINISHED"]);
    Ok(())
}

#[test]
fn what_the_server_does_not_take_is_said_once_and_left_out() -> anyhow::Result<()> {
    let (root, server) = (tempdir()?, Server::start(Mood::Strict)?);

    let (_, said) =
        tracked(&root.path().join("run"), &server.address, (3, false), |_| (), finished)?;

    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("(no room for that); training goes on"), "{said:?}");
    assert_eq!(statuses(&server), ["FINISHED"]);
    Ok(())
}

#[test]
fn a_run_that_goes_on_does_so_in_the_same_run_of_the_server() -> anyhow::Result<()> {
    let (root, server) = (tempdir()?, Server::start(Mood::Well)?);
    let path = root.path().join("run");
    // Nobody ends the first: it has failed.
    tracked(&path, &server.address, (2, false), |_| (), |_, _| ())?;
    assert_eq!(statuses(&server), ["FAILED"]);
    let kept = std::fs::read_to_string(path.join("mlflow.json"))?;
    assert!(!kept.contains("127.0.0.1"), "a run folder does not say where servers are: {kept}");

    let killed = |mlflow: &mut MlFlow, _: &Outcome| mlflow.end(RunStatus::Killed);
    tracked(&path, &server.address, (4, true), |_| (), killed)?;

    assert_eq!(server.asked("runs/create").len(), 1);
    assert_eq!(server.asked("experiments/create").len(), 1);
    assert_eq!(statuses(&server), ["FAILED", "RUNNING", "KILLED"]);
    assert!(server.asked("runs/log-batch").iter().all(|it| it["run_id"] == "run1"));
    // Each epoch once, the settings once.
    assert!(curves(&server)["loss/train"].keys().copied().eq(1..=4));
    let batches = server.asked("runs/log-batch");
    let with_settings = batches.iter().filter(|it| it["params"] != json!([]));
    assert_eq!(with_settings.count(), 1);

    // A server that knows nothing of it gets a new run, with all epochs.
    server.forget();
    let (outcome, _) = tracked(&path, &server.address, (5, true), |_| (), finished)?;
    assert_eq!(server.asked("runs/create").len(), 1);
    assert!(curves(&server)["loss/train"].keys().copied().eq(1..=5));
    assert_eq!(outcome.history.len(), 5);
    Ok(())
}
