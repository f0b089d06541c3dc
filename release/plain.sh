#!/usr/bin/env bash
# Builds the program that is released for one kind of machine, without CUDA:
#
#   release/plain.sh NAME [FEATURES] [FOLDER]      such as macos-aarch64 metal
#
# Writes FOLDER/sconce-VERSION-NAME.tar.xz and its SHA-256 hash; FOLDER is target/release-files by default. PROFILE is cargo's
# profile, `dist` by default. For Linux on x86-64 with and without CUDA, there is release/build.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
name=$1 features=${2:-} folder=${3:-target/release-files}
profile=${PROFILE:-dist}
target=${TARGET:-target/release-build}

cargo build --locked --profile "$profile" --target-dir "$target" -p sconce-bin ${features:+--features "$features"}
program=$target/$profile/sconce

# What works, and which devices this machine has.
version=$("$program" --version | cut -d ' ' -f 2)
"$program" device

name=sconce-$version-$name
rm -rf "${folder:?}/$name"
mkdir -p "$folder/$name"
cp "$program" "$folder/$name/sconce"
strip "$folder/$name/sconce"
cp README.md LICENSE-APACHE LICENSE-MIT "$folder/$name"
tar -C "$folder" -cf - "$name" | xz -T0 >"$folder/$name.tar.xz"
rm -rf "${folder:?}/$name"
cd "$folder"
# macOS has no sha256sum.
if command -v sha256sum >/dev/null; then sha256sum "$name.tar.xz"; else shasum -a 256 "$name.tar.xz"; fi >"$name.tar.xz.sha256"
ls -l
