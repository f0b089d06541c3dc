#!/usr/bin/env python3
"""Does nnU-Net's own predictor say of an exported network what sconce says, and sconce of an imported one what nnU-Net says?

    python3 -m venv venv && venv/bin/pip install nnunetv2
    cargo build --release
    venv/bin/python benchmarks/interop/nnunet_models.py [--json FILE]

There: small networks are trained on generated volumes and slices, two of one plan are exported as folds, and images are
predicted by both programs, with mirroring and all. Back: what was exported is imported, and predicts to the byte what the
network that it came from does. Labels must be equal but for voxels where nnU-Net, which adds logits in half precision, rounds
to a tie: one in a thousand. Probabilities must be equal to 0.01, but for one voxel in a hundred: in the corners of its tiles
the Gaussian is one or two units in the last place of half precision.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import nibabel
import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

sys.path.append(str(Path(__file__).resolve().parents[1] / "peers"))
from asking import ROOT, record

SCONCE = os.environ.get("SCONCE", ROOT / "target/release/sconce")


def sconce(*arguments):
    subprocess.run([str(SCONCE), "--quiet", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def trained(folder, rank, temperature):
    """Two networks for slices or volumes, and the images that both are to predict."""
    data = folder / "data"
    sconce("dataset", "phantom", data, "--cases", 6, "--raters", 2, "--rank", rank)
    recipe = ROOT / ("zoo/recipes/phantom-3d.toml" if rank == 3 else "zoo/recipes/phantom-2d.toml")
    settings = ["train.epochs=2", "train.iterations_per_epoch=20", "preprocess.crop_to_nonzero=true", "split.folds=2",
                f"predict.calibration={'temperature' if temperature else 'none'}", "predict.mirror=true"]
    settings = [word for setting in settings for word in ("--set", setting)]
    for fold in (0, 1):
        sconce("train", recipe, "--data", data, "--output", folder / f"run/fold-{fold}", "--device", "cpu",
               "--set", f"seed={fold}", *settings)
    images = folder / "images"
    images.mkdir()
    for case in sorted(data.glob("case*/image.nii.gz")):
        (images / f"{case.parent.name}_0000.nii.gz").write_bytes(case.read_bytes())
    return folder / "run", images


def theirs(folder, images, output):
    """What nnU-Net predicts, on the CPU."""
    predictor = nnUNetPredictor(device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder), use_folds=(0, 1))
    cases = sorted(images.glob("*_0000.nii.gz"))
    names = [case.name.removesuffix("_0000.nii.gz") for case in cases]
    output.mkdir()
    predictor.predict_from_files_sequential([[str(case)] for case in cases], [str(output / name) for name in names],
                                            save_probabilities=True, overwrite=True)
    return names


def compared(rank, temperature):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        model, images = trained(folder, rank, temperature)
        sconce("zoo", "export", "nnunet", model, "-o", folder / "exported")
        ours = folder / "ours"
        sconce("predict", "-m", model, "-i", images, "-o", ours, "--probabilities", "--device", "cpu")
        names = theirs(folder / "exported", images, folder / "theirs")
        voxels = labels = apart = foreground = 0
        for name in names:
            one = np.asarray(nibabel.load(ours / f"{name}.nii.gz").dataobj)
            other = np.asarray(nibabel.load(folder / "theirs" / f"{name}.nii.gz").dataobj)
            assert one.shape == other.shape, (one.shape, other.shape)
            voxels += one.size
            foreground += int((other > 0).sum())
            labels += int((one != other).sum())
            one = np.asarray(nibabel.load(ours / f"{name}_probabilities.nii.gz").dataobj)
            one = np.moveaxis(one.reshape(*one.shape[:3], -1), -1, 0)
            other = np.load(folder / "theirs" / f"{name}.npz")["probabilities"].transpose(0, 3, 2, 1)
            assert one.shape == other.shape, (one.shape, other.shape)
            apart += int((np.abs(one - other).max(axis=0) > 0.01).sum())
        assert foreground > 0, "an empty prediction shows nothing"
        assert labels * 1000 <= voxels and apart * 100 <= voxels, (labels, apart, voxels)
        # And back.
        sconce("zoo", "import", "nnunet", folder / "exported", "-o", folder / "imported")
        sconce("predict", "-m", folder / "imported", "-i", images, "-o", folder / "again", "--device", "cpu")
        for name in names:
            one, other = ((folder / where / f"{name}.nii.gz").read_bytes() for where in ("ours", "again"))
            assert temperature or one == other, f"{name} is predicted otherwise once it was there and back"
        return {"case": f"{rank}d_{'temperature' if temperature else 'plain'}", "voxels": voxels, "foreground": foreground,
                "other_labels": labels, "other_probabilities": apart}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = [compared(rank, temperature) for rank in (3, 2) for temperature in (False, True)]
    for row in rows:
        print(json.dumps(row))
    if args.json:
        record(args.json, "benchmarks/interop/nnunet_models.py", rows, {"nnunetv2": version("nnunetv2")})


if __name__ == "__main__":
    main()
