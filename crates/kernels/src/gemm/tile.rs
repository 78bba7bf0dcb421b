//! Which tiles exist, and how a run-time shape becomes a compiled one.

use striate_simd::{Level, Simd, dispatch};

/// The widest tile of any level, in vectors.
pub(crate) const MAX_VECTORS: usize = 4;

/// The most rows of a tile of `vectors` vectors on the level called `name`; none if there is no
/// such tile.
///
/// A tile of `r x v` needs `r * v` registers for its sums, `v` for a row of the right operand and one
/// for a broadcast, and as many sums in flight as the multiply-add has latency times throughput (8).
pub(crate) const fn max_rows(name: &str, vectors: usize) -> usize {
    let rows: [usize; MAX_VECTORS] = match name.as_bytes() {
        // 32 registers: 12 + 2, 24 + 3, 24 + 4 and 24 + 5 of them.
        b"avx512" => [12, 12, 8, 6],
        // 16 registers: 8 + 2 and 12 + 3 of them.
        b"avx2" => [8, 6, 0, 0],
        // 32 registers of four lanes.
        b"neon" => [8, 12, 8, 6],
        // Eight lanes are two registers of SSE2, of which there are 16: 8 + 4.
        b"portable" => [4, 0, 0, 0],
        // One lane: as the sums do not depend on the tile, any will do.
        _ => [4, 4, 4, 4],
    };
    if vectors == 0 || vectors > MAX_VECTORS {
        0
    } else {
        rows[vectors - 1]
    }
}

/// A piece of work that runs on tiles of one shape.
pub(crate) trait TileKernel {
    /// Does the work. Implementations are `#[inline(always)]`, like all they call.
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S);
}

/// Runs `kernel` on tiles of `rows x vectors`.
///
/// # Panics
/// If the level has no such tile.
pub(crate) fn run_tile(level: Level, rows: usize, vectors: usize, kernel: impl TileKernel) {
    dispatch!(level, s => select(s, rows, vectors, kernel));
}

#[inline(always)]
fn select<S: Simd, K: TileKernel>(s: S, rows: usize, vectors: usize, kernel: K) {
    macro_rules! shapes {
        ($($nv:literal: $($mr:literal)*;)*) => {
            match (vectors, rows) {
                $($(($nv, $mr) if const { $mr <= max_rows(S::NAME, $nv) } => {
                    enter::<S, K, $mr, $nv>(s, kernel);
                })*)*
                _ => unreachable!("no tile of {rows} x {vectors} vectors on {}", S::NAME),
            }
        };
    }
    shapes! {
        1: 1 2 3 4 5 6 7 8 9 10 11 12;
        2: 1 2 3 4 5 6 7 8 9 10 11 12;
        3: 1 2 3 4 5 6 7 8;
        4: 1 2 3 4 5 6;
    }
}

/// A function of its own for every shape, so that the compiler allocates registers for one tile only.
#[inline(never)]
fn enter<S: Simd, K: TileKernel, const MR: usize, const NV: usize>(s: S, kernel: K) {
    // Shapes that the level does not have are never compiled.
    if const { MR <= max_rows(S::NAME, NV) } {
        s.vectorize(
            #[inline(always)]
            || kernel.run::<S, MR, NV>(s),
        );
    }
}
