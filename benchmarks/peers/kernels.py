#!/usr/bin/env python3
"""Single layers: PyTorch beside sconce, asked in turn.

    python3 -m venv venv && venv/bin/pip install torch numpy
    cargo build --release --workspace --bins
    venv/bin/python benchmarks/peers/kernels.py [--runs 9] [--group NAME] [--json FILE]

Convolutions in each of their three passes, and norm with activation forward and backward, on two threads. The peer is
asked twice, in its default layout and channels-last; each side keeps its own layout throughout. In bf16 activations
are stored so, and there the peer's weights too. The ratio is peer / ours: above 1, we are faster. Memory is the most that each process held for all passes of a case.
"""
import argparse
from pathlib import Path

import asking

PEER = r"""
import json, resource, sys, time
import torch
from torch.nn import functional as F
torch.set_num_threads(2)
held = {}

def build(case):
    torch.manual_seed(0)
    half, device = case.get("half", False), case.get("device", "cpu")
    kind = dict(device=device, dtype=torch.bfloat16 if half else torch.float32)
    if device == "cuda":
        # The fastest ways, as a careful user would have it, and as many digits as the other side.
        torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = True, False
    x = torch.randn(case["shape"], **kind)
    rank = x.ndim - 2
    last = torch.channels_last_3d if rank == 3 else torch.channels_last
    form = last if case["channels_last"] else torch.contiguous_format
    x = x.contiguous(memory_format=form)
    if case["task"] == "norm":
        scale, shift = torch.ones(x.shape[1], **kind), torch.zeros(x.shape[1], **kind)
        run = lambda x: F.leaky_relu(F.instance_norm(x, weight=scale, bias=shift, eps=1e-5), 0.01)
        if case["pass"] == "forward":
            return lambda: run(x)
        x.requires_grad_(True)
        dy = torch.randn(x.shape, **kind).contiguous(memory_format=form)
        def both():
            return torch.autograd.grad(run(x), x, dy)[0]
        return both
    kernel, stride, transposed = case["kernel"], case["stride"], case["transposed"]
    ends = [x.shape[1], case["outputs"]] if transposed else [case["outputs"], x.shape[1]]
    w = torch.randn(ends + [kernel] * rank, **kind) * 0.1
    if rank in (2, 3):
        w = w.contiguous(memory_format=form)
    padding = [0 if transposed else kernel // 2] * rank
    op = lambda: torch.convolution(x, w, None, [stride] * rank, padding, [1] * rank, transposed, [0] * rank, 1)
    if case["pass"] == "forward":
        return lambda: torch.no_grad()(op)()
    dy = torch.randn(op().shape, **kind).contiguous(memory_format=form)
    mask = [case["pass"] == "input", case["pass"] == "weight", False]
    return lambda: torch.ops.aten.convolution_backward(
        dy, x, w, None, [stride] * rank, padding, [1] * rank, transposed, [0] * rank, 1, mask)

for line in sys.stdin:
    case = json.loads(line)
    if line not in held:
        held.clear()
        held[line] = build(case)
    wait = torch.cuda.synchronize if case.get("device") == "cuda" else lambda: None
    for _ in range(case.get("warm", 0)):
        held[line]()
    wait()
    start = time.perf_counter()
    held[line]()
    wait()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(dict(seconds=seconds, value=0.0, peak_mib=peak, version=torch.__version__)), flush=True)
"""


# Before the clock starts, each side runs what it is asked for so often: what takes a few milliseconds would else be
# told by threads that have to be woken, as they need not be between the layers of a network.
WARM = 2


def conv(shape, outputs, kernel=3, stride=1, transposed=False):
    return dict(task="conv", shape=shape, outputs=outputs, kernel=kernel, stride=stride, transposed=transposed)


