#!/usr/bin/env python3
"""Losses: value and gradient in PyTorch, eager and compiled, beside sconce, asked in turn.

    python3 -m venv venv && venv/bin/pip install torch numpy
    cargo build --release --workspace --bins
    venv/bin/python benchmarks/peers/losses.py [--runs 7] [--shape 2,4,128,128,128] [--loss NAME] [--json FILE]

Each loss is written in PyTorch as libraries and the papers' authors write it: softmax, one-hot labels, sums, a quotient.
Two threads, a tuned allocator. The ratio is peer / ours: above 1, we are faster. Memory is how much more a process held
at most, the first time, than logits and labels; the share is ours / the peer's.
"""
import argparse
from pathlib import Path

import asking

PEER = r"""
import json, math, re, sys, time
import torch
from torch.nn import functional as F
torch.set_num_threads(2)

def one_hot(y, z):
    if y.dtype.is_floating_point:
        return y
    return F.one_hot(y, z.shape[1]).movedim(-1, 1).to(z.dtype)

def space(z):
    return tuple(range(2, z.ndim))

def cross_entropy(z, y):
    return F.cross_entropy(z, y)

def focal(z, y):
    log_p = F.log_softmax(z, 1)
    return -((1 - log_p.exp()) ** 2 * one_hot(y, z) * log_p).sum(1).mean()

def dice(z, y):
    p, t = z.softmax(1), one_hot(y, z)
    shared, total = (p * t).sum(space(z)), p.sum(space(z)) + t.sum(space(z))
    return (1 - (2 * shared + 1e-5) / (total + 1e-5)).mean()

def generalized_dice(z, y):
    p, t = z.softmax(1), one_hot(y, z)
    weight = 1 / t.sum(space(z)).clamp(min=1) ** 2
    shared, total = (p * t).sum(space(z)), p.sum(space(z)) + t.sum(space(z))
    return (1 - (2 * (shared * weight).sum(1) + 1e-5) / ((total * weight).sum(1) + 1e-5)).mean()

def dice_semimetric(z, y):
    p, t = F.log_softmax(z, 1).exp(), one_hot(y, z)
    flat = lambda x: x.flatten(2)
    total = flat(p).sum(2) + flat(t).sum(2)
    shared = (total - (flat(p) - flat(t)).abs().sum(2)) / 2
    shared, total = shared.sum(0), total.sum(0)
    return (1 - (shared + 1e-3) / (total / 2 + 1e-3)).mean()

def errors(z, y, exponent, alpha):
    p, t = z.softmax(1), one_hot(y, z)
    shared = (p * t).sum(space(z))
    wrong = (((1 - t) * p) ** exponent).sum(space(z))
    missed = ((t * (1 - p)) ** exponent).sum(space(z))
    return 1 - (shared + 1e-5) / (shared + alpha * wrong + (1 - alpha) * missed + 1e-5)

def tversky(z, y):
    return errors(z, y, 1, 0.3).mean()

def dsc_plus_plus(z, y):
    return errors(z, y, 2, 0.5).mean()

def unified_focal(z, y):
    p, t = z.softmax(1).clamp(1e-7, 1 - 1e-7), one_hot(y, z)
    delta, gamma = 0.6, 0.5
    cost = -t * p.log()
    back = (1 - delta) * (1 - p[:, 0]) ** gamma * cost[:, 0]
    focal = (back + delta * cost[:, 1:].sum(1)).mean()
    shared = (p * t).sum(space(z))
    wrong, missed = ((1 - t) * p).sum(space(z)), (t * (1 - p)).sum(space(z))
    part = 1 - (shared + 1e-7) / (shared + delta * missed + (1 - delta) * wrong + 1e-7)
    part = torch.cat([part[:, :1], part[:, 1:] ** (1 - gamma)], 1).mean()
    return 0.5 * focal + 0.5 * part

def kl_divergence(z, y):
    return F.kl_div(F.log_softmax(z, 1), y, reduction="none").sum(1).mean()

def mcc(z, y):
    p, t = z.softmax(1), one_hot(y, z)
    axes = (0,) + space(z)
    tp, fp = (p * t).sum(axes), (p * (1 - t)).sum(axes)
    tn, fn = ((1 - p) * (1 - t)).sum(axes), ((1 - p) * t).sum(axes)
    below = ((tp + fp).sqrt() * (tp + fn).sqrt() * (tn + fp).sqrt() * (tn + fn).sqrt())
    return (1 - (tp * tn - fp * fn) / below).mean()

def top_k(z, y):
    cost = F.cross_entropy(z, y, reduction="none").flatten()
    return cost.topk(cost.numel() // 10, sorted=False)[0].mean()

def ce_dice(z, y):
    return cross_entropy(z, y) + dice(z, y)

def status(field):
    with open("/proc/self/status") as file:
        return int(re.search(field + r":\s+(\d+)", file.read())[1]) / 1024

held = {}
for line in sys.stdin:
    case = json.loads(line)
    is_new = line not in held
    if is_new:
        held.clear()
        shape, voxels = case["shape"], math.prod(case["shape"][2:]) * case["shape"][0]
        count = math.prod(shape)
        z = ((torch.arange(count) * 7919 % 1009).float() / 504.5 - 1).reshape(shape)
        if case.get("soft"):
            y = (-z).softmax(1)
        else:
            y = (torch.arange(voxels) // 97 % shape[1]).reshape([shape[0]] + shape[2:])
        z.requires_grad_(True)
        run = globals()[case["peer"]]
        if case["compiled"]:
            run = torch.compile(run, dynamic=False)
        held[line] = run, z, y
        if case["compiled"]:  # what compiling takes is not what running takes
            torch.autograd.grad(run(z, y), z)
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        before = status("VmRSS")
    run, z, y = held[line]
    start = time.perf_counter()
    value = run(z, y)
    gradient, = torch.autograd.grad(value, z)
    seconds = time.perf_counter() - start
    del gradient
    answer = dict(seconds=seconds, value=value.item(), peak_mib=status("VmHWM"), version=torch.__version__)
    if is_new:
        answer["extra_mib"] = status("VmHWM") - before
    print(json.dumps(answer), flush=True)
"""

