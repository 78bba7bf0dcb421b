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

use crate::array::array;
use std::hint::black_box;
use striate_simd::Simd;

/// The sums of a tile: `MR` rows of `NV` vectors.
pub(crate) type Sums<S, const MR: usize, const NV: usize> = [[<S as Simd>::F32; NV]; MR];

/// All sums zero.
#[inline(always)]
pub(crate) fn zero<S: Simd, const MR: usize, const NV: usize>(s: S) -> Sums<S, MR, NV> {
    [[s.splat(0.0); NV]; MR]
}

/// What a loop brings to the second-level cache while it computes, so many elements at each step: usually a
/// piece of the panel that is needed after this one, which comes from further away, and then something else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ahead<'a> {
    data: [&'a [f32]; 2],
    /// Elements from one step to the next; of each, what lies in the first one's line of memory is brought.
    step: usize,
}

/// One [`Ahead`] after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aheads<'a> {
    now: Ahead<'a>,
    then: &'a [Ahead<'a>],
}

impl<'a> Aheads<'a> {
    pub(crate) fn new(all: &'a [Ahead<'a>]) -> Self {
        let (now, then) = all.split_first().unwrap_or((&Ahead::NOTHING, &[]));
        Self { now: *now, then }
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.now.data[0].is_empty()
    }

    #[inline(always)]
    pub(crate) fn now(&self) -> Ahead<'a> {
        self.now
    }

    /// What is left after `steps` steps.
    #[inline(always)]
    pub(crate) fn after(self, steps: usize) -> Self {
        let now = self.now.after(steps);
        if now.data[0].is_empty() && !self.then.is_empty() {
            return self.beyond(steps);
        }
        Self { now, ..self }
    }

    fn beyond(self, steps: usize) -> Self {
        let of_now: usize = self.now.data.iter().map(|data| data.len()).sum();
        let of_now = of_now.div_ceil(self.now.step);
        Self::new(self.then).after(steps.saturating_sub(of_now))
    }
}

impl<'a> Ahead<'a> {
    const NOTHING: Self = Self {
        data: [&[]; 2],
        step: 1,
    };

    pub(crate) fn new(data: [&'a [f32]; 2], step: usize) -> Self {
        Self { data, step }.after(0)
    }

    /// What is left after `steps` steps.
    #[inline(always)]
    pub(crate) fn after(self, steps: usize) -> Self {
        let ([first, then], done) = (self.data, steps * self.step);
        let data = if done < first.len() {
            [&first[done..], then]
        } else {
            let rest = then.get(done - first.len()..);
            [rest.unwrap_or_default(), &[]]
        };
        Self { data, ..self }
    }

    /// The elements to ask for, and those of a step. With nothing ahead the first line of `b` is asked for again and
    /// again, which is cheaper than a loop that does not ask.
    #[inline(always)]
    fn or(self, b: &'a [f32]) -> (&'a [f32], usize) {
        if self.data[0].is_empty() {
            (b, 0)
        } else {
            (self.data[0], self.step)
        }
    }
}

/// Adds the products of `MR` rows of `k_len` elements, each given by its slice, with the rows of
/// `b`, which hold `NV` vectors each and follow one another; see [`Ahead`].
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
    ahead: Ahead<'_>,
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
            array(
                #[inline(always)]
                |i| rows[i].as_ptr(),
            ),
            1,
            (b.as_ptr(), NV * S::LANES),
            k_len,
            ahead.or(b),
        );
    }
}

/// Adds the products of `MR` rows of `k_len` elements, `row_stride` apart in `a`, with the rows of
/// `b`, which hold `NV` vectors each and follow one another; see [`Ahead`].
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
    ahead: Ahead<'_>,
) {
    let reach = (MR - 1).saturating_mul(row_stride).saturating_add(k_len);
    assert!(a.len() >= reach, "the rows of the tile are too short");
    assert!(b.len() / (NV * S::LANES) >= k_len, "the panel is too short");
    let a = a.as_ptr();
    let rows = array(
        #[inline(always)]
        |i| a.wrapping_add(i * row_stride),
    );
    // SAFETY: `(MR - 1) * row_stride + k_len` elements of `a` and `k_len` rows of `b` exist, as just
    // checked.
    unsafe {
        accumulate(
            s,
            acc,
            rows,
            1,
            (b.as_ptr(), NV * S::LANES),
            k_len,
            ahead.or(b),
        );
    }
}

