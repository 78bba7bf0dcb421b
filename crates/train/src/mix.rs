//! Samples of a batch mixed with each other, and their labels with them.

use striate_tensor::{Philox, Tensor};

use crate::error::{Error, Result};
use crate::loader::Batch;

/// A batch whose samples may have a share of several classes.
#[derive(Clone, Debug)]
pub struct Mixed {
    /// The images, each with the label that has the larger share of it.
    pub batch: Batch,
    /// The share of each class, `[N, classes]`, for [`cross_entropy_soft`](crate::loss::cross_entropy_soft); none if every
    /// sample is its label's alone.
    pub shares: Option<Tensor>,
}

impl Mixed {
    /// A batch as it is.
    #[must_use]
    pub fn unmixed(batch: Batch) -> Self {
        Self {
            batch,
            shares: None,
        }
    }
}

/// Mixes every sample with another of the batch: `t * x[i] + (1 - t) * x[j]`, and their labels in the same shares. One `t` of
/// Beta(alpha, alpha) and one order of the others are drawn for the batch.
///
/// Paper: Zhang, Cisse, Dauphin, Lopez-Paz, *mixup: Beyond Empirical Risk Minimization*, ICLR 2018, arXiv:1710.09412.
///
/// # Errors
/// When `alpha` is not from 0.001 to 1000, a label is not below `classes`, or memory runs out.
pub fn mixup(batch: &Batch, classes: usize, alpha: f64, rng: &mut Philox) -> Result<Mixed> {
    check("mixup", alpha)?;
    let share = beta(alpha, rng);
    let order = order(batch, rng)?;
    let others = batch.images.index_select(0, &order)?;
    let own = batch.images.mul_scalar(share)?;
    let images = own.add(&others.mul_scalar(1.0 - share)?)?;
    mixed(batch, images, &order, share, classes)
}

/// Puts into every sample a box cut from the same place of another of the batch, and shares the label by the area of the two.
/// The box has the shape of the image, its area is `1 - t` of it for one `t` of Beta(alpha, alpha), and its middle is
/// anywhere: what stands over the edge is cut off, and counts for nothing.
///
/// Paper: Yun et al., *CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features*, ICCV 2019,
/// arXiv:1905.04899.
///
/// # Errors
/// When `alpha` is not from 0.001 to 1000, a label is not below `classes`, or memory runs out.
pub fn cutmix(batch: &Batch, classes: usize, alpha: f64, rng: &mut Philox) -> Result<Mixed> {
    check("cutmix", alpha)?;
    let [_, _, h, w] = batch.images.dims4()?;
    let side = (1.0 - beta(alpha, rng)).sqrt();
    let mut range = |size: usize| {
        let (middle, half) = (
            rng.below(size as u64) as usize,
            (size as f64 * side) as usize / 2,
        );
        middle.saturating_sub(half)..(middle + half).min(size)
    };
    let (rows, columns) = (range(h), range(w));
    let order = order(batch, rng)?;
    let others = batch.images.index_select(0, &order)?;
    let mut own = vec![1.0f32; h * w];
    for y in rows.clone() {
        own[y * w..][columns.clone()].fill(0.0);
    }
    let own = Tensor::from_vec(own, [1, 1, h, w])?;
    let rest = own.affine(-1.0, 1.0)?;
    let images = batch.images.mul(&own)?.add(&others.mul(&rest)?)?;
    let share = 1.0 - (rows.len() * columns.len()) as f64 / (h * w).max(1) as f64;
    mixed(batch, images, &order, share, classes)
}

/// Whether a parameter of the distribution has a meaning. Beyond these nothing is mixed, or always halves.
pub(crate) fn check(field: &'static str, alpha: f64) -> Result<()> {
    if (1e-3..=1e3).contains(&alpha) {
        return Ok(());
    }
    Err(Error::config(field, format!("{alpha}: from 0.001 to 1000")))
}

/// With whom each sample is mixed, as I64.
fn order(batch: &Batch, rng: &mut Philox) -> Result<Tensor> {
    let mut order: Vec<i64> = (0..batch.labels.numel() as i64).collect();
    rng.shuffle(&mut order);
    let len = order.len();
    Ok(Tensor::from_vec(order, [len])?)
}

