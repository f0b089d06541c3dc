#!/usr/bin/env python3
"""Layers and a U-Net on a CUDA device: PyTorch beside sconce, asked in turn.

    python3 gpu/compare.py [--runs 15] [--minutes 4] [--json FILE]

`run.sh` builds what this needs, and `run` calls it there. Layers are asked in bf16 and f32, PyTorch in its default layout
and channels-last, with `cudnn.benchmark`; f32 is multiplied as f32 on both sides. Synthetic values, sizes of nnU-Net's
patches. Times are medians of milliseconds on an idle device, which it waits for before and after; the ratio is
peer / ours: above 1, we are faster. Cases are asked in this order until the minutes are over; what was left out is said.
"""
import argparse
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))
import asking  # noqa: E402
import kernels  # noqa: E402
import unet_step  # noqa: E402

LAYERS = {
    "conv 32 128^3": kernels.conv([2, 32, 128, 128, 128], 32),
    "conv 64 64^3": kernels.conv([2, 64, 64, 64, 64], 64),
    "conv 128 32^3": kernels.conv([2, 128, 32, 32, 32], 128),
    "conv 320 8^3": kernels.conv([2, 320, 8, 8, 8], 320),
    "stride 2, 32-64 128^3": kernels.conv([2, 32, 128, 128, 128], 64, stride=2),
    "transposed, 64-32 64^3": kernels.conv([2, 64, 64, 64, 64], 32, kernel=2, stride=2, transposed=True),
    "first, 1-32 128^3": kernels.conv([2, 1, 128, 128, 128], 32),
    "conv 64 256^2": kernels.conv([12, 64, 256, 256], 64),
    "norm 32 128^3": dict(task="norm", shape=[2, 32, 128, 128, 128]),
    "norm 320 8^3": dict(task="norm", shape=[2, 320, 8, 8, 8]),
}
NETWORKS = {
    "step 3D, f32": dict(task="train", features=[32, 64, 128, 256, 320], shape=[2, 1, 96, 96, 96], classes=3),
    "infer 3D, f32": dict(task="infer", features=[32, 64, 128, 256, 320], shape=[1, 1, 128, 128, 128], classes=3),
}


def cases():
    """Name, pass, text of the peer, and request of each case."""
    for name, case in NETWORKS.items():
        yield name, case["task"], unet_step.PEER, case
    for half in (True, False):
        for name, case in LAYERS.items():
            for which in ["forward", "both"] if case["task"] == "norm" else ["forward", "input", "weight"]:
                if which == "input" and name.startswith("first"):
                    continue  # nobody asks for the gradient of an image
                full = f"{name}, {'bf16' if half else 'f32'}"
                yield full, which, kernels.PEER, dict(case, half=half, **{"pass": which})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15, help="timed runs of each side, after three that are not counted")
    parser.add_argument("--minutes", type=float, default=4.0, help="no case is begun later")
    parser.add_argument("--json", type=Path, help="also write the table here, after each case")
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    rows, left_out, texts, sides = [], [], None, []
    print(f"{'case':<30} {'pass':<8} {'PyTorch ms':>10} {'ch.-last':>9} {'sconce':>8} {'vs default':>10} {'vs best':>8}")
    for name, which, text, case in cases():
        if time.monotonic() > end:
            left_out.append(f"{name}, {which}")
            continue
        if texts is not text:
            for side in sides:
                side.end()
            texts, sides = text, [asking.ours(), asking.peer(text), asking.peer(text)]
        request = dict(case, device="cuda")
        requests = [request, dict(request, channels_last=False), dict(request, channels_last=True)]
        for side, of in zip(sides, requests):
            for _ in range(2):
                side.ask(of, count=False)
        asking.interleave(sides, requests, args.runs)
        mine, default, last = (1e3 * side.seconds() for side in sides)
        rows.append(dict(case=name, **{"pass": which}, peer_ms=default, peer_channels_last_ms=last, ours_ms=mine,
                         ratio=default / mine, ratio_best=min(default, last) / mine,
                         version=sides[1].answers[-1]["version"]))
        print(f"{name:<30} {which:<8} {default:>10.3f} {last:>9.3f} {mine:>8.3f} {default / mine:>10.2f} "
              f"{min(default, last) / mine:>8.2f}", flush=True)
        if args.json:
            summary = {}
            for kind in ("bf16", "f32"):
                of_kind = [row["ratio_best"] for row in rows if row["case"].endswith(kind)]
                if of_kind:
                    summary[f"{kind}_vs_best"] = asking.geomean(of_kind)
            asking.record(args.json, "benchmarks/gpu/compare.py", rows, summary)
    for side in sides:
        side.end()
    if left_out:
        print(f"{len(left_out)} cases were left out for want of time, from {left_out[0]} on")


if __name__ == "__main__":
    main()
