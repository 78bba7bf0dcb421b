//! Bad arguments: an error that names the operation, the shapes and the rule, and never a panic.

use striate_tensor::{DType, Philox, Result, Tensor};

fn fails<T: std::fmt::Debug>(result: Result<T>, parts: &[&str]) {
    let error = result.unwrap_err().to_string();
    for part in parts {
        assert!(error.contains(part), "{error:?} does not say {part:?}");
    }
}

#[test]
fn errors_name_the_operation_and_the_shapes() -> Result<()> {
    let x = Tensor::zeros([2, 3, 4], DType::F32)?;
    let y = Tensor::zeros([2, 5, 4], DType::F32)?;
    fails(x.add(&y), &["add", "[2, 3, 4]", "[2, 5, 4]", "broadcast"]);
    fails(x.maximum(&y), &["maximum", "[2, 5, 4]"]);
    fails(x.lt(&y), &["lt", "[2, 5, 4]"]);
    fails(x.reshape([5, 5]), &["reshape", "[2, 3, 4]", "24", "[5, 5]"]);
    fails(x.permute(&[0, 1]), &["permute", "[0, 1]", "[2, 3, 4]"]);
    fails(x.permute(&[0, 1, 1]), &["permute", "twice"]);
    fails(
        x.transpose(0, 3),
        &["transpose", "dimension 3", "[2, 3, 4]"],
    );
    fails(
        x.narrow(1, 2, 2),
        &["narrow", "2 entries from 2", "[2, 3, 4]"],
    );
    fails(x.narrow(1, usize::MAX, 2), &["narrow"]);
    fails(x.narrow(7, 0, 1), &["narrow", "dimension 7"]);
    fails(x.select(0, 2), &["select", "entry 2", "[2, 3, 4]"]);
    fails(x.expand([2, 6, 4]), &["expand", "[2, 3, 4]", "[2, 6, 4]"]);
    fails(x.expand([3, 4]), &["expand", "[3, 4]"]);
    fails(x.squeeze(1), &["squeeze", "dimension 1", "[2, 3, 4]"]);
    fails(x.squeeze(3), &["squeeze", "dimension 3"]);
    fails(x.unsqueeze(4), &["unsqueeze", "4"]);
    fails(x.flatten(2, 1), &["flatten"]);
    fails(x.flatten(0, 3), &["flatten", "dimension 3"]);
    fails(x.split(&[1, 1], 1), &["split", "[1, 1]", "[2, 3, 4]"]);
    fails(x.split(&[usize::MAX, 4], 1), &["split"]);
    fails(x.chunk(2, 1), &["chunk", "2 equal parts", "[2, 3, 4]"]);
    fails(x.chunk(0, 1), &["chunk"]);
    fails(x.sum(&[3], false), &["sum", "dimension 3", "[2, 3, 4]"]);
    fails(x.mean(&[1, 1], false), &["mean", "twice"]);
    fails(x.argmax(3), &["argmax", "dimension 3"]);
    fails(x.logsumexp(3), &["logsumexp", "dimension 3"]);
    fails(x.sum_to(&[5]), &["sum_to", "[5]", "[2, 3, 4]"]);
    fails(x.flip(&[3]), &["flip", "dimension 3"]);
    fails(x.flip(&[1, 1]), &["flip", "twice"]);
    fails(x.roll(1, 3), &["roll", "dimension 3"]);
    fails(x.channels_last(), &["channels_last", "[2, 3, 4]"]);
    fails(x.dims4(), &["dims4", "[2, 3, 4]"]);
    fails(x.dim(3), &["dimension 3", "[2, 3, 4]"]);
    fails(x.dim(-4), &["dimension -4"]);
    fails(x.dim(isize::MIN), &["dimension"]);
    assert_eq!((x.dim(-1)?, x.dim(0)?), (4, 2));
    Ok(())
}

#[test]
fn joining_names_every_shape() -> Result<()> {
    let x = Tensor::zeros([2, 3], DType::F32)?;
    let y = Tensor::zeros([2, 4], DType::F32)?;
    fails(
        Tensor::cat(&[&x, &y], 0),
        &["cat", "[2, 3]", "[2, 4]", "dimension 0"],
    );
    fails(Tensor::cat(&[&x, &x.select(0, 0)?], 0), &["cat", "[3]"]);
    fails(Tensor::cat(&[], 0), &["cat", "at least one"]);
    fails(Tensor::cat(&[&x], 2), &["cat", "dimension 2"]);
    fails(
        Tensor::cat(&[&x, &y.to_dtype(DType::F64)?], 1),
        &["cat", "f64", "f32"],
    );
    fails(Tensor::stack(&[&x, &y], 0), &["stack", "[2, 3]", "[2, 4]"]);
    fails(Tensor::stack(&[], 0), &["stack", "at least one"]);
    fails(Tensor::stack(&[&x], 3), &["stack", "position 3"]);
    let wide = Tensor::zeros([0, usize::MAX / 64], DType::U8)?;
    assert!(Tensor::cat(&[&wide; 100], 1).is_err());
    Ok(())
}

