//! Random numbers that depend on nothing but the seed.
//!
//! Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, *Parallel Random Numbers: As Easy as 1, 2, 3*, SC 2011) turns a
//! key and a counter into four 32-bit words by ten rounds of multiplication. A generator is therefore
//! a position in a sequence, and a [stream](Philox::stream) another sequence with nothing to share:
//! the same seed gives the same numbers on every platform, level and number of threads.

use std::cell::RefCell;

use striate_kernels::random::{Sequence, block};

/// A generator of random numbers: a seed, a stream and a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Philox {
    state: PhiloxState,
    block: [u32; 4],
}

/// Everything that determines the numbers to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhiloxState {
    /// What [`Philox::new`] was given.
    pub seed: u64,
    /// What [`Philox::stream`] was given; 0 at first.
    pub stream: u64,
    /// How many 32-bit words have been drawn.
    pub position: u64,
}

impl Philox {
    /// The start of the sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::from_state(PhiloxState {
            seed,
            stream: 0,
            position: 0,
        })
    }

    /// The start of an independent sequence of the same seed.
    ///
    /// It depends on the seed and on `key` alone, not on what has been drawn.
    #[must_use]
    pub fn stream(&self, key: u64) -> Self {
        Self::from_state(PhiloxState {
            seed: self.state.seed,
            stream: key,
            position: 0,
        })
    }

    /// Where the generator is, to come back to later.
    #[must_use]
    pub fn state(&self) -> PhiloxState {
        self.state
    }

    /// The generator at a saved place.
    #[must_use]
    pub fn from_state(state: PhiloxState) -> Self {
        let mut rng = Self {
            state,
            block: [0; 4],
        };
        rng.refill();
        rng
    }

    fn refill(&mut self) {
        let PhiloxState {
            seed,
            stream,
            position,
        } = self.state;
        self.block = block(Sequence { seed, stream }, position / 4);
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        let word = self.block[(self.state.position % 4) as usize];
        self.state.position = self.state.position.wrapping_add(1);
        if self.state.position.is_multiple_of(4) {
            self.refill();
        }
        word
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) | u64::from(self.next_u32()) << 32
    }

    /// Uniform in [0, 1), a multiple of 2^-24.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// Uniform in [0, 1), a multiple of 2^-53.
    pub fn uniform_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Standard normal, by the transform of Box and Muller: `sqrt(-2 ln u) cos(2 pi v)`.
    pub fn normal(&mut self) -> f64 {
        const UNIT: f64 = 1.0 / 4_294_967_296.0;
        // In (0, 1], so that the logarithm is finite.
        let u = (f64::from(self.next_u32()) + 1.0) * UNIT;
        let v = f64::from(self.next_u32()) * UNIT;
        (-2.0 * ln(u)).sqrt() * cos_turn(v)
    }

    /// Uniform among `0..n`, without bias; 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        // Lemire: the high half of a product, redrawn where the low half would favour small values.
        let threshold = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// Puts a slice into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

/// `1 / (2k + 1)`: the series of the inverse hyperbolic tangent.
const ATANH: [f64; 11] = {
    let mut terms = [0.0; 11];
    let mut k = 0;
    while k < terms.len() {
        terms[k] = 1.0 / (2 * k + 1) as f64;
        k += 1;
    }
    terms
};

/// `(-1)^k / (2k + odd)!`: the series of the cosine and, with `odd`, of the sine.
const fn alternating(odd: usize) -> [f64; 10] {
    let mut terms = [1.0; 10];
    let mut k = 1;
    while k < terms.len() {
        terms[k] = -terms[k - 1] / ((2 * k + odd) * (2 * k + odd - 1)) as f64;
        k += 1;
    }
    terms
}

const COS: [f64; 10] = alternating(0);
const SIN: [f64; 10] = alternating(1);

/// `terms[0] + terms[1] x + ...`, rounded alike everywhere.
fn polynomial<const N: usize>(terms: &[f64; N], x: f64) -> f64 {
    terms.iter().rev().fold(0.0, |sum, term| sum * x + term)
}

/// Natural logarithm of a positive normal number, in operations that round alike everywhere.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    // ln m = 2 atanh(t), |t| <= 0.1716: eleven terms leave less than 1e-17.
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * t * polynomial(&ATANH, t * t)
}

/// `cos(2 pi v)` for v in [0, 1), in operations that round alike everywhere.
fn cos_turn(v: f64) -> f64 {
    // The nearest quarter turn, and what is left of at most an eighth: ten terms leave less than 1e-19.
    let quarter = (v * 4.0 + 0.5).floor();
    let angle = (v - quarter * 0.25) * std::f64::consts::TAU;
    let square = angle * angle;
    match quarter as i32 {
        1 => -angle * polynomial(&SIN, square),
        2 => -polynomial(&COS, square),
        3 => angle * polynomial(&SIN, square),
        _ => polynomial(&COS, square),
    }
}

