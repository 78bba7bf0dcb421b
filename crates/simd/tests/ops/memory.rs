//! Loads and stores, whole and partial.
#![expect(unsafe_code, reason = "tests the pointer operations")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use striate_simd::{Buffer, Level, Simd, Stream, dispatch, test_each_level};

/// `1, 2, 3, ...`
fn counting(len: usize) -> Vec<f32> {
    (0..len).map(|i| i as f32 + 1.0).collect()
}

#[inline(always)]
fn load<S: Simd>(s: S, src: &[f32]) -> Vec<f32> {
    let mut out = vec![-1.0; S::LANES];
    s.store(s.load(src), &mut out);
    out
}

#[inline(always)]
fn splat_pair<S: Simd>(s: S, pair: [f32; 2]) -> Vec<f32> {
    let mut out = vec![-1.0; S::LANES];
    s.store(s.splat_pair(pair), &mut out);
    out
}

#[inline(always)]
fn load_partial<S: Simd>(s: S, src: &[f32]) -> Vec<f32> {
    let mut out = vec![-1.0; S::LANES];
    s.store(s.load_partial(src), &mut out);
    out
}

#[inline(always)]
fn load_u8<S: Simd>(s: S, src: &[u8]) -> Vec<f32> {
    let mut out = vec![-1.0; S::LANES];
    s.store(s.to_f32(s.load_u8(src)), &mut out);
    out
}

#[inline(always)]
fn store<S: Simd>(s: S, src: &[f32], dst: &mut [f32]) {
    s.store(s.load(src), dst);
}

#[inline(always)]
fn store_partial<S: Simd>(s: S, src: &[f32], dst: &mut [f32]) {
    s.store_partial(s.load(src), dst);
}

#[inline(always)]
fn copy_by_pointer<S: Simd>(s: S, src: &[f32], dst: &mut [f32]) {
    let (src, dst) = (&src[..S::LANES], &mut dst[..S::LANES]);
    // SAFETY: `src` has LANES floats.
    let v = unsafe { s.load_ptr(src.as_ptr()) };
    // SAFETY: `dst` has LANES floats.
    unsafe { s.store_ptr(v, dst.as_mut_ptr()) };
}

/// Copies whole vectors past the caches; false if the level or the place does not allow it.
#[inline(always)]
fn stream<S: Simd>(s: S, src: &[f32], dst: &mut [f32]) -> bool {
    let Ok(mut stream) = Stream::new(s, dst) else {
        return false;
    };
    // Two vectors at a time, half of all apart.
    let half = src.len() / 2;
    for at in (0..half).step_by(S::LANES) {
        stream.store_each([at, at + half].map(|at| s.load(&src[at..])), at, half);
    }
    true
}

test_each_level! {
    fn streams_write_what_was_stored(level: Level) {
        let src = counting(4 * level.lanes());
        let mut dst = Buffer::zeroed(src.len() + 1).expect("memory");
        let streams = dispatch!(level, s => s.streams());
        assert_eq!(dispatch!(level, s => stream(s, &src, &mut dst)), streams);
        assert!(!streams || dst[..src.len()] == src);
        assert!(!dispatch!(level, s => stream(s, &src, &mut dst[1..])), "not aligned");
    }

    fn any_place_can_be_prefetched(level: Level) {
        let src = [1.0];
        for (data, at) in [(&src[..], 0), (&src, 1 << 40), (&[], 0), (&[], usize::MAX)] {
            dispatch!(level, s => s.prefetch(data, at));
        }
        assert_eq!(src, [1.0]);
    }

    fn load_takes_the_first_lanes_at_any_alignment(level: Level) {
        let n = level.lanes();
        let src = counting(2 * n + 8);
        for start in 0..8 {
            assert_eq!(dispatch!(level, s => load(s, &src[start..])), src[start..start + n]);
        }
    }

    fn a_pair_fills_the_lanes_in_turn(level: Level) {
        let pair = [1.5, -0.0];
        for (lane, x) in dispatch!(level, s => splat_pair(s, pair)).into_iter().enumerate() {
            assert_eq!(x.to_bits(), pair[lane % 2].to_bits());
        }
    }

    fn bytes_become_numbers(level: Level) {
        let n = level.lanes();
        let src: Vec<u8> = (0..=255).rev().collect();
        for start in (0..=256 - n).chain([1]) {
            let expected = src[start..start + n].iter().map(|&b| f32::from(b));
            let loaded = dispatch!(level, s => load_u8(s, &src[start..]));
            assert_eq!(loaded, expected.collect::<Vec<f32>>());
        }
        let short = || dispatch!(level, s => load_u8(s, &src[..n - 1]));
        assert!(catch_unwind(AssertUnwindSafe(short)).is_err());
    }

    fn load_partial_fills_with_zeros(level: Level) {
        let n = level.lanes();
        for len in 0..=2 * n {
            // Exact allocations: a sanitizer sees a read beyond the end.
            let src = counting(len).into_boxed_slice();
            let mut expected = src[..len.min(n)].to_vec();
            expected.resize(n, 0.0);
            assert_eq!(dispatch!(level, s => load_partial(s, &src)), expected, "{len} floats");
        }
    }

    fn store_leaves_the_rest_alone(level: Level) {
        let n = level.lanes();
        let mut dst = vec![-1.0; n + 9];
        dispatch!(level, s => store(s, &counting(n), &mut dst[3..]));
        let expected = [vec![-1.0; 3], counting(n), vec![-1.0; 6]].concat();
        assert_eq!(dst, expected);
    }

    fn store_partial_writes_no_further_than_the_slice(level: Level) {
        let n = level.lanes();
        for len in 0..=2 * n {
            let mut dst = vec![-1.0; 2 * n + 4];
            dispatch!(level, s => store_partial(s, &counting(n), &mut dst[1..1 + len]));
            let written = len.min(n);
            let mut expected = vec![-1.0; 2 * n + 4];
            expected[1..1 + written].copy_from_slice(&counting(n)[..written]);
            assert_eq!(dst, expected, "{len} floats");
        }
    }

    fn pointers_need_no_alignment(level: Level) {
        let n = level.lanes();
        let src = counting(n + 3);
        let mut dst = vec![-1.0; n + 3];
        dispatch!(level, s => copy_by_pointer(s, &src[3..], &mut dst[1..]));
        assert_eq!(dst, [&[-1.0], &src[3..], &[-1.0, -1.0]].concat());
    }

    fn splat_and_iota(level: Level) {
        #[inline(always)]
        fn lanes_of<S: Simd>(s: S) -> [Vec<f32>; 2] {
            let mut out = [vec![0.0; S::LANES], vec![0.0; S::LANES]];
            s.store(s.splat(2.5), &mut out[0]);
            s.store(s.iota(), &mut out[1]);
            out
        }
        let [splat, iota] = dispatch!(level, s => lanes_of(s));
        assert_eq!(splat, vec![2.5; level.lanes()]);
        assert_eq!(iota, (0..level.lanes()).map(|i| i as f32).collect::<Vec<_>>());
    }

    fn short_slices_panic(level: Level) {
        let n = level.lanes();
        let short = counting(n - 1);
        let panics = |f: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(f)).is_err();
        assert!(panics(&mut || drop(dispatch!(level, s => load(s, &short)))), "load");
        let mut dst = vec![0.0; n - 1];
        let src = counting(n);
        assert!(panics(&mut || dispatch!(level, s => store(s, &src, &mut dst))), "store");
    }
}
