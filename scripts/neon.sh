#!/usr/bin/env bash
# Tests the NEON level under emulation: scripts/neon.sh [arguments of cargo test]
#
# Needs a Rust compiler with the aarch64 target, a cross linker and qemu. As root on Debian, what is
# missing is installed; elsewhere the script says what to install. Emulation is 20 to 50 times slower
# than an Arm machine, hence few random cases: PROPTEST_CASES sets their number.
set -euo pipefail
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
linker=aarch64-linux-gnu-gcc

# The first compiler that has the target: the developer's own, then Debian's.
compiler() {
    local rustc
    for rustc in "$(command -v rustc || true)" /usr/bin/rustc; do
        if [ -x "$rustc" ] && [ -d "$("$rustc" --print sysroot)/lib/rustlib/$target" ]; then
            echo "$rustc"
            return
        fi
    done
}

emulator() {
    command -v qemu-aarch64 || command -v qemu-aarch64-static || true
}

install() {
    echo "installing the cross compiler and the emulator" >&2
    dpkg --add-architecture arm64
    apt-get update -q
    apt-get install -q -y --no-install-recommends rustc-web cargo-web libstd-rust-web-dev:arm64 \
        gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
}

ready() {
    [ -n "$(compiler)" ] && [ -n "$(emulator)" ] && command -v "$linker" >/dev/null
}

if ! ready && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    install >&2
fi
if ! ready; then
    echo "missing: a compiler for $target (rustup target add $target), $linker or qemu-aarch64" >&2
    exit 2
fi

RUSTC=$(compiler)
export RUSTC
RUSTDOC=$(dirname "$RUSTC")/rustdoc
export RUSTDOC
cargo=$(dirname "$RUSTC")/cargo
# A dynamically linked test program hangs under qemu 7.2.
export RUSTFLAGS="-C target-feature=+crt-static" RUSTDOCFLAGS="-C target-feature=+crt-static"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$linker
CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$(emulator)
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER
export PROPTEST_CASES=${PROPTEST_CASES:-4}
export STRIATE_REQUIRE_LEVEL=${STRIATE_REQUIRE_LEVEL:-neon}

packages=(-p striate-simd -p striate-kernels)
case " $* " in *" -p "* | *" --package "*) packages=() ;; esac
exec "$cargo" test --release --target "$target" --target-dir target/neon "${packages[@]}" "$@"
