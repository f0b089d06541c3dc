#!/usr/bin/env python3
"""Does a real MLflow server take what a run sends it?

    python3 -m venv venv && venv/bin/pip install mlflow
    cargo build --release
    venv/bin/python benchmarks/interop/mlflow_tracking.py [--json FILE]

A small network is trained for two epochs on generated slices, tracked by a server that this script starts, and on from there
for two more. MLflow's own client must find one run with every setting of `run.toml`, the values of `log.jsonl` under their
names, epoch by epoch and once each, the scores of held-out cases, and the hash of the weights. Then the server is stopped in
the middle: what it missed, it must have once it is back. A run that its server never heard of must be trained all the same.
"""
import argparse
import json
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from importlib.metadata import version
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "peers"))
from asking import ROOT, record

SCONCE = os.environ.get("SCONCE", ROOT / "target/release/sconce")
RECIPE = ROOT / "bin/tests/it/cmd/walkthrough.in/run.toml"
CLASSES = ["organ", "lesion"]
EXPERIMENT = "generated slices"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Server:
    """MLflow on a port of its own, keeping all below a folder."""

    def __init__(self, folder, port=None):
        self.folder = folder
        self.port = port or free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        with (folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
                 "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")],
                stdout=log, stderr=log, start_new_session=True)
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{self.address}/health", timeout=1).read()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        sys.exit(f"MLflow does not start:\n{(folder / 'server.log').read_text()}")

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait()


def train(folder, output, epochs, *more):
    """Its errors and warnings."""
    ran = subprocess.run([SCONCE, "train", RECIPE, "--data", folder / "data", "--output", output, "--device", "cpu", "--quiet",
                          "--set", f"train.epochs={epochs}", *map(str, more)], capture_output=True, text=True)
    if ran.returncode != 0:
        sys.exit(ran.stderr)
    return ran.stderr.splitlines()


