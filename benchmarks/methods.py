#!/usr/bin/env python3
"""Does it matter how convolutions multiply? The generated data set learned with Winograd's method, exact and fast, and directly.

    cargo build --release
    python3 benchmarks/methods.py [--seeds 3] [--json benchmarks/results/methods.json]

Each seed trains the network of `zoo/recipes/phantom-3d.toml`, with stages of 8, 16 and 32 features, once by each method
(`SCONCE_METHOD`). The methods agree if no two mean Dice differ by more than the spread over seeds.
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

SCONCE = ROOT / "target/release/sconce"
METHODS = {"winograd": "auto", "fast": "fast", "direct": "direct"}


def sconce(*args, **environment):
    run = subprocess.run([str(SCONCE), *map(str, args)], env=dict(os.environ, **environment), capture_output=True,
                         text=True)
    if run.returncode != 0:
        sys.exit(f"sconce {args[0]} failed: {run.stderr.strip().splitlines()[-1]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the table here")
    args = parser.parse_args()
    rows = []
    print(f"{'method':<10} {'seed':>4} {'mean Dice':>9} {'minutes':>7}")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        sconce("dataset", "phantom", data)
        for seed in range(1, args.seeds + 1):
            for method, setting in METHODS.items():
                start, output = time.monotonic(), Path(folder) / f"{method}-{seed}"
                sconce("train", ROOT / "zoo/recipes/phantom-3d.toml", "--data", data, "--output", output,
                       "--set", f"seed={seed}", "--set", "model.unet.features_per_stage=[8,16,32]",
                       "--set", "model.unet.strides=[[1,1,1],[1,2,2],[2,2,2]]", SCONCE_METHOD=setting)
                summary = json.loads((output / "validation/summary.json").read_text())
                dice = statistics.mean(scores["dice"]["mean"] for scores in summary["masks"].values())
                rows.append(dict(method=method, seed=seed, dice=dice, minutes=(time.monotonic() - start) / 60))
                print(f"{method:<10} {seed:>4} {dice:>9.4f} {rows[-1]['minutes']:>7.1f}", flush=True)
    of = lambda method: [row["dice"] for row in rows if row["method"] == method]
    means = {method: statistics.mean(of(method)) for method in METHODS}
    spread = max(max(of(method)) - min(of(method)) for method in METHODS)
    apart = max(means.values()) - min(means.values())
    told = ", ".join(f"{method} {mean:.4f}" for method, mean in means.items())
    print(f"means {told}: {apart:.4f} apart, spread over seeds {spread:.4f}")
    if args.json:
        record(args.json, "benchmarks/methods.py", rows, dict(means, apart=apart, spread=spread))
    sys.exit(0 if apart <= spread else 1)


if __name__ == "__main__":
    main()
