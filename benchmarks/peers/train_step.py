#!/usr/bin/env python3
"""A step of a whole training run: PyTorch beside sconce's engine, asked in turn.

    python3 -m venv venv && venv/bin/pip install torch numpy
    cargo build --release --workspace --bins
    venv/bin/python benchmarks/peers/train_step.py [--runs 7] [--json FILE]

Our side is `engine::train` itself: it reads patches from its cases in threads of its own, trains the U-Net of
`unet_step.py` with deep supervision, cross entropy and Dice, clips gradients at 12 and steps with Nesterov's momentum 0.99.
The peer does the same to a batch that is there already: it has no data to load. It runs as it comes, and with a tuned memory
allocator; in bf16 (autocast there, `precision = "bf16"` here) in both layouts, of which the faster one counts. Each is asked for
some steps at a time, so that batches made ahead do not count for nothing. Above 1, we are faster. The row `varied` is ours with
nnU-Net's augmentation of each patch, which the peer's figure does not hold. Below each row is what our step's time goes into.
"""
import argparse
import statistics
from pathlib import Path

import asking
import unet_step

CASES = {
    "step3d": dict(features=[32, 64, 128, 256], patch=[64, 64, 64], batch=2),
    "step2d": dict(features=[32, 64, 128, 256, 512], patch=[1, 256, 256], batch=4),
}
CLASSES = 3
WORK = ["convolution", "norm and activation", "loss", "optimizer", "data", "other"]

PEER = unet_step.NETWORK + r"""
class DeepUNet(UNet):
    # A head on each resolution but the coarsest.
    def __init__(self, cin, classes, features, rank):
        super().__init__(cin, classes, features, rank)
        head = nn.Conv3d if rank == 3 else nn.Conv2d
        self.head = None
        self.heads = nn.ModuleList(head(f, classes, 1) for f in features[-2::-1])

    def forward(self, x):
        skips, outs = [], []
        for encode in self.encoder:
            x = encode(x)
            skips.append(x)
        skips.pop()
        for up, decode, head in zip(self.up, self.decoder, self.heads):
            x = decode(torch.cat([up(x), skips.pop()], 1))
            outs.append(head(x))
        return outs[::-1]

def cross_entropy_and_dice(z, y):
    z = z.float()
    axes = tuple(range(2, z.dim()))
    p = z.softmax(1)[:, 1:]
    t = F.one_hot(y, z.shape[1]).movedim(-1, 1)[:, 1:].to(p.dtype)
    dice = (2 * (p * t).sum(axes) + 1e-5) / (p.sum(axes) + t.sum(axes) + 1e-5)
    return F.cross_entropy(z, y) + 1 - dice.mean()

held = {}
for line in sys.stdin:
    case = json.loads(line)
    if line not in held:
        held.clear()
        torch.manual_seed(0)
        rank = 2 if case["patch"][0] == 1 else 3
        size = case["patch"][3 - rank:]
        net = DeepUNet(1, case["classes"], case["features"], rank)
        x = torch.randn([case["batch"], 1] + size)
        if case.get("channels_last"):
            form = torch.channels_last_3d if rank == 3 else torch.channels_last
            net, x = net.to(memory_format=form), x.contiguous(memory_format=form)
        levels = len(case["features"]) - 1
        y = [torch.randint(0, case["classes"], [case["batch"]] + [n >> i for n in size]) for i in range(levels)]
        weights = [0.5 ** i for i in range(levels)]
        weights[-1] = 0.0 if levels > 1 else 1.0
        weights = [w / sum(weights) for w in weights]
        sgd = torch.optim.SGD(net.parameters(), lr=1e-2, momentum=0.99, nesterov=True, weight_decay=3e-5)
        held[line] = net, x, y, weights, sgd
    net, x, y, weights, sgd = held[line]
    start = time.perf_counter()
    for _ in range(case["steps"]):
        sgd.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=case["precision"] == "bf16"):
            outs = net(x)
        loss = sum(w * cross_entropy_and_dice(z, t) for w, z, t in zip(weights, outs, y) if w)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 12)
        sgd.step()
        value = loss.item()
    seconds = (time.perf_counter() - start) / case["steps"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(dict(seconds=seconds, value=value, peak_mib=peak, version=torch.__version__)), flush=True)
"""


