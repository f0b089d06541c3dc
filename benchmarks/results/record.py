#!/usr/bin/env python3
"""Makes a record of a finished run: its scores, its settings that matter, machine and commit.

    python3 benchmarks/results/record.py RUN_FOLDER --command "sconce train …" --minutes 17 > benchmarks/results/NAME.json
"""
import argparse
import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "peers"))
from asking import commit, machine


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--command", required=True)
    parser.add_argument("--minutes", type=float, required=True, help="wall clock of the whole command")
    parser.add_argument("--target", default="", help="what it was to reach, and in what time")
    parser.add_argument("--note", default="")
    args = parser.parse_args()
    read = lambda name: json.loads((args.run / name).read_text())
    raw, summary, fit = read("validation/raw.json"), read("validation/summary.json"), read("calibration.json")
    epochs = [json.loads(line) for line in (args.run / "log.jsonl").read_text().splitlines()]
    epochs = [line for line in epochs if line["event"] == "epoch"]
    mean = lambda table: {name: value["mean"] for name, value in table.items()}
    record = dict(
        command=args.command, commit=commit(), machine=machine(), minutes=args.minutes, target=args.target,
        note=args.note,
        dataset=summary["dataset"], held_out_cases=len(summary["cases"]), epochs=len(epochs),
        masks={name: mean(scores) for name, scores in summary["masks"].items()},
        probabilities_before=mean(raw["probabilities"]), probabilities_after=mean(summary["probabilities"]),
        pooled_ece_before=raw["calibration"]["pooled_ece"], pooled_ece_after=summary["calibration"]["pooled_ece"],
        ece_voxels=summary["calibration"]["voxels"], temperature=fit["temperature"],
    )
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
