#!/usr/bin/env bash
# Feeds every reader with a million inputs that libFuzzer makes of the golden files: minutes each, DICOM half an hour.
#
#     cargo install cargo-fuzz
#     crates/data/fuzz/run.sh [RUNS] [TARGET...]
#
# SEEDS names further folders, with colons between, whose files of a reader's format are begun with, too. Stable Rust will do: no
# sanitizer is asked for, since the crate has no unsafe code; coverage guides the inputs all the same.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-1000000}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(nifti npz nrrd metaimage dicom png jpeg tiff gif)
IFS=: read -ra folders <<<"../golden/data/io:${SEEDS:-}"
declare -A names=([nifti]='.*\.(nii|hdr)(\.gz)?' [npz]='.*\.npz' [nrrd]='.*\.(nrrd|nhdr)' [metaimage]='.*\.(mha|mhd)'
  [dicom]='.*\.dcm' [png]='.*\.png' [jpeg]='.*\.jpe?g' [tiff]='.*\.tiff?' [gif]='.*\.gif')
failed=0
for target in "${targets[@]}"; do
  corpus=fuzz/corpus/$target
  mkdir -p "$corpus"
  for folder in "${folders[@]}"; do
    [ -d "$folder" ] || continue
    find "$folder" -regextype posix-extended -regex "${names[$target]}" -size -64k -print0 |
      while IFS= read -rd '' file; do cp "$file" "$corpus/seed-$(sha1sum "$file" | cut -c1-16)"; done
  done
  printf '== %s, %s inputs to begin with\n' "$target" "$(find "$corpus" -type f | wc -l)"
  cargo fuzz run -s none "$target" "$corpus" -- -runs="$runs" -max_len=4096 -rss_limit_mb=2048 -malloc_limit_mb=1024 -timeout=10 \
    -print_final_stats=1 2>&1 | grep -E 'panicked|ERROR|SUMMARY|DONE|stat::number_of_executed_units|stat::average_exec_per_sec|stat::peak_rss_mb' || true
  # What libFuzzer leaves where a reader failed.
  if compgen -G "fuzz/artifacts/$target/*" >/dev/null; then failed=1; fi
done
exit $failed
