#!/usr/bin/env python3
"""Do we plan what nnU-Net plans? Writes what nnU-Net's own planners make of made-up data sets, for a test to compare.

    python3 -m venv venv && venv/bin/pip install nnunetv2
    venv/bin/python benchmarks/interop/nnunet_plans.py FILE [--sets 60]

A data set is a fingerprint alone: sizes and spacings of its cases, with and without thick slices, single slices, large
and small, one channel or several, and CT. The planners are nnU-Net's for the plain network and for residual encoders M,
L and XL, at their own memory and at others. The test `plans::nnu_net_plans_the_same` of `sconce-preprocess` reads FILE.
"""
import argparse
import contextlib
import io
import json
import os
import random
import tempfile
import warnings
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("file", type=Path)
parser.add_argument("--sets", type=int, default=60)
args = parser.parse_args()

root = Path(tempfile.mkdtemp())
for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
    (root / name).mkdir()
    os.environ[name] = str(root / name)

from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.experiment_planning.experiment_planners.residual_unets import residual_encoder_unet_planners as residual

PLANNERS = dict(plain=(ExperimentPlanner, 8), resenc_m=(residual.nnUNetPlannerResEncM, 8),
                resenc_l=(residual.nnUNetPlannerResEncL, 24), resenc_xl=(residual.nnUNetPlannerResEncXL, 40))


def made_up(number):
    """Sizes, spacings and what else a plan depends on."""
    draw = random.Random(number)
    kind = ["isotropic", "thick", "thin", "mixed", "flat", "small", "turned"][number % 7]
    middle = dict(isotropic=(1, 1, 1), thick=(5, 0.8, 0.8), thin=(2.5, 0.75, 0.75), mixed=(1.4, 1.2, 1.3), flat=(999, 1, 1),
                  small=(1, 1, 1), turned=(0.8, 0.8, 4))[kind]
    size = dict(isotropic=(160, 190, 170), thick=(24, 400, 380), thin=(130, 512, 512), mixed=(115, 250, 200), flat=(1, 600, 420),
                small=(36, 50, 35), turned=(320, 300, 20))[kind]
    cases = draw.randint(2, 40)
    sizes, spacings = [], []
    for _ in range(cases):
        scale = [draw.uniform(0.7, 1.4) for _ in range(3)]
        spacing = [round(mm * draw.choice([1, 1, draw.uniform(0.6, 1.5)]), 4) for mm in middle]
        if kind == "flat":
            spacing, scale[0] = [999.0, 1.0, 1.0], 1
        sizes.append([max(1, round(voxels * by)) for voxels, by in zip(size, scale)])
        spacings.append(spacing)
    channels = draw.choice([["CT"], ["T1"], ["T1", "T2"], ["ct", "rescale_to_0_1", "noNorm", "PET"]])
    preset = draw.choice(list(PLANNERS))
    memory = draw.choice([None, None, 2.0, 5.5, 30.0]) if number % 3 else None
    return dict(name=f"Dataset{number:03}_{kind}", sizes=sizes, spacings=spacings, kept=draw.choice([0.4, 1.0]),
                channels=channels, labels=draw.randint(2, 6), preset=preset, memory=memory, flat=kind == "flat")


def plan(made):
    raw, preprocessed = (root / name / made["name"] for name in ("nnUNet_raw", "nnUNet_preprocessed"))
    for folder in (raw / "imagesTr", raw / "labelsTr", preprocessed):
        folder.mkdir(parents=True)
    for case in range(len(made["sizes"])):
        for channel in range(len(made["channels"])):
            (raw / "imagesTr" / f"case{case}_{channel:04}.nii.gz").touch()
        (raw / "labelsTr" / f"case{case}.nii.gz").touch()
    (raw / "dataset.json").write_text(json.dumps(dict(
        channel_names={str(i): name for i, name in enumerate(made["channels"])},
        labels={"background": 0, **{f"class{i}": i for i in range(1, made["labels"])}},
        numTraining=len(made["sizes"]), file_ending=".nii.gz",
        overwrite_image_reader_writer="NaturalImage2DIO" if made["flat"] else "SimpleITKIO")))
    found = {str(i): dict(max=100.0, mean=20.0, median=19.0, min=0.0, percentile_00_5=1.0, percentile_99_5=90.0, std=7.0)
             for i in range(len(made["channels"]))}
    (preprocessed / "dataset_fingerprint.json").write_text(json.dumps(dict(
        spacings=made["spacings"], shapes_after_crop=made["sizes"], median_relative_size_after_cropping=made["kept"],
        foreground_intensity_properties_per_channel=found)))
    planner, memory = PLANNERS[made["preset"]]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        planner = planner(made["name"], gpu_memory_target_in_gb=made["memory"] or memory)
        planner.plan_experiment()
    plans = json.loads((preprocessed / f"{planner.plans_identifier}.json").read_text())
    del plans["foreground_intensity_properties_per_channel"]
    return plans


answers = []
for number in range(args.sets):
    made = made_up(number)
    answers.append(dict(made, plans=plan(made)))
    print(f"{number + 1} of {args.sets}: {made['name']}, {made['preset']}", flush=True)
args.file.write_text(json.dumps(answers))
