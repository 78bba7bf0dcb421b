//! The inner loop of kernels with channels in the lanes: as [`microkernel`](super::microkernel), with vectors in the place of
//! broadcast elements.
//!
//! ```text
//! acc[i][j] += sum over k of a[i][k] * b[k][j]        lane by lane;  i < MR,  j < NV vectors
//! ```
#![expect(
    unsafe_code,
    reason = "unchecked loads, behind one check of bounds per call"
)]

use super::microkernel::Sums;
use crate::array::array;
use striate_simd::Simd;

/// Places in two slices, of one term of a sum each.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    places: Vec<[usize; 2]>,
    max: [usize; 2],
}

impl Terms {
    pub(crate) fn new(places: Vec<[usize; 2]>) -> Self {
        let max = [0, 1].map(|side| places.iter().map(|place| place[side]).max().unwrap_or(0));
        Self { places, max }
    }

    pub(crate) fn as_slice(&self) -> &[[usize; 2]] {
        &self.places
    }
}

/// What is multiplied of a vector in memory.
pub(crate) trait Operand {
    /// Elements that are read.
    fn len(lanes: usize) -> usize;

    /// The vector at `place`.
    ///
    /// # Safety
    /// `place` is readable for [`len`](Self::len) elements.
    unsafe fn load<S: Simd>(s: S, place: *const f32) -> S::F32;
}

/// The vector itself.
pub(crate) struct Whole;

impl Operand for Whole {
    #[inline(always)]
    fn len(lanes: usize) -> usize {
        lanes
    }

    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, place: *const f32) -> S::F32 {
        // SAFETY: the caller grants a vector.
        unsafe { s.load_ptr(place) }
    }
}

/// Its first two elements, again and again.
pub(crate) struct Pair;

impl Operand for Pair {
    #[inline(always)]
    fn len(_: usize) -> usize {
        2
    }

    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, place: *const f32) -> S::F32 {
        // SAFETY: the caller grants two elements.
        s.splat_pair(unsafe { *place.cast::<[f32; 2]>() })
    }
}

/// Adds the lane-wise products of `MR` neighbouring vectors of `a` with rows of `NV` vectors of `b`, at
/// the places that `terms` tells:
/// `acc[i][j] += sum over terms [p, q] of a[p + i * LANES ..] * b[q + j * LANES ..]`, where `O` tells
/// what a vector of `a` is.
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub(crate) fn accumulate_terms<O: Operand, S: Simd, const MR: usize, const NV: usize>(
    s: S,
    acc: &mut Sums<S, MR, NV>,
    a: &[f32],
    terms: &Terms,
    b: &[f32],
) {
    let reach = terms.max[0].saturating_add((MR - 1) * S::LANES + O::len(S::LANES));
    assert!(reach <= a.len(), "the rows of the tile are too short");
    let reach = terms.max[1].saturating_add(NV * S::LANES);
    assert!(reach <= b.len(), "the panel is too short");
    let mut sums = *acc;
    for &[p, q] in &terms.places {
        let here = array(
            #[inline(always)]
            |i| a.as_ptr().wrapping_add(p + i * S::LANES),
        );
        // SAFETY: `a` holds a vector at every place of every row, and `b` a row at every place, as just
        // checked.
        unsafe { step_lanes::<O, _, _, _>(s, &mut sums, here, b.as_ptr().wrapping_add(q)) };
    }
    *acc = sums;
}

/// Adds the lane-wise products of `MR` rows of vectors, which start at `offsets` in `a` and advance by
/// `a_step`, with rows of `NV` vectors, which advance by `b_step` in `b`:
/// `acc[i][j] += sum over k of a[offsets[i] + k * a_step ..] * b[k * b_step + j * LANES ..]`, where `O`
/// tells what a vector of `a` is.
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub(crate) fn accumulate_lanes<O: Operand, S: Simd, const MR: usize, const NV: usize>(
    s: S,
    acc: &mut Sums<S, MR, NV>,
    a: &[f32],
    offsets: [usize; MR],
    [a_step, b_step]: [usize; 2],
    k_len: usize,
    b: &[f32],
) {
    if k_len == 0 {
        return;
    }
    let reach = (k_len - 1).saturating_mul(a_step);
    let reach = reach.saturating_add(O::len(S::LANES));
    assert!(reach <= a.len(), "the rows of the tile are too short");
    for offset in offsets {
        assert!(offset <= a.len() - reach, "a row of the tile is too short");
    }
    let reach = (k_len - 1)
        .saturating_mul(b_step)
        .saturating_add(NV * S::LANES);
    assert!(reach <= b.len(), "the panel is too short");
    let rows: [*const f32; MR] = array(
        #[inline(always)]
        |i| a.as_ptr().wrapping_add(offsets[i]),
    );
    let mut b = b.as_ptr();
    let mut sums = *acc;
    for k in 0..k_len {
        let here = array(
            #[inline(always)]
            |i| rows[i].wrapping_add(k * a_step),
        );
        // SAFETY: `a` reaches to the last vector of every row, and `b` to its last row, as just
        // checked.
        unsafe { step_lanes::<O, _, _, _>(s, &mut sums, here, b) };
        b = b.wrapping_add(b_step);
    }
    *acc = sums;
}

/// One step: the lane-wise products of `MR` vectors and a row of `NV` vectors.
///
/// # Safety
/// - Every pointer in `a` is readable for what `O` reads.
/// - `b` is readable for `NV * LANES` elements.
#[inline(always)]
unsafe fn step_lanes<O: Operand, S: Simd, const MR: usize, const NV: usize>(
    s: S,
    sums: &mut Sums<S, MR, NV>,
    a: [*const f32; MR],
    b: *const f32,
) {
    let vectors: [S::F32; NV] = array(
        #[inline(always)]
        |j| {
            // SAFETY: the caller grants NV vectors.
            unsafe { s.load_ptr(b.wrapping_add(j * S::LANES)) }
        },
    );
    for i in 0..MR {
        // SAFETY: the caller grants every operand.
        let a = unsafe { O::load(s, a[i]) };
        for j in 0..NV {
            sums[i][j] = s.mul_add(a, vectors[j], sums[i][j]);
        }
    }
}
