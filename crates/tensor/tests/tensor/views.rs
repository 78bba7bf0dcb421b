//! Views share memory and show the right elements.

use striate_tensor::{Buffer, DType, MemoryFormat, Result, Tensor};

use crate::common::{coordinates, layouts, randn};

fn counting(shape: &[usize]) -> Result<Tensor> {
    Tensor::arange(shape.iter().product(), DType::I64)?.reshape(shape)
}

fn ints(x: &Tensor) -> Vec<i64> {
    x.to_vec().unwrap()
}

#[test]
fn views_share_memory() -> Result<()> {
    let x = counting(&[2, 3, 4])?;
    let views = [
        x.reshape([6, 4])?,
        x.flatten(0, 2)?,
        x.permute(&[2, 0, 1])?,
        x.transpose(0, 2)?,
        x.narrow(1, 1, 2)?,
        x.select(2, 3)?,
        x.unsqueeze(1)?,
        x.unsqueeze(3)?.squeeze(3)?,
        x.expand([5, 2, 3, 4])?,
        x.split(&[1, 2], 1)?.remove(1),
        x.chunk(2, 2)?.remove(1),
        x.contiguous()?,
        x.clone(),
        x.detach(),
    ];
    for view in &views {
        assert!(view.shares_memory_with(&x), "{view:?}");
    }
    assert!(!x.transpose(0, 1)?.contiguous()?.shares_memory_with(&x));
    Ok(())
}

#[test]
fn movement_shows_the_right_elements() -> Result<()> {
    let x = counting(&[2, 3])?;
    assert_eq!(ints(&x.transpose(0, 1)?), [0, 3, 1, 4, 2, 5]);
    assert_eq!(
        ints(&x.permute(&[1, 0])?.reshape([2, 3])?),
        [0, 3, 1, 4, 2, 5]
    );
    assert_eq!(ints(&x.narrow(1, 1, 2)?), [1, 2, 4, 5]);
    assert_eq!(ints(&x.select(0, 1)?), [3, 4, 5]);
    assert_eq!(ints(&x.select(1, 0)?.expand([2, 2])?), [0, 3, 0, 3]);
    assert_eq!(ints(&x.flatten(0, 1)?), [0, 1, 2, 3, 4, 5]);
    assert_eq!(x.unsqueeze(0)?.unsqueeze(3)?.shape(), [1, 2, 3, 1]);
    let parts = x.chunk(3, 1)?;
    assert_eq!(
        parts.iter().map(ints).collect::<Vec<_>>(),
        [[0, 3], [1, 4], [2, 5]]
    );
    let parts = x.split(&[2, 0, 1], 1)?;
    assert_eq!(
        parts.iter().map(ints).collect::<Vec<_>>(),
        [vec![0, 1, 3, 4], vec![], vec![2, 5]]
    );
    let index = Tensor::from_slice(&[2i64, 0, 2], 3)?;
    assert_eq!(ints(&x.index_select(1, &index)?), [2, 0, 2, 5, 3, 5]);
    assert_eq!(ints(&x.flip(&[1])?), [2, 1, 0, 5, 4, 3]);
    assert_eq!(ints(&x.flip(&[0, 1])?), [5, 4, 3, 2, 1, 0]);
    assert_eq!(ints(&x.roll(1, 1)?), [2, 0, 1, 5, 3, 4]);
    assert_eq!(ints(&x.roll(-7, 1)?), [1, 2, 0, 4, 5, 3]);
    assert_eq!(ints(&x.roll(isize::MIN, 0)?), ints(&x));
    assert_eq!(x.narrow(0, 0, 0)?.roll(1, 0)?.shape(), [0, 3]);
    Ok(())
}

#[test]
fn joining_undoes_splitting_in_every_memory_order() -> Result<()> {
    let x = randn(&[2, 8, 3, 5], 1)?;
    for x in layouts(&x)? {
        for dim in 0..4 {
            let len = x.shape()[dim];
            let parts = x.split(&[1, 0, len - 1], dim)?;
            let joined = Tensor::cat(&parts.iter().collect::<Vec<_>>(), dim)?;
            assert_eq!(joined.to_vec::<f64>()?, x.to_vec::<f64>()?);
            let rows = (0..len)
                .map(|i| x.select(dim, i))
                .collect::<Result<Vec<_>>>()?;
            let stacked = Tensor::stack(&rows.iter().collect::<Vec<_>>(), dim)?;
            assert_eq!(stacked.to_vec::<f64>()?, x.to_vec::<f64>()?);
        }
    }
    let last = x.channels_last()?;
    assert!(Tensor::cat(&[&last, &x], 1)?.is_channels_last());
    Ok(())
}

