//! Running something forward, or with its gradients.

use protocol::{Loaded, Result, fill};
use striate::{Tensor, no_grad};

/// Computes the outputs.
pub type Run = Box<dyn Fn() -> Result<Vec<Tensor>>>;

/// A forward pass without gradients.
pub struct Forward {
    run: Run,
    found: Vec<Tensor>,
}

impl Forward {
    /// Nothing has run yet.
    pub fn new(run: impl Fn() -> Result<Vec<Tensor>> + 'static) -> Self {
        Self {
            run: Box::new(run),
            found: Vec::new(),
        }
    }
}

impl Loaded for Forward {
    fn run(&mut self) -> Result<()> {
        self.found.clear();
        self.found = no_grad(|| (self.run)())?;
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<Vec<f32>>> {
        lists(&self.found)
    }
}

/// A forward pass, then the gradients of the leaves.
pub struct Training {
    run: Run,
    leaves: Vec<Tensor>,
    gradient: Tensor,
    found: Vec<Tensor>,
}

impl Training {
    /// Runs once to learn the shape of the output, whose gradient is drawn.
    pub fn new(
        leaves: Vec<Tensor>,
        run: impl Fn() -> Result<Vec<Tensor>> + 'static,
    ) -> Result<Self> {
        let [y] = &no_grad(&run)?[..] else {
            return Err("only what has one output can be trained here".into());
        };
        let gradient = Tensor::from_vec(fill(y.numel(), 4, 2.0), y.shape())?;
        Ok(Self {
            run: Box::new(run),
            leaves,
            gradient: if y.is_channels_last() {
                gradient.channels_last()?
            } else {
                gradient
            },
            found: Vec::new(),
        })
    }
}

impl Loaded for Training {
    fn run(&mut self) -> Result<()> {
        self.found.clear();
        let outputs = (self.run)()?;
        let found = outputs[0].backward_with(&self.gradient)?;
        let of = |leaf: &Tensor| match found.get(leaf) {
            Some(gradient) => Ok(gradient.clone()),
            None => Tensor::zeros(leaf.shape(), leaf.dtype()),
        };
        self.found = self.leaves.iter().map(of).collect::<striate::Result<_>>()?;
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<Vec<f32>>> {
        lists(&self.found)
    }
}

fn lists(tensors: &[Tensor]) -> Result<Vec<Vec<f32>>> {
    let lists = tensors.iter().map(Tensor::to_vec);
    Ok(lists.collect::<striate::Result<_>>()?)
}

/// From row-major numbers, in the format that the library computes in.
pub fn laid_out((shape, numbers): (Vec<usize>, Vec<f32>)) -> Result<Tensor> {
    let x = Tensor::from_vec(numbers, shape.as_slice())?;
    Ok(match shape[..] {
        [_, channels, _, _] if channels >= 8 => x.channels_last()?,
        _ => x,
    })
}