#[test]
fn elements_are_asked_for_by_their_type() -> Result<()> {
    let x = Tensor::zeros([2], DType::F32)?;
    fails(x.to_vec::<f64>(), &["f32", "f64"]);
    fails(x.memory::<i64>(), &["f32", "i64"]);
    fails(x.item::<f32>(), &["item", "[2]"]);
    assert!(x.as_slice::<u8>().is_none());
    fails(
        x.add(&x.to_dtype(DType::F64)?),
        &["add", "f64", "f32", "to_dtype"],
    );
    let index = Tensor::from_slice(&[2i64], 1)?;
    fails(
        x.index_select(0, &index),
        &["index_select", "entry 2", "[2]"],
    );
    fails(
        x.index_select(0, &Tensor::from_slice(&[-1i64], 1)?),
        &["entry -1"],
    );
    fails(x.index_select(0, &x), &["index_select", "f32", "i64"]);
    fails(
        x.index_select(0, &index.reshape([1, 1])?),
        &["rank 1", "[1, 1]"],
    );
    fails(
        x.clone().update_slice(|_: &mut [f64]| ()),
        &["update_slice", "f32", "f64"],
    );
    fails(
        x.with_data_of(&Tensor::zeros(3, DType::F32)?),
        &["with_data_of", "[3]", "[2]"],
    );
    fails(
        x.with_data_of(&Tensor::zeros(2, DType::U8)?),
        &["with_data_of", "u8", "f32"],
    );
    Ok(())
}

#[test]
fn impossible_shapes_are_refused() -> Result<()> {
    let huge = [usize::MAX, 2];
    fails(
        Tensor::zeros(huge, DType::U8),
        &["zeros", &usize::MAX.to_string()],
    );
    fails(Tensor::ones(huge, DType::F32), &["full"]);
    fails(Tensor::full([1 << 62], 0.0, DType::F32), &["full"]);
    fails(Tensor::eye(usize::MAX, DType::F32), &["eye"]);
    fails(Tensor::arange(usize::MAX, DType::F32), &["arange"]);
    fails(Tensor::randn(huge, &mut Philox::new(0)), &["randn"]);
    fails(
        Tensor::from_vec(vec![1.0f32; 3], [2, 2]),
        &["from_vec", "3 elements", "[2, 2]"],
    );
    fails(Tensor::from_slice(&[1.0f32], huge), &["from_slice"]);
    let one = Tensor::scalar(1.0f32)?;
    fails(one.reshape(huge), &["reshape"]);
    fails(one.expand(huge), &["expand"]);
    // The elements of the wide view can be counted, but not stored.
    let wide = one.expand([1 << 58])?;
    assert!(wide.contiguous().is_err() && wide.relu().is_err() && wide.add(&one).is_err());
    // An empty dimension does not excuse the others.
    let empty = Tensor::zeros([0, 3], DType::F32)?;
    fails(empty.reshape([0, usize::MAX, usize::MAX]), &["reshape"]);
    fails(empty.expand([usize::MAX, 0, 3]), &["expand"]);
    Ok(())
}

#[test]
fn extremes_need_elements() -> Result<()> {
    let x = Tensor::zeros([2, 0], DType::F32)?;
    fails(x.amax(&[1], false), &["amax", "dimension 1", "[2, 0]"]);
    fails(x.amin(&[1], false), &["amin"]);
    fails(x.argmax(1), &["argmax", "[2, 0]"]);
    Ok(())
}

#[test]
fn dimensions_are_at_most_eight() -> Result<()> {
    let x = Tensor::zeros([1; 8], DType::F32)?;
    assert_eq!(x.add(&x)?.sum(&[7], true)?.rank(), 8);
    fails(x.unsqueeze(0), &["8"]);
    fails(x.expand([1; 9]), &["[1, 1, 1, 1, 1, 1, 1, 1, 1]", "8"]);
    fails(
        Tensor::zeros([1; 9], DType::F32),
        &["zeros", "more dimensions than 8"],
    );
    fails(Tensor::stack(&[&x], 0), &["8"]);
    Ok(())
}