#[test]
fn memory_order_is_told_by_strides() -> Result<()> {
    let x = counting(&[2, 8, 3, 5])?;
    assert_eq!(x.strides(), [120, 15, 5, 1]);
    let last = x.channels_last()?;
    assert_eq!(last.strides(), [120, 1, 40, 8]);
    assert!(last.is_channels_last() && !last.is_contiguous() && !x.is_channels_last());
    assert_eq!(ints(&last), ints(&x));
    assert!(last.as_slice::<i64>().is_none() && x.as_channels_last_slice::<i64>().is_none());
    let physical: Vec<i64> = ints(&x.permute(&[0, 2, 3, 1])?);
    assert_eq!(last.as_channels_last_slice::<i64>().unwrap(), physical);
    assert!(last.contiguous()?.is_contiguous());
    // Pixels can be flattened without copying, channels cannot.
    assert!(last.reshape([2, 8, 15])?.shares_memory_with(&last));
    assert!(!last.reshape([2, 24, 5])?.shares_memory_with(&last));
    // One pixel a channel: both orders at once.
    let gate = counting(&[2, 8, 1, 1])?;
    assert!(gate.is_contiguous() && gate.is_channels_last());
    assert!(gate.channels_last()?.shares_memory_with(&gate));
    Ok(())
}

#[test]
fn elementwise_operations_keep_the_memory_order() -> Result<()> {
    let x = randn(&[2, 8, 3, 5], 2)?;
    let last = x.channels_last()?;
    assert!(last.relu()?.is_channels_last());
    assert!(last.add(&x)?.is_channels_last());
    assert!(x.add(&last)?.is_contiguous());
    assert!(last.mul(&randn(&[2, 8, 1, 1], 3)?)?.is_channels_last());
    assert!(randn(&[2, 1, 3, 5], 3)?.mul(&last)?.is_channels_last());
    assert!(last.narrow(1, 2, 4)?.exp()?.is_channels_last());
    assert!(
        last.narrow(2, 1, 2)?
            .to_dtype(DType::F32)?
            .is_channels_last()
    );
    assert!(last.zeros_like()?.is_channels_last());
    Ok(())
}

#[test]
fn reshape_agrees_with_row_major_order_on_any_strides() -> Result<()> {
    let x = randn(&[2, 3, 4, 2], 4)?;
    let shapes: [&[usize]; 6] = [
        &[48],
        &[6, 8],
        &[2, 12, 2],
        &[2, 1, 3, 1, 8],
        &[4, 3, 2, 2],
        &[1, 48, 1],
    ];
    for order in [[0, 1, 2, 3], [0, 2, 3, 1], [3, 2, 1, 0], [1, 0, 3, 2]] {
        let inverse: Vec<usize> = (0..4)
            .map(|d| order.iter().position(|&o| o == d).unwrap_or(d))
            .collect();
        let y = x.permute(&order)?.contiguous()?.permute(&inverse)?;
        for shape in shapes {
            let reshaped = y.reshape(shape)?;
            assert_eq!(reshaped.shape(), shape);
            assert_eq!(
                reshaped.to_vec::<f64>()?,
                x.to_vec::<f64>()?,
                "{order:?} {shape:?}"
            );
        }
    }
    let row = x.select(0, 0)?.select(0, 0)?.select(1, 0)?;
    let wide = row.expand([3, 4])?;
    assert_eq!(wide.reshape([12])?.to_vec::<f64>()?, wide.to_vec::<f64>()?);
    Ok(())
}

