#!/usr/bin/env python3
"""A U-Net's training step and inference: PyTorch beside sconce, asked in turn.

    python3 -m venv venv && venv/bin/pip install torch numpy
    cargo build --release --workspace --bins
    venv/bin/python benchmarks/peers/unet_step.py [--runs 7] [--json FILE]

Both sides build the same network (two 3x3(x3) convolutions with instance norm and leaky ReLU a stage, strided
encoder, transposed-convolution decoder), run in processes of their own with two threads, and are timed
alternately. The peer runs as it comes, and with a tuned memory allocator; in bf16 (autocast there, tensors stored so
here) with that allocator and in both layouts, of which the faster one counts. Ours runs in f32 as it comes, and a second
time with precision = "fast". The table gives the median seconds of each, and the ratio peer / ours: above 1, we are faster.
"""
import argparse
from pathlib import Path

import asking

CASES = {
    "step3d_f32": dict(task="train", features=[32, 64, 128, 256], shape=[2, 1, 64, 64, 64], classes=3),
    "step2d_f32": dict(task="train", features=[32, 64, 128, 256, 512], shape=[4, 1, 256, 256], classes=2),
    "infer3d_f32": dict(task="infer", features=[32, 64, 128, 256, 320], shape=[1, 1, 96, 96, 96], classes=3),
}
CASES.update({name.replace("f32", "bf16"): dict(case, dtype="bf16") for name, case in CASES.items()})

NETWORK = r"""
import json, resource, sys, time
import torch
from torch import nn
from torch.nn import functional as F
torch.set_num_threads(2)

def stage(cin, cout, stride, rank):
    conv = nn.Conv3d if rank == 3 else nn.Conv2d
    norm = nn.InstanceNorm3d if rank == 3 else nn.InstanceNorm2d
    layers = []
    for c, s in ((cin, stride), (cout, 1)):
        layers += [conv(c, cout, 3, stride=s, padding=1), norm(cout, affine=True, eps=1e-5), nn.LeakyReLU(0.01, inplace=True)]
    return nn.Sequential(*layers)

class UNet(nn.Module):
    def __init__(self, cin, classes, features, rank):
        super().__init__()
        up = nn.ConvTranspose3d if rank == 3 else nn.ConvTranspose2d
        head = nn.Conv3d if rank == 3 else nn.Conv2d
        widths = [cin] + features
        self.encoder = nn.ModuleList(stage(widths[i], f, 1 if i == 0 else 2, rank) for i, f in enumerate(features))
        pairs = list(zip(features[1:], features[:-1]))[::-1]
        self.up = nn.ModuleList(up(a, b, 2, stride=2) for a, b in pairs)
        self.decoder = nn.ModuleList(stage(2 * b, b, 1, rank) for _, b in pairs)
        self.head = head(features[0], classes, 1)

    def forward(self, x):
        skips = []
        for encode in self.encoder:
            x = encode(x)
            skips.append(x)
        skips.pop()
        for up, decode in zip(self.up, self.decoder):
            x = decode(torch.cat([up(x), skips.pop()], 1))
        return self.head(x)
"""

PEER = NETWORK + r"""
held = {}
for line in sys.stdin:
    case = json.loads(line)
    key = line
    if key not in held:
        held.clear()
        torch.manual_seed(0)
        shape, device = case["shape"], case.get("device", "cpu")
        if device == "cuda":
            # The fastest ways, as a careful user would have it, and as many digits as the other side.
            torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = True, False
        net = UNet(shape[1], case["classes"], case["features"], len(shape) - 2).to(device)
        x = torch.randn(shape, device=device)
        if case.get("channels_last"):
            form = torch.channels_last_3d if len(shape) == 5 else torch.channels_last
            net, x = net.to(memory_format=form), x.contiguous(memory_format=form)
        y = torch.randint(0, case["classes"], [shape[0]] + shape[2:], device=device)
        sgd = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.99, nesterov=True)
        held[key] = net, x, y, sgd
    net, x, y, sgd = held[key]
    wait = torch.cuda.synchronize if case.get("device") == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=case.get("dtype") == "bf16")
    if case["task"] == "train":
        sgd.zero_grad()
        with autocast:
            loss = F.cross_entropy(net(x).float(), y)
        loss.backward()
        sgd.step()
        value = loss.item()
    else:
        with torch.no_grad(), autocast:
            value = net(x).flatten()[0].item()
    wait()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(dict(seconds=seconds, value=value, peak_mib=peak, version=torch.__version__)), flush=True)
"""


