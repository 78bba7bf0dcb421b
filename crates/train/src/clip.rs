//! Keeps gradients from being too large together.

use striate_layers::Parameter;
use striate_tensor::{Gradients, Result};

/// Scales the gradients of `parameters` down so that their norm, over all of them together, is at most `limit`; returns the
/// norm that they had.
///
/// The factor is PyTorch's, `limit / (norm + 1e-6)` if that is below 1. The norm is summed in f64, the parameters in their order.
///
/// # Errors
/// When memory runs out.
pub fn clip_norm<'a>(
    gradients: &mut Gradients,
    parameters: impl Iterator<Item = &'a Parameter> + Clone,
    limit: f64,
) -> Result<f64> {
    let mut squares = 0.0;
    for parameter in parameters.clone() {
        if let Some(gradient) = gradients.get(&parameter.tensor()) {
            let gradient = gradient.contiguous()?;
            let own = gradient.memory::<f32>()?;
            squares += sum_of_squares(own);
        }
    }
    let norm = squares.sqrt();
    let factor = limit / (norm + 1e-6);
    // A norm that is not a number is left for the caller to see.
    if factor < 1.0 {
        for parameter in parameters {
            let leaf = parameter.tensor();
            if let Some(mut gradient) = gradients.remove(&leaf) {
                gradient.update_slice(|own: &mut [f32]| {
                    own.iter_mut().for_each(|g| *g *= factor as f32);
                })?;
                gradients.insert(&leaf, gradient)?;
            }
        }
    }
    Ok(norm)
}

/// In eight sums, which do not wait for each other.
fn sum_of_squares(values: &[f32]) -> f64 {
    let mut sums = [0.0; 8];
    let (eights, rest) = values.as_chunks::<8>();
    for eight in eights {
        for (sum, &v) in sums.iter_mut().zip(eight) {
            *sum += f64::from(v) * f64::from(v);
        }
    }
    let rest = rest.iter().map(|&v| f64::from(v) * f64::from(v));
    sums.iter().sum::<f64>() + rest.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use striate_tensor::Tensor;

    use super::*;

    fn setup(values: &[&[f32]]) -> (Vec<Parameter>, Gradients) {
        let mut gradients = Gradients::new();
        let tensor = |v: &[f32]| Tensor::from_slice(v, [v.len()]).unwrap();
        let parameters: Vec<Parameter> = values
            .iter()
            .map(|v| Parameter::new(&tensor(v)).unwrap())
            .collect();
        for (p, v) in parameters.iter().zip(values) {
            gradients.insert(&p.tensor(), tensor(v)).unwrap();
        }
        (parameters, gradients)
    }

    fn values(parameters: &[Parameter], gradients: &Gradients) -> Vec<f32> {
        let read = |p: &Parameter| gradients.get(&p.tensor()).unwrap().to_vec::<f32>().unwrap();
        parameters.iter().flat_map(read).collect()
    }

    #[test]
    fn small_gradients_stay_and_large_ones_shrink_together() {
        let (parameters, mut gradients) = setup(&[&[3.0, 0.0], &[-4.0]]);
        assert_eq!(
            clip_norm(&mut gradients, parameters.iter(), 5.1).unwrap(),
            5.0
        );
        assert_eq!(values(&parameters, &gradients), [3.0, 0.0, -4.0]);
        assert_eq!(
            clip_norm(&mut gradients, parameters.iter(), 1.0).unwrap(),
            5.0
        );
        let factor = (1.0 / (5.0 + 1e-6)) as f32;
        assert_eq!(
            values(&parameters, &gradients),
            [3.0 * factor, 0.0, -4.0 * factor]
        );
    }

    #[test]
    fn all_squares_are_in_the_sum() {
        for len in 0..40_u32 {
            let values: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let exact: u32 = (0..len).map(|i| i * i).sum();
            assert_eq!(sum_of_squares(&values), f64::from(exact));
        }
    }

    #[test]
    fn other_leaves_are_left_alone() {
        let (mut parameters, mut gradients) = setup(&[&[3.0], &[4.0]]);
        let other = parameters.pop().unwrap();
        assert_eq!(
            clip_norm(&mut gradients, parameters.iter(), 1.0).unwrap(),
            3.0
        );
        assert_eq!(values(&[other], &gradients), [4.0]);
    }

    #[test]
    fn infinite_gradients_are_reported_unchanged() {
        let (parameters, mut gradients) = setup(&[&[f32::NAN, 1.0]]);
        assert!(
            clip_norm(&mut gradients, parameters.iter(), 1.0)
                .unwrap()
                .is_nan()
        );
        assert_eq!(values(&parameters, &gradients)[1], 1.0);
    }
}
