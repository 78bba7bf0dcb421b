//! The inner loop of every dense kernel: a tile of sums kept in registers.
//!
//! ```text
//! acc[i][j] += sum over k of rows[i][k] * b[k][j]        i < MR,  j < NV vectors
//! ```
//!
//! A row is read in place and broadcast element by element, since a broadcast from memory costs no
//! more than a load; `b` is read a vector at a time. The caller keeps `acc` across as many calls as
//! its reduction has pieces, such as the taps of a convolution. Bounds are checked once per call:
//! an unchecked access is what lets the loop run at one multiply-add per port and cycle.
#![expect(
    unsafe_code,
    reason = "unchecked loads, behind one check of bounds per call"
)]

use striate_simd::Simd;

/// The sums of a tile: `MR` rows of `NV` vectors.
pub(crate) type Sums<S, const MR: usize, const NV: usize> = [[<S as Simd>::F32; NV]; MR];

/// All sums zero.
#[inline(always)]
pub(crate) fn zero<S: Simd, const MR: usize, const NV: usize>(s: S) -> Sums<S, MR, NV> {
    [[s.splat(0.0); NV]; MR]
}

/// Adds the products of `MR` rows of `k_len` elements, each given by its slice, with the rows of
/// `b`, which hold `NV` vectors each and follow one another.
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub(crate) fn accumulate_rows<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    acc: &mut Sums<S, MR, NV>,
    rows: [&[f32]; MR],
    k_len: usize,
    b: &[f32],
) {
    for row in rows {
        assert!(row.len() >= k_len, "a row of the tile is too short");
    }
    assert!(b.len() / (NV * S::LANES) >= k_len, "the panel is too short");
    // SAFETY: every row has `k_len` elements and `b` has `k_len` rows, as just checked.
    unsafe {
        accumulate(
            s,
            acc,
            rows.map(<[f32]>::as_ptr),
            1,
            (b.as_ptr(), NV * S::LANES),
            k_len,
        );
    }
}

/// Adds the products of `MR` rows of `k_len` elements, `row_stride` apart in `a`, with the rows of
/// `b`, which hold `NV` vectors each and follow one another.
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub(crate) fn accumulate_strided<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    acc: &mut Sums<S, MR, NV>,
    a: &[f32],
    row_stride: usize,
    k_len: usize,
    b: &[f32],
) {
    let reach = (MR - 1).saturating_mul(row_stride).saturating_add(k_len);
    assert!(a.len() >= reach, "the rows of the tile are too short");
    assert!(b.len() / (NV * S::LANES) >= k_len, "the panel is too short");
    let a = a.as_ptr();
    let rows = std::array::from_fn(
        #[inline(always)]
        |i| a.wrapping_add(i * row_stride),
    );
    // SAFETY: `(MR - 1) * row_stride + k_len` elements of `a` and `k_len` rows of `b` exist, as just
    // checked.
    unsafe { accumulate(s, acc, rows, 1, (b.as_ptr(), NV * S::LANES), k_len) }
}

/// The loop itself: row `i` advances by `a_step`, `b` by `b_step` elements.
///
/// # Safety
/// - `rows[i] + k * a_step` is readable for every `i < MR`, `k < k_len`.
/// - `b + k * b_step` is readable for `NV * LANES` elements for every `k < k_len`.
#[inline(always)]
unsafe fn accumulate<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    acc: &mut Sums<S, MR, NV>,
    rows: [*const f32; MR],
    a_step: usize,
    (mut b, b_step): (*const f32, usize),
    k_len: usize,
) {
    // A local copy: the loop must see that nobody else looks at the sums.
    let mut sums = *acc;
    for k in 0..k_len {
        let vectors: [S::F32; NV] = std::array::from_fn(
            #[inline(always)]
            |j| {
                // SAFETY: the caller grants NV vectors in each row of `b`.
                unsafe { s.load_ptr(b.wrapping_add(j * S::LANES)) }
            },
        );
        for i in 0..MR {
            // SAFETY: the caller grants element `k` of every row.
            let a = s.splat(unsafe { *rows[i].wrapping_add(k * a_step) });
            for j in 0..NV {
                sums[i][j] = s.mul_add(a, vectors[j], sums[i][j]);
            }
        }
        b = b.wrapping_add(b_step);
    }
    *acc = sums;
}
