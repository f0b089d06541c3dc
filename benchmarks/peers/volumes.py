#!/usr/bin/env python3
"""Volumes: resampling, reading, distances and components in nnU-Net, nibabel and scipy beside sconce, asked in turn.

    python3 -m venv venv && venv/bin/pip install nnunetv2 nibabel scipy
    cargo build --release --workspace --bins
    venv/bin/python benchmarks/peers/volumes.py [--runs 7] [--task NAME] [--json FILE]

Resampling is nnU-Net's own function, which stands on scikit-image and scipy: to 160x512x512 voxels, at orders 3 and 1, all
axes alike and slice by slice. A file is a compressed NIfTI of 16-bit integers, read to an array of 32-bit floats. Distances
are exact and Euclidean, in mm; components hang together by faces, edges or corners. Two threads. The ratio is peer / ours:
above 1, we are faster. Memory is how much more a process held at most than before; values are compared as well.
"""
import argparse
import tempfile
from pathlib import Path

import asking

PEER = r"""
import contextlib, io, json, re, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
import nibabel
from scipy import ndimage
with contextlib.redirect_stdout(io.StringIO()):
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape as resample

def made(shape):
    z, y, x = (np.arange(n, dtype=np.float64).reshape(s) for n, s in zip(shape, [(-1, 1, 1), (1, -1, 1), (1, 1, -1)]))
    image = (100 * (np.sin(z / 5) + np.sin(y / 7) * np.sin(x / 11))).astype(np.float32)
    off = lambda at: np.abs(at % 40 - 20) ** 2
    squared = off(z) + off(y) + off(x)
    return image, np.where(squared < 36, 2, np.where(squared < 144, 1, 0)).astype(np.int16)

def spacing(request):
    # What leads nnU-Net to resample slice by slice, or not.
    thick = request.get("separate") is not None
    return [5.0 if thick and axis == request["separate"] else 1.0 for axis in range(3)]

def run(request, image, labels):
    task = request["volume"]
    if task == "resample_image":
        made = resample(image[None], request["to"], spacing(request), spacing(request), is_seg=False, order=3, order_z=0,
                        force_separate_z=None)
        return made.ravel()[::997].astype(np.float64).sum()
    if task == "resample_labels":
        made = resample(labels[None], request["to"], spacing(request), spacing(request), is_seg=True, order=1, order_z=0,
                        force_separate_z=None)
        return made.ravel()[::997].astype(np.float64).sum()
    if task == "read":
        data = nibabel.load(request["file"]).get_fdata(dtype=np.float32)
        return data.transpose(2, 1, 0).ravel()[::997].astype(np.float64).sum()
    if task == "distance":
        return ndimage.distance_transform_edt(labels == 0, sampling=[1.5, 1, 1]).sum()
    return ndimage.label(labels > 0, np.ones((3, 3, 3)))[1]

def memory(name):
    return int(re.search(name + r":\s+(\d+)", open("/proc/self/status").read())[1]) / 1024

last = held = None
for line in sys.stdin:
    request = json.loads(line)
    extra = None
    if request != last:
        last, held = request, made(request.get("shape", [1, 1, 1]))
        open("/proc/self/clear_refs", "w").write("5")
        before = memory("VmRSS")
    start = time.perf_counter()
    value = float(run(request, *held))
    seconds = time.perf_counter() - start
    extra = memory("VmHWM") - before
    print(json.dumps(dict(seconds=seconds, value=value, peak_mib=memory("VmHWM"), extra_mib=extra)), flush=True)
"""

LARGE = [160, 512, 512]
TASKS = {
    "resample image": dict(volume="resample_image", shape=[107, 341, 341], to=LARGE),
    "resample image, slices": dict(volume="resample_image", shape=[40, 400, 400], to=LARGE, separate=0),
    "resample labels": dict(volume="resample_labels", shape=[107, 341, 341], to=LARGE),
    "read": dict(volume="read"),
    "distance": dict(volume="distance", shape=[128, 256, 256]),
    "components": dict(volume="components", shape=LARGE),
}


def write(path):
    """A NIfTI file as a scanner would leave it."""
    import nibabel
    import numpy as np

    random = np.random.default_rng(0)
    z, y, x = np.meshgrid(*(np.arange(n) for n in (160, 384, 384)), indexing="ij")
    body = (x - 192) ** 2 + (y - 192) ** 2 < 150**2
    data = np.where(body, 40 * np.sin(z / 9) + random.normal(0, 12, body.shape), -1000).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(data.transpose(2, 1, 0), np.diag([0.8, 0.8, 2.0, 1])), path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--task", choices=sorted(TASKS), action="append")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = []
    print(f"{'':24} {'peer s':>8} {'sconce s':>9} {'ratio':>7} {'peer MiB':>9} {'sconce MiB':>11} {'values':>24}")
    with tempfile.TemporaryDirectory() as folder:
        for name, request in TASKS.items():
            if args.task and name not in args.task:
                continue
            if name == "read":
                request = dict(request, file=str(Path(folder) / "scan.nii.gz"))
                write(request["file"])
            sides = [asking.ours(), asking.peer(PEER)]
            # The first answer of each says how much memory the work takes.
            first = [side.ask(request, count=False) for side in sides]
            asking.interleave(sides, [request, request], args.runs)
            mine, theirs = (side.seconds() for side in sides)
            values = [side.answers[-1]["value"] for side in sides]
            extra = [answer["extra_mib"] for answer in first]
            for side in sides:
                side.end()
            row = dict(task=name, ours=mine, peer=theirs, ratio=theirs / mine, ours_mib=extra[0], peer_mib=extra[1],
                       values=values)
            row.update({key: request[key] for key in ("shape", "to") if key in request})
            rows.append(row)
            print(f"{name:24} {theirs:8.2f} {mine:9.3f} {row['ratio']:7.1f} {extra[1]:9.0f} {extra[0]:11.0f} "
                  f"{values[1]:12.1f} {values[0]:12.1f}", flush=True)
    if args.json:
        summary = {row["task"].replace(", ", "_").replace(" ", "_"): row["ratio"] for row in rows}
        asking.record(args.json, "benchmarks/peers/volumes.py", rows, summary)


if __name__ == "__main__":
    main()
