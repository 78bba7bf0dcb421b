//! The number of threads does not change a bit of any module's output or gradient.

mod support;

use striate_layers::catalog::{Entry, Example, entries};
use striate_layers::{VarBuilder, named_parameters};
use striate_tensor::{DType, Result};

/// The bits of outputs and gradients.
fn bits(entry: &Entry, example: &Example) -> Result<Vec<Vec<u32>>> {
    let module = support::build(entry, example, &VarBuilder::seeded(0))?;
    let inputs = support::inputs(example, DType::F32)?;
    let inputs: Vec<_> = inputs
        .iter()
        .map(|x| x.requires_grad(true))
        .collect::<Result<_>>()?;
    let mut tensors = module.run(&inputs)?;
    let mut loss = tensors[0].square()?.sum_all()?;
    for y in &tensors[1..] {
        loss = loss.add(&y.square()?.sum_all()?)?;
    }
    let grads = loss.backward()?;
    let parameters = named_parameters(&module)
        .into_iter()
        .map(|(_, p)| p.tensor());
    tensors.extend(
        parameters
            .chain(inputs)
            .filter_map(|leaf| grads.get(&leaf).cloned()),
    );
    let bits =
        |t: &striate_tensor::Tensor| Ok(t.to_vec::<f32>()?.iter().map(|v| v.to_bits()).collect());
    tensors.iter().map(bits).collect()
}

#[test]
fn thread_counts_agree_bit_for_bit() -> Result<()> {
    let with = |threads: usize, entry: &Entry, example: &Example| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads");
        pool.install(|| bits(entry, example))
    };
    for entry in entries() {
        for example in entry.examples {
            let one = with(1, entry, example)?;
            for threads in [2, 3, 7] {
                assert_eq!(
                    with(threads, entry, example)?,
                    one,
                    "{} {} on {threads}",
                    entry.name,
                    example.config
                );
            }
        }
    }
    Ok(())
}
