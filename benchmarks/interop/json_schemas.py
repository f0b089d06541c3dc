#!/usr/bin/env python3
"""Do the JSON files of models keep to the schemas that are shipped?

    python3 -m venv venv && venv/bin/pip install jsonschema
    cargo build --release
    venv/bin/python benchmarks/interop/json_schemas.py MODEL [MODEL ...]

Each schema must be one by the draft that it names, hold for every file of its kind in the model folders, and not for one with a
key more or a value of another kind.
"""
import argparse
import json
import os
import subprocess
from pathlib import Path

from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[2]
SCONCE = os.environ.get("SCONCE", ROOT / "target/release/sconce")
KINDS = {"config.json": "config", "plan.json": "plan", "calibration.json": "calibration", "split.json": "split",
         "postprocess.json": "postprocess", "eval/summary.json": "evaluation", "eval/raw.json": "evaluation"}


def printed(*arguments):
    done = subprocess.run([str(SCONCE), *arguments], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    args = parser.parse_args()
    validators = {}
    for row in printed("zoo", "schema", "--format", "json"):
        schema = printed("zoo", "schema", row["name"], "--format", "json")
        Draft202012Validator.check_schema(schema)
        assert schema["$schema"].endswith("2020-12/schema"), schema["$schema"]
        validators[row["name"]] = Draft202012Validator(schema)
    seen = 0
    for model in args.models:
        for name, kind in KINDS.items():
            path = model / name
            if not path.exists():
                continue
            content = json.loads(path.read_text())
            validators[kind].validate(content)
            assert not validators[kind].is_valid(content | {"more": 1}), f"{path}: any key will do"
            for key in content:
                assert not validators[kind].is_valid(content | {key: {"wrong": []}}), f"{path}: {key} may be anything"
            seen += 1
    assert seen > 0, "no file was checked"
    print(f"{seen} files keep to {len(validators)} schemas")


if __name__ == "__main__":
    main()