/// The labels that belong to images of which `share` is their own, and the rest that of `order`.
fn mixed(
    batch: &Batch,
    images: Tensor,
    order: &Tensor,
    share: f64,
    classes: usize,
) -> Result<Mixed> {
    let own = batch.labels.to_vec::<i64>()?;
    let others = batch.labels.index_select(0, order)?;
    let mut shares = vec![0.0f32; own.len() * classes];
    let parts = [
        (own, share as f32),
        (others.to_vec::<i64>()?, (1.0 - share) as f32),
    ];
    for (labels, share) in parts {
        for (i, label) in labels.into_iter().enumerate() {
            let class = usize::try_from(label).ok().filter(|&c| c < classes);
            let outside = || Error::Mismatch(format!("label {label} for {classes} classes"));
            shares[i * classes + class.ok_or_else(outside)?] += share;
        }
    }
    let count = batch.labels.numel();
    Ok(Mixed {
        batch: Batch {
            images,
            labels: if share < 0.5 {
                others
            } else {
                batch.labels.clone()
            },
        },
        shares: Some(Tensor::from_vec(shares, [count, classes])?),
    })
}

/// From Beta(alpha, alpha): the share of one of two numbers of Gamma(alpha) in their sum.
fn beta(alpha: f64, rng: &mut Philox) -> f64 {
    let (a, b) = (ln_gamma_sample(alpha, rng), ln_gamma_sample(alpha, rng));
    1.0 / (1.0 + (b - a).exp())
}

/// The logarithm, which is finite where the number itself is too small, of a number of Gamma(alpha): Marsaglia and Tsang, *A
/// Simple Method for Generating Gamma Variables*, 2000.
fn ln_gamma_sample(alpha: f64, rng: &mut Philox) -> f64 {
    // In (0, 1].
    let ln_uniform = |rng: &mut Philox| (1.0 - rng.uniform_f64()).ln();
    if alpha < 1.0 {
        return ln_gamma_sample(alpha + 1.0, rng) + ln_uniform(rng) / alpha;
    }
    let d = alpha - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = rng.normal();
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && ln_uniform(rng) < 0.5 * x * x + d - d * v + d * v.ln() {
            return (d * v).ln();
        }
    }
}

#[cfg(test)]
mod tests {
    use striate_tensor::CrossEntropyOptions;

    use super::*;
    use crate::loss::{cross_entropy, cross_entropy_soft};

    const SHAPE: [usize; 4] = [4, 2, 6, 8];

    fn batch() -> Batch {
        Batch {
            images: Tensor::randn(SHAPE, &mut Philox::new(1)).unwrap(),
            labels: Tensor::from_vec(vec![0i64, 2, 1, 2], [4]).unwrap(),
        }
    }

    fn values(x: &Tensor) -> Vec<f32> {
        x.to_vec().unwrap()
    }

    fn images(batch: &Batch) -> Vec<Vec<f32>> {
        let one = SHAPE.iter().skip(1).product();
        values(&batch.images)
            .chunks(one)
            .map(<[f32]>::to_vec)
            .collect()
    }

    /// The partner of each sample, the sample itself first: one with which all pixels `fit(own, other, mixed)`.
    fn partners(before: &Batch, after: &Mixed, fits: impl Fn(f32, f32, f32) -> bool) -> Vec<usize> {
        let (before, after) = (images(before), images(&after.batch));
        let partner = |i: usize| {
            std::iter::once(i).chain(0..before.len()).find(|&j| {
                let pixels = before[i].iter().zip(&before[j]).zip(&after[i]);
                pixels.into_iter().all(|((&a, &b), &m)| fits(a, b, m))
            })
        };
        (0..before.len())
            .map(|i| partner(i).expect("a partner"))
            .collect()
    }

