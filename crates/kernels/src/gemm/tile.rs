//! Which tiles exist, and how a run-time shape becomes a compiled one.

use striate_simd::{Level, Simd, dispatch};

/// The widest tile of any level, in vectors.
pub(crate) const MAX_VECTORS: usize = 4;

/// The rows of the tallest tile of any level.
pub(crate) const TALLEST: usize = 14;

/// The heights of the tiles of `vectors` vectors on the level called `name`, tallest first.
///
/// A tile of `r x v` needs `r * v` registers for its sums, `v` for a row of the right operand and one
/// for a broadcast, and as many sums in flight as the multiply-add has latency times throughput (8).
/// The small ones compute what the tall ones leave.
pub(crate) const fn heights(name: &str, vectors: usize) -> &'static [usize] {
    match (name.as_bytes(), vectors) {
        // 32 registers: 14 + 2, 16 + 3, 24 + 4 and 24 + 5 of them. Sums of two vectors could be more,
        // but not the pointers to their rows.
        (b"avx512", 1) => &[14, 12, 8, 7, 4, 2, 1],
        (b"avx512", 2) => &[8, 7, 4, 2, 1],
        (b"avx512", 3) => &[8, 7, 4, 2, 1],
        (b"avx512", 4) => &[6, 4, 3, 2, 1],
        // 16 registers: 8 + 2 and 12 + 3 of them.
        (b"avx2", 1) => &[8, 4, 2, 1],
        (b"avx2", 2) => &[6, 4, 3, 2, 1],
        // 32 registers of four lanes.
        (b"neon", 1) => &[8, 4, 2, 1],
        (b"neon", 2) => &[12, 8, 7, 4, 2, 1],
        (b"neon", 3) => &[8, 7, 4, 2, 1],
        (b"neon", 4) => &[6, 4, 3, 2, 1],
        // Eight lanes are two registers of SSE2, of which there are 16: 8 + 4.
        (b"portable", 1) => &[4, 2, 1],
        // One lane: no tile is faster than another, and these go through all the logic.
        (b"scalar", 1) => &[4, 2, 1],
        (b"scalar", 2) => &[3, 1],
        _ => &[],
    }
}

/// As [`heights`], of tiles whose rows are neighbours in memory, so that they need one address, and of which
/// the last may compute rows of the one before once more, so that few heights are enough.
pub(crate) const fn heights_of_neighbours(name: &str, vectors: usize) -> &'static [usize] {
    match (name.as_bytes(), vectors) {
        (b"avx512", 1) => &[14, 8, 4, 1],
        // 28 + 3 registers.
        (b"avx512", 2) => &[14, 8, 4, 2, 1],
        (b"avx512" | b"neon", 3) => &[8, 4, 2, 1],
        (b"avx512" | b"neon", 4) => &[6, 4, 2, 1],
        (b"avx2", 2) => &[6, 4, 2, 1],
        (b"neon", 2) => &[12, 8, 4, 2, 1],
        (b"avx2" | b"neon", 1) => &[8, 4, 1],
        (b"portable", 1) => &[4, 1],
        _ => heights(name, vectors),
    }
}

/// As [`heights`], of tiles of which the last may have rows that count for nothing.
pub(crate) const fn heights_of_terms(name: &str, vectors: usize) -> &'static [usize] {
    match (name.as_bytes(), vectors) {
        (b"avx512" | b"avx2" | b"neon", 1) => &[8],
        (b"avx512" | b"neon", 2) => &[8, 6, 4],
        (b"avx512" | b"neon", 3) => &[4, 3],
        (b"avx512" | b"neon", 4) => &[4, 3],
        (b"avx2", 2) => &[6, 4],
        (b"portable", 1) => &[4],
        _ => heights(name, vectors),
    }
}

/// Which tiles a kernel runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tiles {
    /// Those of [`heights`].
    Rows,
    /// Those of [`heights_of_neighbours`].
    Neighbours,
    /// Those of [`heights_of_terms`].
    Terms,
}

impl Tiles {
    const fn heights(self, name: &str, vectors: usize) -> &'static [usize] {
        match self {
            Self::Rows => heights(name, vectors),
            Self::Neighbours => heights_of_neighbours(name, vectors),
            Self::Terms => heights_of_terms(name, vectors),
        }
    }
}

/// Whether the level called `name` has tiles of `rows x vectors` for `K`.
const fn exists<K: TileKernel>(name: &str, rows: usize, vectors: usize) -> bool {
    let [narrowest, widest] = K::VECTORS;
    let heights = K::TILES.heights(name, vectors);
    let mut i = 0;
    while i < heights.len() {
        if heights[i] == rows {
            return narrowest <= vectors && vectors <= widest;
        }
        i += 1;
    }
    false
}

/// A piece of work that runs on tiles of one shape.
pub(crate) trait TileKernel {
    /// The narrowest and the widest tiles it runs on, in vectors.
    const VECTORS: [usize; 2] = [1, MAX_VECTORS];

    /// The tiles it runs on.
    const TILES: Tiles = Tiles::Rows;

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
                $($(($nv, $mr) if const { exists::<K>(S::NAME, $mr, $nv) } => {
                    enter::<S, K, $mr, $nv>(s, kernel);
                })*)*
                _ => unreachable!("no tile of {rows} x {vectors} vectors on {}", S::NAME),
            }
        };
    }
    shapes! {
        1: 1 2 4 7 8 12 14;
        2: 1 2 3 4 6 7 8 12 14;
        3: 1 2 3 4 7 8;
        4: 1 2 3 4 6;
    }
}

/// A function of its own for every shape, so that the compiler allocates registers for one tile only.
#[inline(never)]
fn enter<S: Simd, K: TileKernel, const MR: usize, const NV: usize>(s: S, kernel: K) {
    // Shapes that the level does not have are never compiled.
    if const { exists::<K>(S::NAME, MR, NV) } {
        s.vectorize(
            #[inline(always)]
            || kernel.run::<S, MR, NV>(s),
        );
    }
}
