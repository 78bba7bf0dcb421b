//! What the graph does, as opposed to what single operations do.

use std::sync::Arc;

use super::{Description, Function, apply, checkpoint, gradcheck, no_grad};
use crate::random::with_default_rng;
use crate::{DType, Error, Philox, Result, Tensor, manual_seed};

fn leaf(values: &[f64]) -> Tensor {
    Tensor::from_slice(values, values.len())
        .unwrap()
        .requires_grad(true)
        .unwrap()
}

fn values(x: Option<&Tensor>) -> Vec<f64> {
    x.unwrap().to_vec().unwrap()
}

#[test]
fn gradients_of_a_shared_input_add_up() -> Result<()> {
    let x = leaf(&[2.0, 3.0]);
    let y = x.mul(&x)?.add(&x)?.sum_all()?;
    let grads = y.backward()?;
    assert_eq!(values(grads.get(&x)), [5.0, 7.0]);
    assert_eq!(grads.len(), 1);
    Ok(())
}

#[test]
fn diamonds_are_visited_once_per_node() -> Result<()> {
    // Each level doubles the number of paths: only accumulation per node ends in time.
    let x = leaf(&[1.0]);
    let mut y = x.clone();
    for _ in 0..60 {
        y = y.add(&y)?;
    }
    assert_eq!(values(y.sum_all()?.backward()?.get(&x)), [2f64.powi(60)]);
    Ok(())
}

#[test]
fn long_chains_do_not_overflow_the_stack() -> Result<()> {
    let chain = |x: &Tensor| (0..100_000).try_fold(x.clone(), |y, _| y.add_scalar(1.0));
    let x = leaf(&[0.0]);
    assert_eq!(values(chain(&x)?.backward()?.get(&x)), [1.0]);
    drop(chain(&x)?);
    let saving = (0..100_000).try_fold(x.clone(), |y, _| y.mul(&y));
    drop(saving?);
    Ok(())
}

#[test]
fn a_second_backward_needs_retaining() -> Result<()> {
    let x = leaf(&[3.0]);
    let y = x.square()?.sum_all()?;
    assert_eq!(values(y.backward_retain()?.get(&x)), [6.0]);
    assert_eq!(values(y.backward()?.get(&x)), [6.0]);
    let error = y.backward().unwrap_err().to_string();
    assert!(error.contains("backward_retain"), "{error}");
    Ok(())
}

#[test]
fn backward_refuses_what_has_no_gradient() -> Result<()> {
    let x = leaf(&[1.0, 2.0]);
    let error = x.square()?.backward().unwrap_err().to_string();
    assert!(
        error.contains("[2]") && error.contains("backward_with"),
        "{error}"
    );
    let error = x.detach().sum_all()?.backward().unwrap_err().to_string();
    assert!(error.contains("nothing was recorded"), "{error}");
    let error = x
        .square()?
        .backward_with(&Tensor::ones(3, DType::F64)?)
        .unwrap_err()
        .to_string();
    assert!(error.contains("[3]") && error.contains("[2]"), "{error}");
    let weights = Tensor::from_slice(&[1.0, -1.0], 2)?;
    assert_eq!(
        values(x.square()?.backward_with(&weights)?.get(&x)),
        [2.0, -4.0]
    );
    assert!(Tensor::zeros(2, DType::I64)?.requires_grad(true).is_err());
    Ok(())
}

#[test]
fn a_leaf_is_its_own_gradient_and_others_have_none() -> Result<()> {
    let (x, other) = (leaf(&[5.0]), leaf(&[5.0]));
    let grads = x.backward()?;
    assert_eq!(values(grads.get(&x.clone())), [1.0]);
    assert!(grads.get(&other).is_none());
    assert!(grads.get(&x.detach()).is_none());
    Ok(())
}

#[test]
fn no_grad_ends_with_its_closure_and_with_a_panic() -> Result<()> {
    let x = leaf(&[1.0]);
    assert!(!no_grad(|| x.neg())?.tracks_grad());
    assert!(x.neg()?.tracks_grad());
    let panic = std::panic::catch_unwind(|| no_grad(|| std::panic::resume_unwind(Box::new(()))));
    assert!(panic.is_err() && x.neg()?.tracks_grad());
    Ok(())
}

