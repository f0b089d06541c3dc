#!/usr/bin/env python3
"""Scores: surface distances, calibration and components in surface-distance, MedPy, torchmetrics, scipy and cc3d beside
sconce, asked in turn.

    python3 -m venv venv && venv/bin/pip install surface-distance medpy scipy connected-components-3d torch torchmetrics
    cargo build --release --workspace --bins
    venv/bin/python benchmarks/peers/scores.py [--runs 7] [--task NAME] [--json FILE]

Masks are as large as a liver in a scan of 160x512x512 voxels of 1.5 x 0.8 x 0.8 mm, and overlap at a Dice of 0.9; "far" has
false islands near the edges of the scan besides, so that no program can leave much of it out. Each peer is asked for what it
defines, and so are we: surface elements weighed by their area, or border voxels. A calibration error is that of the class with
the highest probability, of two, in 15 bins. Components hang together by faces, edges or corners. Two threads. The ratio is peer
/ ours: above 1, we are faster. Memory is how much more a process, which does nothing else, held at most than before. Values must
agree, or the script fails. MedPy takes so long that it is asked three times at most. torchmetrics adds up tens of millions of
numbers in single precision, and is far off by then: what is expected there are sums in double precision.
"""
import argparse
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import asking

PEER = r"""
import json, re, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np

def load(request):
    read = lambda name, kind, shape: np.fromfile(request[name], kind).reshape(shape)
    if request["score"] == "calibration":
        import torch
        torch.set_num_threads(2)
        predicted = torch.from_numpy(read("prediction", np.float32, [1, 2] + request["shape"]))
        return torch.from_numpy(read("reference", np.uint16, [1] + request["shape"]).astype(np.int64)), predicted
    masks = [read(name, bool, request["shape"]) for name in ("reference", "prediction") if name in request]
    return masks[0], masks[-1]

def deepmind(reference, prediction, spacing):
    import surface_distance as of
    found = of.compute_surface_distances(reference, prediction, spacing)
    # It gives the mean of either direction; together they count by their areas.
    sides = of.compute_average_surface_distance(found)
    areas = found["surfel_areas_gt"].sum(), found["surfel_areas_pred"].sum()
    mean = (sides[0] * areas[0] + sides[1] * areas[1]) / sum(areas)
    return of.compute_robust_hausdorff(found, 95), mean, of.compute_surface_dice_at_tolerance(found, 1.0)

def run(request, reference, prediction):
    score = request["score"]
    if score == "elements":
        return deepmind(reference, prediction, request["spacing"])
    if score in ("hd95", "hd95_assd"):
        from medpy.metric import binary
        asked = [binary.hd95, binary.assd][: 1 + score.endswith("assd")]
        return [measure(prediction, reference, request["spacing"]) for measure in asked]
    if score == "calibration":
        from torchmetrics.functional.classification import multiclass_calibration_error
        return [multiclass_calibration_error(prediction, reference, num_classes=2, n_bins=15)]
    if request["program"] == "scipy":
        from scipy import ndimage
        return ndimage.label(reference, np.ones((3, 3, 3)))[0]
    import cc3d
    return cc3d.connected_components(reference, connectivity=26)

def values(found):
    if isinstance(found, np.ndarray):
        sizes = np.bincount(found.ravel())[1:]
        return [len(sizes), float((sizes.astype(np.float64) ** 2).sum())]
    return [float(value) for value in found]

def memory(name):
    return int(re.search(name + r":\s+(\d+)", open("/proc/self/status").read())[1]) / 1024

def warm(request):
    # What is loaded on first use is not part of the work.
    small = dict(request, shape=[8, 8, 8])
    mask = np.zeros((8, 8, 8), bool)
    mask[2:6, 2:6, 2:6] = True
    pair = (mask, mask)
    if request["score"] == "calibration":
        import torch
        pair = torch.zeros(1, 8, 8, 8, dtype=torch.int64), torch.full((1, 2, 8, 8, 8), 0.5)
    run(small, *pair)

last = held = None
for line in sys.stdin:
    request = json.loads(line)
    if request != last:
        last, held = request, load(request)
        warm(request)
        open("/proc/self/clear_refs", "w").write("5")
        before = memory("VmRSS")
    start = time.perf_counter()
    found = run(request, *held)
    seconds = time.perf_counter() - start
    extra = memory("VmHWM") - before
    print(json.dumps(dict(seconds=seconds, values=values(found), peak_mib=memory("VmHWM"), extra_mib=extra)), flush=True)
    del found
"""

