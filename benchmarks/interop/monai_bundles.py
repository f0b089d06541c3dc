#!/usr/bin/env python3
"""Does sconce say of an imported bundle of MONAI, and of a network of segmentation-models-pytorch, what these say themselves?

    python3 -m venv venv && venv/bin/pip install monai nibabel pyyaml pillow segmentation-models-pytorch
    cargo build --release
    venv/bin/python benchmarks/interop/monai_bundles.py [--json FILE]

For each network that a bundle may have, one is trained for a minute on a generated volume with thick slices, whose axes run
neither as MONAI's nor as ours, and made a bundle. MONAI then does what the bundle says, by its own ConfigParser:
preprocessing, sliding window, postprocessing. sconce imports the bundle, and predicts the same file. Counted are voxels with
another label, and those of them whose six neighbours all have one label for MONAI: off every boundary.

Where one tile holds the image and nothing is resampled, the two do the same, to rounding. They differ on purpose in two ways:
tiles are spread evenly here, and in steps of a fixed length there; and on the way back to the image logits are interpolated
here, and probabilities there.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import nibabel
import numpy as np
import torch
import yaml
from monai.bundle import ConfigParser
from monai.networks.nets import BasicUNet, DynUNet, SegResNet, UNet
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parents[1] / "peers"))
from asking import ROOT, record

SCONCE = os.environ.get("SCONCE", ROOT / "target/release/sconce")
NETWORKS = {
    "UNet": (UNet, {"channels": [8, 16, 32], "strides": [2, 2], "num_res_units": 2, "norm": "batch"}),
    "BasicUNet": (BasicUNet, {"features": [8, 8, 16, 16, 32, 8]}),
    "DynUNet": (DynUNet, {"kernel_size": [[3, 3, 1], [3, 3, 3], [3, 3, 3]], "strides": [[1, 1, 1], [2, 2, 1], [2, 2, 2]],
                          "upsample_kernel_size": [[2, 2, 1], [2, 2, 2]], "filters": [8, 16, 32], "res_block": True,
                          "norm_name": "instance"}),
    "SegResNet": (SegResNet, {"init_filters": 8, "blocks_down": [1, 1, 2], "blocks_up": [1, 1]}),
}


def sconce(*arguments):
    subprocess.run([str(SCONCE), "--quiet", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def volume(path, seed):
    """Three kinds of blobs in noise; the axes of the file run to P, S and L, 1.1, 2.7 and 0.9 mm apart."""
    rng = np.random.default_rng(seed)
    size = np.array([44, 24, 52])
    spacing = np.array([1.1, 2.7, 0.9])
    at = np.stack(np.meshgrid(*[np.arange(n) for n in size], indexing="ij"), -1) * spacing
    labels = np.zeros(size, dtype=np.int64)
    for kind in (1, 2, 2, 1, 2):
        center = rng.uniform(0.25, 0.75, 3) * size * spacing
        labels[(((at - center) / rng.uniform(6, 13, 3)) ** 2).sum(-1) < 1] = kind
    image = np.array([-60.0, 40.0, 140.0])[labels] + rng.normal(0, 25, size)
    direction = np.array([[0, 0, -1.0], [-1.0, 0, 0], [0, 1.0, 0]])
    affine = np.eye(4)
    affine[:3, :3] = direction * spacing
    affine[:3, 3] = [30, 20, -40]
    nibabel.save(nibabel.Nifti1Image(image.astype(np.float32), affine), path)
    return labels


def configuration(name, settings, variant):
    network = {"_target_": name, "spatial_dims": 3, "in_channels": 1, "out_channels": 3, **settings}
    load = [{"_target_": "LoadImaged", "keys": "@image_key"}, {"_target_": "EnsureChannelFirstd", "keys": "@image_key"}]
    grid = [{"_target_": "Orientationd", "keys": "@image_key", "axcodes": "RAS"},
            {"_target_": "Spacingd", "keys": "@image_key", "pixdim": [1.5, 1.2, 2.0], "mode": "bilinear"}]
    intensities = [{"_target_": "ScaleIntensityRanged", "keys": "@image_key", "a_min": -120, "a_max": 200, "b_min": 0.0,
                    "b_max": 1.0, "clip": True},
                   {"_target_": "NormalizeIntensityd", "keys": "@image_key", "nonzero": True, "channel_wise": True}]
    transforms = load + (grid if variant["resampled"] else grid[:1]) + intensities
    return {
        "image_key": "image",
        "device": "$torch.device('cpu')",
        "network_def": network,
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": transforms},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": variant["roi"], "sw_batch_size": 2,
                    "overlap": variant["overlap"], "mode": variant["mode"]},
        "postprocessing": {"_target_": "Compose", "transforms": [
            {"_target_": "Activationsd", "keys": "pred", "softmax": True},
            {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "@image_key",
             "nearest_interp": False, "to_tensor": True},
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True}]},
    }


VARIANTS = {
    "one_tile": {"resampled": False, "roi": [64, 64, 32], "overlap": 0.25, "mode": "constant"},
    "one_tile_resampled": {"resampled": True, "roi": [48, 64, 48], "overlap": 0.25, "mode": "constant"},
    "tiles": {"resampled": False, "roi": [32, 32, 16], "overlap": 0.5, "mode": "gaussian"},
    "tiles_resampled": {"resampled": True, "roi": [32, 32, 32], "overlap": 0.5, "mode": "gaussian"},
}


def trained(network, image, labels, extents=(32, 32, 16)):
    """A network that tells the blobs from each other, more or less."""
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    rng = np.random.default_rng(1)
    network.train()
    for _ in range(40):
        start = [rng.integers(0, max(n - e, 0) + 1) for n, e in zip(image.shape, extents)]
        box = tuple(slice(s, s + e) for s, e in zip(start, extents))
        x, y = torch.as_tensor(image[box])[None, None].float(), torch.as_tensor(labels[box])[None]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()
    return network.eval()


def theirs(config, network, image):
    """What MONAI makes of a file by a bundle's configuration."""
    parser = ConfigParser(dict(config))
    preprocessing, inferer = (parser.get_parsed_content(it) for it in ("preprocessing", "inferer"))
    postprocessing = parser.get_parsed_content("postprocessing")
    data = preprocessing({"image": str(image)})
    with torch.no_grad():
        data["pred"] = inferer(data["image"][None], network)[0]
    return postprocessing(data)["pred"][0].numpy().astype(np.int64)