# Ours, the peer's function, and whether a native kernel fuses value and gradient.
LOSSES = {
    "cross_entropy": (dict(cross_entropy={}), "cross_entropy", True),
    "dice": (dict(dice={}), "dice", True),
    "dice_semimetric": (dict(dice_semimetric={}), "dice_semimetric", True),
    "dsc_plus_plus": (dict(tversky=dict(alpha=0.5, beta=0.5, error_exponent=2.0)), "dsc_plus_plus", True),
    "unified_focal": (dict(unified_focal={}), "unified_focal", True),
    "tversky": (dict(tversky={}), "tversky", True),
    "generalized_dice": (dict(generalized_dice={}), "generalized_dice", True),
    "mcc": (dict(mcc={}), "mcc", True),
    "dice_semimetric, soft": (dict(dice_semimetric={}), "dice_semimetric", True),
    "kl_divergence, soft": (dict(kl_divergence={}), "kl_divergence", True),
    "focal": (dict(focal={}), "focal", False),
    "top_k": (dict(top_k={}), "top_k", False),
    "cross_entropy + dice": (
        dict(sum=dict(terms=[dict(weight=1.0, loss=dict(cross_entropy={})), dict(weight=1.0, loss=dict(dice={}))])),
        "ce_dice", True),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="timed runs of each side, after one that is not counted")
    parser.add_argument("--shape", default="2,4,128,128,128", help="of the logits: N,C,D,H,W")
    parser.add_argument("--loss", action="append", choices=sorted(LOSSES), help="these losses alone")
    parser.add_argument("--json", type=Path, help="also write the table here")
    args = parser.parse_args()
    shape = [int(extent) for extent in args.shape.split(",")]
    rows = []
    print(f"{'loss':<24} {'eager ms':>9} {'compiled':>9} {'sconce':>8} {'vs eager':>9} {'vs comp.':>9} "
          f"{'eager MiB':>10} {'compiled':>9} {'sconce':>8} {'share':>6}")
    for name in args.loss or LOSSES:
        loss, function, fused = LOSSES[name]
        request = dict(shape=shape, soft=name.endswith("soft"))
        requests = [dict(request, loss=loss), dict(request, peer=function, compiled=False),
                    dict(request, peer=function, compiled=True)]
        sides = [asking.ours(), asking.peer(PEER, **asking.TUNED), asking.peer(PEER, **asking.TUNED)]
        first = [side.ask(one, count=False) for side, one in zip(sides, requests)]
        asking.interleave(sides, requests, args.runs)
        mine, eager, compiled = (side.seconds() for side in sides)
        extra = [answer["extra_mib"] for answer in first]
        row = dict(loss=name, fused=fused, ours=mine, peer=eager, peer_compiled=compiled, ratio=eager / mine,
                   ratio_compiled=compiled / mine, ours_mib=extra[0], peer_mib=extra[1], peer_compiled_mib=extra[2],
                   share=extra[0] / extra[1], values=[answer["value"] for answer in first],
                   version=sides[1].answers[-1]["version"])
        rows.append(row)
        print(f"{name:<24} {eager * 1e3:>9.1f} {compiled * 1e3:>9.1f} {mine * 1e3:>8.1f} {row['ratio']:>9.2f} "
              f"{row['ratio_compiled']:>9.2f} {extra[1]:>10.0f} {extra[2]:>9.0f} {extra[0]:>8.0f} {row['share']:>6.2f}",
              flush=True)
        if abs(first[0]["value"] - first[1]["value"]) > 2e-3 * max(abs(first[1]["value"]), 1e-3):
            print(f"  values differ: {row['values']}")
        for side in sides:
            side.end()
    of_fused = [row for row in rows if row["fused"]]
    summary = dict(
        fused_vs_eager=asking.geomean(row["ratio"] for row in of_fused),
        fused_vs_compiled=asking.geomean(row["ratio_compiled"] for row in of_fused),
        fused_least_vs_eager=min(row["ratio"] for row in of_fused),
        fused_least_vs_compiled=min(row["ratio_compiled"] for row in of_fused),
        fused_most_memory_share=max(row["share"] for row in of_fused),
    ) if of_fused else {}
    for key, value in summary.items():
        print(f"{key:<40} {value:.2f}")
    if args.json:
        asking.record(args.json, "benchmarks/peers/losses.py", rows, summary)


if __name__ == "__main__":
    main()