def expected(run):
    """What the log says, as MLflow should show it: name → step → value."""
    curves = {}

    def put(name, step, value):
        if value is not None:
            curves.setdefault(name, {})[step] = value

    for line in (run / "log.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["event"] == "step":
            put("loss/step", entry["step"], entry["loss"])
        elif entry["event"] == "epoch":
            epoch = entry["epoch"] + 1
            dice = dict(zip(CLASSES, entry["validation_dice"]))
            defined = [value for value in dice.values() if value is not None]
            for name, value in dice.items():
                put(f"dice/{name}", epoch, value)
            put("dice/mean", epoch, sum(defined) / len(defined) if defined else None)
            for name, key in [("loss/train", "train_loss"), ("loss/validation", "validation_loss"),
                              ("learning_rate", "learning_rate"), ("seconds_per_epoch", "seconds")]:
                put(name, epoch, entry[key])
    return curves


def settings(value, key=""):
    """The keys of a run file, as `--set` takes them."""
    if isinstance(value, dict) and value:
        return {k: v for part, below in value.items() for k, v in settings(below, f"{key}.{part}" if key else part).items()}
    if isinstance(value, list) and any(isinstance(it, dict) for it in value):
        return {k: v for at, below in enumerate(value) for k, v in settings(below, f"{key}.{at}").items()}
    return {key: value}


def same_setting(text, value):
    if isinstance(value, bool):
        return text == str(value).lower()
    if isinstance(value, (int, float)):
        return math.isclose(float(text), value)
    if isinstance(value, list):
        return tomllib.loads(f"value = {text}")["value"] == value
    if isinstance(value, dict):
        return text == "{}"
    return text == value


def compare(server, run, status="FINISHED"):
    """What differs between a run folder and what MLflow knows of it."""
    from mlflow.tracking import MlflowClient
    client = MlflowClient(server.address)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = [it for it in client.search_runs([experiment.experiment_id]) if it.info.run_name == run.name]
    if len(runs) != 1:
        return [f"{len(runs)} runs are called {run.name}"], 0
    found = []
    info, data = runs[0].info, runs[0].data
    if info.status != status or (status == "FINISHED" and not info.end_time):
        found.append(f"its status is {info.status}, ended {info.end_time}")
    if json.loads((run / "mlflow.json").read_text())["run_id"] != info.run_id:
        found.append("mlflow.json names another run")
    wanted = settings(tomllib.loads((run / "run.toml").read_text()))
    # A setting that is there cannot be changed: the run goes on with more epochs.
    wanted.pop("train.epochs")
    params = {key: value for key, value in data.params.items() if key != "train.epochs"}
    if set(params) != set(wanted):
        found.append(f"settings {sorted(set(params) ^ set(wanted))}")
    found += [f"{key} is {params[key]}, not {value}" for key, value in wanted.items()
              if key in params and not same_setting(params[key], value)]
    summary = json.loads((run / "validation/summary.json").read_text())
    provenance = json.loads((run / "provenance.json").read_text())
    for tag, value in [("sconce.weights", summary["weights"]), ("sconce.version", provenance["version"]),
                       ("mlflow.source.type", "LOCAL")]:
        if data.tags.get(tag) != value:
            found.append(f"the tag {tag} is {data.tags.get(tag)}, not {value}")
    if "sconce train" not in data.tags.get("mlflow.source.name", ""):
        found.append("it does not say what command it is of")
    curves = expected(run)
    for name, scores in summary["masks"].items():
        for score, aggregate in scores.items():
            if aggregate["mean"] is not None:
                curves[f"held_out/{name}/{score}"] = {summary_step(curves): aggregate["mean"]}
    if set(data.metrics) != set(curves):
        found.append(f"metrics {sorted(set(data.metrics) ^ set(curves))}")
    for name, curve in curves.items():
        history = sorted(client.get_metric_history(info.run_id, name), key=lambda it: (it.step, it.timestamp))
        if name.startswith("held_out/"):
            # Scores of the shorter run stay: the last are those of the weights.
            history = history[-1:]
        if [it.step for it in history] != sorted(curve):
            found.append(f"{name}: steps {[it.step for it in history]}, not {sorted(curve)}")
        elif not all(math.isclose(it.value, curve[it.step], rel_tol=1e-9, abs_tol=1e-12) for it in history):
            found.append(f"{name} has other values")
    return found, len(curves)


def summary_step(curves):
    return max(curves["loss/train"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the table here")
    args = parser.parse_args()
    rows = []

    def row(kind, found, curves):
        rows.append(dict(kind=kind, metrics=curves, differ=found, mlflow=version("mlflow")))
        print(f"{kind}: {curves} metrics: {'; '.join(found) or 'the same'}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        subprocess.run([SCONCE, "dataset", "phantom", folder / "data", "--cases", "6", "--raters", "2", "--rank", "2",
                        "--quiet"], check=True, stdout=subprocess.DEVNULL)
        server = Server(folder)
        try:
            tracked = ["--mlflow", server.address, "--mlflow-experiment", EXPERIMENT]
            run = folder / "run"
            said = train(folder, run, 2, *tracked)
            found, curves = compare(server, run)
            row("one start", found + said, curves)
            said = train(folder, run, 4, *tracked, "--resume")
            found, curves = compare(server, run)
            row("two starts", found + said, curves)

            port = server.port
            server.stop()
            missed = folder / "missed"
            said = train(folder, missed, 2, *tracked)
            wrong = [] if len(said) == 2 and (missed / "validation/summary.json").exists() else said or ["nothing is said"]
            row("no server", wrong, 0)
            server = Server(folder, port)
            said = train(folder, missed, 4, *tracked, "--resume")
            found, curves = compare_missed(server, missed)
            row("a server that comes back", found + said, curves)
        finally:
            server.stop()
    if args.json:
        record(args.json, "benchmarks/interop/mlflow_tracking.py", rows, dict(same=sum(not row["differ"] for row in rows)))
    sys.exit(any(row["differ"] for row in rows))


def compare_missed(server, run):
    """The same of a run whose first epochs the server missed: what no checkpoint keeps of them is not made up for."""
    found, curves = compare(server, run)
    kept = [it for it in found if not it.startswith(("loss/step: steps", "seconds_per_epoch: steps"))]
    # They must be missing, or nothing was missed.
    return kept + ([] if len(found) == len(kept) + 2 else ["the server has missed nothing"]), curves


if __name__ == "__main__":
    main()
