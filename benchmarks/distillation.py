#!/usr/bin/env python3
"""What a small network gains from a large one: teacher, student alone and student distilled, by seed.

    cargo build --release
    python3 benchmarks/distillation.py phantom [--seeds 3] [--json benchmarks/results/distillation-phantom.json]
    python3 benchmarks/distillation.py hippocampus --data Task04_Hippocampus [--json FILE]

All three train on the same cases for as long, as recipes of `zoo/recipes` say; the student has an eighth of the teacher's
parameters or less, and alone it is the same recipe, in which the teacher counts nothing. Dice is the mean over classes of the held-out cases; ECE is over their voxels near the reference, as the
network gives its probabilities, before any temperature is fitted.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent / "peers"))
from asking import ROOT, record

SCONCE = Path(os.environ.get("SCONCE", ROOT / "target/release/sconce"))
# The recipes of teacher and student, and what the stages of the teacher have.
CASES = {
    "phantom": ("phantom-2d", "phantom-2d-student", [24, 48, 96]),
    "hippocampus": ("hippocampus-3d", "hippocampus-3d-student", [16, 32, 64, 128]),
}


def sconce(*args):
    run = subprocess.run([str(SCONCE), *map(str, args)], capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"sconce {args[0]} failed: {run.stderr.strip().splitlines()[-1]}")
    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=sorted(CASES))
    parser.add_argument("--data", type=Path, help="the data folder; of the phantom, one is made")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="more settings of all runs")
    parser.add_argument("--json", type=Path, help="also write the table here")
    args = parser.parse_args()
    large, small, features = CASES[args.case]
    if args.data is None and args.case != "phantom":
        sys.exit("give the data folder: --data DIR")
    rows = []
    print(f"{'network':<18} {'seed':>4} {'parameters':>10} {'Dice':>7} {'ECE':>7} {'Brier':>7} {'minutes':>7}")
    with tempfile.TemporaryDirectory() as folder:
        data = args.data or Path(folder) / "data"
        if args.data is None:
            sconce("dataset", "phantom", data, "--rank", 2)
        more = [part for setting in args.set for part in ("--set", setting)]
        for seed in range(1, args.seeds + 1):
            teacher = Path(folder) / f"teacher-{seed}"
            wide = ["--set", f"model.unet.features_per_stage={features}"]
            taught = ["--set", f'supervision.teachers=["{teacher}"]']
            alone = [*taught, "--set", "supervision.label.weight=1.0", "--set", "supervision.teacher.weight=0.0"]
            for name, recipe, settings in [("teacher", large, wide), ("student alone", small, alone),
                                           ("student distilled", small, taught)]:
                start = time.monotonic()
                output = teacher if name == "teacher" else Path(folder) / f"{name}-{seed}"
                run = sconce("train", ROOT / f"zoo/recipes/{recipe}.toml", "--data", data, "--output", output,
                             "--set", f"seed={seed}", *settings, *more)
                raw = json.loads((output / "validation/raw.json").read_text())
                dice = statistics.mean(scores["dice"]["mean"] for label, scores in raw["masks"].items() if label != "mean")
                parameters = int(next(line for line in run.stderr.splitlines() if " parameters, " in line)
                                 .split(" parameters, ")[0].split()[-1])
                row = dict(network=name, seed=seed, parameters=parameters, dice=dice,
                           ece=raw["calibration"]["pooled_ece"], brier=raw["calibration"]["brier"],
                           minutes=(time.monotonic() - start) / 60)
                rows.append(row)
                print(f"{name:<18} {seed:>4} {parameters:>10} {dice:>7.4f} {row['ece']:>7.4f} {row['brier']:>7.4f} "
                      f"{row['minutes']:>7.1f}", flush=True)
    summary = {}
    for name in ("teacher", "student alone", "student distilled"):
        for score in ("dice", "ece", "brier"):
            values = [row[score] for row in rows if row["network"] == name]
            mean, spread = statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0
            summary[f"{name}, {score}"] = dict(mean=mean, sd=spread)
            print(f"{name:<18} {score:<6} {mean:.4f} ± {spread:.4f}")
    sizes = {row["network"]: row["parameters"] for row in rows}
    summary["share of parameters"] = sizes["student distilled"] / sizes["teacher"]
    if args.json:
        record(args.json, f"benchmarks/distillation.py {args.case}", rows, summary)


if __name__ == "__main__":
    main()
