//! Every differentiable operation against differences, in every memory order.

use striate_tensor::{DType, Gradcheck, Result, Tensor, gradcheck};

use crate::common::{layouts, positive, randn};

type Unary = (&'static str, fn(&Tensor) -> Result<Tensor>);
type Binary = (&'static str, fn(&Tensor, &Tensor) -> Result<Tensor>);

fn check(name: &str, f: impl Fn(&Tensor) -> Result<Tensor>, x: &Tensor) {
    gradcheck(|x| f(&x[0]), std::slice::from_ref(x))
        .unwrap_or_else(|error| panic!("{name} with strides {:?}: {error}", x.strides()));
}

#[test]
fn functions_of_any_number() -> Result<()> {
    let ops: &[Unary] = &[
        ("neg", Tensor::neg),
        ("abs", Tensor::abs),
        ("exp", Tensor::exp),
        ("square", Tensor::square),
        ("sin", Tensor::sin),
        ("cos", Tensor::cos),
        ("powf", |x| x.powf(3.0)),
        ("affine", |x| x.affine(-2.0, 0.3)),
        ("add_scalar", |x| x.add_scalar(2.0)),
        ("mul_scalar", |x| x.mul_scalar(-3.0)),
        ("clamp", |x| x.clamp(-0.7, 0.9)),
        ("relu", Tensor::relu),
        ("relu6", |x| x.mul_scalar(8.0)?.relu6()),
        ("leaky_relu", |x| x.leaky_relu(0.1)),
        ("elu", |x| x.elu(0.7)),
        ("sigmoid", Tensor::sigmoid),
        ("tanh", Tensor::tanh),
        ("silu", Tensor::silu),
        ("gelu", Tensor::gelu),
        ("gelu_tanh", Tensor::gelu_tanh),
        ("mish", Tensor::mish),
        ("hardswish", |x| x.mul_scalar(4.0)?.hardswish()),
        ("hardsigmoid", |x| x.mul_scalar(4.0)?.hardsigmoid()),
        ("softplus", Tensor::softplus),
    ];
    for x in layouts(&randn(&[2, 3, 2, 3], 1)?)? {
        for (name, op) in ops {
            check(name, op, &x);
        }
    }
    Ok(())
}

#[test]
fn functions_of_positive_numbers() -> Result<()> {
    let ops: &[Unary] = &[
        ("log", Tensor::log),
        ("sqrt", Tensor::sqrt),
        ("rsqrt", Tensor::rsqrt),
        ("recip", Tensor::recip),
        ("powf", |x| x.powf(-1.3)),
        ("powf 0", |x| x.powf(0.0)),
    ];
    for x in layouts(&positive(&[3, 4], 2)?)? {
        for (name, op) in ops {
            check(name, op, &x);
        }
    }
    Ok(())
}

#[test]
fn functions_of_pairs() -> Result<()> {
    let ops: &[Binary] = &[
        ("add", Tensor::add),
        ("sub", Tensor::sub),
        ("mul", Tensor::mul),
        ("div", Tensor::div),
        ("maximum", Tensor::maximum),
        ("minimum", Tensor::minimum),
        ("add_relu", |a, b| a.add_relu(&b.neg()?)),
    ];
    let shapes: [[&[usize]; 2]; 6] = [
        [&[2, 3, 2, 2], &[2, 3, 2, 2]],
        [&[2, 3, 2, 2], &[2, 3, 1, 1]],
        [&[2, 1, 2, 2], &[2, 3, 2, 2]],
        [&[2, 3, 1, 2], &[3, 2, 1]],
        [&[], &[2, 2]],
        [&[4], &[1]],
    ];
    for [a, b] in shapes {
        for a in layouts(&positive(a, 3)?)? {
            for b in layouts(&positive(b, 4)?)? {
                for (name, op) in ops {
                    gradcheck(|x| op(&x[0], &x[1]), &[a.clone(), b.clone()]).unwrap_or_else(
                        |error| panic!("{name} {:?} {:?}: {error}", a.strides(), b.strides()),
                    );
                }
            }
        }
    }
    // One operand alone, and one tensor in both places.
    let (a, b) = (positive(&[2, 3], 5)?, positive(&[2, 1], 6)?);
    for (name, op) in ops {
        check(name, |x| op(x, &b), &a);
        check(name, |x| op(&a, x), &b);
        if !name.ends_with("imum") && *name != "add_relu" {
            check(name, |x| op(x, x), &a);
        }
    }
    Ok(())
}

#[test]
fn reductions() -> Result<()> {
    let ops: &[Unary] = &[
        ("sum", |x| x.sum(&[1], false)),
        ("sum of two", |x| x.sum(&[0, 2], true)),
        ("sum_all", Tensor::sum_all),
        ("mean", |x| x.mean(&[2, 3], true)),
        ("mean of one", |x| x.mean(&[0], false)),
        ("mean_all", Tensor::mean_all),
        ("var", |x| x.var(&[1, 2], 1, true)),
        ("biased var", |x| x.var(&[0], 0, false)),
        ("amax", |x| x.amax(&[1, 3], false)),
        ("amin", |x| x.amin(&[2], true)),
        ("logsumexp", |x| x.logsumexp(1)),
        ("sum_to", |x| x.sum_to(&[3, 1, 3])),
    ];
    for x in layouts(&randn(&[2, 3, 2, 3], 7)?)? {
        for (name, op) in ops {
            check(name, op, &x);
        }
    }
    Ok(())
}

#[test]
fn movement() -> Result<()> {
    let ops: &[Unary] = &[
        ("reshape", |x| x.reshape([3, 12])),
        ("flatten", |x| x.flatten(1, 3)),
        ("permute", |x| x.permute(&[2, 3, 0, 1])),
        ("transpose", |x| x.transpose(1, 3)),
        ("narrow", |x| x.narrow(3, 1, 2)),
        ("select", |x| x.select(1, 2)),
        ("squeeze", |x| x.narrow(2, 1, 1)?.squeeze(2)),
        ("unsqueeze", |x| x.unsqueeze(4)),
        ("expand", |x| x.narrow(1, 0, 1)?.expand([3, 2, 4, 2, 3])),
        ("split", |x| x.split(&[1, 2], 1)?.remove(1).square()),
        ("chunk", |x| {
            let parts = x.chunk(3, 1)?;
            parts[0].mul(&parts[2])
        }),
        ("index_select", |x| {
            x.index_select(1, &Tensor::from_slice(&[2i64, 0, 2], 3)?)
        }),
        ("flip", |x| x.flip(&[1, 3])),
        ("roll", |x| x.roll(-2, 3)),
        ("cat", |x| Tensor::cat(&[x, &x.square()?, x], 1)),
        ("stack", |x| Tensor::stack(&[x, &x.square()?], 2)),
        ("contiguous", |x| x.contiguous()?.square()),
        ("channels_last", |x| x.channels_last()?.square()),
        ("detach", |x| x.add(&x.detach().mul_scalar(0.0)?)),
    ];
    for x in layouts(&randn(&[2, 3, 2, 3], 8)?)? {
        for (name, op) in ops {
            check(name, op, &x);
        }
    }
    Ok(())
}

#[test]
fn gradients_flow_through_conversion() -> Result<()> {
    let x = randn(&[2, 2], 9)?.requires_grad(true)?;
    let y = x.to_dtype(DType::F32)?.square()?.sum_all()?;
    let grad = y.backward()?.remove(&x).unwrap();
    assert_eq!(grad.dtype(), DType::F64);
    for (g, x) in grad.to_vec::<f64>()?.iter().zip(x.to_vec::<f64>()?) {
        assert!((g - 2.0 * x).abs() < 1e-6);
    }
    Ok(())
}

#[test]
fn large_inputs_are_checked_along_directions() -> Result<()> {
    let x = randn(&[20, 50], 10)?;
    let check = Gradcheck::default().directions(4).tolerance(1e-6, 1e-6);
    check.run(|x| x[0].tanh()?.mul(&x[0])?.sum(&[1], false), &[x])
}
