#!/usr/bin/env python3
"""Prediction with a model that nnU-Net trained: nnU-Net's own commands beside sconce, asked in turn.

    python3 -m venv venv && venv/bin/pip install torch numpy nibabel nnunetv2
    cargo build --release --workspace --bins
    venv/bin/python benchmarks/peers/nnunet_predict.py --model FOLDER --image CT.nii.gz [--runs 7] [--json FILE]

FOLDER is TRAINER__PLANS__CONFIGURATION of a trained model, of which fold 0 is used. Four things are compared, both sides with two
threads, one after the other:

whole command   from the cold start of the program to the label file, without mirroring; and the most memory that any process of
                it held. The peer's predictor starts further processes, whose memory is not added. Beside it, how long
                `sconce --help` takes.
network         the standard network of six stages, 32 to 320 features, on one patch of 128 x 128 x 128: f32 (PyTorch as it
                comes; ours exact, and fast), and bf16 (PyTorch's autocast in the faster of two layouts, with a tuned allocator)
export          logits of ten classes from 213 x 273 x 273 to labels of 160 x 512 x 512: seconds, and memory beyond the logits
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import asking
import unet_step

NETWORK = dict(task="infer", features=[32, 64, 128, 256, 320, 320], shape=[1, 1, 128, 128, 128], classes=3)
EXPORT = dict(volume="export", shape=[213, 273, 273], to=[160, 512, 512], channels=10)

EXPORT_PEER = r"""
import json, sys, time
import numpy as np
import torch
torch.set_num_threads(2)
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape as convert
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

plans, dataset = (json.load(open(path)) for path in sys.argv[1:3])

def memory(key):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024

def made(shape, to, channels):
    manager = PlansManager(plans)
    configuration = manager.get_configuration(sys.argv[3])
    configuration.configuration["spacing"] = [1.5, 1.5, 1.5]
    manager.plans["transpose_forward"] = manager.plans["transpose_backward"] = [0, 1, 2]
    labels = {"background": 0, **{f"organ {label}": label for label in range(1, channels)}}
    manager_of_labels = manager.get_label_manager(dict(dataset, labels=labels))
    spacing = [1.5 * a / b for a, b in zip(shape, to)]
    properties = dict(spacing=spacing, shape_after_cropping_and_before_resampling=to, shape_before_cropping=to,
                      bbox_used_for_cropping=[[0, extent] for extent in to])
    z, y, x = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij", sparse=True)
    logits = np.empty([channels, *shape], np.float32)
    for channel in range(channels):
        length = np.float32(5 + channel)
        logits[channel] = np.sin(z / length) + np.sin(y / (length + 2)) * np.sin(x / (length + 4))
    return logits, manager, configuration, manager_of_labels, properties

held = None
for line in sys.stdin:
    request = json.loads(line)
    if held is None:
        held = made(request["shape"], request["to"], request["channels"])
        open("/proc/self/clear_refs", "w").write("5")
        before = memory("VmRSS")
    logits, manager, configuration, labels, properties = held
    start = time.perf_counter()
    found = convert(logits, manager, configuration, labels, properties, num_threads_torch=2)
    seconds = time.perf_counter() - start
    value = float(np.asarray(found).ravel()[::997].astype(np.float64).sum())
    print(json.dumps(dict(seconds=seconds, value=value, extra_mib=memory("VmHWM") - before)), flush=True)
