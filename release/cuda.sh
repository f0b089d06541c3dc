# Sourced by scripts that build for CUDA, in the root of the repository: finds CUDA's compiler, and has programs open the
# libraries when they first need them, so that they start where there is none.
#
# No device is needed, and no CUDA but its compiler: the folder that CUDA_HOME names, else one that is found, else
#   pip install --no-deps --target target/cuda-toolkit nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 \
#     nvidia-cuda-crt==13.0.88 nvidia-cuda-cccl==13.0.85 nvidia-cuda-runtime==13.0.96
# Stay on 13.0: drivers refuse what newer compilers write. CUDA_COMPUTE_CAP (default 80) is the oldest device that the
# programs are for.

cuda_toolkit() {
  local candidate nvcc
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
  echo "no CUDA compiler: set CUDA_HOME, or install one as release/cuda.sh says at its top" >&2
  return 1
}

# Fails where `program` needs a library of CUDA to start: a toolkit that brings the libraries comes first for the linker.
cuda_check() {
  local program=$1 needed
  needed=$(readelf -d "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
  if grep -E '^lib(cuda|cudart|cublas|cublasLt|cudnn|curand|nvrtc)\.' <<<"$needed"; then
    echo "$program needs these to start: build with the compiler alone, as release/cuda.sh says at its top" >&2
    return 1
  fi
}

CUDA_HOME=$(cuda_toolkit)
export CUDA_HOME PATH="$CUDA_HOME/bin:$PATH"
export CUDA_COMPUTE_CAP="${CUDA_COMPUTE_CAP:-80}" CUDAFORGE_THREADS="${CUDAFORGE_THREADS:-$(nproc)}"
python3 release/lazy.py target/lazy-cuda "$CUDA_HOME"
export LIBRARY_PATH="$PWD/target/lazy-cuda${LIBRARY_PATH:+:$LIBRARY_PATH}"
