#!/usr/bin/env python3
"""Does TensorBoard read what a run writes for it?

    python3 -m venv venv && venv/bin/pip install tensorboard
    cargo build --release
    venv/bin/python benchmarks/interop/tensorboard_events.py [--json FILE]

A small network is trained for two epochs on generated slices, and on from there for two more. TensorBoard must find the values
of `log.jsonl` under their tags, epoch by epoch, once each and in order; every checksum must be right. Then epochs that a killed
run would do again are written twice: TensorBoard must show the later ones.
"""
import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from tensorboard.backend.event_processing import event_accumulator
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

sys.path.append(str(Path(__file__).resolve().parents[1] / "peers"))
from asking import ROOT, record

SCONCE = os.environ.get("SCONCE", ROOT / "target/release/sconce")
RECIPE = ROOT / "bin/tests/it/cmd/walkthrough.in/run.toml"
CLASSES = ["organ", "lesion"]


def sconce(*arguments):
    subprocess.run([SCONCE, *map(str, arguments), "--quiet"], check=True, stdout=subprocess.DEVNULL)


def train(folder, output, epochs, *more):
    sconce("train", RECIPE, "--data", folder / "data", "--output", output, "--device", "cpu", "--set",
           f"train.epochs={epochs}", *more)


def expected(run):
    """What the log says, as TensorBoard should show it: tag → epoch from 1 → value."""
    curves = {}
    for line in (run / "log.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["event"] == "started":
            norms = []
        elif entry["event"] == "step":
            norms.append(entry["gradient_norm"])
        elif entry["event"] == "epoch":
            dice = dict(zip(CLASSES, entry["validation_dice"]))
            defined = [value for value in dice.values() if value is not None]
            values = {f"dice/{name}": value for name, value in dice.items()}
            values |= {"dice/mean": sum(defined) / len(defined) if defined else None, "loss/train": entry["train_loss"],
                       "loss/validation": entry["validation_loss"], "learning_rate": entry["learning_rate"],
                       "gradient_norm": sum(norms) / len(norms), "seconds_per_epoch": entry["seconds"]}
            norms = []
            for tag, value in values.items():
                if value is not None:
                    curves.setdefault(tag, {})[entry["epoch"] + 1] = value
    return curves


def compare(run):
    """What differs between the log and what TensorBoard reads."""
    found = []
    for path in sorted((run / "tensorboard").iterdir()):
        reader = PyRecordReader_New(str(path).encode())
        try:
            while True:
                reader.GetNext()
        except Exception as end:  # noqa: BLE001 — the stub has an exception of its own for the end of a file
            if type(end).__name__ != "OutOfRangeError" or "runcated" in str(end):
                found.append(f"{path.name}: {end}")
    board = event_accumulator.EventAccumulator(str(run / "tensorboard"))
    board.Reload()
    curves = expected(run)
    tags = set(board.Tags()["scalars"])
    # How fast it was, the log measures on its own.
    if tags - {"steps_per_second"} != set(curves):
        found.append(f"tags {sorted(tags ^ set(curves))}")
    for tag, curve in curves.items():
        if tag not in tags:
            continue
        events = board.Scalars(tag)
        if [event.step for event in events] != sorted(curve):
            found.append(f"{tag}: epochs {[event.step for event in events]}, not {sorted(curve)}")
        elif not all(math.isclose(event.value, curve[event.step], rel_tol=1e-6, abs_tol=1e-9) for event in events):
            found.append(f"{tag} has other values")
    return found, len(curves)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the table here")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        sconce("dataset", "phantom", folder / "data", "--cases", 6, "--raters", 2, "--rank", 2)
        run = folder / "run"
        train(folder, run, 2)
        before = folder / "before"
        shutil.copytree(run, before)
        train(folder, run, 4, "--resume")
        cases = [("one start", before), ("two starts", run)]
        # The checkpoint of two epochs, and the curves of four: what a run leaves that was killed before it could save.
        killed = folder / "killed"
        shutil.copytree(run, killed)
        shutil.copy(before / "checkpoint.safetensors", killed / "checkpoint.safetensors")
        train(folder, killed, 4, "--resume")
        cases.append(("epochs done again", killed))
        for kind, path in cases:
            found, tags = compare(path)
            rows.append(dict(kind=kind, files=len(list((path / "tensorboard").iterdir())), tags=tags, differ=found,
                             tensorboard=version("tensorboard")))
            print(f"{kind}: {rows[-1]['files']} files, {tags} tags: {'; '.join(found) or 'the same'}")
    if args.json:
        record(args.json, "benchmarks/interop/tensorboard_events.py", rows, dict(same=sum(not row["differ"] for row in rows)))
    sys.exit(any(row["differ"] for row in rows))


if __name__ == "__main__":
    main()