/// Adds the outer products of `MR` neighbours in `a` with the rows of `b`, which hold `NV` vectors
/// each and follow one another: `acc[i][j] += sum over k of a[k * a_step + i] * b[k][j]`; see [`Ahead`].
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub(crate) fn accumulate_outer<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    acc: &mut Sums<S, MR, NV>,
    a: &[f32],
    a_step: usize,
    k_len: usize,
    b: &[f32],
    ahead: Ahead<'_>,
) {
    if k_len == 0 {
        return;
    }
    let reach = (k_len - 1).saturating_mul(a_step).saturating_add(MR);
    assert!(reach <= a.len(), "the rows of the tile are too short");
    assert!(b.len() / (NV * S::LANES) >= k_len, "the panel is too short");
    let a = a.as_ptr();
    let neighbours = array(
        #[inline(always)]
        |i| a.wrapping_add(i),
    );
    // SAFETY: the `MR` neighbours of every step and `k_len` rows of `b` exist, as just checked.
    unsafe {
        accumulate(
            s,
            acc,
            neighbours,
            a_step,
            (b.as_ptr(), NV * S::LANES),
            k_len,
            ahead.or(b),
        );
    }
}

/// Adds the products of `MR` rows that start at `offsets` in `a` and advance by `a_step`, with the
/// rows of `b`, which advance by `b_step`:
/// `acc[i][j] += sum over k of a[offsets[i] + k * a_step] * b[k * b_step + j * LANES ..]`.
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub(crate) fn accumulate_gathered<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    acc: &mut Sums<S, MR, NV>,
    (a, a_step): (&[f32], usize),
    offsets: [usize; MR],
    k_len: usize,
    (b, b_step): (&[f32], usize),
) {
    if k_len == 0 {
        return;
    }
    let reach = (k_len - 1).saturating_mul(a_step);
    assert!(reach < a.len(), "the rows of the tile are too short");
    for offset in offsets {
        assert!(offset < a.len() - reach, "a row of the tile is too short");
    }
    let reach = (k_len - 1)
        .saturating_mul(b_step)
        .saturating_add(NV * S::LANES);
    assert!(reach <= b.len(), "the panel is too short");
    let a = a.as_ptr();
    let rows = array(
        #[inline(always)]
        |i| a.wrapping_add(offsets[i]),
    );
    // SAFETY: every row has an element at `(k_len - 1) * a_step` and `b` reaches to its last row, as just
    // checked.
    unsafe { accumulate(s, acc, rows, a_step, (b.as_ptr(), b_step), k_len, (b, 0)) };
}

/// Places in a slice relative to some element, with the largest of them.
#[derive(Clone, Debug)]
pub(crate) struct Offsets {
    offsets: Vec<usize>,
    max: usize,
}

impl Offsets {
    pub(crate) fn new(offsets: Vec<usize>) -> Self {
        let max = offsets.iter().copied().max().unwrap_or(0);
        Self { offsets, max }
    }

    pub(crate) fn len(&self) -> usize {
        self.offsets.len()
    }

    pub(crate) fn as_slice(&self) -> &[usize] {
        &self.offsets
    }
}

/// Adds the products of the rows of `T` tiles, `row_stride` apart in `a`, whose elements lie at `offsets`,
/// with the rows of `b`: `acc[t][i][j] += sum over k of a[offsets[k] + (t * MR + i) * row_stride] * b[k][j]`.
///
/// # Panics
/// If a slice is too short, or there are no offsets.
#[inline(always)]
pub(crate) fn accumulate_indexed<S: Simd, const MR: usize, const NV: usize, const T: usize>(
    s: S,
    acc: &mut [Sums<S, MR, NV>; T],
    a: &[f32],
    row_stride: usize,
    offsets: &Offsets,
    b: &[f32],
) {
    let reach = (T * MR - 1)
        .saturating_mul(row_stride)
        .saturating_add(offsets.max);
    assert!(reach < a.len(), "the rows of the tile are too short");
    assert!(!offsets.offsets.is_empty(), "a sum has no terms");
    let width = NV * S::LANES;
    assert!(
        b.len() / width >= offsets.offsets.len(),
        "the panel is too short"
    );
    let tiles: [[*const f32; MR]; T] = array(
        #[inline(always)]
        |t| rows_at(a.as_ptr().wrapping_add(t * MR * row_stride), row_stride),
    );
    let mut b = b.as_ptr();
    let mut sums = *acc;
    for &offset in &offsets.offsets {
        for (sums, rows) in sums.iter_mut().zip(tiles) {
            let here = array(
                #[inline(always)]
                |i| rows[i].wrapping_add(offset),
            );
            // SAFETY: `(T * MR - 1) * row_stride + offset` lies inside `a`, and `b` has a row for each
            // offset, as just checked.
            unsafe { step(s, sums, here, b) };
        }
        b = b.wrapping_add(width);
    }
    *acc = sums;
}

/// Rows that start `stride` apart.
#[inline(always)]
fn rows_at<const MR: usize>(a: *const f32, stride: usize) -> [*const f32; MR] {
    array(
        #[inline(always)]
        |i| a.wrapping_add(i * stride),
    )
}

