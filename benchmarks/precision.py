#!/usr/bin/env python3
"""Is a network that is trained in bf16 as good as one that is trained in f32?

    cargo build --release
    python3 benchmarks/precision.py [--seeds 3] [--json benchmarks/results/precision.json]
    python3 benchmarks/precision.py --recipe zoo/recipes/hippocampus-3d.toml --data Task04_Hippocampus --seeds 1

Each seed trains the recipe, by default the generated volumes, once in each precision. The two agree if their mean Dice differ by
no more than the spread over seeds, or, of a single seed, by 0.01. With `--runs DIR` runs stay there, and those that are done are
not done again.
"""
import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent / "peers"))
from asking import ROOT, record
from methods import sconce

PRECISIONS = ["exact", "bf16"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=ROOT / "zoo/recipes/phantom-3d.toml")
    parser.add_argument("--data", type=Path, help="the data of the recipe; default: generated")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--json", type=Path, help="also write the table here")
    args = parser.parse_args()
    rows = []
    print(f"{'precision':<10} {'seed':>4} {'mean Dice':>9} {'minutes':>7}")
    with tempfile.TemporaryDirectory() as folder:
        runs, data = args.runs or Path(folder), args.data
        if data is None:
            data = Path(folder) / "data"
            sconce("dataset", "phantom", data)
        for seed in range(1, args.seeds + 1):
            for precision in PRECISIONS:
                start, output = time.monotonic(), runs / f"{precision}-{seed}"
                summary = output / "validation/summary.json"
                minutes = None
                if not summary.exists():
                    sconce("train", args.recipe, "--data", data, "--output", output, "--set", f"seed={seed}",
                           "--set", f"train.precision=\"{precision}\"")
                    minutes = (time.monotonic() - start) / 60
                epochs = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
                trained = sum(line["seconds"] for line in epochs if line["event"] == "epoch") / 60
                masks = json.loads(summary.read_text())["masks"]
                dice = statistics.mean(scores["dice"]["mean"] for scores in masks.values())
                rows.append(dict(precision=precision, seed=seed, dice=dice, minutes=minutes or trained))
                print(f"{precision:<10} {seed:>4} {dice:>9.4f} {rows[-1]['minutes']:>7.1f}", flush=True)
    of = lambda precision: [row["dice"] for row in rows if row["precision"] == precision]
    means = {precision: statistics.mean(of(precision)) for precision in PRECISIONS}
    spread = max(max(of(precision)) - min(of(precision)) for precision in PRECISIONS)
    apart = max(means.values()) - min(means.values())
    told = ", ".join(f"{precision} {mean:.4f}" for precision, mean in means.items())
    print(f"means {told}: {apart:.4f} apart, spread over seeds {spread:.4f}")
    if args.json:
        record(args.json, "benchmarks/precision.py", rows, dict(means, apart=apart, spread=spread))
    sys.exit(0 if apart <= (spread if args.seeds > 1 else 0.01) else 1)


if __name__ == "__main__":
    main()
