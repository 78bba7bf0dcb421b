//! The number of threads does not change a bit of any module's output or gradient.

#[path = "support/families.rs"]
mod families;
mod support;

use striate_layers::catalog::{Entry, Example};
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

fn thread_counts_agree_bit_for_bit(entry: &Entry) -> Result<()> {
    let with = |threads: usize, example: &Example| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads");
        pool.install(|| bits(entry, example))
    };
    for example in entry.examples {
        let one = with(1, example)?;
        for threads in [2, 3, 7] {
            let (name, config) = (entry.name, example.config);
            assert_eq!(with(threads, example)?, one, "{name} {config} on {threads}");
        }
    }
    Ok(())
}

families::test_each_family!(thread_counts_agree_bit_for_bit);