SAME_3D = {
    "32 64^3": conv([1, 32, 64, 64, 64], 32),
    "64 32^3": conv([1, 64, 32, 32, 32], 64),
    "64-32 64^3": conv([1, 64, 64, 64, 64], 32),
    "128 16^3": conv([1, 128, 16, 16, 16], 128),
    "256 8^3": conv([1, 256, 8, 8, 8], 256),
}
SAME_2D = {"32 256^2": conv([4, 32, 256, 256], 32), "64 128^2": conv([4, 64, 128, 128], 64)}
OTHER = {
    "stride 2, 32-64 64^3": conv([1, 32, 64, 64, 64], 64, stride=2),
    "stride 2, 64-128 32^3": conv([1, 64, 32, 32, 32], 128, stride=2),
    "stride 2, 128-256 16^3": conv([1, 128, 16, 16, 16], 256, stride=2),
    "1x1x1, 32-3 64^3": conv([1, 32, 64, 64, 64], 3, kernel=1),
    "1x1x1, 64 32^3": conv([1, 64, 32, 32, 32], 64, kernel=1),
    "transposed, 64-32 32^3": conv([1, 64, 32, 32, 32], 32, kernel=2, stride=2, transposed=True),
    "transposed, 128-64 16^3": conv([1, 128, 16, 16, 16], 64, kernel=2, stride=2, transposed=True),
    "first, 1-32 64^3": conv([1, 1, 64, 64, 64], 32),
}
NORMS = {
    "norm 32 64^3": dict(task="norm", shape=[1, 32, 64, 64, 64]),
    "norm 64 32^3": dict(task="norm", shape=[1, 64, 32, 32, 32]),
    "norm 32 256^2": dict(task="norm", shape=[4, 32, 256, 256]),
}
GROUPS = {
    "conv3d_f32": SAME_3D,
    "conv3d_bf16": {name: dict(case, half=True) for name, case in SAME_3D.items()},
    "conv2d_f32": SAME_2D,
    "conv_other_f32": OTHER,
    "norm_act": NORMS,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9, help="timed runs of each side, after one that is not counted")
    parser.add_argument("--group", action="append", choices=sorted(GROUPS), help="these groups alone")
    parser.add_argument("--json", type=Path, help="also write the table here")
    args = parser.parse_args()
    rows, summary = [], {}
    print(f"{'case':<24} {'pass':<8} {'PyTorch ms':>10} {'ch.-last':>9} {'sconce':>8} {'vs default':>10} {'vs best':>8} "
          f"{'PyTorch MiB':>11} {'sconce MiB':>10}")
    for group in args.group or GROUPS:
        of_group = []
        for name, case in GROUPS[group].items():
            sides = [asking.ours(), asking.peer(PEER), asking.peer(PEER)]
            for which in ["forward", "both"] if case["task"] == "norm" else ["forward", "input", "weight"]:
                if which == "input" and name.startswith("first"):
                    continue  # nobody asks for the gradient of an image
                request = dict(case, warm=WARM, **{"pass": which})
                requests = [request, dict(request, channels_last=False), dict(request, channels_last=True)]
                asking.interleave(sides, requests, args.runs)
                mine, default, last = (side.seconds() for side in sides)
                row = dict(group=group, case=name, **{"pass": which}, peer=default, peer_channels_last=last, ours=mine,
                           ratio=default / mine, ratio_best=min(default, last) / mine,
                           peer_mib=sides[1].peak(), ours_mib=sides[0].peak(),
                           version=sides[1].answers[-1]["version"])
                of_group.append(row)
                print(f"{name:<24} {which:<8} {default * 1e3:>10.2f} {last * 1e3:>9.2f} {mine * 1e3:>8.2f} "
                      f"{row['ratio']:>10.2f} {row['ratio_best']:>8.2f} {row['peer_mib']:>11.0f} {row['ours_mib']:>10.0f}",
                      flush=True)
            for side in sides:
                side.end()
        rows += of_group
        summary[f"{group}_vs_default"] = asking.geomean(row["ratio"] for row in of_group)
        summary[f"{group}_vs_best"] = asking.geomean(row["ratio_best"] for row in of_group)
    for key, value in summary.items():
        print(f"{key:<40} {value:.2f}")
    if args.json:
        asking.record(args.json, "benchmarks/peers/kernels.py", rows, summary)


if __name__ == "__main__":
    main()
