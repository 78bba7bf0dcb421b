//! candle's convolutions.

use candle_core::{Device, Tensor, Var};
use protocol::{Case, Loaded, Mode, Result};

fn main() -> Result<()> {
    Ok(protocol::serve(load)?)
}

fn load(case: &Case, mode: Mode) -> Result<Box<dyn Loaded>> {
    if case.transposed() && case.g > 1 {
        return Err("candle has no groups in transposed convolutions".into());
    }
    if [case.s, case.d].iter().any(|[h, w]| h != w) {
        return Err("candle has one stride and one dilation for both axes".into());
    }
    let var = |numbers, shape: &[usize]| Var::from_vec(numbers, shape, &Device::Cpu);
    let mut convolution = Convolution {
        case: case.clone(),
        mode,
        x: var(case.input(), &case.input_shape())?,
        weight: var(case.weight(), &case.weight_shape())?,
        bias: var(case.bias(), &[1, case.co, 1, 1])?,
        gradient: None,
        found: Vec::new(),
    };
    if mode == Mode::FwdBwd {
        let y = convolution.forward()?;
        let gradient = case.output_gradient(y.elem_count());
        convolution.gradient = Some(Tensor::from_vec(gradient, y.shape(), &Device::Cpu)?);
    }
    Ok(Box::new(convolution))
}

struct Convolution {
    case: Case,
    mode: Mode,
    x: Var,
    weight: Var,
    bias: Var,
    gradient: Option<Tensor>,
    found: Vec<Tensor>,
}

impl Convolution {
    fn forward(&self) -> candle_core::Result<Tensor> {
        let Case {
            s: [stride, _],
            p: [top, left],
            d: [dilation, _],
            g,
            ..
        } = self.case;
        let (x, weight) = match self.mode {
            Mode::Fwd => (
                self.x.as_detached_tensor(),
                self.weight.as_detached_tensor(),
            ),
            Mode::FwdBwd => (self.x.as_tensor().clone(), self.weight.as_tensor().clone()),
        };
        let y = if self.case.transposed() {
            x.conv_transpose2d(&weight, top, 0, stride, dilation)?
        } else if top == left {
            x.conv2d(&weight, top, stride, dilation, g)?
        } else {
            // One padding for both axes.
            let x = x
                .pad_with_zeros(2, top, top)?
                .pad_with_zeros(3, left, left)?;
            x.conv2d(&weight, 0, stride, dilation, g)?
        };
        y.broadcast_add(&self.bias)
    }
}

impl Loaded for Convolution {
    fn run(&mut self) -> Result<()> {
        self.found.clear();
        let y = self.forward()?;
        self.found = match &self.gradient {
            None => vec![y],
            Some(gradient) => {
                let found = (y * gradient)?.sum_all()?.backward()?;
                let leaves = [&self.x, &self.weight, &self.bias];
                let found =
                    leaves.map(|leaf| found.get(leaf).cloned().ok_or("a leaf has no gradient"));
                found.into_iter().collect::<std::result::Result<_, _>>()?
            }
        };
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<Vec<f32>>> {
        let parts = self
            .found
            .iter()
            .map(|part| part.contiguous()?.flatten_all()?.to_vec1());
        Ok(parts.collect::<candle_core::Result<_>>()?)
    }
}