    fn check_shares(before: &Batch, after: &Mixed, partners: &[usize], share: f64) {
        let labels = before.labels.to_vec::<i64>().unwrap();
        let mut expected = vec![0.0; 12];
        for (i, &j) in partners.iter().enumerate() {
            expected[3 * i + labels[i] as usize] += share as f32;
            expected[3 * i + labels[j] as usize] += (1.0 - share) as f32;
        }
        assert_eq!(values(after.shares.as_ref().unwrap()), expected);
        let larger = after.batch.labels.to_vec::<i64>().unwrap();
        for (i, &j) in partners.iter().enumerate() {
            let of = if share < 0.5 { j } else { i };
            assert_eq!(larger[i], labels[of]);
        }
        let mut all = partners.to_vec();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3], "everyone is a partner once");
    }

    #[test]
    fn mixup_is_its_formula() {
        let before = batch();
        for seed in 0..8 {
            let share = beta(0.4, &mut Philox::new(seed));
            let after = mixup(&before, 3, 0.4, &mut Philox::new(seed)).unwrap();
            let fits = |a: f32, b: f32, m: f32| {
                let expected = share * f64::from(a) + (1.0 - share) * f64::from(b);
                (f64::from(m) - expected).abs() < 1e-5
            };
            let partners = partners(&before, &after, fits);
            check_shares(&before, &after, &partners, share);
            let again = mixup(&before, 3, 0.4, &mut Philox::new(seed)).unwrap();
            assert_eq!(values(&again.batch.images), values(&after.batch.images));
            let other = mixup(&before, 3, 0.4, &mut Philox::new(seed + 99)).unwrap();
            assert_ne!(values(&other.batch.images), values(&after.batch.images));
        }
    }

    #[test]
    fn cutmix_shares_by_area() {
        let before = batch();
        let mut areas = Vec::new();
        for seed in 0..20 {
            let after = cutmix(&before, 3, 1.0, &mut Philox::new(seed)).unwrap();
            let order = partners(&before, &after, |a, b, m| m == a || m == b);
            let (own, mixed) = (images(&before), images(&after.batch));
            // A sample that is not its own partner shows the box, in every channel the same.
            let Some(i) = (0..4).find(|&i| order[i] != i) else {
                continue;
            };
            let foreign: Vec<usize> = (0..96).filter(|&p| mixed[i][p] != own[i][p]).collect();
            let (first, second): (Vec<usize>, Vec<usize>) = foreign.iter().partition(|&&p| p < 48);
            assert!(first.iter().map(|p| p + 48).eq(second));
            let rows = first.iter().map(|p| p / 8);
            let columns = first.iter().map(|p| p % 8);
            let extent = |x: &mut dyn Iterator<Item = usize>| {
                let all: Vec<usize> = x.collect();
                all.iter()
                    .max()
                    .map_or(0, |max| max - all.iter().min().unwrap() + 1)
            };
            let area = extent(&mut rows.into_iter()) * extent(&mut columns.into_iter());
            assert_eq!(area, first.len(), "a box");
            areas.push(area);
            check_shares(&before, &after, &order, 1.0 - area as f64 / 48.0);
        }
        areas.sort_unstable();
        areas.dedup();
        assert!(areas.len() > 5, "{areas:?}");
    }

    #[test]
    fn shares_have_the_moments_of_their_distribution() {
        for alpha in [0.001, 0.1, 0.4, 1.0, 3.0, 1000.0] {
            let mut rng = Philox::new(3);
            let drawn: Vec<f64> = (0..20_000).map(|_| beta(alpha, &mut rng)).collect();
            assert!(drawn.iter().all(|t| (0.0..=1.0).contains(t)), "{alpha}");
            let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
            let square = drawn.iter().map(|t| (t - 0.5).powi(2)).sum::<f64>();
            let variance = square / drawn.len() as f64;
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            // Five standard errors of the mean, and three percent of the variance.
            let error = 5.0 * (expected / drawn.len() as f64).sqrt();
            assert!((mean - 0.5).abs() < error, "{alpha}: mean {mean}");
            assert!(
                (variance / expected - 1.0).abs() < 0.03,
                "{alpha}: {variance} {expected}"
            );
        }
    }

    #[test]
    fn the_loss_is_the_mean_of_both_labels_smoothed_or_not() {
        let before = batch();
        let scores = Tensor::randn([4, 3], &mut Philox::new(9)).unwrap();
        let share = beta(0.4, &mut Philox::new(2));
        let after = mixup(&before, 3, 0.4, &mut Philox::new(2)).unwrap();
        let fits = |a: f32, b: f32, m: f32| {
            (f64::from(m) - share * f64::from(a) - (1.0 - share) * f64::from(b)).abs() < 1e-5
        };
        let order = partners(&before, &after, fits);
        let index = Tensor::from_vec(order.iter().map(|&i| i as i64).collect(), [4]).unwrap();
        let others = before.labels.index_select(0, &index).unwrap();
        for smoothing in [0.0, 0.1] {
            let hard = |labels: &Tensor| {
                let loss = cross_entropy(&scores, labels, smoothing).unwrap();
                f64::from(loss.item::<f32>().unwrap())
            };
            let expected = share * hard(&before.labels) + (1.0 - share) * hard(&others);
            let options = CrossEntropyOptions::default().smoothing(smoothing);
            let soft = cross_entropy_soft(&scores, after.shares.as_ref().unwrap(), &options);
            let soft = f64::from(soft.unwrap().item::<f32>().unwrap());
            assert!((soft - expected).abs() < 1e-6, "{soft} {expected}");
        }
    }

    #[test]
    fn what_cannot_be_mixed_is_named() {
        let mut rng = Philox::new(0);
        for alpha in [0.0, -1.0, 1e4, f64::NAN] {
            let error = mixup(&batch(), 3, alpha, &mut rng).unwrap_err();
            assert!(error.to_string().starts_with("mixup: "), "{error}");
        }
        let error = mixup(&batch(), 2, 1.0, &mut rng).unwrap_err();
        assert_eq!(error.to_string(), "label 2 for 2 classes");
        cutmix(&batch(), 0, 1.0, &mut rng).unwrap_err();
    }
}
