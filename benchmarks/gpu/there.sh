#!/usr/bin/env bash
# On a machine with a CUDA device: the correctness suite on the device, then layers and a U-Net beside PyTorch, in
# 8 minutes at most. Writes to the folder OUT, else to results beside this file. Fails with 1 where a test does, with 2
# where it cannot begin.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if ! SCONCE_GPU=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>&1); then
  echo "no CUDA device: nvidia-smi says: ${SCONCE_GPU##*line [0-9]*: }" >&2
  exit 2
fi
if ! torch=$(python3 -c 'import torch; print(torch.__version__, "cuDNN", torch.backends.cudnn.version())' 2>&1); then
  echo "no PyTorch: python3 says: ${torch##*$'\n'}" >&2
  exit 2
fi
out=${OUT:-$here/results}
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for program in tests peer; do
  python3 -c 'import lzma, shutil, sys
shutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[2], "wb"))' "$here/$program.xz" "$work/$program" || exit 2
  chmod +x "$work/$program"
done

# CUDA's libraries are those that PyTorch brings.
libraries=$(python3 -c 'import glob, sysconfig
print(":".join(sorted(glob.glob(sysconfig.get_paths()["purelib"] + "/nvidia/*/lib"))))')
export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
SCONCE_COMMIT=$(cat "$here/commit")
SCONCE_GPU=${SCONCE_GPU%%$'\n'*}
export SCONCE_COMMIT SCONCE_GPU SCONCE_PEER="$work/peer" PYTHONUNBUFFERED=1
echo "$SCONCE_GPU, commit $SCONCE_COMMIT"
echo "PyTorch $torch"

# What concerns the CPU alone is tested elsewhere.
export SCONCE_TEST_DEVICE=cuda SCONCE_GOLDEN_DIR="$here/golden"
timeout 210 "$work/tests" --skip cuda_sources --skip upstream --skip instruction_set 2>&1 | tee "$out/tests.log"
status=${PIPESTATUS[0]}
echo "tests ended with $status after $SECONDS s" | tee -a "$out/tests.log"

# A last case may take half a minute.
minutes=$(((480 - SECONDS - 40) / 6))
timeout "$((480 - SECONDS))" python3 "$here/gpu/compare.py" --minutes "$((minutes / 10)).$((minutes % 10))" \
  --json "$out/gpu.json" 2>&1 | tee "$out/compare.log"
compared=${PIPESTATUS[0]}
echo "tables ended with $compared after $SECONDS s"
[[ $status -eq 0 && $compared -eq 0 ]]
