#!/usr/bin/env python3
"""Our weights in nnU-Net's own networks.

    python3 -m venv venv && venv/bin/pip install torch numpy safetensors dynamic-network-architectures
    sconce quickstart --output quickstart
    venv/bin/python benchmarks/interop/nnunet_weights.py quickstart/models/* [--json FILE]

A residual U-Net is made likewise: a run file with `[model.residual_unet]`, `sconce train`, `sconce zoo pack`.

For each model folder, builds the class that nnU-Net would, gives it the weights under the names that they have, and
computes the logits of the input that lies in `golden.safetensors`. They must be those that lie beside it, to 1e-4 of
their size; no name may be unknown to nnU-Net, and none that it asks for may be missing. Exit code 1 else.
"""
import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from safetensors.torch import load_file

sys.path.append(str(Path(__file__).resolve().parents[1] / "peers"))
import asking

TOLERANCE = 1e-4


def is_alias(name):
    """nnU-Net lists many tensors several times; they share their storage."""
    return ".all_modules." in name or name.startswith("decoder.encoder.")


def build(config):
    kind, settings = next(iter(config["architecture"].items()))
    interface = config["interface"]
    three = interface["rank"] == 3
    stages = len(settings["features_per_stage"])
    several = lambda key, default: settings.get(key) or default
    shared = dict(
        input_channels=interface["channels"], n_stages=stages, features_per_stage=settings["features_per_stage"],
        conv_op=torch.nn.Conv3d if three else torch.nn.Conv2d,
        kernel_sizes=settings["kernel_sizes"], strides=settings["strides"], num_classes=interface["classes"],
        conv_bias=settings["conv_bias"],
        norm_op=torch.nn.InstanceNorm3d if three else torch.nn.InstanceNorm2d,
        norm_op_kwargs=dict(eps=settings["norm_eps"], affine=True),
        nonlin=torch.nn.LeakyReLU, nonlin_kwargs=dict(inplace=True), deep_supervision=False)
    if kind == "unet":
        return PlainConvUNet(n_conv_per_stage=several("n_conv_per_stage", [2] * stages),
                             n_conv_per_stage_decoder=several("n_conv_per_stage_decoder", [2] * (stages - 1)), **shared)
    if kind == "residual_unet":
        blocks = [1, 3, 4, 6, 6, 6, 6, 6, 6, 6][:stages]
        return ResidualEncoderUNet(n_blocks_per_stage=several("n_blocks_per_stage", blocks),
                                   n_conv_per_stage_decoder=several("n_conv_per_stage_decoder", [1] * (stages - 1)),
                                   **shared)
    sys.exit(f"{kind} is no network of nnU-Net")


def compare(folder):
    config = json.loads((folder / "config.json").read_text())
    model = build(config).eval()
    weights, golden = load_file(folder / "model.safetensors"), load_file(folder / "golden.safetensors")
    missing, unknown = model.load_state_dict(weights, strict=False)
    missing = [name for name in missing if not is_alias(name)]
    images, expected = golden["input"][None], golden["logits"]
    if config["interface"]["rank"] == 2:
        images = images[:, :, 0]
    with torch.no_grad():
        found = model(images)[0].reshape(expected.shape)
    apart = float((found - expected).abs().max())
    return dict(case=folder.name, network=type(model).__name__, tensors=len(weights), missing=len(missing),
                unknown=len(unknown), largest_logit=float(expected.abs().max()), largest_difference=apart,
                agrees=not missing and not unknown and apart <= TOLERANCE * float(expected.abs().max()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="+", help="model folders, as `sconce zoo pack` writes them")
    parser.add_argument("--json", type=Path, help="also write the table here")
    args = parser.parse_args()
    rows = [compare(folder) for folder in args.model]
    for row in rows:
        print(f"{row['case']:<16} {row['network']:<20} {row['tensors']:>4} tensors, logits up to {row['largest_logit']:.3g}, "
              f"apart by {row['largest_difference']:.1e}: {'agrees' if row['agrees'] else 'DIFFERS'}")
    agree = sum(row["agrees"] for row in rows)
    if args.json:
        versions = {name: version(name) for name in ("torch", "dynamic-network-architectures")}
        asking.record(args.json, "benchmarks/interop/nnunet_weights.py", rows, dict(agree=agree, of=len(rows), **versions))
    sys.exit(agree < len(rows))


if __name__ == "__main__":
    main()
