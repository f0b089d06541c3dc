#!/usr/bin/env bash
# Feeds every reader with a million inputs that libFuzzer makes of the golden files: a few minutes each.
#
#     cargo install cargo-fuzz
#     crates/data/fuzz/run.sh [RUNS] [TARGET...]
#
# Stable Rust will do: no sanitizer is asked for, since the crate has no unsafe code; coverage guides the inputs all the same.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-1000000}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(nifti npz nrrd metaimage dicom png jpeg tiff gif)
for target in "${targets[@]}"; do
  corpus=fuzz/corpus/$target
  mkdir -p "$corpus"
  printf '== %s\n' "$target"
  cargo fuzz run -s none "$target" "$corpus" -- -runs="$runs" -max_len=4096 -rss_limit_mb=2048 -malloc_limit_mb=1024 -timeout=10 \
    -print_final_stats=1 2>&1 | grep -E 'panicked|ERROR|SUMMARY|DONE|stat::number_of_executed_units|stat::peak_rss_mb' || true
done