#[test]
fn rank_zero_and_empty_tensors_work() -> Result<()> {
    let scalar = Tensor::scalar(3.0f32)?;
    assert_eq!((scalar.rank(), scalar.numel()), (0, 1));
    assert_eq!(scalar.reshape([1, 1])?.reshape(())?.item::<f32>()?, 3.0);
    assert_eq!(scalar.add(&scalar)?.sum_all()?.item::<f32>()?, 6.0);
    assert_eq!(scalar.expand([2, 2])?.to_vec::<f32>()?, [3.0; 4]);
    assert_eq!(scalar.flatten(0, 0)?.shape(), [1]);

    let empty = Tensor::zeros([2, 0, 3], DType::F32)?;
    assert!(empty.is_contiguous() && empty.as_slice::<f32>().is_some_and(<[_]>::is_empty));
    assert_eq!(
        empty
            .relu()?
            .add(&Tensor::ones([1, 1, 3], DType::F32)?)?
            .shape(),
        [2, 0, 3]
    );
    assert_eq!(empty.reshape([0, 7])?.shape(), [0, 7]);
    assert_eq!(empty.transpose(0, 2)?.contiguous()?.shape(), [3, 0, 2]);
    assert_eq!(empty.sum(&[1], false)?.to_vec::<f32>()?, [0.0; 6]);
    assert_eq!(empty.sum(&[0], true)?.shape(), [1, 0, 3]);
    assert_eq!(empty.sum_all()?.item::<f32>()?, 0.0);
    assert!(empty.mean_all()?.item::<f32>()?.is_nan());
    assert_eq!(empty.amax(&[0], false)?.shape(), [0, 3]);
    assert_eq!(empty.argmax(0)?.shape(), [0, 3]);
    assert_eq!(empty.narrow(1, 0, 0)?.shape(), [2, 0, 3]);
    assert_eq!(
        Tensor::cat(&[&empty, &Tensor::ones([2, 1, 3], DType::F32)?], 1)?.shape(),
        [2, 1, 3]
    );
    let none = Tensor::zeros(0, DType::I64)?;
    assert_eq!(empty.index_select(1, &none)?.shape(), [2, 0, 3]);
    assert_eq!(
        empty
            .channels_last()
            .unwrap_err()
            .to_string()
            .matches("[2, 0, 3]")
            .count(),
        1
    );
    let batch = Tensor::zeros([0, 8, 4, 4], DType::F32)?.channels_last()?;
    assert_eq!(batch.relu()?.mean(&[2, 3], true)?.shape(), [0, 8, 1, 1]);
    Ok(())
}

#[test]
fn empty_tensors_have_empty_gradients() -> Result<()> {
    let x = Tensor::zeros([0, 4], DType::F32)?.requires_grad(true)?;
    let w = Tensor::ones([1, 4], DType::F32)?.requires_grad(true)?;
    let grads = x.mul(&w)?.relu()?.narrow(1, 1, 2)?.sum_all()?.backward()?;
    assert_eq!(grads.get(&x).map(Tensor::shape), Some(&[0, 4][..]));
    assert_eq!(grads.get(&w).unwrap().to_vec::<f32>()?, [0.0; 4]);
    Ok(())
}

#[test]
fn buffers_become_tensors_in_either_order() -> Result<()> {
    let numbers: Vec<f32> = (0..24).map(|i| i as f32).collect();
    let make = |format| Tensor::from_buffer(Buffer::copy_of(&numbers)?, [1, 2, 3, 4], format);
    assert_eq!(make(MemoryFormat::RowMajor)?.to_vec::<f32>()?, numbers);
    let last = make(MemoryFormat::ChannelsLast)?;
    assert_eq!(last.select(1, 1)?.to_vec::<f32>()?[..3], [1.0, 3.0, 5.0]);
    let short = Tensor::from_buffer(Buffer::copy_of(&numbers)?, [5, 5], MemoryFormat::RowMajor);
    assert!(short.unwrap_err().to_string().contains("24 elements"));
    let rank = Tensor::from_buffer(
        Buffer::copy_of(&numbers)?,
        [4, 6],
        MemoryFormat::ChannelsLast,
    );
    assert!(rank.unwrap_err().to_string().contains("[4, 6]"));
    Ok(())
}

#[test]
fn elements_are_where_their_coordinates_say() -> Result<()> {
    let x = counting(&[2, 3, 2, 2])?;
    for view in layouts(&x)? {
        let memory = view.memory::<i64>()?;
        for (i, at) in coordinates(x.shape()).iter().enumerate() {
            let offset: usize = at.iter().zip(view.strides()).map(|(i, s)| i * s).sum();
            assert_eq!(memory[offset], i as i64);
        }
        assert_eq!(ints(&view), ints(&x));
    }
    Ok(())
}