def compare_bf16(name, case, runs, rows, summary):
    """Adds the row of a case in bf16, beside the faster of the peer's layouts."""
    sides = [asking.ours(), asking.peer(PEER, **asking.TUNED), asking.peer(PEER, **asking.TUNED)]
    asking.interleave(sides, [case, case, dict(case, channels_last=True)], runs)
    for side in sides:
        side.end()
    mine, plain, last = (side.seconds() for side in sides)
    best = min(sides[1:], key=lambda side: side.seconds())
    row = dict(case=name, peer_tuned=plain, peer_channels_last=last, ours=mine, ratio_best=min(plain, last) / mine,
               peer_mib=best.peak(), ours_mib=sides[0].peak(), version=best.answers[-1]["version"])
    rows.append(row)
    summary[f"{name}_vs_best"] = row["ratio_best"]
    print(f"{name:<12} {'':>9} {min(plain, last):>8.3f} {mine:>8.3f} {'':>6} {row['ratio_best']:>6.2f} "
          f"{row['peer_mib']:>11.0f} {row['ours_mib']:>10.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="timed runs of each side, after one that is not counted")
    parser.add_argument("--case", action="append", choices=sorted(CASES), help="these cases alone")
    parser.add_argument("--json", type=Path, help="also write the table here")
    args = parser.parse_args()
    rows, summary = [], {}
    print(f"{'case':<12} {'PyTorch s':>9} {'tuned s':>8} {'sconce s':>8} {'ratio':>6} {'tuned':>6} "
          f"{'PyTorch MiB':>11} {'sconce MiB':>10}")
    for name in args.case or CASES:
        case = CASES[name]
        if case.get("dtype") == "bf16":
            compare_bf16(name, case, args.runs, rows, summary)
            continue
        sides = [asking.ours(), asking.peer(PEER), asking.peer(PEER, **asking.TUNED), asking.ours("fast")]
        asking.interleave(sides, [case] * 4, args.runs)
        for side in sides:
            side.end()
        mine, default, tuned, fast = (side.seconds() for side in sides)
        row = dict(case=name, peer=default, peer_tuned=tuned, ours=mine, ours_fast=fast, ratio=default / mine,
                   ratio_tuned=tuned / mine, ratio_fast=default / fast, ratio_fast_tuned=tuned / fast,
                   peer_mib=sides[1].peak(), ours_mib=sides[0].peak(), version=sides[1].answers[-1]["version"])
        rows.append(row)
        summary[f"{name}_vs_default"] = row["ratio"]
        summary[f"{name}_vs_tuned"] = row["ratio_tuned"]
        summary[f"{name}_fast_vs_default"] = row["ratio_fast"]
        summary[f"{name}_fast_vs_tuned"] = row["ratio_fast_tuned"]
        summary[f"{name.removesuffix('_f32')}_memory_saving"] = row["peer_mib"] / row["ours_mib"]
        print(f"{name:<12} {default:>9.3f} {tuned:>8.3f} {mine:>8.3f} {row['ratio']:>6.2f} {row['ratio_tuned']:>6.2f} "
              f"{row['peer_mib']:>11.0f} {row['ours_mib']:>10.0f}", flush=True)
        print(f"{'  fast':<12} {'':>9} {'':>8} {fast:>8.3f} {row['ratio_fast']:>6.2f} {row['ratio_fast_tuned']:>6.2f}",
              flush=True)
    if args.json:
        asking.record(args.json, "benchmarks/peers/unet_step.py", rows, summary)


if __name__ == "__main__":
    main()