"""


def measured(command, folder, **environment):
    """Seconds of a command, and the most memory, MiB, that any process of it held."""
    env = dict(os.environ, OMP_NUM_THREADS="2", RAYON_NUM_THREADS="2", **environment)
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        env.setdefault(name, str(folder))
    start = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{said}")
    return seconds, usage.ru_maxrss / 1024


def whole_command(args, folder):
    import nibabel
    import numpy as np

    program = os.environ.get("SCONCE", asking.ROOT / "target/release/sconce")
    model = folder / "model"
    subprocess.run([program, "zoo", "import", "nnunet", args.model, "--folds", "0", "--output", model], check=True,
                   stdout=subprocess.DEVNULL)
    images = folder / "images"
    images.mkdir()
    (images / "case_0000.nii.gz").write_bytes(args.image.read_bytes())
    ours = [program, "predict", "--model", model, "--input", images, "--output", folder / "ours", "--no-mirror",
            "--overwrite", "always", "--device", "cpu"]
    predictor = Path(sys.executable).with_name("nnUNetv2_predict_from_modelfolder")
    theirs = [predictor, "-i", images, "-o", folder / "theirs", "-m", args.model, "-f", "0", "--disable_tta", "-device", "cpu"]
    found = dict(ours=[], peer=[])
    for run in range(args.runs + 1):
        for name, command in (("ours", ours), ("peer", theirs)):
            answer = measured(command, folder)
            # The first fills the system's cache of files.
            if run > 0:
                found[name].append(answer)
    labels = [np.asarray(nibabel.load(folder / name / "case.nii.gz").dataobj) for name in ("ours", "theirs")]
    helps = sorted(measured([program, "--help"], folder)[0] for _ in range(21))
    median = {name: sorted(seconds for seconds, _ in found[name])[len(found[name]) // 2] for name in found}
    most = {name: max(memory for _, memory in found[name]) for name in found}
    return dict(what="whole command", image=list(labels[0].shape), ours=median["ours"], peer=median["peer"],
                ratio=median["peer"] / median["ours"], ours_mib=most["ours"], peer_mib=most["peer"],
                same_labels=float((labels[0] == labels[1]).mean()), help_seconds=helps[len(helps) // 2])


def network(runs):
    sides = [asking.ours(), asking.peer(unet_step.PEER), asking.ours("fast")]
    asking.interleave(sides, [NETWORK] * 3, runs)
    exact, theirs, fast = (side.seconds() for side in sides)
    for side in sides:
        side.end()
    f32 = dict(what="network, f32", ours=exact, ours_fast=fast, peer=theirs, ratio=theirs / exact, ratio_fast=theirs / fast)
    half = dict(NETWORK, dtype="bf16")
    sides = [asking.ours(), asking.peer(unet_step.PEER, **asking.TUNED), asking.peer(unet_step.PEER, **asking.TUNED)]
    asking.interleave(sides, [half, half, dict(half, channels_last=True)], runs)
    mine, plain, last = (side.seconds() for side in sides)
    for side in sides:
        side.end()
    theirs = min(plain, last)
    return [f32, dict(what="network, bf16", ours=mine, peer=theirs, ratio=theirs / mine, peer_channels_last=last)]


def export(args, folder):
    plans = args.model / "plans.json"
    configuration = args.model.name.rsplit("__", 1)[-1]
    if configuration not in json.loads(plans.read_text())["configurations"]:
        configuration = next(name for name in json.loads(plans.read_text())["configurations"] if name.startswith("3d"))
    peer = asking.Side([sys.executable, "-c", EXPORT_PEER, str(plans), str(args.model / "dataset.json"), configuration])
    sides = [asking.ours(), peer]
    first = [side.ask(EXPORT, count=False) for side in sides]
    asking.interleave(sides, [EXPORT, EXPORT], args.runs)
    mine, theirs = (side.seconds() for side in sides)
    values = [side.answers[-1]["value"] for side in sides]
    for side in sides:
        side.end()
    return dict(what="export", ours=mine, peer=theirs, ratio=theirs / mine, ours_mib=first[0]["extra_mib"],
                peer_mib=first[1]["extra_mib"], values=values)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="TRAINER__PLANS__CONFIGURATION of nnU-Net")
    parser.add_argument("--image", type=Path, required=True, help="one NIfTI image for it")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", choices=["command", "network", "export"], action="append")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    args.model = args.model.resolve()
    rows, summary = [], {}
    wanted = args.only or ["command", "network", "export"]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if "export" in wanted:
            rows.append(export(args, folder))
            summary.update(export_time=rows[-1]["ratio"], export_memory=rows[-1]["peer_mib"] / rows[-1]["ours_mib"])
        if "network" in wanted:
            rows.extend(network(args.runs))
            summary.update(network_f32=rows[-2]["ratio"], network_f32_fast=rows[-2]["ratio_fast"],
                           network_bf16=rows[-1]["ratio"])
        if "command" in wanted:
            rows.append(whole_command(args, folder))
            summary.update(whole_command=rows[-1]["ratio"], peak_rss=rows[-1]["peer_mib"] / rows[-1]["ours_mib"])
    for row in rows:
        print(f"{row['what']:<16} peer {row['peer']:8.2f} s   sconce {row['ours']:8.3f} s   ratio {row['ratio']:6.2f}")
    print({key: round(value, 2) for key, value in summary.items()})
    if args.json:
        for row in rows:
            row["versions"] = {name: version(name) for name in ("nnunetv2", "torch")}
        if args.only and args.json.exists():
            # What was not asked for now stays as it was found, each row with the commit that it is of.
            before = json.loads(args.json.read_text())
            now = {row["what"] for row in rows}
            kept = [dict(row, commit=row.get("commit", before["commit"])) for row in before["rows"] if row["what"] not in now]
            rows, summary = kept + rows, {**before["summary"], **summary}
        asking.record(args.json, "benchmarks/peers/nnunet_predict.py", rows, summary)


if __name__ == "__main__":
    main()
