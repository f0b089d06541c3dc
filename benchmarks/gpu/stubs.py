#!/usr/bin/env python3
"""Shared libraries to link CUDA programs against where CUDA is not installed: the right names, no code.

    python3 benchmarks/gpu/stubs.py FOLDER

The names of functions are those that cudarc declares, in the version that Cargo.lock names.
"""
import json
import re
import subprocess
import sys
from pathlib import Path

# File, module of cudarc, and the name under which the library is looked for when the program starts.
LIBRARIES = [
    ("libcuda.so", "driver", "libcuda.so.1"),
    ("libnvrtc.so", "nvrtc", "libnvrtc.so.13"),
    ("libcurand.so", "curand", "libcurand.so.10"),
    ("libcublas.so", "cublas", "libcublas.so.13"),
    ("libcublasLt.so", "cublaslt", "libcublasLt.so.13"),
    ("libcudnn.so", "cudnn", "libcudnn.so.9"),
]


def cudarc():
    """The folder of cudarc's sources."""
    told = subprocess.run(["cargo", "metadata", "--format-version=1", "--features", "sconce-bin/cuda"],
                          capture_output=True, text=True, check=True)
    found = [package for package in json.loads(told.stdout)["packages"] if package["name"] == "cudarc"]
    if not found:
        sys.exit("cudarc is not among the dependencies")
    return Path(found[0]["manifest_path"]).parent


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder, sources = Path(sys.argv[1]), cudarc() / "src"
    folder.mkdir(parents=True, exist_ok=True)
    for file, module, name in LIBRARIES:
        text = (sources / module / "sys/mod.rs").read_text()
        functions = sorted(set(re.findall(r"\bfn ((?:cu|nvrtc)[A-Za-z0-9_]+)\s*\(", text)))
        if not functions:
            sys.exit(f"cudarc declares nothing of {name}")
        code = "".join(f"int {function}(void) {{ return 1; }}\n" for function in functions)
        subprocess.run(["cc", "-x", "c", "-w", "-fno-builtin", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o",
                        str(folder / file), "-"], input=code, text=True, check=True)
        print(f"{file}: {len(functions)} functions")


if __name__ == "__main__":
    main()