#[test]
fn operations_without_a_gradient_say_so_in_the_forward_pass() -> Result<()> {
    let x = leaf(&[1.0, 2.0]);
    let results = [
        x.argmax(0),
        x.floor(),
        x.round(),
        x.eq(&x.detach()),
        x.detach().lt(&x),
        x.to_dtype(DType::I64),
    ];
    for result in results {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("detach()"), "{error}");
    }
    assert_eq!(no_grad(|| x.argmax(0))?.item::<i64>()?, 1);
    assert_eq!(x.detach().argmax(0)?.item::<i64>()?, 1);
    Ok(())
}

#[test]
fn leaves_change_without_disturbing_what_was_saved() -> Result<()> {
    let mut x = leaf(&[3.0]);
    let id = x.leaf_id();
    let y = x.square()?.sum_all()?;
    x.update_slice(|v: &mut [f64]| v[0] = 100.0)?;
    assert_eq!(x.item::<f64>()?, 100.0);
    assert_eq!(x.leaf_id(), id);
    assert_eq!(values(y.backward()?.get(&x)), [6.0]);
    let mut z = x.square()?;
    assert!(z.update_slice(|_: &mut [f64]| ()).is_err());
    Ok(())
}

#[test]
fn sole_owners_are_updated_in_place() -> Result<()> {
    let mut x = leaf(&[1.0, 2.0]);
    let before = x.as_slice::<f64>().unwrap().as_ptr();
    x.update_slice(|v: &mut [f64]| v[1] = 7.0)?;
    assert_eq!(x.as_slice::<f64>().unwrap().as_ptr(), before);
    let view = x.detach().narrow(0, 0, 1)?;
    x.update_slice(|v: &mut [f64]| v[0] = 9.0)?;
    assert_eq!(
        (view.item::<f64>()?, x.to_vec::<f64>()?),
        (1.0, vec![9.0, 7.0])
    );
    Ok(())
}

#[test]
fn backward_with_does_not_write_into_its_argument() -> Result<()> {
    let x = leaf(&[1.0]);
    let grad = Tensor::ones(1, DType::F64)?;
    // Two paths return the gradient as it is, and their sum must not go into the caller's memory.
    let grads = x.add(&x)?.backward_with(&grad)?;
    assert_eq!(
        (values(grads.get(&x)), grad.item::<f64>()?),
        (vec![2.0], 1.0)
    );
    Ok(())
}

#[test]
fn gradients_accumulate_over_batches() -> Result<()> {
    let x = leaf(&[2.0]);
    let mut grads = x.square()?.backward()?;
    grads.accumulate(x.mul_scalar(3.0)?.backward()?)?;
    assert_eq!(values(grads.get(&x)), [7.0]);
    grads.insert(&x, Tensor::zeros(1, DType::F64)?)?;
    assert!(grads.insert(&x, Tensor::zeros(2, DType::F64)?).is_err());
    assert_eq!(grads.remove(&x).unwrap().item::<f64>()?, 0.0);
    assert!(grads.is_empty());
    Ok(())
}

/// `2x`, whose backward claims `factor * grad` and any shape.
struct Double {
    factor: f64,
    flatten: bool,
}

impl Function<1> for Double {
    type Saved = ();

    fn describe(&self) -> Description {
        Description::new("double").with("factor", self.factor)
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, ())> {
        Ok((x.mul_scalar(2.0)?, ()))
    }

    fn backward(&self, (): &(), grad: &Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        let grad = grad.mul_scalar(self.factor)?;
        Ok([Some(if self.flatten {
            grad.reshape(grad.numel())?
        } else {
            grad
        })])
    }
}

#[test]
fn gradcheck_tells_right_from_wrong() -> Result<()> {
    let x = Tensor::from_slice(&[0.5, -1.0, 2.0, 0.1], [2, 2])?;
    let run = |factor| {
        gradcheck(
            |x| {
                apply(
                    Double {
                        factor,
                        flatten: false,
                    },
                    [&x[0]],
                )
            },
            std::slice::from_ref(&x),
        )
    };
    run(2.0)?;
    let error = run(2.001).unwrap_err().to_string();
    assert!(
        error.contains("input 0 of shape [2, 2], element ["),
        "{error}"
    );
    assert!(run(f64::NAN).is_err());
    let sampled = super::Gradcheck::default().directions(3);
    let f = |x: &[Tensor]| {
        apply(
            Double {
                factor: 3.0,
                flatten: false,
            },
            [&x[0]],
        )
    };
    let error = sampled
        .run(f, std::slice::from_ref(&x))
        .unwrap_err()
        .to_string();
    assert!(error.contains("random direction"), "{error}");
    let error = gradcheck(|x| x[0].neg(), &[Tensor::zeros(1, DType::F32)?]).unwrap_err();
    assert!(error.to_string().contains("no input is f64"));
    Ok(())
}

