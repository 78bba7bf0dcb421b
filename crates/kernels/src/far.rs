//! Results that no cache keeps: written past the caches, or asked for before they are overwritten.
//!
//! What is written past the caches is computed block by block in the first-level cache and moved from there, so that whatever
//! computes a block need not know.

use crate::disjoint::TileMut;
use striate_simd::{Level, Simd, Stream, dispatch};

/// Elements of a line of the caches.
pub(crate) const LINE: usize = 16;

/// Elements that are more than what one core can count on in a cache that cores share.
pub(crate) const FAR: usize = if cfg!(test) { 1 << 13 } else { 10 << 20 };

/// Elements of an output whose lines come from afar when they are overwritten: the caches hold its inputs as well.
const REMOTE: usize = FAR / 4;

/// Elements of a block. Pieces of an output that start at multiples of it are aligned if the output is.
pub(crate) const BLOCK: usize = 512;

/// Vectors that are moved together.
const VECTORS: usize = 4;

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Block([f32; BLOCK]);

/// Whether to ask for the places of a tile before its sums are computed. Shorter vectors have more to do in that time.
#[inline(always)]
pub(crate) fn is_asked_for<S: Simd>(out: &TileMut<'_, f32>) -> bool {
    S::LANES == LINE && out.whole_len() > REMOTE
}

/// Asks for the places of `N` rows of a tile, `step` apart.
#[inline(always)]
pub(crate) fn ask<S: Simd, const N: usize>(
    s: S,
    out: &mut TileMut<'_, f32>,
    first: usize,
    step: usize,
) {
    out.each_row_apart::<N>(
        first,
        step,
        #[inline(always)]
        |_, row| {
            for at in (0..row.len()).step_by(LINE) {
                s.prefetch(row, at);
            }
        },
    );
}

/// Fills `out` by `write(at, block)`, which gets its elements from number `at` on.
pub(crate) fn fill(level: Level, out: &mut [f32], write: &mut dyn FnMut(usize, &mut [f32])) {
    dispatch!(level, s => fill_blocks(s, out, write));
}

#[inline(always)]
fn fill_blocks<S: Simd>(s: S, out: &mut [f32], write: &mut dyn FnMut(usize, &mut [f32])) {
    let whole = out.len() / BLOCK * BLOCK;
    let (blocks, rest) = out.split_at_mut(whole);
    match Stream::new(s, blocks) {
        Ok(mut far) => {
            let mut near = Block([0.0; BLOCK]);
            for at in (0..whole).step_by(BLOCK) {
                write(at, &mut near.0);
                for i in (0..BLOCK).step_by(VECTORS * S::LANES) {
                    let mut vectors = [s.splat(0.0); VECTORS];
                    for v in 0..VECTORS {
                        vectors[v] = s.load(&near.0[i + v * S::LANES..]);
                    }
                    far.store_each(vectors, at + i, S::LANES);
                }
            }
        }
        Err(blocks) => {
            for (i, block) in blocks.chunks_exact_mut(BLOCK).enumerate() {
                write(i * BLOCK, block);
            }
        }
    }
    if !rest.is_empty() {
        write(whole, rest);
    }
}
