//! Networks that only compute.

use striate_layers::{Module, set_trainable, set_training};
use striate_tensor::autograd::is_grad_enabled;
use striate_tensor::{DType, Error, Philox, Result, Tensor, no_grad};

use crate::Network;

/// How far the output may be from that of the layers one after the other, relative to it in the 2-norm.
const BOUND: f64 = 1e-4;

/// A network in evaluation mode whose parameters are frozen. Any number of threads may run it at once; they share its weights and what
/// kernels have made of them.
///
/// ```
/// use striate_layers::VarBuilder;
/// use striate_models::ResNetConfig;
/// use striate_tensor::{DType, Tensor};
///
/// # fn main() -> striate_tensor::Result<()> {
/// let net = ResNetConfig::resnet18().classes(10).build(&VarBuilder::seeded(0))?;
/// let net = net.for_inference(&[1, 3, 64, 64])?;
/// let image = Tensor::zeros([1, 3, 64, 64], DType::F32)?;
/// assert_eq!(net.run(&image)?.shape(), [1, 10]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Inference<M: Module = Network> {
    module: M,
}

impl<M: Module> Inference<M> {
    /// Puts the network in evaluation mode, freezes its parameters, and runs it on a random image of the shape `input`, which packs its
    /// weights; inputs of another shape may be packed for anew at their first run. The output is compared with that of the layers
    /// one after the other, which takes the memory of a training step.
    ///
    /// # Errors
    /// The input does not fit the network, the outputs are further apart than 1e-4 of the 2-norm, or it is called under
    /// [`no_grad`], where layers run together by themselves and there is nothing to compare with.
    pub fn new(module: M, input: &[usize]) -> Result<Self> {
        if !is_grad_enabled() {
            let text = "for_inference compares with layers run one after the other, which no_grad prevents: call it outside";
            return Err(Error::Autograd(text.into()));
        }
        set_training(&module, false);
        set_trainable(&module, false);
        let x = Tensor::randn(input, &mut Philox::new(0))?;
        let apart = module.forward(&x.requires_grad(true)?)?.detach();
        let network = Self { module };
        let error = distance(&network.run(&x)?, &apart)?;
        // Not `error > BOUND`: a NaN is not near.
        if error <= BOUND {
            Ok(network)
        } else {
            Err(Error::msg(format!(
                "for_inference: the output is {error:.1e} from that of the layers one after the other, relative to it; at \
                 most {BOUND:.0e} is expected"
            )))
        }
    }

    /// The output for a batch.
    ///
    /// # Shapes
    /// Those of the network.
    ///
    /// # Errors
    /// The input does not fit.
    pub fn run(&self, x: &Tensor) -> Result<Tensor> {
        no_grad(|| self.module.forward(x))
    }

    /// The network, still frozen and in evaluation mode.
    #[must_use]
    pub fn into_inner(self) -> M {
        self.module
    }
}

impl Network {
    /// The network for inference alone: see [`Inference::new`].
    ///
    /// # Errors
    /// As [`Inference::new`].
    pub fn for_inference(self, input: &[usize]) -> Result<Inference> {
        Inference::new(self, input)
    }
}

/// `|a - b| / |b|` in the 2-norm; 0 if both are zero.
fn distance(a: &Tensor, b: &Tensor) -> Result<f64> {
    let wide = |t: &Tensor| t.to_dtype(DType::F64)?.to_vec::<f64>();
    let (a, b) = (wide(a)?, wide(b)?);
    let difference: f64 = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum();
    let norm: f64 = b.iter().map(|b| b.powi(2)).sum();
    Ok(if difference == 0.0 {
        0.0
    } else {
        (difference / norm).sqrt()
    })
}