#[test]
fn gradcheck_names_the_worst_element() -> Result<()> {
    let x = Tensor::from_slice(&[1.0, 2.0, 3.0], 3)?;
    // The error of the claimed gradient is largest where the missing factor is.
    let f = |x: &[Tensor]| {
        let wrong = x[0].narrow(0, 2, 1)?.detach().mul(&x[0].narrow(0, 2, 1)?)?;
        Tensor::cat(&[&x[0].narrow(0, 0, 2)?, &wrong], 0)
    };
    let error = gradcheck(f, &[x]).unwrap_err().to_string();
    assert!(error.contains("element [2]"), "{error}");
    Ok(())
}

#[test]
fn wrong_gradient_shapes_are_caught_with_the_operation_and_the_layer() -> Result<()> {
    let x = Tensor::ones([2, 2], DType::F64)?.requires_grad(true)?;
    let path = "layer1.conv".into();
    let y = super::scope(&path, || {
        apply(
            Double {
                factor: 2.0,
                flatten: true,
            },
            [&x],
        )
    })?;
    let error = y.sum_all()?.backward().unwrap_err().to_string();
    assert!(
        error.starts_with("layer1.conv: backward of double: "),
        "{error}"
    );
    assert!(error.contains("[4]") && error.contains("[2, 2]"), "{error}");
    let error = super::scope(&path, || x.reshape(3))
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("layer1.conv: reshape: "), "{error}");
    Ok(())
}

#[test]
fn graphs_print_operations_attributes_and_shapes() -> Result<()> {
    let x = Tensor::ones([2, 3], DType::F32)?.requires_grad(true)?;
    let w = Tensor::ones(3, DType::F32)?;
    let y = x.mul(&w)?.leaky_relu(0.1)?.sum(&[1], true)?;
    let id = x.leaf_id().unwrap();
    let expected = format!(
        "%0 = mul({id}[2, 3], constant[3]) -> [2, 3] f32\n\
         %1 = leaky_relu(%0; slope=0.1) -> [2, 3] f32\n\
         %2 = sum(%1; dims=[1], keepdim=true) -> [2, 1] f32\n"
    );
    assert_eq!(y.graph().to_string(), expected);
    assert!(x.graph().nodes.is_empty());
    Ok(())
}

/// `x`, keeping a token while it may be differentiated.
struct Keep(Arc<()>);

impl Function<1> for Keep {
    type Saved = Arc<()>;

    fn describe(&self) -> Description {
        Description::new("keep")
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, Arc<()>)> {
        Ok((x.add_scalar(0.0)?, Arc::clone(&self.0)))
    }

    fn backward(&self, _: &Arc<()>, grad: &Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(grad.clone())])
    }
}

#[test]
fn saved_state_is_freed_as_backward_passes() -> Result<()> {
    let token = Arc::new(());
    let x = leaf(&[1.0]);
    let keep = |x: &Tensor| apply(Keep(Arc::clone(&token)), [x]);
    // One reference here and one in each recorded function, besides what is saved.
    let y = keep(&keep(&x)?)?;
    assert_eq!(Arc::strong_count(&token), 5);
    y.backward_retain()?;
    assert_eq!(Arc::strong_count(&token), 5);
    y.backward()?;
    assert_eq!(Arc::strong_count(&token), 3);
    drop(y);
    assert_eq!(Arc::strong_count(&token), 1);
    // Without a tracked input nothing is kept.
    let y = keep(&x.detach())?;
    assert_eq!((Arc::strong_count(&token), y.tracks_grad()), (1, false));
    Ok(())
}

