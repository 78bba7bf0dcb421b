//! What a network is trained to make small: each loss is one number, the mean over all elements, with a gradient.

use striate_tensor::{CrossEntropyOptions, Error, Result, Tensor};

/// Classification: mean over the samples of `-sum_c q_c ln(softmax(logits)_c)`.
///
/// `q` is 1 at the label and 0 elsewhere, smoothed to `(1 - smoothing) * q + smoothing / C` (Szegedy et al., *Rethinking the
/// Inception Architecture*, CVPR 2016).
///
/// # Shapes
/// `logits: [N, C, ...]`, `labels: [N, ...]` (i64), result `[]`.
///
/// # Errors
/// When the shapes do not fit, a label is not below `C`, or `smoothing` is not in 0 to 1.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Result<Tensor> {
    logits.cross_entropy(labels, smoothing)
}

/// [`cross_entropy`] with weights of the classes and labels that do not count, as
/// [`Tensor::cross_entropy_with`] defines it.
///
/// # Shapes
/// `logits: [N, C, ...]`, `labels: [N, ...]` (i64), result `[]`.
///
/// # Errors
/// Those of [`Tensor::cross_entropy_with`].
pub fn cross_entropy_with(
    logits: &Tensor,
    labels: &Tensor,
    options: &CrossEntropyOptions,
) -> Result<Tensor> {
    logits.cross_entropy_with(labels, options)
}

/// [`cross_entropy_with`] for a share of each class instead of a label, as [`Tensor::cross_entropy_soft`] defines it.
///
/// # Shapes
/// `logits` and `shares: [N, C, ...]`, result `[]`.
///
/// # Errors
/// Those of [`Tensor::cross_entropy_soft`].
pub fn cross_entropy_soft(
    logits: &Tensor,
    shares: &Tensor,
    options: &CrossEntropyOptions,
) -> Result<Tensor> {
    logits.cross_entropy_soft(shares, options)
}

/// Regression: mean of `(prediction - target)^2`.
///
/// # Shapes
/// Both the same; result `[]`.
///
/// # Errors
/// When the shapes or the types differ.
pub fn mse(prediction: &Tensor, target: &Tensor) -> Result<Tensor> {
    same_shape("mse", prediction, target)?;
    prediction.sub(target)?.square()?.mean_all()
}

/// Regression that outliers pull less at: mean of `|prediction - target|`.
///
/// # Shapes
/// Both the same; result `[]`.
///
/// # Errors
/// When the shapes or the types differ.
pub fn l1(prediction: &Tensor, target: &Tensor) -> Result<Tensor> {
    same_shape("l1", prediction, target)?;
    prediction.sub(target)?.abs()?.mean_all()
}

/// Independent yes-or-no questions: mean of `-(t ln s(x) + (1 - t) ln(1 - s(x)))` for logits `x`, targets `t` in 0 to 1 and the
/// logistic function `s`.
///
/// It is computed as `t * softplus(-x) + (1 - t) * softplus(x)`, which neither overflows nor loses small losses.
///
/// # Shapes
/// Both the same; result `[]`.
///
/// # Errors
/// When the shapes or the types differ.
pub fn binary_cross_entropy(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    same_shape("binary_cross_entropy", logits, target)?;
    let yes = target.mul(&logits.neg()?.softplus()?)?;
    let no = target.affine(-1.0, 1.0)?.mul(&logits.softplus()?)?;
    yes.add(&no)?.mean_all()
}

/// Broadcasting a target is nearly always a mistake.
fn same_shape(op: &'static str, prediction: &Tensor, target: &Tensor) -> Result<()> {
    if prediction.shape() == target.shape() {
        return Ok(());
    }
    let (p, t) = (prediction.shape(), target.shape());
    Err(Error::shape(
        op,
        format!("prediction {p:?} and target {t:?} must have the same shape"),
    ))
}

#[cfg(test)]
mod tests {
    use striate_tensor::{Gradcheck, Philox, gradcheck};

    use super::*;

    fn column(values: &[f64]) -> Tensor {
        Tensor::from_slice(values, [values.len()]).unwrap()
    }

    fn value(loss: Result<Tensor>) -> f64 {
        loss.unwrap().item::<f64>().unwrap()
    }

    #[test]
    fn known_values() {
        let (x, t) = (
            column(&[1.0, -2.0, 0.5, 3.0]),
            column(&[0.0, 1.0, 0.5, 1.0]),
        );
        assert_eq!(value(mse(&x, &t)), (1.0 + 9.0 + 0.0 + 4.0) / 4.0);
        assert_eq!(value(l1(&x, &t)), (1.0 + 3.0 + 0.0 + 2.0) / 4.0);
        let s = |x: f64| 1.0 / (1.0 + (-x).exp());
        let expected = -((1.0 - s(1.0)).ln()
            + s(-2.0).ln()
            + 0.5 * (s(0.5).ln() + (1.0 - s(0.5)).ln())
            + s(3.0).ln())
            / 4.0;
        assert!((value(binary_cross_entropy(&x, &t)) - expected).abs() < 1e-14);
    }

    #[test]
    fn binary_cross_entropy_keeps_small_and_large_losses() {
        for (x, t, expected) in [
            (30.0, 1.0, (-30f64).exp()),
            (-30.0, 0.0, (-30f64).exp()),
            (800.0, 0.0, 800.0),
            (-800.0, 1.0, 800.0),
            (0.0, 0.5, std::f64::consts::LN_2),
        ] {
            let loss = value(binary_cross_entropy(&column(&[x]), &column(&[t])));
            assert!(
                (loss - expected).abs() <= 1e-12 * expected,
                "{x} {t}: {loss}"
            );
        }
    }

    #[test]
    fn gradients_agree_with_differences() {
        let mut rng = Philox::new(1);
        let mut draw = || {
            let x = Tensor::randn([3, 4], &mut rng).unwrap();
            x.to_dtype(striate_tensor::DType::F64).unwrap()
        };
        let (x, t) = (draw(), draw().sigmoid().unwrap());
        let losses: [fn(&Tensor, &Tensor) -> Result<Tensor>; 3] = [mse, l1, binary_cross_entropy];
        for loss in losses {
            Gradcheck::default()
                .run(|v| loss(&v[0], &v[1]), &[x.clone(), t.clone()])
                .unwrap();
        }
        let labels = Tensor::from_vec(vec![3i64, 0, 1], [3]).unwrap();
        gradcheck(|v| cross_entropy(&v[0], &labels, 0.1), &[x]).unwrap();
    }

    #[test]
    fn the_gradient_at_a_zero_logit_is_that_of_the_formula() {
        let x = column(&[0.0]).requires_grad(true).unwrap();
        let loss = binary_cross_entropy(&x, &column(&[0.2])).unwrap();
        let grads = loss.backward().unwrap();
        let grad = grads.get(&x).unwrap().item::<f64>().unwrap();
        assert!((grad - 0.3).abs() < 1e-15, "{grad}");
    }

    #[test]
    fn shapes_must_be_equal() {
        let (x, t) = (column(&[1.0, 2.0]), column(&[1.0]));
        for loss in [mse, l1, binary_cross_entropy] {
            let message = loss(&x, &t).unwrap_err().to_string();
            assert!(
                message.contains("prediction [2] and target [1]"),
                "{message}"
            );
        }
    }
}
