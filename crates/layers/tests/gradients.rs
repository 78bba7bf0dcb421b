//! Every module of the catalogue in f64: the gradients of its inputs and of every parameter equal
//! differences.

#[path = "support/families.rs"]
mod families;
mod support;

use striate_layers::catalog::{Catalogued, Entry, Example};
use striate_layers::{VarBuilder, named_parameters};
use striate_tensor::{DType, Philox, Result, Tensor, no_grad};

/// Distance between samples, and what passes.
const STEP: f64 = 1e-6;
const ABSOLUTE: f64 = 2e-8;
const RELATIVE: f64 = 1e-6;

fn normal(rng: &mut Philox, n: usize) -> Vec<f64> {
    (0..n).map(|_| rng.normal()).collect()
}

/// The outputs contracted with fixed random numbers.
fn loss(module: &dyn Catalogued, inputs: &[Tensor]) -> Result<Tensor> {
    let mut rng = Philox::new(5);
    let mut sum = Tensor::scalar(0.0f64)?;
    for y in module.run(inputs)? {
        let weights = Tensor::from_vec(normal(&mut rng, y.numel()), y.shape())?;
        sum = sum.add(&y.mul(&weights)?.sum_all()?)?;
    }
    Ok(sum)
}

/// Compares one gradient along every axis of a few elements and along random directions. `at` is the
/// loss with the tensor replaced.
fn check(
    place: &str,
    value: &Tensor,
    grad: Option<&Tensor>,
    at: impl Fn(&Tensor) -> Result<f64>,
) -> Result<()> {
    let base = value.to_vec::<f64>()?;
    let grad = match grad {
        Some(grad) => grad.to_vec::<f64>()?,
        None => vec![0.0; base.len()],
    };
    let mut rng = Philox::new(6);
    let mut directions = vec![normal(&mut rng, base.len()), normal(&mut rng, base.len())];
    for _ in 0..3 {
        let mut axis = vec![0.0; base.len()];
        axis[rng.below(base.len() as u64) as usize] = 1.0;
        directions.push(axis);
    }
    for direction in directions {
        let moved = |h: f64| {
            let moved = base
                .iter()
                .zip(&direction)
                .map(|(x, d)| x + h * d)
                .collect::<Vec<_>>();
            at(&Tensor::from_vec(moved, value.shape())?)
        };
        let numeric = (moved(STEP)? - moved(-STEP)?) / (2.0 * STEP);
        let analytic: f64 = grad.iter().zip(&direction).map(|(g, d)| g * d).sum();
        let bound = ABSOLUTE + RELATIVE * numeric.abs().max(analytic.abs());
        let difference = (analytic - numeric).abs();
        assert!(
            difference <= bound,
            "{place}: backward gives {analytic:e}, differences {numeric:e}"
        );
    }
    Ok(())
}

fn check_example(entry: &Entry, example: &Example) -> Result<()> {
    let place = format!("{} {}", entry.name, example.config);
    let module = support::build(entry, example, &VarBuilder::seeded(3).dtype(DType::F64))?;
    // Norms that start as scale 1 and shift 0 would hide a mistake in either.
    let mut rng = Philox::new(4);
    for (_, p) in named_parameters(&module) {
        let noise = Tensor::from_vec(normal(&mut rng, p.numel()), p.shape())?.mul_scalar(0.1)?;
        p.set(&no_grad(|| p.tensor().add(&noise))?)?;
    }
    let inputs = support::inputs(example, DType::F64)?;
    let leaves: Vec<Tensor> = inputs
        .iter()
        .map(|x| x.requires_grad(true))
        .collect::<Result<_>>()?;
    let grads = loss(&*module, &leaves)?.backward()?;
    for (i, leaf) in leaves.iter().enumerate() {
        if example.is_regions(i) {
            assert!(
                grads.get(leaf).is_none(),
                "{place}: regions have a gradient"
            );
            continue;
        }
        assert!(
            grads.get(leaf).is_some(),
            "{place}: input {i} has no gradient"
        );
        check(&format!("{place}: input {i}"), leaf, grads.get(leaf), |x| {
            let mut inputs = inputs.clone();
            inputs[i] = x.clone();
            no_grad(|| loss(&*module, &inputs))?.item()
        })?;
    }
    for (name, p) in named_parameters(&module) {
        let leaf = p.tensor();
        check(
            &format!("{place}: {name}"),
            &leaf,
            grads.get(&leaf),
            |value| {
                p.set(value)?;
                let at = no_grad(|| loss(&*module, &inputs))?.item();
                p.set(&leaf)?;
                at
            },
        )?;
    }
    Ok(())
}

fn gradients_equal_differences(entry: &Entry) -> Result<()> {
    entry
        .examples
        .iter()
        .try_for_each(|example| check_example(entry, example))
}

families::test_each_family!(gradients_equal_differences);