SHAPE = [160, 512, 512]
SPACING = [1.5, 0.8, 0.8]
# Of each task, its name, what is asked, the peer, the most that values may differ by, in relation, and the most runs.
TASKS = [
    ("HD95, ASSD, NSD of elements", dict(score="elements"), "surface-distance", 1e-9, 99),
    ("the same, far", dict(score="elements", far=True), "surface-distance", 1e-9, 99),
    ("HD95 of voxels", dict(score="hd95"), "medpy", 1e-9, 3),
    ("HD95, ASSD of voxels", dict(score="hd95_assd"), "medpy", 1e-9, 3),
    ("calibration", dict(score="calibration"), "torchmetrics", None, 99),
    ("components, scipy", dict(score="components", program="scipy"), "scipy", 0, 99),
    ("components, cc3d", dict(score="components", program="cc3d"), "cc3d", 0, 99),
]


def waves(places, length, count, random):
    """A smooth field of mean 0 and deviation 1 whose bumps are about `length` mm large: plane waves added up."""
    field = 0
    for _ in range(count):
        towards = random.normal(size=3)
        towards *= 2 * np.pi / (length * np.linalg.norm(towards)) * random.uniform(0.7, 1.3)
        phase = random.uniform(0, 2 * np.pi)
        # exp(i(a + b + c)) is a product: no cosine for each voxel.
        z, y, x = (np.exp(1j * towards[axis] * places[axis]) for axis in range(3))
        plane = (z[:, None] * y * np.exp(1j * phase))[:, :, None]
        field = field + plane.real.astype(np.float32) * x.real.astype(np.float32)
        field -= plane.imag.astype(np.float32) * x.imag.astype(np.float32)
    return field * np.float32(math.sqrt(2 / count))


def livers():
    """How far inside a liver each voxel lies, about, and how far inside a prediction; mm."""
    random = np.random.default_rng(0)
    places = [(np.arange(n) - n / 2) * mm for n, mm in zip(SHAPE, SPACING)]
    radius = (78, 66, 92)
    z, y, x = (np.square(at / r) for at, r in zip(places, radius))
    depth = 78 * (1 - np.sqrt(z[:, None, None] + y[:, None] + x)).astype(np.float32)
    depth += 9 * waves(places, 70, 12, random)
    return depth, depth + 6.6 * waves(places, 35, 12, random) + 1.5 * waves(places, 8, 12, random)


def write(folder):
    """All files, and where they lie."""
    random = np.random.default_rng(1)
    depth, predicted = livers()
    reference, prediction = depth > 0, predicted > 0
    dice = 2 * (reference & prediction).sum() / (reference.sum() + prediction.sum())
    print(f"masks of {reference.sum()} and {prediction.sum()} voxels, Dice {dice:.3f}")
    if min(reference.sum(), prediction.sum()) < 1e6 or not 0.88 < dice < 0.92:
        sys.exit("these are not the masks that were meant")
    far = prediction.copy()
    for z, y, x in random.integers([8, 16, 16], [152, 496, 496], size=(12, 3)):
        far[z - 3 : z + 4, y - 6 : y + 7, x - 6 : x + 7] = True
    far[4:9, 10:20, 10:20] = far[150:156, 490:500, 490:500] = True
    specks = reference.copy()
    for z, y, x in random.integers(0, [158, 509, 509], size=(20_000, 3)):
        dz, dy, dx = random.integers(1, 4, size=3)
        specks[z : z + dz, y : y + dy, x : x + dx] = True

    def save(name, array):
        array.tofile(folder / name)
        return str(folder / name)

    files = {name: save(name, mask) for name, mask in
             dict(reference=reference, prediction=prediction, far=far, specks=specks).items()}
    # Too sure of itself at the border of the liver, and sure of what is far from it.
    share = np.reciprocal(1 + np.exp(-predicted / 3))
    labels = (random.random(SHAPE, dtype=np.float32) < np.reciprocal(1 + np.exp(-depth / 5))).astype(np.uint16)
    files.update(labels=save("labels", labels), probabilities=save("probabilities", np.stack([1 - share, share])))
    return files


