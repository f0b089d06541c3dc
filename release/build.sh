#!/usr/bin/env bash
# Builds the program that is released for Linux on x86-64, one for machines with and without CUDA:
#
#   release/build.sh [FOLDER]      (default: target/release-files)
#
# Writes FOLDER/sconce-VERSION-linux-x86_64.tar.xz. release/cuda.sh says which compiler that takes. On a machine with a
# CUDA device, the program needs a driver of 580 or later, and uses cuBLAS, cuRAND, NVRTC and cuDNN 9 where they are
# installed. PROFILE is cargo's profile, `dist` by default; TARGET is cargo's folder.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-target/release-files}
profile=${PROFILE:-dist}
target=${TARGET:-target/release-build}
source release/cuda.sh

cargo build --locked --profile "$profile" --target-dir "$target" -p sconce-bin --features cuda,cudnn
program=$target/$profile/sconce
cuda_check "$program"

# What works, and which devices this machine has.
version=$("$program" --version | cut -d ' ' -f 2)
"$program" device

name=sconce-$version-linux-x86_64
rm -rf "$folder"
mkdir -p "$folder/$name"
strip -o "$folder/$name/sconce" "$program"
cp README.md LICENSE-APACHE LICENSE-MIT "$folder/$name"
tar -C "$folder" --sort=name --owner=0 --group=0 --numeric-owner -cf - "$name" | xz -T0 >"$folder/$name.tar.xz"
rm -rf "${folder:?}/$name"
(cd "$folder" && sha256sum "$name.tar.xz" >"$name.tar.xz.sha256")
ls -l "$folder"
