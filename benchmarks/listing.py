#!/usr/bin/env python3
"""How long does it take to list a large data set, and how much memory to check one?

    cargo build --release
    python3 benchmarks/listing.py [--cases 100000] [--json benchmarks/results/listing.json]

Lists that many cases of an image and a label each (`sconce dataset split`, which reads none), and checks small generated
cases in two numbers, tenfold apart (`sconce dataset check`, which reads all): memory must not follow their number.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent / "peers"))
from asking import ROOT, record

SCONCE = os.environ.get("SCONCE", ROOT / "target/release/sconce")


def timed(*args):
    """Seconds and peak memory, MiB, of a command."""
    start = time.perf_counter()
    process = subprocess.Popen([str(SCONCE), *map(str, args)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"sconce {' '.join(map(str, args[:2]))} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--json", type=Path, help="also write the table here")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        subprocess.run([str(SCONCE), "dataset", "phantom", str(folder / "some"), "--cases", "20", "--raters", "2"],
                       check=True, capture_output=True)
        for kind in ("images", "labels"):
            (folder / "large" / kind).mkdir(parents=True)
            for case in range(args.cases):
                (folder / "large" / kind / f"case_{case:06}.nii.gz").touch()
        # The first image says how many channels there are.
        shutil.copy(folder / "some/case01/image.nii.gz", folder / "large/images/case_000000.nii.gz")
        list_all = ["dataset", "split", folder / "large", folder / "splits.json", "--layout", "pairs", "--folds", "2"]
        listed = [timed(*list_all) for _ in range(7)]
        seconds, memory = statistics.median(each[0] for each in listed), listed[-1][1]
        assert len(json.loads((folder / "splits.json").read_text())[0]["train"]) == args.cases // 2
        rows.append(dict(task="list", cases=args.cases, seconds=seconds, peak_mib=memory))

        for count in (20, 200):
            many = folder / f"many-{count}"
            for case in range(count):
                shutil.copytree(folder / "some" / f"case{case % 20 + 1:02}", many / f"case{case:04}")
            shutil.copy(folder / "some/layout.json", many)
            seconds, memory = timed("dataset", "check", many, "--threads", "2")
            rows.append(dict(task="check", cases=count, seconds=seconds, peak_mib=memory))
    for row in rows:
        print(f"{row['task']:<6} {row['cases']:>7} cases {row['seconds']:>7.2f} s {row['peak_mib']:>6.0f} MiB")
    summary = dict(list_seconds=rows[0]["seconds"], check_memory_ratio=rows[2]["peak_mib"] / rows[1]["peak_mib"])
    if args.json:
        record(args.json, "benchmarks/listing.py", rows, summary)


if __name__ == "__main__":
    main()
