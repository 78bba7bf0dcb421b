//! Softmax, its logarithm and the cross-entropy.

use striate_simd::test_each_level;
use striate_tensor::{CrossEntropyOptions, DType, Level, Result, Tensor, with_level};

use crate::common::randn;
use crate::harness::{check, f32s, fails};

#[test]
fn gradients_and_levels() -> Result<()> {
    for shape in [vec![5], vec![3, 7], vec![2, 9, 3, 2], vec![1, 2, 3, 4]] {
        let x = [randn(&shape, 1)?.mul_scalar(3.0)?];
        for dim in 0..shape.len() {
            check(
                &format!("softmax {dim} of {shape:?}"),
                |x| x[0].softmax(dim),
                &x,
                2e-6,
            )?;
            check(
                &format!("log_softmax {dim} of {shape:?}"),
                |x| x[0].log_softmax(dim),
                &x,
                2e-6,
            )?;
        }
    }
    for (shape, labels) in [
        (vec![3, 5], vec![0i64, 4, 2]),
        (vec![2, 9, 1, 2], vec![8, 0, 3, 3]),
        (vec![1, 3, 2], vec![1, 2]),
    ] {
        let x = [randn(&shape, 2)?];
        let target = [&shape[..1], &shape[2..]].concat();
        let target = Tensor::from_vec(labels, target)?;
        let classes = shape[1];
        let weight = (0..classes).map(|c| 0.5 + c as f64).collect();
        let weight = Tensor::from_vec::<f64>(weight, [classes])?;
        for smoothing in [0.0, 0.1, 1.0] {
            let plain = CrossEntropyOptions::default().smoothing(smoothing);
            let ignoring = plain.clone().ignore_index(2);
            let weighted = plain.clone().weight(weight.clone());
            let both = ignoring.clone().weight(weight.clone());
            for options in [plain, ignoring, weighted, both] {
                let name = format!("cross_entropy {shape:?} {options:?}");
                check(
                    &name,
                    |x| x[0].cross_entropy_with(&target, &options),
                    &x,
                    2e-6,
                )?;
            }
        }
    }
    Ok(())
}

test_each_level! {
    fn nothing_overflows(level: Level) {
        with_level(level, || {
            let x = f32s(&[1000., 1000., -1000., -1e30], &[1, 4]);
            let p = x.softmax(1).unwrap().to_vec::<f32>().unwrap();
            assert_eq!(p, [0.5, 0.5, 0., 0.]);
            let target = Tensor::from_slice(&[3i64], 1).unwrap();
            let loss = x.cross_entropy(&target, 0.0).unwrap().item::<f32>().unwrap();
            assert!((loss - 1e30).abs() < 1e24, "{loss}");
        });
    }

    fn a_hopeless_class_does_not_spoil_the_loss(level: Level) {
        with_level(level, || {
            let x = f32s(&[0., f32::NEG_INFINITY, 0.], &[1, 3]);
            let target = Tensor::from_slice(&[0i64], 1).unwrap();
            let loss = x.cross_entropy(&target, 0.0).unwrap().item::<f32>().unwrap();
            assert!((loss - 2f32.ln()).abs() < 1e-6, "{loss}");
        });
    }
}

#[test]
fn uniform_logits_give_the_logarithm_of_the_classes() -> Result<()> {
    let x = Tensor::zeros([4, 10], DType::F64)?.requires_grad(true)?;
    let target = Tensor::from_slice(&[0i64, 3, 9, 9], 4)?;
    let loss = x.cross_entropy(&target, 0.0)?;
    assert!((loss.item::<f64>()? - 10f64.ln()).abs() < 1e-12);
    let grads = loss.backward()?;
    let dx = grads.get(&x).expect("a leaf").to_vec::<f64>()?;
    assert!((dx[0] - (0.1 - 1.0) / 4.0).abs() < 1e-12 && (dx[1] - 0.1 / 4.0).abs() < 1e-12);
    Ok(())
}

