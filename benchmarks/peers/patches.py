#!/usr/bin/env python3
"""Batches for training: patches per second of nnU-Net's loader, with batchgeneratorsv2, beside sconce, asked in turn.

    python3 -m venv venv && venv/bin/pip install nnunetv2
    cargo build --release --workspace --bins
    venv/bin/python benchmarks/peers/patches.py [--runs 7] [--batches 8] [--json FILE]

The peer is what nnU-Net trains with: nnUNetDataLoader over cases in blosc2 as its preprocessing writes them, the transforms of
nnUNetTrainer for 128x128x128, two to a batch, in two processes of batchgenerators. Ours has the same transforms and two threads,
and reads patches from its cache, or takes them from memory. Cases are four, of 160x256x256 voxels, and all of them are in the
system's memory by then: what is compared is work, not disks. The peer's first
batches, which may have been waiting, are not counted. Patches differ from run to run. The ratio is ours / peer in patches per second: above 1, we are
faster.
"""
import argparse
import tempfile
from pathlib import Path

import asking

PEER = r"""
import contextlib, io, json, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
with contextlib.redirect_stdout(io.StringIO()):
    import torch
    from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
    from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
    from nnunetv2.utilities.label_handling.label_handling import LabelManager
torch.set_num_threads(2)
WAITING = 2

def made(shape, shift):
    z, y, x = (np.arange(n, dtype=np.float64).reshape(s) for n, s in zip(shape, [(-1, 1, 1), (1, -1, 1), (1, 1, -1)]))
    noise = (z * 7919 + y * 104729 + x * 1299709) % 1009 / 1009
    image = np.round(100 * (np.sin((z + shift) / 5) + np.sin((y + shift) / 7) * np.sin((x + shift) / 11)) + 20 * noise)
    image = ((image - image.mean()) / image.std()).astype(np.float32)
    off = lambda at: np.abs(at % 40 - 20) ** 2
    squared = off(z) + off(y) + off(x)
    return image[None], np.where(squared < 36, 2, np.where(squared < 144, 1, 0)).astype(np.int8)[None]

def loader(request):
    patch = tuple(request["patch"])
    for case in range(request["cases"]):
        image, labels = made(request["shape"], case)
        places = {c: np.argwhere(labels == c)[:: max(1, (labels == c).sum() // 10000)] for c in (1, 2)}
        from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params
        out = comp_blosc2_params(image.shape, patch)
        blocks, chunks = out[0], out[1]
        nnUNetDatasetBlosc2.save_case(image, labels, {"class_locations": places}, f"{request['folder']}/case_{case}",
                                      chunks=chunks, blocks=blocks)
    labels = LabelManager({"background": 0, "ball": 1, "core": 2}, None)
    turn = (-30 / 360 * 2 * np.pi, 30 / 360 * 2 * np.pi)
    first = get_patch_size(patch, turn, turn, turn, (0.85, 1.25))
    transforms = nnUNetTrainer.get_training_transforms(patch, turn, None, (0, 1, 2), False, use_mask_for_norm=[False])
    data = nnUNetDatasetBlosc2(request["folder"])
    single = nnUNetDataLoader(data, 2, first, patch, labels, oversample_foreground_percent=0.33, transforms=transforms)
    return NonDetMultiThreadedAugmenter(single, None, 2, WAITING, seeds=None, pin_memory=False, wait_time=0.002)

last = batches = None
for line in sys.stdin:
    request = json.loads(line)
    if request != last:
        last, batches = request, loader(request)
        next(batches)
    # More than can wait: in either queue, and in the hands of both processes.
    for _ in range(2 * WAITING + 6):
        next(batches)
    start = time.perf_counter()
    value = sum(float(next(batches)["data"].flatten()[0]) for _ in range(request["batches"]))
    seconds = time.perf_counter() - start
    # So that they do not work while the other side is timed.
    time.sleep(12)
    from importlib.metadata import version
    print(json.dumps(dict(seconds=seconds, value=value, peak_mib=0, version=version("batchgeneratorsv2"))), flush=True)
# Its threads would complain of the end.
import os
os._exit(0)
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="timed runs of each side, after one that is not counted")
    parser.add_argument("--batches", type=int, default=8, help="batches of a run, two patches each")
    parser.add_argument("--json", type=Path, help="also write the table here")
    args = parser.parse_args()
    request = dict(batches=args.batches, cases=4, shape=[160, 256, 256], patch=[128, 128, 128])
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        requests = [dict(request, patches=True, cache=folder + "/cache"), dict(request, patches=True),
                    dict(request, folder=folder + "/peer")]
        Path(folder, "peer").mkdir()
        sides = [asking.ours(), asking.ours(), asking.peer(PEER)]
        for side, one in zip(sides, requests):
            side.ask(one, count=False)
        asking.interleave(sides, requests, args.runs)
        seconds = [side.seconds() for side in sides]
        version = sides[2].answers[-1]["version"]
        for side in sides:
            side.end()
    patches = 2 * args.batches
    print(f"{'patches of 128^3 from':<24} {'sconce /s':>10} {'batchgenerators /s':>20} {'ratio':>7}")
    for name, mine in zip(["disk", "memory"], seconds):
        row = dict(source=name, ours=patches / mine, peer=patches / seconds[2], ratio=seconds[2] / mine, version=version)
        rows.append(row)
        print(f"{name:<24} {row['ours']:>10.2f} {row['peer']:>20.2f} {row['ratio']:>7.2f}", flush=True)
    if args.json:
        summary = {f"patches_{row['source']}": row["ratio"] for row in rows}
        asking.record(args.json, "benchmarks/peers/patches.py", rows, summary)


if __name__ == "__main__":
    main()