def seconds(side):
    """The median of a step of ours."""
    return statistics.median(answer["values"][1] for answer in side.answers)


def shares(side):
    """What the time of our steps goes into, as parts of it."""
    each = [statistics.median(answer["values"][2 + at] for answer in side.answers) for at in range(len(WORK))]
    return {name: value / sum(each) for name, value in zip(WORK, each)}


def compare(name, case, runs, rows, summary):
    half = case["precision"] == "bf16"
    last = dict(case, channels_last=True)
    others = [(asking.peer(PEER, **asking.TUNED), case), (asking.peer(PEER, **asking.TUNED), last)] if half else [
        (asking.peer(PEER), case), (asking.peer(PEER, **asking.TUNED), case)]
    mine, varied = (asking.ours(), dict(case, augment=False)), (asking.ours(), dict(case, augment=True))
    sides, requests = zip(mine, varied, *others)
    asking.interleave(sides, requests, runs)
    for side in sides:
        side.end()
    step, with_changes = seconds(sides[0]), seconds(sides[1])
    first, second = sides[2].seconds(), sides[3].seconds()
    row = dict(case=name, ours=step, ours_varied=with_changes, spent=shares(sides[0]), ours_mib=sides[0].peak(),
               version=sides[2].answers[-1]["version"])
    best = min(sides[2:], key=lambda side: side.seconds())
    if half:
        row.update(peer_tuned=first, peer_channels_last=second, ratio_best=best.seconds() / step)
    else:
        row.update(peer=first, peer_tuned=second, ratio=first / step, ratio_tuned=second / step)
    row["peer_mib"] = sides[2].peak()
    rows.append(row)
    parts = ", ".join(f"{work} {share:.0%}" for work, share in row["spent"].items())
    print(f"{name:<12} {first:>8.3f} {second:>8.3f} {step:>8.3f} {with_changes:>8.3f} {first / step:>6.2f} "
          f"{second / step:>6.2f} {row['peer_mib']:>9.0f} {row['ours_mib']:>9.0f}\n  {parts}", flush=True)
    summary[f"{name}_{'vs_best' if half else 'vs_default'}"] = row["ratio_best"] if half else row["ratio"]
    summary[f"{name}_memory_saving"] = row["peer_mib"] / row["ours_mib"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="timed turns of each side, after one that is not counted")
    parser.add_argument("--steps", type=int, default=3, help="steps of each turn")
    parser.add_argument("--case", action="append", choices=sorted(CASES), help="these cases alone")
    parser.add_argument("--json", type=Path, help="also write the table here")
    args = parser.parse_args()
    rows, summary = [], {}
    print(f"{'case':<12} {'PyTorch':>8} {'other':>8} {'sconce':>8} {'varied':>8} {'ratio':>6} {'other':>6} "
          f"{'MiB':>9} {'ours':>9}   (other: tuned; in bf16, tuned and tuned channels-last)")
    for name in args.case or CASES:
        for precision in ("f32", "bf16"):
            ours = "exact" if precision == "f32" else "bf16"
            case = dict(CASES[name], classes=CLASSES, precision=ours, steps=args.steps, augment=False)
            compare(f"{name}_{precision}", case, args.runs, rows, summary)
    for key, of in (("f32_vs_default", "_f32_vs_default"), ("bf16_vs_best", "_bf16_vs_best"),
                    ("memory_saving", "step3d_f32_memory_saving")):
        found = [value for name, value in summary.items() if name.endswith(of)]
        if found:
            summary[key] = asking.geomean(found)
    if args.json:
        asking.record(args.json, "benchmarks/peers/train_step.py", rows, summary)


if __name__ == "__main__":
    main()