def request_of(task, files):
    """What is asked, with the files that it is about."""
    request = dict(task, shape=SHAPE)
    if task["score"] == "components":
        return dict(request, reference=files["specks"])
    if task["score"] == "calibration":
        return dict(request, reference=files["labels"], prediction=files["probabilities"])
    prediction = files["far" if request.pop("far", False) else "prediction"]
    return dict(request, spacing=SPACING, reference=files["reference"], prediction=prediction)


def exact_calibration(request):
    """The calibration error, by sums in double precision."""
    predicted = np.fromfile(request["prediction"], np.float32).reshape(2, -1)
    labels = np.fromfile(request["reference"], np.uint16)
    confidence = predicted.max(0).astype(np.float64)
    right = (predicted[1] > predicted[0]) == (labels == 1)
    # A bin of its own for 1, as torchmetrics has it.
    place = np.searchsorted(np.linspace(0, 1, 16), confidence, side="right") - 1
    sums = np.bincount(place, confidence, minlength=16), np.bincount(place, right, minlength=16)
    return np.abs(sums[0] - sums[1]).sum() / len(labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--task", choices=[name for name, *_ in TASKS], action="append")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        files = write(Path(folder))
        print(f"{'':28} {'peer':>16} {'peer s':>8} {'sconce s':>9} {'ratio':>7} {'peer MiB':>9} {'sconce MiB':>11}  values")
        for name, task, program, tolerance, most in TASKS:
            if args.task and name not in args.task:
                continue
            request = request_of(task, files)
            sides = [asking.ours(), asking.peer(PEER)]
            # The first answer of each, which is not counted, says how much memory the work takes.
            first = [side.ask(request, count=False) for side in sides]
            runs = min(args.runs, most)
            for _ in range(runs):
                for side in sides:
                    time.sleep(asking.PAUSE)
                    side.ask(request)
            mine, theirs = (side.seconds() for side in sides)
            values = [side.answers[-1]["values"] for side in sides]
            for side in sides:
                side.end()
            extra = [answer["extra_mib"] for answer in first]
            row = dict(task=name, peer=program, runs=runs, ours_s=mine, peer_s=theirs, ratio=theirs / mine,
                       ours_mib=extra[0], peer_mib=extra[1], ours_values=values[0], peer_values=values[1])
            expected = values[1]
            if tolerance is None:
                expected, tolerance = [exact_calibration(request)], 1e-9
                row["exact_values"] = expected
            rows.append(row)
            print(f"{name:28} {program:>16} {theirs:8.2f} {mine:9.3f} {row['ratio']:7.1f} {extra[1]:9.0f} {extra[0]:11.0f}  "
                  + ", ".join(f"{theirs:.6g} {mine:.6g}" for mine, theirs in zip(*values)), flush=True)
            if not all(math.isclose(a, b, rel_tol=tolerance) for a, b in zip(values[0], expected, strict=True)):
                sys.exit(f"{name}: {values[0]}, but {expected} is right")
    if args.json:
        keys = ["elements", "elements_far", "hd95", "hd95_assd", "calibration", "components_scipy", "components_cc3d"]
        names = dict(zip((name for name, *_ in TASKS), keys, strict=True))
        summary = {names[row["task"]]: row["ratio"] for row in rows}
        asking.record(args.json, "benchmarks/peers/scores.py", rows, summary)


if __name__ == "__main__":
    main()