#[test]
fn parts_of_a_computed_tensor_add_up() -> Result<()> {
    let x = Tensor::arange(12, DType::F64)?
        .reshape([3, 4])?
        .requires_grad(true)?;
    let y = x.mul_scalar(2.0)?;
    let parts = y.split(&[1, 0, 3], 1)?;
    let total = parts[0]
        .mul(&parts[2])?
        .sum_all()?
        .add(&parts[1].sum_all()?)?;
    let overlap = y.narrow(1, 1, 2)?.sum_all()?;
    let grads = total.add(&overlap)?.backward()?;
    let grad = grads.get(&x).unwrap().to_vec::<f64>()?;
    // d/dy: the first column gets the sum of the others; the others get the first, and 1 where they overlap.
    let y = y.to_vec::<f64>()?;
    for (i, g) in grad.iter().enumerate() {
        let (row, column) = (i / 4 * 4, i % 4);
        let expected = match column {
            0 => y[row + 1] + y[row + 2] + y[row + 3],
            3 => y[row],
            _ => y[row] + 1.0,
        };
        assert_eq!(*g, 2.0 * expected);
    }
    Ok(())
}

/// A random mask, a captured parameter and an input.
fn segment(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    let mask = with_default_rng(|rng| Tensor::rand(x.shape(), rng))?.to_dtype(DType::F64)?;
    x.mul(w)?.exp()?.mul(&mask)
}

#[test]
fn checkpoints_change_no_number() -> Result<()> {
    let (x, w) = (leaf(&[0.1, 0.2, 0.3]), leaf(&[1.0, -1.0, 0.5]));
    manual_seed(3);
    let plain = segment(&x.square()?, &w)?;
    let after = crate::rng_state();
    let expected = plain.sum_all()?.backward()?;

    manual_seed(3);
    let captured = w.clone();
    let y = checkpoint(
        move |inputs| segment(&inputs[0], &captured),
        &[&x.square()?],
    )?;
    assert_eq!(y.to_vec::<f64>()?, plain.to_vec::<f64>()?);
    let loss = y.sum_all()?;
    assert_eq!(crate::rng_state(), after);
    with_default_rng(Philox::next_u32);
    let before = crate::rng_state();
    for _ in 0..2 {
        let grads = loss.backward_retain()?;
        assert_eq!(values(grads.get(&x)), values(expected.get(&x)));
        assert_eq!(values(grads.get(&w)), values(expected.get(&w)));
    }
    assert_eq!(crate::rng_state(), before);
    Ok(())
}

#[test]
fn checkpoints_nest_and_need_no_tracked_input() -> Result<()> {
    let w = leaf(&[0.5, 2.0]);
    let x = Tensor::from_slice(&[1.0, 3.0], 2)?;
    let captured = w.clone();
    let inner = move |x: &[Tensor]| x[0].mul(&captured)?.square();
    let y = checkpoint(move |x| checkpoint(inner.clone(), &[&x[0]])?.exp(), &[&x])?;
    let expected = x.mul(&w)?.square()?.exp()?.sum_all()?.backward()?;
    assert_eq!(
        values(y.sum_all()?.backward()?.get(&w)),
        values(expected.get(&w))
    );
    assert!(!checkpoint(|x| x[0].exp(), &[&x])?.tracks_grad());
    Ok(())
}

#[test]
fn checkpoints_refuse_computed_captures() -> Result<()> {
    let x = leaf(&[1.0]);
    let computed = x.exp()?;
    let error = checkpoint(move |x| x[0].mul(&computed), &[&x])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("pass that tensor as one of the inputs"),
        "{error}"
    );
    Ok(())
}

#[test]
fn recomputing_is_announced() -> Result<()> {
    use std::sync::Mutex;
    static SEEN: Mutex<Vec<bool>> = Mutex::new(Vec::new());
    let f = |x: &[Tensor]| {
        SEEN.lock()
            .map_err(|_| Error::msg("poisoned"))?
            .push(super::is_recomputing());
        x[0].exp()
    };
    let x = leaf(&[1.0]);
    checkpoint(f, &[&x])?.backward()?;
    assert_eq!(*SEEN.lock().unwrap(), [false, true]);
    assert!(!super::is_recomputing());
    Ok(())
}

