#!/usr/bin/env python3
"""Does nnU-Net's own predictor say of an exported network what sconce says, and sconce of an imported one what nnU-Net says?

    python3 -m venv venv && venv/bin/pip install nnunetv2
    cargo build --release
    venv/bin/python benchmarks/interop/nnunet_models.py [--json FILE]

There: small networks are trained on generated volumes and slices, two of one plan are exported as folds, and images are
predicted by both programs, with mirroring and all. Back: what was exported is imported, and predicts to the byte what the
network that it came from does. A cascade: nnU-Net's own networks with random weights, of which the second sees what the first
says, are imported and predict what nnU-Net's commands do; labels of the first are resampled for the second. Post-processing:
both find one rule for made-up predictions.

nnU-Net adds logits in half precision, and in the corners of its tiles the Gaussian is one or two units in the last place of that:
labels must be equal but for one voxel in a thousand, probabilities to 0.01 but for one voxel in a hundred. Networks of random
weights make much of such roundings: for the cascade nnU-Net is made to add in single precision, and one voxel in ten
thousand may have another label.
"""
import argparse
import contextlib
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
        sconce("train", recipe, "--data", data, "--output", folder / f"run/fold_{fold}", "--device", "cpu",
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


def random_network(plans, configuration, dataset, folder):
    """A folder of nnU-Net with one fold whose weights are random, and nothing else of it."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(plans)
    chosen = manager.get_configuration(configuration)
    channels = determine_num_input_channels(manager, chosen, dataset)
    heads = manager.get_label_manager(dataset).num_segmentation_heads
    network = get_network_from_plans(chosen.network_arch_class_name, chosen.network_arch_init_kwargs,
                                     chosen.network_arch_init_kwargs_req_import, channels, heads, deep_supervision=False)
    with torch.no_grad():
        for name, value in network.named_parameters():
            # Norms that nearly let pass, and no class that is more probable than another from the beginning.
            if value.ndim > 1:
                value.copy_(torch.randn(value.shape) * value[0].numel() ** -0.5)
                if "seg_layers" in name:
                    value.sub_(value.mean(1, keepdim=True))
            elif "norm.weight" in name:
                value.copy_(1 + 0.2 * torch.randn(value.shape))
            else:
                value.copy_(0.2 * torch.randn(value.shape) * ("seg_layers" not in name))
    (folder / "fold_0").mkdir(parents=True)
    for name, content in (("plans.json", plans), ("dataset.json", dataset)):
        (folder / name).write_text(json.dumps(content))
    torch.save(dict(network_weights=network.state_dict(), trainer_name="nnUNetTrainer", current_epoch=1,
                    init_args=dict(plans=plans, configuration=configuration, fold=0, dataset_json=dataset),
                    inference_allowed_mirroring_axes=(0, 1, 2)), folder / "fold_0/checkpoint_final.pth")


@contextlib.contextmanager
def single_precision():
    """nnU-Net's predictor with its sums, which it keeps in `torch.half`, in single precision; its Gaussian is rounded as ever."""
    half, torch.half = torch.half, torch.float32
    try:
        yield
    finally:
        torch.half = half


def cascade():
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        model, images = trained(folder, 3, False)
        sconce("zoo", "export", "nnunet", model, "-o", folder / "exported")
        plans, dataset = (json.loads((folder / "exported" / name).read_text()) for name in ("plans.json", "dataset.json"))
        full = plans["configurations"]["3d_fullres"]
        # So that labels are resampled on their way to the second stage, too.
        full["spacing"] = [0.83 * mm for mm in full["spacing"]]
        low = dict(full, spacing=[1.6 * mm for mm in full["spacing"]], next_stage="3d_cascade_fullres",
                   data_identifier="low")
        plans["configurations"].update({"3d_lowres": low, "3d_cascade_fullres": {
            "inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}})
        results = folder / "results"
        stages = {name: results / f"nnUNetTrainer__{plans['plans_name']}__{name}"
                  for name in ("3d_lowres", "3d_cascade_fullres")}
        for name, place in stages.items():
            random_network(plans, name, dataset, place)
        cases = sorted(images.glob("*_0000.nii.gz"))
        names = [case.name.removesuffix("_0000.nii.gz") for case in cases]
        sconce("zoo", "import", "nnunet", results, "--configuration", "3d_lowres", "-o", folder / "first")
        sconce("predict", "-m", folder / "first", "-i", images, "-o", folder / "ours_3d_lowres", "--device", "cpu")
        sconce("zoo", "import", "nnunet", results, "--configuration", "3d_cascade_fullres", "-o", folder / "cascade")
        sconce("predict", "-m", folder / "cascade", "-i", images, "-o", folder / "ours_3d_cascade_fullres", "--device", "cpu")
        others = {}
        for name, place in stages.items():
            predictor = nnUNetPredictor(device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False)
            predictor.initialize_from_trained_model_folder(str(place), use_folds=(0,))
            output = folder / name
            output.mkdir()
            # The second stage sees our first: a voxel that the first rounded otherwise would count many times.
            before = str(folder / "ours_3d_lowres") if others else None
            with single_precision():
                predictor.predict_from_files_sequential([[str(case)] for case in cases], str(output), overwrite=True,
                                                        folder_with_segs_from_prev_stage=before)
            voxels = foreground = others[name] = 0
            for case in names:
                one, other = (np.asarray(nibabel.load(where / f"{case}.nii.gz").dataobj)
                              for where in (folder / f"ours_{name}", output))
                voxels += one.size
                foreground += int((other > 0).sum())
                others[name] += int((one != other).sum())
            assert 0.1 * voxels < foreground < 0.9 * voxels, "a prediction of one class shows nothing"
        row = {"case": "3d_cascade", "voxels": voxels, "foreground": foreground,
               "other_labels_of_the_first": others["3d_lowres"], "other_labels": others["3d_cascade_fullres"]}
        assert max(others.values()) * 10_000 <= voxels, row
        return row


def postprocessing(regions):
    """The rule that nnU-Net finds for made-up predictions, and ours."""
    from nnunetv2.postprocessing.remove_connected_components import determine_postprocessing

    random = np.random.default_rng(5)
    plans = dict(plans_name="nnUNetPlans", dataset_name="Dataset001_Made", image_reader_writer="SimpleITKIO",
                 label_manager="LabelManager", configurations={})
    labels = {"background": 0, "whole": [1, 2], "core": 2} if regions else {"background": 0, "a": 1, "b": 2, "c": 3}
    dataset = dict(labels=labels, file_ending=".nii.gz", **(dict(regions_class_order=[1, 2]) if regions else {}))
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name in ("said", "truth"):
            (folder / name).mkdir()
        for case in range(5):
            truth = np.zeros((12, 14, 16), np.uint8)
            truth[2:8, 2:8, 2:8] = 1
            truth[3:6, 3:6, 3:6] = 2
            if not regions:
                # Two parts, both of them there.
                truth[9:11, 9:12, 2:5] = truth[9:11, 9:12, 10:13] = 3
            said = truth.copy()
            for label in (1, 2):
                z, y, x = random.integers(0, [11, 13, 15])
                if truth[z, y, x] == 0 and random.random() < (0.9 if label == 1 else 0.5):
                    said[z, y, x] = label
            for name, array in (("said", said), ("truth", truth)):
                nibabel.save(nibabel.Nifti1Image(array.T, np.eye(4)), folder / name / f"case{case}.nii.gz")
        sconce("postprocess", "find", "-p", folder / "said", "-r", folder / "truth", "-o", folder / "rule.json",
               *(["--class", "1+2", "--class", "2"] if regions else []))
        _, kwargs = determine_postprocessing(str(folder / "said"), str(folder / "truth"), plans, dataset, 2, False)
        as_list = lambda it: [int(label) for label in (it if isinstance(it, (list, tuple)) else [it])]
        theirs = [as_list(step["labels_or_regions"]) for step in kwargs]
        ours = [step["keep_largest"]["labels"] for step in json.loads((folder / "rule.json").read_text())["steps"]]
        assert ours == theirs, (ours, theirs)
        return {"case": f"postprocessing_{'regions' if regions else 'labels'}", "steps": ours}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = [compared(rank, temperature) for rank in (3, 2) for temperature in (False, True)]
    rows.append(cascade())
    rows.extend(postprocessing(regions) for regions in (False, True))
    for row in rows:
        print(json.dumps(row))
    if args.json:
        record(args.json, "benchmarks/interop/nnunet_models.py", rows, {"nnunetv2": version("nnunetv2")})


if __name__ == "__main__":
    main()
