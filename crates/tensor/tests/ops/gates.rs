//! What every attention ends with: a map times a number per channel or per pixel.

use striate_tensor::{Joint, Result, Tensor};

use crate::common::randn;
use crate::harness::{check, fails};

#[test]
fn gradients_and_levels() -> Result<()> {
    for c in [3, 17] {
        let x = randn(&[2, c, 4, 3], 1)?;
        for gate in [[2, c, 1, 1], [2, 1, 4, 3], [1, c, 1, 1], [2, 1, 1, 1]] {
            let inputs = [x.clone(), randn(&gate, 2)?];
            check(
                &format!("gate {gate:?}"),
                |x| x[0].mul(&x[1]),
                &inputs,
                4e-6,
            )?;
        }
    }
    Ok(())
}

#[test]
fn joint_gates() -> Result<()> {
    for c in [3, 17] {
        let x = [
            randn(&[2, c, 4, 3], 1)?,
            randn(&[2, c, 1, 1], 2)?,
            randn(&[2, 1, 4, 3], 3)?,
        ];
        for joint in [Joint::Product, Joint::Sum] {
            let gate = |x: &[Tensor]| x[0].joint_gate(&x[1], &x[2], joint);
            let logits = match joint {
                Joint::Product => x[1].mul(&x[2])?,
                Joint::Sum => x[1].add(&x[2])?,
            };
            let expected = x[0].mul(&logits.sigmoid()?.add_scalar(1.0)?)?;
            let apart = gate(&x)?.sub(&expected)?.abs()?.to_vec::<f64>()?;
            assert!(apart.iter().all(|d| *d < 1e-14), "{joint:?}");
            check(&format!("joint gate, {joint:?}"), gate, &x, 4e-6)?;
        }
        fails(
            x[0].joint_gate(&x[2], &x[1], Joint::Sum),
            &["joint_gate", "gate of channels"],
        );
    }
    Ok(())
}

#[test]
fn mixtures_of_maps() -> Result<()> {
    for c in [3, 17] {
        let maps = [randn(&[2, c, 4, 3], 1)?, randn(&[2, c, 4, 3], 2)?];
        let factors = randn(&[2, 2, c], 3)?;
        let mix = |x: &[Tensor]| Tensor::mix_maps(&[&x[0], &x[1]], &x[2]);
        let x = [maps[0].clone(), maps[1].clone(), factors.clone()];
        check("mix_maps", mix, &x, 4e-6)?;

        let joined = Tensor::cat(&[&maps[0], &maps[1]], 1)?;
        let mix_joined = |x: &[Tensor]| Tensor::mix_maps(&[&x[0]], &x[1]);
        check(
            "mix_maps of one",
            mix_joined,
            &[joined.clone(), factors.clone()],
            4e-6,
        )?;

        let factor = |m: usize| factors.select(1, m)?.reshape([2, c, 1, 1]);
        let sum = maps[0].mul(&factor(0)?)?.add(&maps[1].mul(&factor(1)?)?)?;
        for y in [mix(&x)?, mix_joined(&[joined, factors.clone()])?] {
            let apart = y.sub(&sum)?.abs()?.to_vec::<f64>()?;
            assert!(apart.iter().all(|d| *d < 1e-14), "{c} channels");
        }
        let [a, b] = &maps;
        fails(Tensor::mix_maps(&[], &factors), &["at least one map"]);
        fails(
            Tensor::mix_maps(&[a], &factors),
            &["mix_maps", "do not fit"],
        );
        fails(
            Tensor::mix_maps(&[a, b, a], &factors),
            &["mix_maps", "3 maps"],
        );
        fails(
            Tensor::mix_maps(&[a, &b.narrow(2, 0, 3)?], &factors),
            &["mix_maps"],
        );
    }
    Ok(())
}

#[test]
fn maxima_and_means_are_read_off_together() -> Result<()> {
    for shape in [[2, 9, 5, 3], [1, 3, 4, 6]] {
        let x = randn(&shape, 3)?;
        for dims in [&[1][..], &[2, 3], &[0, 2], &[3, 1]] {
            let name = format!("max_and_mean over {dims:?}");
            check(
                &name,
                |x| x[0].max_and_mean(dims),
                std::slice::from_ref(&x),
                2e-6,
            )?;
            let both = x.max_and_mean(dims)?;
            let [max, mean] = [both.select(0, 0)?, both.select(0, 1)?];
            assert_eq!(max.to_vec::<f64>()?, x.amax(dims, false)?.to_vec::<f64>()?);
            assert_eq!(mean.to_vec::<f64>()?, x.mean(dims, false)?.to_vec::<f64>()?);
        }
    }
    let empty = randn(&[2, 0], 1)?;
    assert!(empty.max_and_mean(&[1]).is_err());
    Ok(())
}