/// Adds the products of `MR` rows with the `NV` vectors that lie at each of `offsets` in `b`:
/// `acc[i][j] += sum over k of rows[i][k] * b[offsets[k] + j * LANES ..]`.
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub(crate) fn accumulate_shifted<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    acc: &mut Sums<S, MR, NV>,
    rows: [&[f32]; MR],
    b: &[f32],
    offsets: &Offsets,
) {
    for row in rows {
        assert!(row.len() >= offsets.len(), "a row of the tile is too short");
    }
    let reach = offsets.max.saturating_add(NV * S::LANES);
    assert!(reach <= b.len(), "the vectors are too short");
    let rows: [*const f32; MR] = array(
        #[inline(always)]
        |i| rows[i].as_ptr(),
    );
    let mut sums = *acc;
    for (k, &offset) in offsets.offsets.iter().enumerate() {
        let here = array(
            #[inline(always)]
            |i| rows[i].wrapping_add(k),
        );
        // SAFETY: every row has an element for each offset, and `b` has the vectors at the largest of
        // them, as just checked.
        unsafe { step(s, &mut sums, here, b.as_ptr().wrapping_add(offset)) };
    }
    *acc = sums;
}

/// The loop itself: row `i` advances by `a_step`, `b` by `b_step` and what is fetched by `ahead_step` elements.
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
    (ahead, ahead_step): (&[f32], usize),
) {
    // A local copy: the loop must see that nobody else looks at the sums.
    let mut sums = *acc;
    let mut first = 0;
    // More rows than registers for their addresses.
    if NV == 1 && MR > 8 && a_step == 1 {
        while k_len - first >= STEPS {
            let here = array(
                #[inline(always)]
                |i| rows[i].wrapping_add(first),
            );
            for step in 0..STEPS {
                s.prefetch(ahead, (first + step) * ahead_step);
            }
            // SAFETY: the caller grants these elements of every row and these rows of `b`.
            unsafe { steps(s, &mut sums, here, (b, b_step)) };
            b = b.wrapping_add(STEPS * b_step);
            first += STEPS;
        }
    }
    // What goes on beside a step takes its share of the ports.
    if S::LANES == 8 && MR * NV > 8 && a_step == 1 && k_len >= LONG {
        // Addresses that follow from each other would be computed again and again.
        let rows = black_box(rows);
        while k_len - first >= STEPS {
            for k in 0..STEPS {
                let here = array(
                    #[inline(always)]
                    |i| rows[i].wrapping_add(first + k),
                );
                // Two vectors are a line.
                if k % 2 == 0 {
                    s.prefetch(ahead, (first + k) * ahead_step);
                }
                // SAFETY: the caller grants these elements of every row and these rows of `b`.
                unsafe { step(s, &mut sums, here, b.wrapping_add(k * b_step)) };
            }
            b = b.wrapping_add(STEPS * b_step);
            first += STEPS;
        }
    }
    for k in first..k_len {
        let here = array(
            #[inline(always)]
            |i| rows[i].wrapping_add(k * a_step),
        );
        s.prefetch(ahead, k * ahead_step);
        // SAFETY: the caller grants element `k` of every row and row `k` of `b`.
        unsafe { step(s, &mut sums, here, b) };
        b = b.wrapping_add(b_step);
    }
    *acc = sums;
}

/// Steps of sums that are worth knowing all addresses of their rows.
const LONG: usize = 128;

/// Steps of one turn of the loop, where it has several: a row's address is read once for them.
const STEPS: usize = 4;

/// As many steps, row by row: outer products of neighbours in the rows and of rows of `b`, which
/// advance by `b_step`.
///
/// # Safety
/// - `rows[i] + k` is readable for every `i < MR`, `k < STEPS`.
/// - `b + k * b_step` is readable for `NV * LANES` elements for every `k < STEPS`.
#[inline(always)]
unsafe fn steps<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    sums: &mut Sums<S, MR, NV>,
    rows: [*const f32; MR],
    (b, b_step): (*const f32, usize),
) {
    let vectors: [[S::F32; NV]; STEPS] = array(
        #[inline(always)]
        |k| {
            array(
                #[inline(always)]
                |j| {
                    // SAFETY: the caller grants NV vectors of each row.
                    unsafe { s.load_ptr(b.wrapping_add(k * b_step + j * S::LANES)) }
                },
            )
        },
    );
    for i in 0..MR {
        for k in 0..STEPS {
            // SAFETY: the caller grants every element.
            let a = s.splat(unsafe { *rows[i].wrapping_add(k) });
            for j in 0..NV {
                sums[i][j] = s.mul_add(a, vectors[k][j], sums[i][j]);
            }
        }
    }
}

/// One step: the outer product of `MR` elements and a row of `NV` vectors.
///
/// # Safety
/// - Every pointer in `a` is readable.
/// - `b` is readable for `NV * LANES` elements.
#[inline(always)]
unsafe fn step<S: Simd, const MR: usize, const NV: usize>(
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
        // SAFETY: the caller grants every element.
        let a = s.splat(unsafe { *a[i] });
        for j in 0..NV {
            sums[i][j] = s.mul_add(a, vectors[j], sums[i][j]);
        }
    }
}