thread_local! {
    static DEFAULT: RefCell<Philox> = RefCell::new(Philox::new(0));
}

/// Restarts this thread's default generator, which dropout and its like draw from.
///
/// Every thread has its own, with seed 0 until told otherwise.
pub fn manual_seed(seed: u64) {
    set_rng_state(Philox::new(seed).state());
}

/// Where this thread's default generator is.
#[must_use]
pub fn rng_state() -> PhiloxState {
    DEFAULT.with_borrow(Philox::state)
}

/// Puts this thread's default generator somewhere.
pub fn set_rng_state(state: PhiloxState) {
    DEFAULT.set(Philox::from_state(state));
}

/// Takes this thread's default generator to draw from; it moves on when `f` returns.
pub fn with_default_rng<R>(f: impl FnOnce(&mut Philox) -> R) -> R {
    // Taken out during the call, so that a nested call finds a generator too.
    let mut rng = DEFAULT.with_borrow(Clone::clone);
    let result = f(&mut rng);
    DEFAULT.set(rng);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_starts_at_the_first_counter() {
        let mut rng = Philox::new(0);
        assert_eq!(rng.next_u32(), 0x6627_e8d5);
        assert_eq!(rng.next_u32(), 0xe169_c58d);
    }

    #[test]
    fn state_resumes_at_every_position() {
        let mut rng = Philox::new(7).stream(3);
        for _ in 0..9 {
            let mut resumed = Philox::from_state(rng.state());
            assert_eq!(resumed.next_u64(), rng.clone().next_u64());
            rng.next_u32();
        }
    }

    #[test]
    fn streams_differ_and_ignore_the_position() {
        let mut rng = Philox::new(1);
        let first = rng.stream(5).next_u64();
        rng.next_u32();
        assert_eq!(rng.stream(5).next_u64(), first);
        assert_ne!(rng.stream(6).next_u64(), first);
    }

    #[test]
    fn uniform_is_in_range_and_centred() {
        let mut rng = Philox::new(2);
        let draws: Vec<f32> = (0..10_000).map(|_| rng.uniform()).collect();
        assert!(draws.iter().all(|x| (0.0..1.0).contains(x)));
        let mean = draws.iter().map(|&x| f64::from(x)).sum::<f64>() / 1e4;
        assert!((mean - 0.5).abs() < 0.012, "{mean}");
    }

    #[test]
    fn own_functions_equal_the_library_ones() {
        for i in 1..=2000 {
            let u = f64::from(i) / 2000.0;
            assert!(
                (ln(u) - u.ln()).abs() <= 4e-16 * u.ln().abs().max(1.0),
                "ln {u}"
            );
            let v = f64::from(i - 1) / 2000.0;
            let cos = (v * std::f64::consts::TAU).cos();
            assert!((cos_turn(v) - cos).abs() < 1e-15, "cos {v}");
        }
        assert!((ln(1.0 / 4_294_967_296.0) + 32.0 * std::f64::consts::LN_2).abs() < 1e-14);
    }

    #[test]
    fn normal_has_the_right_moments() {
        let mut rng = Philox::new(3);
        let n = 40_000;
        let draws: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
        let moment = |p: i32| draws.iter().map(|x| x.powi(p)).sum::<f64>() / f64::from(n);
        assert!(moment(1).abs() < 0.02);
        assert!((moment(2) - 1.0).abs() < 0.03);
        assert!(moment(3).abs() < 0.08);
        assert!((moment(4) - 3.0).abs() < 0.2);
    }

    #[test]
    fn below_covers_its_range_evenly() {
        let mut rng = Philox::new(4);
        let mut counts = [0u32; 7];
        for _ in 0..7000 {
            counts[rng.below(7) as usize] += 1;
        }
        assert!(
            counts.iter().all(|&c| (850..1150).contains(&c)),
            "{counts:?}"
        );
        assert_eq!(rng.below(1), 0);
        assert_eq!(rng.below(0), 0);
        assert!(rng.below(u64::MAX) < u64::MAX);
    }

    #[test]
    fn shuffle_permutes() {
        let mut items: Vec<u32> = (0..100).collect();
        Philox::new(5).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn default_generator_restarts() {
        manual_seed(9);
        let first = with_default_rng(Philox::next_u64);
        let state = rng_state();
        let second = with_default_rng(Philox::next_u64);
        set_rng_state(state);
        assert_eq!(with_default_rng(Philox::next_u64), second);
        manual_seed(9);
        assert_eq!(with_default_rng(Philox::next_u64), first);
    }
}
