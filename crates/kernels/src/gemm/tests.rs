use super::*;
use crate::epilogue::Activation;
use crate::testing::{Random, assert_close, on_threads, to_f64};
use proptest::prelude::*;
use striate_simd::test_each_level;

fn identity(n: usize) -> Vec<f32> {
    (0..n * n)
        .map(|i| f32::from(u8::from(i / n == i % n)))
        .collect()
}

test_each_level! {
    fn the_identity_changes_nothing(level: Level) {
        let mut random = Random::new(1);
        for (m, n) in [(1, 1), (5, 3), (7, 64), (13, 65), (50, 33), (12, 130)] {
            let a = random.normals(m * n);
            let eye = identity(n);
            let mut c = vec![f32::NAN; m * n];
            let (a_view, eye) = (Matrix::new(&a, m, n).unwrap(), Matrix::new(&eye, n, n).unwrap());
            sgemm(level, a_view, eye, Write::Replace, MatrixMut::new(&mut c, m, n).unwrap()).unwrap();
            assert_eq!(a, c, "A I = A for {m} x {n}");
            let mut c = vec![f32::NAN; m * n];
            let b_view = a_view.transposed();
            let c_view = MatrixMut::new(&mut c, n, m).unwrap();
            sgemm(level, eye, b_view, Write::Replace, c_view).unwrap();
            let transposed: Vec<f32> = (0..m * n).map(|i| a[i % m * n + i / m]).collect();
            assert_eq!(transposed, c, "I A' = A' for {m} x {n}");
        }
    }
}

test_each_level! {
    fn every_tile_height_and_width_is_exact_on_integers(level: Level) {
        let mut random = Random::new(2);
        let k_len = 9;
        for m in 1..=26 {
            for n in (1..=5 * level.lanes()).step_by(3) {
                let (a, b) = (random.integers(m * k_len), random.integers(k_len * n));
                let mut c = vec![f32::NAN; m * n];
                let a = Matrix::new(&a, m, k_len).unwrap();
                let b = Matrix::new(&b, k_len, n).unwrap();
                let packed = PackedB::for_rows(level, b, m).unwrap();
                let view = MatrixMut::new(&mut c, m, n).unwrap();
                packed.multiply(a, &Epilogue::NONE, view).unwrap();
                let mut expected = vec![0.0; m * n];
                let view = MatrixMut::new(&mut expected, m, n).unwrap();
                reference::multiply(a, b, Write::Replace, view).unwrap();
                assert_eq!(c, expected, "{m} x {k_len} x {n}");
            }
        }
    }
}

test_each_level! {
    fn what_is_not_kept_gives_the_same_bits(level: Level) {
        let mut random = Random::new(3);
        // One pass and several, whole vectors and some, an empty sum.
        for [m, k_len, n] in [[1, 2048, 1000], [3, 512, 37], [30, 3000, 600], [2, 0, 5], [0, 4, 4]] {
            let [a, b, bias] = [m * k_len, k_len * n, n].map(|len| random.normals(len));
            let a = Matrix::new(&a, m, k_len).unwrap();
            let b = Matrix::new(&b, n, k_len).unwrap().transposed();
            let [mut kept, mut unkept] = [(); 2].map(|()| vec![f32::NAN; m * n]);
            let view = MatrixMut::new(&mut kept, m, n).unwrap();
            let epilogue = Epilogue::NONE.bias(Some(&bias));
            PackedB::new(level, b).unwrap().multiply(a, &epilogue, view).unwrap();
            let view = MatrixMut::new(&mut unkept, m, n).unwrap();
            multiply_unkept(level, a, b, Some(&bias), view).unwrap();
            assert_eq!(kept, unkept, "{m} x {k_len} x {n}");
            let view = MatrixMut::new(&mut unkept, m, n).unwrap();
            let short = (n > 0).then(|| &bias[1..]);
            assert!(multiply_unkept(level, a, b, short, view).is_err());
        }
    }
}

