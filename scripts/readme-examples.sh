#!/usr/bin/env bash
# Runs every ```sh block of README.md as it stands there, in order, and fails if one fails.
#
# The blocks run in a temporary folder that holds the repository's files, so that what they write stays out of the tree.
# A shell function stands in for cargo: it points at this repository and shortens what takes minutes (a training run
# gets one epoch of few images, tests are compiled and one is run, benchmarks run once).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
readme=${1:-$root/README.md}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for entry in "$root"/*; do
    case $(basename "$entry") in
        runs | target) ;;
        *) ln -s "$entry" "$work/" ;;
    esac
done

awk -v folder="$work" '
    /^```sh$/ { inside = 1; file = sprintf("%s/block-%02d.sh", folder, ++count); next }
    /^```$/ { inside = 0; next }
    inside { print > file }
' "$readme"

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target} ROOT=$root
cargo() {
    local verb=$1
    shift
    local line=" $* "
    case "$verb$line" in
        "run "*" -- train "*) set -- "$@" --epochs 1 --limit 200 ;;
        "test "*) set -- "$@" --no-run ;;
        "bench "*" -- "*) set -- "$@" --test ;;
        "bench "*) set -- "$@" -- --test ;;
    esac
    command cargo "$verb" --manifest-path "$ROOT/Cargo.toml" "$@"
}
export -f cargo

count=0
for block in "$work"/block-*.sh; do
    [ -e "$block" ] || { echo "no \`\`\`sh block in $readme"; exit 1; }
    printf '\n--- README example\n%s\n---\n' "$(cat "$block")"
    (cd "$work" && bash -euo pipefail "$block")
    count=$((count + 1))
done
printf '\n%s README examples ran\n' "$count"