#[test]
fn shares_of_classes_are_a_mean_of_labels() -> Result<()> {
    for shape in [vec![3, 5], vec![2, 5, 2, 3]] {
        let x = randn(&shape, 6)?.mul_scalar(2.0)?;
        let places = x.numel() / 5;
        let spatial = [&shape[..1], &shape[2..]].concat();
        let labels = |step: usize| {
            let labels = (0..places).map(|i| (i * step % 5) as i64).collect();
            Tensor::from_vec::<i64>(labels, spatial.clone())
        };
        let (first, second) = (labels(2)?, labels(3)?);
        // Shares of 0.7 and 0.3, with the classes in front of the places.
        let one_hot = |labels: &Tensor| -> Result<Tensor> {
            let values = labels.to_vec::<i64>()?;
            let hot = values
                .iter()
                .flat_map(|&l| (0..5).map(move |c| f64::from(u8::from(c == l))));
            let last = [&spatial[..], &[5]].concat();
            let hot = Tensor::from_vec::<f64>(hot.collect(), last)?;
            let rank = shape.len();
            let order: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
            hot.permute(&order)
        };
        let mixed = one_hot(&first)?.mul_scalar(0.7)?;
        let mixed = mixed.add(&one_hot(&second)?.mul_scalar(0.3)?)?;
        for smoothing in [0.0, 0.1, 1.0] {
            let options = CrossEntropyOptions::default().smoothing(smoothing);
            let own = x.cross_entropy_soft(&mixed, &options)?.item::<f64>()?;
            let a = x.cross_entropy(&first, smoothing)?.item::<f64>()?;
            let b = x.cross_entropy(&second, smoothing)?.item::<f64>()?;
            assert!(
                (own - (0.7 * a + 0.3 * b)).abs() < 1e-12,
                "{shape:?} {smoothing}"
            );
            let weight = Tensor::from_slice(&[0.5, 1.0, 2.0, 0.0, 3.0], 5)?;
            for options in [options.clone(), options.weight(weight)] {
                let loss = |x: &[Tensor]| x[0].cross_entropy_soft(&x[1], &options);
                let name = format!("cross_entropy_soft {shape:?} {options:?}");
                check(&name, loss, &[x.clone(), mixed.clone()], 4e-6)?;
            }
        }
        // A weight scales its class's part; the mean is over places.
        let weight = Tensor::from_slice(&[2.0; 5], 5)?;
        let options = CrossEntropyOptions::default();
        let plain = x.cross_entropy_soft(&mixed, &options)?.item::<f64>()?;
        let twice = x.cross_entropy_soft(&mixed, &options.weight(weight))?;
        assert!((twice.item::<f64>()? - 2.0 * plain).abs() < 1e-12);
    }
    let x = f32s(&[0.0; 6], &[2, 3]);
    let plain = CrossEntropyOptions::default();
    let soft =
        |shares: &Tensor, options: &CrossEntropyOptions| x.cross_entropy_soft(shares, options);
    fails(
        soft(&f32s(&[0.0; 6], &[3, 2]), &plain),
        &["cross_entropy_soft", "[2, 3]", "[3, 2]"],
    );
    fails(soft(&x, &plain.clone().smoothing(2.0)), &["smoothing is 2"]);
    fails(soft(&x, &plain.clone().ignore_index(1)), &["to be ignored"]);
    fails(
        soft(&x, &plain.weight(f32s(&[1.0], &[1]))),
        &["3 classes need weights"],
    );
    Ok(())
}