/// A product with any strides, both sides of the output guarded.
fn check_product_of(
    level: Level,
    [m, k_len, n]: [usize; 3],
    transpose: [bool; 2],
    gap: usize,
    write: Write,
) {
    let mut random = Random::new((m * 1009 + k_len * 31 + n) as u64);
    let mut operand = |rows: usize, cols: usize, transposed: bool| {
        let (outer, inner) = if transposed {
            (cols, rows)
        } else {
            (rows, cols)
        };
        (random.normals(outer * (inner + gap)), inner + gap)
    };
    let ((a, a_stride), (b, b_stride)) = (
        operand(m, k_len, transpose[0]),
        operand(k_len, n, transpose[1]),
    );
    let strides =
        |stride: usize, transposed: bool| if transposed { [1, stride] } else { [stride, 1] };
    let a_view = Matrix::strided(&a, [m, k_len], strides(a_stride, transpose[0])).unwrap();
    let b_view = Matrix::strided(&b, [k_len, n], strides(b_stride, transpose[1])).unwrap();
    let before = random.normals(m * (n + gap));
    let mut c = before.clone();
    let c_view = MatrixMut::strided(&mut c, [m, n], n + gap).unwrap();
    sgemm(level, a_view, b_view, write, c_view).unwrap();
    for i in 0..m {
        for j in 0..n + gap {
            let at = i * (n + gap) + j;
            if j >= n {
                assert_eq!(c[at], before[at], "beyond the columns of row {i}");
                continue;
            }
            let start = if write == Write::Add {
                f64::from(before[at])
            } else {
                0.0
            };
            let terms = (0..k_len).map(|k| f64::from(a_view.at(i, k)) * f64::from(b_view.at(k, j)));
            let (sum, magnitude) =
                terms.fold((start, start.abs()), |(s, m), t| (s + t, m + t.abs()));
            assert_close(c[at], sum, magnitude, k_len + 1, || format!("[{i}, {j}]"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn products_agree_with_double_precision(
        m in 0_usize..40,
        k_len in 0_usize..90,
        n in 0_usize..150,
        transpose in any::<[bool; 2]>(),
        gap in 0_usize..3,
        add in any::<bool>(),
    ) {
        for level in Level::available() {
            let write = if add { Write::Add } else { Write::Replace };
            check_product_of(level, [m, k_len, n], transpose, gap, write);
        }
    }
}

test_each_level! {
    fn large_products_agree_with_double_precision(level: Level) {
        for transpose in [[false, false], [true, false], [false, true]] {
            check_product_of(level, [350, 70, 230], transpose, 0, Write::Replace);
        }
    }
}

test_each_level! {
    fn the_epilogue_adds_and_clips(level: Level) {
        let (m, k_len, n) = (15, 4, 71);
        let mut random = Random::new(3);
        let (a, b) = (random.integers(m * k_len), random.integers(k_len * n));
        let (bias, residual) = (random.integers(n), random.integers(m * n));
        let (a, b) = (Matrix::new(&a, m, k_len).unwrap(), Matrix::new(&b, k_len, n).unwrap());
        let packed = PackedB::new(level, b).unwrap();
        let mut product = vec![0.0; m * n];
        let view = MatrixMut::new(&mut product, m, n).unwrap();
        reference::multiply(a, b, Write::Replace, view).unwrap();
        for use_residual in [false, true] {
            for activation in [Activation::None, Activation::Relu] {
                let residual = use_residual.then_some(&residual[..]);
                let epilogue = Epilogue::NONE.bias(Some(&bias)).residual(residual).activation(activation);
                let (mut expected, mut magnitudes) = (to_f64(&product), vec![0.0; m * n]);
                epilogue.apply(n, [&mut expected, &mut magnitudes]);
                let mut c = vec![f32::NAN; m * n];
                packed.multiply(a, &epilogue, MatrixMut::new(&mut c, m, n).unwrap()).unwrap();
                assert_eq!(to_f64(&c), expected);
            }
        }
    }
}

test_each_level! {
    fn relu_keeps_what_is_not_a_number(level: Level) {
        let a = Matrix::new(&[f32::NAN, -1.0], 2, 1).unwrap();
        let b = Matrix::new(&[1.0], 1, 1).unwrap();
        let mut c = [7.0; 2];
        let relu = Epilogue::NONE.activation(Activation::Relu);
        let packed = PackedB::new(level, b).unwrap();
        packed.multiply(a, &relu, MatrixMut::new(&mut c, 2, 1).unwrap()).unwrap();
        assert!(c[0].is_nan());
        assert_eq!(c[1], 0.0);
    }
}

test_each_level! {
    fn the_number_of_threads_changes_no_bit(level: Level) {
        let (m, k_len, n) = (600, 90, 250);
        let mut random = Random::new(4);
        let (a, b) = (random.normals(m * k_len), random.normals(k_len * n));
        let (a, b) = (Matrix::new(&a, m, k_len).unwrap(), Matrix::new(&b, k_len, n).unwrap());
        let results: Vec<Vec<f32>> = on_threads(|| {
            let mut c = vec![0.0; m * n];
            sgemm(level, a, b, Write::Replace, MatrixMut::new(&mut c, m, n).unwrap()).unwrap();
            c
        });
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let data = [0.0_f32; 12];
    assert!(Matrix::new(&data, 3, 5).is_err());
    assert!(Matrix::strided(&data, [3, 2], [usize::MAX, 1]).is_err());
    assert!(Matrix::strided(&data, [0, 5], [9, 9]).is_ok());
    let mut c = [0.0_f32; 12];
    assert!(
        MatrixMut::strided(&mut c, [3, 4], 3).is_err(),
        "rows overlap"
    );
    let a = Matrix::new(&data, 3, 4).unwrap();
    let level = Level::detect();
    for (b_shape, c_shape) in [([3, 4], [3, 4]), ([4, 3], [3, 4]), ([4, 3], [2, 3])] {
        let b = Matrix::new(&data, b_shape[0], b_shape[1]).unwrap();
        let c = MatrixMut::new(&mut c, c_shape[0], c_shape[1]).unwrap();
        assert!(
            sgemm(level, a, b, Write::Replace, c).is_err(),
            "{b_shape:?} {c_shape:?}"
        );
    }
}
