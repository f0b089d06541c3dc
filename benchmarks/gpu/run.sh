#!/usr/bin/env bash
# Builds the tests and benchmarks that need a CUDA device, into a folder that can be carried to one:
#
#   benchmarks/gpu/run.sh [FOLDER]      (default: target/gpu)
#   FOLDER/run                          there: tests, then tables beside PyTorch, in 8 minutes at most
#
# No device is needed here; release/cuda.sh says which compiler is. There, Python needs torch, whose CUDA libraries are
# used.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-target/gpu}
build=target/gpu-build
source release/cuda.sh

# Cargo says, as JSON, where a program is that it built.
built() { python3 -c '
import json, sys
programs = [json.loads(line).get("executable") for line in sys.stdin]
print([program for program in programs if program][-1])'; }

features=sconce-nn/cuda,sconce-nn/cudnn
tests=$(cargo test --release --target-dir "$build" -p sconce-nn --features "$features" --test it --no-run \
  --message-format json-render-diagnostics | built)
peer=$(cargo build --release --target-dir "$build" -p sconce-benchmarks --features cuda,cudnn --bin peer \
  --message-format json-render-diagnostics | built)

rm -rf "$folder"
mkdir -p "$folder/peers" "$folder/gpu"
for program in "$tests:tests" "$peer:peer"; do
  cuda_check "${program%:*}"
  strip -o "$folder/${program##*:}" "${program%:*}"
  xz -T0 -1 "$folder/${program##*:}"
done
cp benchmarks/peers/{asking,kernels,unet_step}.py "$folder/peers"
cp benchmarks/gpu/compare.py "$folder/gpu"
cp -r "${SCONCE_GOLDEN_DIR:-crates/golden/data}" "$folder/golden"
cp benchmarks/gpu/there.sh "$folder/run"
chmod +x "$folder/run"
git rev-parse --short HEAD >"$folder/commit"
du -sh "$folder"
