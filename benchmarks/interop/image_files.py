#!/usr/bin/env python3
"""Do other programs read what we write, and do we read what they do? NRRD, MetaImage, NIfTI and DICOM.

    python3 -m venv venv && venv/bin/pip install SimpleITK pydicom pylibjpeg pylibjpeg-openjpeg pylibjpeg-libjpeg numpy
    cargo build --release
    venv/bin/python benchmarks/interop/image_files.py [--dicom FOLDER]... [--json FILE]

Volumes of every voxel type are written by SimpleITK, compressed and not, converted by `sconce dataset convert`, and read
back by SimpleITK: voxels, spacing, origin and axes must be the same. With --dicom, so must those of every DICOM file
below a folder and of every folder of slices, whose values pydicom and SimpleITK tell; what we refuse is listed with why.
"""
import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk

sys.path.append(str(Path(__file__).resolve().parents[1] / "peers"))
from asking import ROOT, record

SCONCE = os.environ.get("SCONCE", ROOT / "target/release/sconce")


def convert(source, output, kind="image"):
    """Why it was refused, or nothing."""
    run = subprocess.run([SCONCE, "dataset", "convert", source, output, "--kind", kind], capture_output=True, text=True)
    return None if run.returncode == 0 else run.stderr.strip().splitlines()[-1]


def differ(a, b):
    """In what two images differ, or nothing."""
    if a.GetSize() != b.GetSize() or a.GetNumberOfComponentsPerPixel() != b.GetNumberOfComponentsPerPixel():
        return f"sizes {a.GetSize()} and {b.GetSize()}"
    for name in ("GetSpacing", "GetOrigin", "GetDirection"):
        if not np.allclose(getattr(a, name)(), getattr(b, name)(), atol=1e-4):
            return f"{name[3:].lower()} {getattr(a, name)()} and {getattr(b, name)()}"
    x, y = (sitk.GetArrayFromImage(image).astype(np.float64) for image in (a, b))
    return None if np.array_equal(x, y) else f"voxels by {np.abs(x - y).max()}"


def volumes(folder):
    """Volumes of all kinds, as SimpleITK writes them, read and written by us, and read by SimpleITK again."""
    rng = np.random.default_rng(7)
    kinds = [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64]
    for kind in kinds:
        for channels in (1, 3):
            most = min(np.iinfo(kind).max, 30000) if np.issubdtype(kind, np.integer) else 30000
            array = rng.integers(0, most, (5, 6, 7, channels) if channels > 1 else (5, 6, 7)).astype(kind)
            image = sitk.GetImageFromArray(array, isVector=channels > 1)
            image.SetSpacing((0.5, 0.75, 3.0))
            image.SetOrigin((-12.5, 30.25, -600.0))
            image.SetDirection((0, -1, 0, 1, 0, 0, 0, 0, -1))
            for ending in (".nrrd", ".nhdr", ".mha", ".mhd", ".nii.gz"):
                for packed in (False, True):
                    theirs = folder / f"a{ending}"
                    sitk.WriteImage(image, str(theirs), packed)
                    for ours in (".nrrd", ".mha", ".nii.gz"):
                        if channels > 1 and ours == ".nii.gz":
                            continue  # SimpleITK takes the fourth axis of NIfTI for time, as it does in others' files.
                        output = folder / f"b{ours}"
                        why = convert(theirs, output)
                        why = why or differ(image, sitk.ReadImage(str(output)))
                        yield f"{np.dtype(kind).name} x{channels} {ending}{' packed' if packed else ''} to {ours}", why


def stored(data):
    """What pydicom says that pixels mean, frames first."""
    values = data.pixel_array.astype(np.float64)
    if data.get("NumberOfFrames", 1) == 1:
        values = values[None]
    return values * float(data.get("RescaleSlope", 1) or 1) + float(data.get("RescaleIntercept", 0) or 0)


def slices(path, folder):
    """A file of DICOM: why we refuse it, or in what it differs from what pydicom reads."""
    output = folder / "c.mha"
    why = convert(path, output)
    if why:
        return "refused: " + why.split(": ", 2)[-1]
    data = pydicom.dcmread(path)
    try:
        expected = stored(data)
    except Exception as error:
        return f"pydicom: {str(error).splitlines()[0]}"
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(output))).astype(np.float64)
    if "DoseGridScaling" in data:
        expected = expected * float(data.DoseGridScaling)
    if "SegmentSequence" in data:
        return None if found.any() == expected.any() else "segments differ"
    expected = expected[np.argsort([0] if len(expected) == 1 else order(data), kind="stable")]
    if found.shape != expected.shape:
        return f"shapes {found.shape} and {expected.shape}"
    apart = np.abs(found - expected)
    # Lossy packing is undone by different decoders, colours in other roundings.
    lossy = data.file_meta.TransferSyntaxUID.is_compressed and apart.max() <= 4
    close = apart.max() <= 1e-5 * max(1.0, np.abs(expected).max())
    return None if close or lossy else f"values by {apart.max()}"


def order(data):
    """How high frames lie."""
    groups = data.get("PerFrameFunctionalGroupsSequence")
    if groups:
        return [group.PlanePositionSequence[0].ImagePositionPatient[2] for group in groups]
    return list(data.get("GridFrameOffsetVector", range(data.NumberOfFrames)))


def series(path, folder):
    """A folder of slices, against SimpleITK's reader of series."""
    output = folder / "d.mha"
    why = convert(path, output)
    if why:
        return "refused: " + why.split(": ", 2)[-1]
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(names)
    return differ(reader.Execute(), sitk.ReadImage(str(output)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dicom", type=Path, action="append", default=[], help="look at the DICOM files below this folder")
    parser.add_argument("--json", type=Path, help="also write the table here")
    args = parser.parse_args()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name, why in volumes(folder):
            rows.append(dict(case=name, outcome=why or "same"))
        for root in args.dicom:
            files = sorted(path for path in root.rglob("*") if path.is_file() and is_dicom(path))
            for path in files:
                rows.append(dict(case=str(path.relative_to(root)), outcome=slices(path, folder) or "same"))
            for parent in sorted({path.parent for path in files}):
                of_folder = [path for path in files if path.parent == parent]
                if len(of_folder) > 1:
                    name = str(parent.relative_to(root)) + "/"
                    rows.append(dict(case=name, outcome=series(parent, folder) or "same"))
    for row in rows:
        if row["outcome"] != "same":
            print(f"{row['case']}: {row['outcome']}")
    same = sum(row["outcome"] == "same" for row in rows)
    refused = sum(row["outcome"].startswith("refused") for row in rows)
    wrong = len(rows) - same - refused
    print(f"{len(rows)} cases: {same} the same, {refused} refused, {wrong} different")
    if args.json:
        record(args.json, "benchmarks/interop/image_files.py", rows, dict(same=same, refused=refused, different=wrong))
    sys.exit(wrong > 0)


def is_dicom(path):
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


if __name__ == "__main__":
    main()