def inner(labels):
    """Voxels whose neighbours have their label."""
    same = np.ones(labels.shape, dtype=bool)
    for axis in range(labels.ndim):
        equal = np.diff(labels, axis=axis) == 0
        pad = [(0, 0)] * labels.ndim
        pad[axis] = (0, 1)
        same &= np.pad(equal, pad, constant_values=True)
        pad[axis] = (1, 0)
        same &= np.pad(equal, pad, constant_values=True)
    return same


def row(case, one, other):
    assert one.shape == other.shape, (one.shape, other.shape)
    assert len(np.unique(other)) > 1, "a prediction of one class shows nothing"
    differs = one != other
    return {"case": case, "voxels": int(one.size), "foreground": int((other > 0).sum()), "boundary": int((~inner(other)).sum()),
            "other_labels": int(differs.sum()), "off_boundary": int((differs & inner(other)).sum()),
            "agreement": round(1 - differs.sum() / one.size, 6)}


def bundles(folder):
    image = folder / "scan.nii.gz"
    labels = volume(image, 3)
    rows = []
    for name, (make, settings) in NETWORKS.items():
        torch.manual_seed(0)
        network = make(spatial_dims=3, in_channels=1, out_channels=3, **settings)
        # Trained as the plain variant prepares images: axes to R, A and S.
        parser = ConfigParser(configuration(name, settings, VARIANTS["one_tile"]))
        prepared = parser.get_parsed_content("preprocessing")({"image": str(image)})["image"][0].numpy()
        turned = nibabel.as_closest_canonical(nibabel.Nifti1Image(labels.astype(np.int16), nibabel.load(image).affine))
        trained(network, prepared, np.asarray(turned.dataobj).astype(np.int64))
        for which, variant in VARIANTS.items():
            config = configuration(name, settings, variant)
            bundle = folder / f"{name}-{which}"
            (bundle / "configs").mkdir(parents=True)
            (bundle / "models").mkdir()
            torch.save(network.state_dict(), bundle / "models/model.pt")
            if which == "tiles":
                (bundle / "configs/inference.yaml").write_text(yaml.safe_dump(config))
            else:
                (bundle / "configs/inference.json").write_text(json.dumps(config))
            sconce("zoo", "import", "monai", bundle, "-o", folder / "model" / bundle.name)
            output = folder / "ours" / bundle.name
            sconce("predict", "-m", folder / "model" / bundle.name, "-i", image, "-o", output, "--device", "cpu")
            ours = np.asarray(nibabel.load(output / "scan.nii.gz").dataobj).astype(np.int64)
            rows.append(row(f"{name} {which}", ours, theirs(config, network, image)))
            print(json.dumps(rows[-1]), flush=True)
    return rows


