//! Every vector operation on every level, against plain `f32` and `i32` arithmetic.

mod arithmetic;
mod horizontal;
mod integers;
mod masks;
mod memory;
mod min_max;
mod rounding;

/// Evaluates an expression on the vectors of some `Vec<f32>`s of one length, which it names, and
/// collects the lanes of the results: `lanes!(level, |s, a, b| s.add(a, b))`.
macro_rules! lanes {
    ($level:expr, |$s:ident, $($x:ident),+| $body:expr) => {{
        #[inline(always)]
        fn run<S: striate_simd::Simd>($s: S, $($x: &[f32]),+) -> Vec<f32> {
            let len = [$($x.len()),+][0];
            let mut y = vec![0.0; len];
            for i in (0..len).step_by(S::LANES) {
                $(let $x = $s.load_partial(&$x[i..]);)+
                $s.store_partial($body, &mut y[i..]);
            }
            y
        }
        striate_simd::dispatch!($level, s => run(s, $(&$x),+))
    }};
}
pub(crate) use lanes;

/// Values at which operations change their behaviour, and some ordinary ones.
const VALUES: [f32; 36] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    0.499_999_97,
    -0.499_999_97,
    0.500_000_06,
    1.5,
    2.5,
    -2.5,
    3.3,
    -7.7,
    1.0 / 3.0,
    1e-3,
    -12_345.678,
    4_194_304.5,
    -4_194_305.5,
    8_388_607.5,
    -8_388_606.5,
    8_388_609.0,
    16_777_216.0,
    1e10,
    -3e38,
    f32::MAX,
    f32::MIN,
    f32::MIN_POSITIVE,
    -f32::MIN_POSITIVE,
    1e-40,
    -1e-45,
    f32::EPSILON,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    -f32::NAN,
];

/// Every pair of [`VALUES`].
fn pairs() -> (Vec<f32>, Vec<f32>) {
    VALUES
        .iter()
        .flat_map(|a| VALUES.iter().map(move |b| (*a, *b)))
        .unzip()
}

/// Panics unless both are the same floats, NaN of any kind being the same as NaN.
#[track_caller]
fn assert_same(got: &[f32], expected: &[f32], inputs: &[&[f32]]) {
    assert_eq!(got.len(), expected.len(), "lengths");
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        let same = g.to_bits() == e.to_bits() || (g.is_nan() && e.is_nan());
        let at: Vec<f32> = inputs.iter().map(|x| x[i]).collect();
        assert!(same, "at {at:?}: got {g:?}, expected {e:?}");
    }
}

/// Panics unless both have the same bits.
#[track_caller]
fn assert_bits(got: &[f32], expected: impl IntoIterator<Item = u32>) {
    let got: Vec<u32> = got.iter().map(|x| x.to_bits()).collect();
    let expected: Vec<u32> = expected.into_iter().collect();
    assert_eq!(got, expected, "bit patterns");
}
