#!/usr/bin/env python3
"""A U-Net's training step and inference: PyTorch beside sconce, asked in turn.

    python3 -m venv venv && venv/bin/pip install torch numpy
    cargo build --release -p sconce-benchmarks --bin peer
    venv/bin/python benchmarks/peers/unet_step.py [--runs 7] [--json FILE]

Both sides build the same network (two 3x3(x3) convolutions with instance norm and leaky ReLU a stage, strided
encoder, transposed-convolution decoder), run in processes of their own with two threads, and are timed
alternately. The table gives the median seconds of each, and the ratio peer / ours: above 1, we are faster.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CASES = {
    "step3d_f32": dict(task="train", features=[32, 64, 128, 256], shape=[2, 1, 64, 64, 64], classes=3),
    "step2d_f32": dict(task="train", features=[32, 64, 128, 256, 512], shape=[4, 1, 256, 256], classes=2),
    "infer3d_f32": dict(task="infer", features=[32, 64, 128, 256, 320], shape=[1, 1, 96, 96, 96], classes=3),
}

PEER = r"""
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

held = {}
for line in sys.stdin:
    case = json.loads(line)
    key = line
    if key not in held:
        held.clear()
        torch.manual_seed(0)
        shape = case["shape"]
        net = UNet(shape[1], case["classes"], case["features"], len(shape) - 2)
        x = torch.randn(shape)
        y = torch.randint(0, case["classes"], [shape[0]] + shape[2:])
        sgd = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.99, nesterov=True)
        held[key] = net, x, y, sgd
    net, x, y, sgd = held[key]
    start = time.perf_counter()
    if case["task"] == "train":
        sgd.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        sgd.step()
        value = loss.item()
    else:
        with torch.no_grad():
            value = net(x).flatten()[0].item()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(dict(seconds=seconds, value=value, peak_mib=peak, version=torch.__version__)), flush=True)
"""


def start(command):
    # Some machines pin OpenBLAS to an old kernel for the sake of old builds; a fair peer runs without.
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    env.update(OMP_NUM_THREADS="2", RAYON_NUM_THREADS="2", CANDLE_NUM_THREADS="2")
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def ask(process, case):
    process.stdin.write(json.dumps(case) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        sys.exit("one side ended early; its message is above")
    return json.loads(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="timed runs of each side, after one that is not counted")
    parser.add_argument("--case", action="append", choices=sorted(CASES), help="these cases alone")
    parser.add_argument("--json", type=Path, help="also write the table here")
    args = parser.parse_args()
    binary = ROOT / "target/release/peer"
    if not binary.exists():
        sys.exit("build our side first: cargo build --release -p sconce-benchmarks --bin peer")
    rows, summary = [], {}
    print(f"{'case':<14} {'PyTorch s':>10} {'sconce s':>10} {'ratio':>7} {'PyTorch MiB':>12} {'sconce MiB':>11}")
    for name in args.case or CASES:
        ours, peer = start([str(binary)]), start([sys.executable, "-c", PEER])
        ask(ours, CASES[name]), ask(peer, CASES[name])
        mine, theirs = [], []
        for _ in range(args.runs):
            theirs.append(ask(peer, CASES[name]))
            mine.append(ask(ours, CASES[name]))
        for process in (ours, peer):
            process.stdin.close()
            process.wait()
        median = lambda answers: statistics.median(answer["seconds"] for answer in answers)
        row = dict(case=name, peer=median(theirs), ours=median(mine), ratio=median(theirs) / median(mine),
                   peer_mib=theirs[-1]["peak_mib"], ours_mib=mine[-1]["peak_mib"], version=theirs[-1]["version"])
        rows.append(row)
        summary[f"{name}_vs_default"] = row["ratio"]
        print(f"{name:<14} {row['peer']:>10.3f} {row['ours']:>10.3f} {row['ratio']:>7.2f} "
              f"{row['peer_mib']:>12.0f} {row['ours_mib']:>11.0f}", flush=True)
    if args.json:
        machine = dict(processor=platform.processor() or platform.machine(), cores=os.cpu_count())
        args.json.write_text(json.dumps(dict(rows=rows, summary=summary, machine=machine), indent=1) + "\n")


if __name__ == "__main__":
    main()
