#!/usr/bin/env python3
"""Do other programs read the DICOM segmentations that we write?

    python3 -m venv venv && venv/bin/pip install highdicom SimpleITK pydicom numpy
    apt install dicom3tools          # dciodvfy, which holds files against the standard; left out where it is missing
    cargo build --release
    venv/bin/python benchmarks/interop/segmentations.py [--json FILE]

A series of leaning slices is made, labels and class probabilities are drawn on it as NIfTI, and `sconce dataset convert` makes
segmentations of them. highdicom must find the same segments, names, voxels and places, and dciodvfy nothing against the standard.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

sys.path.append(str(Path(__file__).resolve().parents[1] / "peers"))
from asking import ROOT, record

SCONCE = os.environ.get("SCONCE", ROOT / "target/release/sconce")
NAMES = ["background", "liver", "tumour"]


def series(folder, shape):
    """A CT of leaning slices, with what a segmentation must take over."""
    study, own, space = generate_uid(), generate_uid(), generate_uid()
    cos, sin = np.cos(0.3), np.sin(0.3)
    normal = np.cross([cos, sin, 0], [0, 0, -1])
    for z in range(shape[0]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = generate_uid()
        ds = FileDataset(str(folder / f"{z}.dcm"), {}, file_meta=meta, preamble=b"\0" * 128)
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, own, space
        ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Doe^Jane", "4711", "19700101", "F"
        ds.StudyDate, ds.StudyTime, ds.AccessionNumber, ds.StudyID = "20200202", "101010", "1", "2"
        ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "CT", 1, z + 1
        ds.ImagePositionPatient = [round(float(v), 6) for v in np.array([-20.0, 35.5, 100.25]) + 2.5 * z * normal]
        ds.ImageOrientationPatient = [float(f"{v:.10f}") for v in (cos, sin, 0, 0, 0, -1)]
        ds.PixelSpacing, ds.SliceThickness = [0.75, 1.25], 2.5
        ds.Rows, ds.Columns, ds.SamplesPerPixel = shape[1], shape[2], 1
        ds.PhotometricInterpretation, ds.PixelRepresentation = "MONOCHROME2", 1
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        ds.PixelData = np.full(shape[1:], z, np.int16).tobytes()
        ds.save_as(folder / f"{z}.dcm", enforce_file_format=True)
    return study, space


def against_the_standard(path):
    """What dciodvfy says is wrong with a file; nothing where there is no dciodvfy."""
    if not shutil.which("dciodvfy"):
        return None
    run = subprocess.run(["dciodvfy", path], capture_output=True, text=True)
    return sorted(set(line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the table here")
    args = parser.parse_args()
    shape = (6, 11, 13)
    rng = np.random.default_rng(5)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        images = folder / "images"
        images.mkdir()
        study, space = series(images, shape)
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(images)))
        scan = reader.Execute()
        labels = (rng.integers(0, 3, shape) * (np.arange(6) != 2)[:, None, None]).astype(np.uint8)
        raw = rng.random(shape + (3,)).astype(np.float32)
        soft = raw / raw.sum(-1, keepdims=True)
        for kind, array in [("labels", labels), ("probabilities", soft)]:
            image = sitk.GetImageFromArray(array, isVector=kind == "probabilities")
            image.CopyInformation(scan)
            source, output = folder / f"{kind}.nrrd", folder / f"{kind}.dcm"
            sitk.WriteImage(image, str(source))
            run = subprocess.run([SCONCE, "dataset", "convert", source, output, "--kind", kind, "--of", images, "--classes",
                                  ",".join(NAMES)], capture_output=True, text=True)
            found = []
            if run.returncode:
                found.append(run.stderr.strip())
            else:
                seg = hd.seg.segread(output)
                if (seg.StudyInstanceUID, seg.FrameOfReferenceUID, str(seg.PatientName)) != (study, space, "Doe^Jane"):
                    found.append("patient, study or frame of reference are others")
                if [item.SegmentLabel for item in seg.SegmentSequence] != NAMES[1:]:
                    found.append("segments have other names")
                volume = seg.get_volume(combine_segments=False, rescale_fractional=True, allow_missing_positions=True)
                theirs = volume.array
                # Along and across slices, highdicom may count the other way round.
                corner = np.array(scan.GetOrigin())
                if np.linalg.norm(np.array(volume.position) - corner) > 1e-3:
                    theirs = theirs[::-1]
                    last = scan.TransformIndexToPhysicalPoint((0, 0, shape[0] - 1))
                    if np.linalg.norm(np.array(volume.position) - np.array(last)) > 1e-3:
                        found.append(f"it begins at {volume.position}, not {corner}")
                if not np.allclose(sorted(volume.spacing), sorted(scan.GetSpacing()), atol=1e-4):
                    found.append(f"spacing {volume.spacing}")
                if kind == "labels":
                    ours = np.stack([labels == 1, labels == 2], -1).astype(float)
                    if not np.array_equal(theirs, ours):
                        found.append("voxels differ")
                elif np.abs(theirs - soft[..., 1:]).max() > 1 / 255:
                    found.append("probabilities differ")
            wrong = against_the_standard(output) if not run.returncode else None
            rows.append(dict(kind=kind, differ=found, against_the_standard=wrong, highdicom=hd.__version__))
            print(f"{kind}: {'; '.join(found) or 'the same'}; dciodvfy: {'; '.join(wrong) if wrong else wrong}")
    if args.json:
        record(args.json, "benchmarks/interop/segmentations.py", rows, dict(same=sum(not row["differ"] for row in rows)))
    sys.exit(any(row["differ"] or row["against_the_standard"] for row in rows))


if __name__ == "__main__":
    main()