/// Sums of f32 that round differently in another order.
#[test]
fn checkpoints_keep_the_order_of_sums() -> Result<()> {
    let mut rng = Philox::new(4);
    let mut draw = || Tensor::randn([64], &mut rng)?.requires_grad(true);
    let (x, w) = (draw()?, draw()?);
    let inside = |x: &Tensor, w: &Tensor| x.mul(w)?.exp()?.add(&x.mul_scalar(0.3)?)?.mul(w);
    // The input is used after the segment, twice inside and before; the parameter inside and after.
    let run = |is_leaf: bool, segment: &dyn Fn(&Tensor) -> Result<Tensor>| -> Result<_> {
        let input = if is_leaf { x.clone() } else { x.square()? };
        let before = input.mul_scalar(0.7)?;
        let y = segment(&input)?;
        let after = input.mul(&w)?.add(&w.mul_scalar(1.1)?)?;
        let grads = y.add(&before)?.add(&after)?.sum_all()?.backward()?;
        let read = |of| grads.get(of).unwrap().to_vec::<f32>();
        Ok((read(&x)?, read(&w)?))
    };
    for is_leaf in [false, true] {
        let captured = w.clone();
        let plain = run(is_leaf, &|x| inside(x, &w))?;
        let segment = move |x: &[Tensor]| inside(&x[0], &captured);
        let same = run(is_leaf, &|x| checkpoint(segment.clone(), &[x]))?;
        assert_eq!(plain, same);
    }
    Ok(())
}

#[test]
fn checkpoints_return_errors_and_put_everything_back() -> Result<()> {
    let x = leaf(&[1.0]);
    let fails = checkpoint(|_| Err(Error::msg("the first run")), &[&x]);
    assert_eq!(fails.unwrap_err().to_string(), "the first run");
    assert!(x.exp()?.backward().is_ok(), "recording goes on");

    let later = |x: &[Tensor]| match super::is_recomputing() {
        true => Err(Error::msg("the second run")),
        false => with_default_rng(|rng| Tensor::rand([1], rng))?
            .to_dtype(DType::F64)?
            .mul(&x[0]),
    };
    let y = checkpoint(later, &[&x])?;
    let before = crate::rng_state();
    let message = y.backward().unwrap_err().to_string();
    assert!(message.contains("checkpoint: the second run"), "{message}");
    assert_eq!(crate::rng_state(), before);
    assert!(!super::is_recomputing());
    Ok(())
}

#[test]
fn checkpoints_compute_again_as_they_did() -> Result<()> {
    use std::sync::Mutex;
    static SEEN: Mutex<Vec<crate::level::Policy>> = Mutex::new(Vec::new());
    let f = |x: &[Tensor]| {
        let policy = crate::level::current_policy()?;
        SEEN.lock().unwrap().push(policy);
        x[0].exp()
    };
    let x = leaf(&[1.0]);
    let lowest = crate::Level::available()[0];
    let y = crate::with_level(lowest, || {
        crate::with_accuracy(crate::Accuracy::Strict, || checkpoint(f, &[&x]))
    })?;
    y.backward()?;
    let seen = SEEN.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[1].accuracy, crate::Accuracy::Strict);
    Ok(())
}

#[test]
fn gradients_add_to_those_of_earlier_batches() -> Result<()> {
    let x = leaf(&[2.0, 3.0]);
    let first = x.square()?.sum_all()?.backward()?;
    let memory = first.get(&x).unwrap().as_slice::<f64>().unwrap().as_ptr();
    let half = Tensor::scalar(0.5)?;
    let sums = x.exp()?.sum_all()?.backward_onto(&half, first)?;
    let sum = sums.get(&x).unwrap();
    assert_eq!(
        values(Some(sum)),
        [4.0 + 0.5 * 2f64.exp(), 6.0 + 0.5 * 3f64.exp()]
    );
    assert_eq!(sum.as_slice::<f64>().unwrap().as_ptr(), memory, "in place");
    Ok(())
}

#[test]
fn graphs_cross_threads() -> Result<()> {
    fn shared<T: Send + Sync>(_: &T) {}
    let x = leaf(&[1.0, 2.0]);
    shared(&x);
    let y = x.square()?;
    let grads = std::thread::scope(|scope| {
        let run = || -> Result<_> { y.mul(&y)?.sum_all()?.backward_retain() };
        let handles: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .collect::<Result<Vec<_>>>()
    })?;
    for grads in &grads {
        assert_eq!(values(grads.get(&x)), [4.0, 32.0]);
    }
    Ok(())
}
