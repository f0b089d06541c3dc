#!/usr/bin/env python3
"""Does a runtime of ONNX say of an exported network what sconce says of it?

    python3 -m venv venv && venv/bin/pip install onnx onnxruntime safetensors
    cargo build --release --workspace --bins --examples
    venv/bin/python benchmarks/interop/onnx_models.py [--few] [--json FILE]

A network of every kind that there is, for slices and for volumes, and of every setting that changes its graph, has random
weights, scales, offsets and running statistics, and in turn no calibration, a temperature or a vector. Each is exported by
`sconce zoo export onnx`; the file must satisfy ONNX's checker, its weights must be those of the model by name, shape and
value, and its metadata must be JSON. Then onnxruntime computes one image, two, and one of another size; its logits may
differ from ours by 1e-4 of their range. Exit code 1 else.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from safetensors.numpy import load_file

sys.path.append(str(Path(__file__).resolve().parents[1] / "peers"))
from asking import ROOT, record

SCONCE = os.environ.get("SCONCE", ROOT / "target/release/sconce")
CASES = os.environ.get("SCONCE_ONNX_CASES", ROOT / "target/release/examples/onnx_cases")
TOLERANCE = 1e-4


def export(model, output):
    subprocess.run([str(SCONCE), "--quiet", "zoo", "export", "onnx", str(model), "-o", str(output)], check=True,
                   stdout=subprocess.DEVNULL)


def check(file, folder):
    """That the file is what ONNX says it should be, and holds the weights that the model has; how many nodes it has."""
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    weights = load_file(folder / "model.safetensors")
    named = 0
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            named += 1
            assert np.array_equal(numpy_helper.to_array(tensor), weights[tensor.name]), tensor.name
        else:
            assert tensor.name.startswith(("constant_", "calibration.")), tensor.name
    assert named > 0
    said = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    config = json.loads((folder / "config.json").read_text())
    assert said["channels"] == config["channels"] and said["classes"] == config["classes"], said
    assert said["calibration"]["method"] == config["predict"]["calibration"], said
    (opset,) = model.opset_import
    return dict(opset=opset.version, nodes=len(model.graph.node), weights=named, stride="x".join(map(str, said["stride"])),
                calibration=said["calibration"]["method"])


def compare(folder):
    file = folder / "model.onnx"
    export(folder, file)
    row = dict(case=folder.name, **check(file, folder))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["image"]
    assert [value.name for value in session.get_outputs()] == ["logits"]
    cases = load_file(folder / "cases.safetensors")
    shapes, apart = [], []
    for at in range(len(cases) // 2):
        images, ours = cases[f"images.{at}"], cases[f"logits.{at}"]
        (theirs,) = session.run(None, {"image": images})
        assert theirs.shape == ours.shape and theirs.dtype == np.float32, (theirs.shape, ours.shape)
        assert np.isfinite(ours).all() and ours.max() > ours.min(), "logits that show nothing"
        shapes.append("x".join(map(str, images.shape)))
        apart.append(float(np.abs(theirs - ours).max() / (ours.max() - ours.min())))
    return row | dict(shapes=shapes, largest_difference=max(apart), agrees=max(apart) <= TOLERANCE)


def folds(folder, one):
    """Several folds are a file each."""
    for fold in (0, 1):
        (folder / f"fold_{fold}").symlink_to(one)
    export(folder, folder / "exported")
    names = sorted(path.name for path in (folder / "exported").iterdir())
    assert names == ["fold_0.onnx", "fold_1.onnx"], names


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", action="store_true", help="one of each kind, and few for volumes")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        subprocess.run([str(CASES), str(folder / "cases"), *(["--few"] if args.few else [])], check=True)
        models = sorted((folder / "cases").iterdir())
        rows = []
        for model in models:
            rows.append(compare(model))
            print(json.dumps(rows[-1]), flush=True)
        (folder / "folds").mkdir()
        folds(folder / "folds", models[0])
    worst = max(row["largest_difference"] for row in rows)
    print(f"{len(rows)} networks; at most {worst:.2g} of the logits' range apart")
    if args.json:
        summary = {name: version(name) for name in ("onnx", "onnxruntime", "numpy")}
        record(args.json, "benchmarks/interop/onnx_models.py", rows, summary | {"largest_difference": worst})
    sys.exit(not all(row["agrees"] for row in rows))


if __name__ == "__main__":
    main()
