#!/usr/bin/env bash
# Whether every crate could be published: packs each, and builds what was packed, against the others as they were packed.
#
#   release/crates.sh [--no-verify] [--allow-dirty]      without the building: seconds instead of minutes; as the files are
set -euo pipefail
cd "$(dirname "$0")/.."
cargo publish --dry-run --workspace --locked --exclude sconce-golden --exclude sconce-benchmarks --exclude sconce-test-hub "$@"
