#!/usr/bin/env bash
# Builds the tests and benchmarks that need a CUDA device, into a folder that can be carried to one:
#
#   benchmarks/gpu/run.sh [FOLDER]      (default: target/gpu)
#   FOLDER/run                          there: tests, then tables beside PyTorch, in 8 minutes at most
#
# No device is needed here, and no CUDA but its compiler: the folder that CUDA_HOME names, else one that is found, else
#   pip install --no-deps --target target/cuda-toolkit nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 \
#     nvidia-cuda-crt==13.0.88 nvidia-cuda-cccl==13.0.85 nvidia-cuda-runtime==13.0.96
# Stay on 13.0: drivers refuse what newer compilers write. CUDA_COMPUTE_CAP (default 80) is the oldest device that
# the programs are for. There, Python needs torch, whose CUDA libraries are used.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-target/gpu}
build=target/gpu-build

toolkit() {
  local nvcc
  for candidate in "${CUDA_HOME:-}" target/cuda-toolkit/nvidia/cu13 /usr/local/cuda /opt/cuda; do
    if [[ -n $candidate && -x $candidate/bin/nvcc ]]; then
      (cd "$candidate" && pwd)
      return
    fi
  done
  if nvcc=$(command -v nvcc); then
    dirname "$(dirname "$(readlink -f "$nvcc")")"
    return
  fi
  echo "no CUDA compiler: set CUDA_HOME, or install one as $0 says at its top" >&2
  return 1
}

CUDA_HOME=$(toolkit)
export CUDA_HOME PATH="$CUDA_HOME/bin:$PATH"
export CUDA_COMPUTE_CAP="${CUDA_COMPUTE_CAP:-80}" CUDAFORGE_THREADS="${CUDAFORGE_THREADS:-$(nproc)}"

# The libraries themselves are those of the machine with the device.
stubs=$PWD/$build/stubs
python3 benchmarks/gpu/stubs.py "$stubs"
for runtime in "$CUDA_HOME"/lib/libcudart.so.* "$CUDA_HOME"/lib64/libcudart.so.*; do
  if [[ -f $runtime ]]; then
    ln -sf "$runtime" "$stubs/libcudart.so"
    break
  fi
done
export LIBRARY_PATH="$stubs${LIBRARY_PATH:+:$LIBRARY_PATH}"

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
