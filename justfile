# What a contributor types. `just` lists it.

default:
    @just --list

# Everything that continuous integration checks.
check:
    .ci/run

# Format, clippy and documentation with warnings as errors.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# All tests.
test *ARGS:
    cargo test --release --workspace {{ARGS}}

# All tests at one SIMD level, which this machine must have: scalar, portable, avx2, avx512, neon.
test-level LEVEL *ARGS:
    STRIATE_SIMD={{LEVEL}} STRIATE_REQUIRE_LEVEL={{LEVEL}} cargo test --release --workspace {{ARGS}}

# The property tests of the kernels against the naive reference, with many cases.
properties CASES="2000":
    PROPTEST_CASES={{CASES}} cargo test --release -p striate-kernels

# The tests of simd and kernels on NEON, emulated where the machine is not an Arm.
neon *ARGS:
    scripts/neon.sh {{ARGS}}

# The kernels' benchmarks at every level; `just bench conv` runs one.
bench *NAME:
    cargo bench -p striate-benches {{ if NAME == "" { "" } else { "--bench " + NAME } }}

# Writes which algorithm each convolution of well-known networks gets to benches/shapes/zoo.txt, for review.
choices:
    STRIATE_WRITE_CHOICES=1 cargo test --release -p striate-kernels --test choices

# Fails if a hot loop of a release build calls, spills or uses the wrong registers.
codegen:
    cargo run --release -p xtask -- codegen-check

# The reference cases, at every level.
parity:
    cargo run --release -- parity golden/ --every-level

# Rewrites the reference cases; needs the Python packages of golden/requirements.txt.
golden:
    cd golden && python ops.py cases/ops && python modules.py cases/modules && python weights.py weights

# One minute of fuzzing; needs nightly and cargo-fuzz.
fuzz TARGET SECONDS="60":
    cargo +nightly fuzz run {{TARGET}} -- -max_total_time={{SECONDS}}

# All tests under AddressSanitizer; needs nightly.
asan *ARGS:
    RUSTFLAGS=-Zsanitizer=address cargo +nightly test --target x86_64-unknown-linux-gnu --workspace {{ARGS}}