def picture(folder):
    """A network for pictures, whose axes MONAI has the other way round."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:96, :144]
    labels = ((np.sin(x / 9) + np.cos(y / 14 + x / 40)) > 0.3).astype(np.int64)
    path = folder / "grey.png"
    Image.fromarray(np.clip(80 + 90 * labels + rng.normal(0, 20, labels.shape), 0, 255).astype(np.uint8)).save(path)
    config = configuration("UNet", {**NETWORKS["UNet"][1], "spatial_dims": 2, "out_channels": 2},
                           {"resampled": False, "roi": [144, 96], "overlap": 0.25, "mode": "constant"})
    config["preprocessing"]["transforms"].pop(2)
    torch.manual_seed(0)
    network = UNet(spatial_dims=2, in_channels=1, out_channels=2, **NETWORKS["UNet"][1])
    prepared = ConfigParser(dict(config)).get_parsed_content("preprocessing")({"image": str(path)})["image"][0].numpy()
    trained(network, prepared, labels.T, (32, 32))
    bundle = folder / "picture"
    (bundle / "configs").mkdir(parents=True)
    (bundle / "models").mkdir()
    torch.save({"model": network.state_dict()}, bundle / "models/model.pt")
    (bundle / "configs/inference.json").write_text(json.dumps(config))
    sconce("zoo", "import", "monai", bundle, "-o", folder / "model/picture")
    sconce("predict", "-m", folder / "model/picture", "-i", path, "-o", folder / "ours/picture", "--device", "cpu")
    ours = np.asarray(Image.open(folder / "ours/picture/grey.png")).astype(np.int64)
    rows = [row("UNet picture one_tile", ours, theirs(config, network, path).T)]
    print(json.dumps(rows[-1]), flush=True)
    return rows


def photographs(folder):
    import segmentation_models_pytorch as smp

    rng = np.random.default_rng(5)
    y, x = np.mgrid[:128, :160] / 20
    waves = [np.sin(x * a + y * b) for a, b in ((1, 0.3), (0.4, 1.1), (0.8, -0.7))]
    picture = np.clip(128 + 70 * np.stack(waves, -1) + rng.normal(0, 12, (128, 160, 3)), 0, 255).astype(np.uint8)
    path = folder / "photo.png"
    Image.fromarray(picture).save(path)
    rows = []
    for make in (smp.Unet, smp.FPN, smp.DeepLabV3Plus):
        torch.manual_seed(0)
        network = make("resnet18", encoder_weights=None, in_channels=3, classes=3)
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        images = ((torch.as_tensor(picture) / 255 - mean) / std).permute(2, 0, 1)[None]
        target = torch.as_tensor(np.digitize(waves[0] + waves[1], [-0.5, 0.5]))[None]
        optimizer = torch.optim.Adam(network.parameters(), 1e-3)
        network.train()
        for _ in range(12):
            optimizer.zero_grad()
            both = torch.cat([images, images.flip(-1)])
            loss = torch.nn.functional.cross_entropy(network(both), torch.cat([target, target.flip(-1)]))
            loss.backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            expected = network(images)[0].argmax(0).numpy()
        name = make.__name__
        network.save_pretrained(folder / name)
        torch.save({"state_dict": network.state_dict()}, folder / f"{name}.pth")
        for which, source in (("folder", folder / name), ("checkpoint", folder / f"{name}.pth")):
            model = folder / "model" / f"{name}-{which}"
            sconce("zoo", "import", "smp", source, "-o", model, "--normalize", "imagenet", "--patch", "128,160")
            output = folder / "ours" / f"{name}-{which}"
            sconce("predict", "-m", model, "-i", path, "-o", output, "--device", "cpu")
            ours = np.asarray(Image.open(output / "photo.png")).astype(np.int64)
            rows.append(row(f"{name} {which}", ours, expected))
            print(json.dumps(rows[-1]), flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = bundles(Path(folder)) + picture(Path(folder)) + photographs(Path(folder))
    for it in rows:
        same = it["case"].endswith(("one_tile", "folder", "checkpoint"))
        assert it["other_labels"] * (1000 if same else 25) <= it["voxels"], it
        assert it["off_boundary"] * 500 <= it["voxels"], it
    if args.json:
        names = ("monai", "torch", "segmentation-models-pytorch")
        record(args.json, "benchmarks/interop/monai_bundles.py", rows, {name: version(name) for name in names})


if __name__ == "__main__":
    main()