#[test]
fn errors_name_the_rule() {
    let x = f32s(&[0.0; 6], &[2, 3]);
    let target = |labels: &[i64]| Tensor::from_slice(labels, labels.len()).unwrap();
    fails(x.softmax(2), &["softmax", "2", "[2, 3]"]);
    fails(
        x.to_dtype(DType::I64).unwrap().log_softmax(1),
        &["log_softmax", "i64"],
    );
    fails(
        x.cross_entropy(&target(&[0, 3]), 0.0),
        &["cross_entropy", "3"],
    );
    fails(
        x.cross_entropy(&target(&[0, -1]), 0.0),
        &["cross_entropy", "-1"],
    );
    fails(
        x.cross_entropy(&target(&[0, 1, 2]), 0.0),
        &["cross_entropy", "[2, 3]", "[3]"],
    );
    fails(
        x.cross_entropy(&target(&[0, 1]), 1.5),
        &["cross_entropy", "smoothing"],
    );
    fails(x.cross_entropy(&x, 0.0), &["cross_entropy", "f32"]);
    let options = CrossEntropyOptions::default().ignore_index(-100);
    let with = |labels: &[i64], options| x.cross_entropy_with(&target(labels), &options);
    fails(
        with(&[-100, -1], options.clone()),
        &["label -1 for 3 classes"],
    );
    fails(with(&[-100, -100], options.clone()), &["no label counts"]);
    for (weight, words) in [
        (&[1.0, 2.0][..], "[3]"),
        (&[1.0, -1.0, 0.0], "not negative"),
        (&[1.0, f32::NAN, 0.0], "not negative"),
        (&[0.0, 1.0, 1.0], "no label counts"),
    ] {
        let options = options.clone().weight(f32s(weight, &[weight.len()]));
        fails(with(&[-100, 0], options), &["cross_entropy", words]);
    }
    let none = Tensor::zeros([0, 3], DType::F32).unwrap();
    fails(
        none.cross_entropy(&target(&[]), 0.0),
        &["cross_entropy", "[0, 3]"],
    );
}

#[test]
fn smoothed_labels_by_hand() -> Result<()> {
    let logits = Tensor::from_slice(&[2f64, 1.0, 0.0, -1.0], [1, 4])?;
    let label = Tensor::from_slice(&[1i64], 1)?;
    for (smoothing, expected) in [(0.0, 1.440_190), (0.1, 1.490_190), (0.2, 1.540_190)] {
        let loss = logits.cross_entropy(&label, smoothing)?.item::<f64>()?;
        assert!((loss - expected).abs() < 5e-7, "{smoothing}: {loss}");
        // The mean of the two losses that smoothing weighs.
        let p = logits.log_softmax(1)?.to_vec::<f64>()?;
        let uniform = -p.iter().sum::<f64>() / 4.0;
        let exact = -(1.0 - smoothing) * p[1] + smoothing * uniform;
        assert!((loss - exact).abs() < 1e-12, "{smoothing}: {loss}");
    }
    Ok(())
}

/// Values and gradients of PyTorch's `cross_entropy`.
#[test]
fn weights_and_ignored_labels_are_pytorchs() -> Result<()> {
    let logits = [
        [2f64, 1.0, 0.0, -1.0],
        [0.5, -0.25, 1.5, 0.0],
        [1.0, 1.0, -2.0, 3.0],
        [0.0, 0.25, 0.5, -0.75],
    ];
    let x = Tensor::from_slice(logits.as_flattened(), [4, 4])?.requires_grad(true)?;
    let target = Tensor::from_slice(&[1i64, 3, -100, 0], 4)?;
    let weight = Tensor::from_slice(&[1f64, 2.0, 0.5, 3.0], 4)?;
    let ignoring = CrossEntropyOptions::default().ignore_index(-100);
    let weighted = ignoring.clone().weight(weight);
    for (options, smoothing, loss, slope) in [
        (&ignoring, 0.0, 1.663_661_236_713, 0.214_638_086_629_324),
        (&ignoring, 0.1, 1.665_744_570_047, 0.206_304_753_295_991),
        (&ignoring, 1.0, 1.684_494_570_047, 0.131_304_753_295_991),
        (&weighted, 0.0, 1.761_204_916_564, 0.214_638_086_629_324),
        (&weighted, 0.1, 1.746_298_567_057, 0.206_446_955_838_358),
        (&weighted, 1.0, 1.612_141_421_496, 0.132_726_778_719_659),
    ] {
        let options = options.clone().smoothing(smoothing);
        let got = x.cross_entropy_with(&target, &options)?;
        let grads = got.backward()?;
        let dx = grads.get(&x).expect("a leaf").to_vec::<f64>()?;
        let got = got.item::<f64>()?;
        assert!((got - loss).abs() < 1e-11, "{options:?}: {got}");
        assert!((dx[0] - slope).abs() < 1e-14, "{options:?}: {}", dx[0]);
        assert_eq!(dx[8..12], [0.0; 4], "{options:?}");
    }
    Ok(())
}
