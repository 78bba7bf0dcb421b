//! Random chains of movement operations against a model that copies element by element.

use proptest::prelude::*;
use striate_tensor::{DType, Result, Tensor};

use crate::common::coordinates;

/// A row-major array, and what movement does to it.
#[derive(Clone, Debug, PartialEq)]
struct Model {
    shape: Vec<usize>,
    values: Vec<i64>,
}

impl Model {
    /// The array whose element at a coordinate is `self`'s at `source(coordinate)`.
    fn remap(&self, shape: Vec<usize>, source: impl Fn(&[usize]) -> Vec<usize>) -> Self {
        let index = |at: &[usize]| {
            at.iter()
                .zip(&self.shape)
                .fold(0, |i, (&c, &len)| i * len + c)
        };
        let values = coordinates(&shape)
            .iter()
            .map(|at| self.values[index(&source(at))])
            .collect();
        Self { shape, values }
    }
}

/// One step; numbers are taken modulo what is possible.
#[derive(Clone, Copy, Debug)]
enum Step {
    Transpose(usize, usize),
    Narrow(usize, usize, usize),
    Select(usize, usize),
    Unsqueeze(usize),
    Expand(usize, usize),
    Merge(usize),
    Divide(usize, usize),
    Flip(usize),
    Contiguous,
    Double(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let n = 0usize..6;
    let step = prop_oneof![
        (n.clone(), n.clone()).prop_map(|(a, b)| Step::Transpose(a, b)),
        (n.clone(), n.clone(), n.clone()).prop_map(|(d, s, l)| Step::Narrow(d, s, l)),
        (n.clone(), n.clone()).prop_map(|(d, i)| Step::Select(d, i)),
        n.clone().prop_map(Step::Unsqueeze),
        (n.clone(), n.clone()).prop_map(|(d, l)| Step::Expand(d, l)),
        n.clone().prop_map(Step::Merge),
        (n.clone(), 1usize..4).prop_map(|(d, l)| Step::Divide(d, l)),
        n.clone().prop_map(Step::Flip),
        Just(Step::Contiguous),
        n.prop_map(Step::Double),
    ];
    prop::collection::vec(step, 1..10)
}

/// The step on both; `None` if it is impossible here.
fn take(step: Step, x: &Tensor, model: &Model) -> Option<(Result<Tensor>, Model)> {
    let rank = model.shape.len();
    let some = |d: usize| (rank > 0).then(|| d % rank);
    let mut shape = model.shape.clone();
    Some(match step {
        Step::Transpose(a, b) => {
            let (a, b) = (some(a)?, some(b)?);
            shape.swap(a, b);
            let swap = |at: &[usize]| {
                let mut at = at.to_vec();
                at.swap(a, b);
                at
            };
            (x.transpose(a, b), model.remap(shape, swap))
        }
        Step::Narrow(d, start, len) => {
            let d = some(d)?;
            let start = start % (shape[d] + 1);
            let len = len % (shape[d] - start + 1);
            shape[d] = len;
            let moved = |at: &[usize]| {
                let mut at = at.to_vec();
                at[d] += start;
                at
            };
            (x.narrow(d, start, len), model.remap(shape, moved))
        }
        Step::Select(d, i) => {
            let d = some(d)?;
            let i = i.checked_rem(shape[d])?;
            shape.remove(d);
            let inserted = |at: &[usize]| [&at[..d], &[i], &at[d..]].concat();
            (x.select(d, i), model.remap(shape, inserted))
        }
        Step::Unsqueeze(d) => {
            let d = d % (rank + 1);
            shape.insert(d, 1);
            (
                x.unsqueeze(d),
                Model {
                    shape,
                    ..model.clone()
                },
            )
        }
        Step::Expand(d, len) => {
            let d = some(d)?;
            if shape[d] != 1 {
                return None;
            }
            shape[d] = len % 3;
            let repeated = |at: &[usize]| {
                let mut at = at.to_vec();
                at[d] = 0;
                at
            };
            (x.expand(&shape), model.remap(shape.clone(), repeated))
        }
        Step::Merge(d) => {
            let d = d % rank.checked_sub(1).filter(|&last| last > 0)?;
            let merged = shape[d] * shape[d + 1];
            shape.splice(d..=d + 1, [merged]);
            (
                x.flatten(d, d + 1),
                Model {
                    shape,
                    ..model.clone()
                },
            )
        }
        Step::Divide(d, len) => {
            let d = some(d)?;
            if !shape[d].is_multiple_of(len) {
                return None;
            }
            shape.splice(d..=d, [shape[d] / len, len]);
            (
                x.reshape(&shape),
                Model {
                    shape,
                    ..model.clone()
                },
            )
        }
        Step::Flip(d) => {
            let d = some(d)?;
            let mirrored = |at: &[usize]| {
                let mut at = at.to_vec();
                at[d] = model.shape[d] - 1 - at[d];
                at
            };
            (x.flip(&[d]), model.remap(shape, mirrored))
        }
        Step::Contiguous => (x.contiguous(), model.clone()),
        Step::Double(d) => {
            let d = some(d)?;
            let len = shape[d];
            shape[d] *= 2;
            let folded = |at: &[usize]| {
                let mut at = at.to_vec();
                at[d] %= len.max(1);
                at
            };
            (Tensor::cat(&[x, x], d), model.remap(shape, folded))
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn chains_move_elements_like_the_model(steps in steps()) {
        let shape = vec![2, 3, 4];
        let mut model = Model { shape: shape.clone(), values: (0..24).collect() };
        let mut x = Tensor::arange(24, DType::I64).and_then(|x| x.reshape(shape)).unwrap();
        for step in steps {
            let Some((result, next)) = take(step, &x, &model) else { continue };
            if next.values.len() > 200 {
                continue;
            }
            if next.shape.len() > 8 {
                prop_assert!(result.is_err(), "nine dimensions: {:?}", step);
                continue;
            }
            (x, model) = (result.unwrap(), next);
            prop_assert_eq!(x.shape(), &model.shape[..], "{:?}", step);
            prop_assert_eq!(x.to_vec::<i64>().unwrap(), model.values.clone(), "{:?}", step);
        }
    }
}
