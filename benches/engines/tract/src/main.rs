//! tract, its model optimised for the input's shape.

use protocol::{Loaded, Mode, Result, Work};
use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::*;

fn main() -> Result<()> {
    if protocol::threads() > 1 {
        set_default_executor(Executor::multithread(protocol::threads()));
    }
    Ok(protocol::serve_all(load)?)
}

fn load(work: &Work, mode: Mode) -> Result<Box<dyn Loaded>> {
    let case = work.onnx(mode)?;
    let model = tract_onnx::onnx().model_for_path(case.path)?;
    let model = model.with_input_fact(0, f32::fact(case.shape).into())?;
    Ok(Box::new(Network {
        model: model.into_optimized()?.into_runnable()?,
        x: Tensor::from_shape(&case.shape, &case.input)?.into_tvalue(),
        y: None,
    }))
}

struct Network {
    model: Arc<TypedRunnableModel>,
    x: TValue,
    y: Option<TValue>,
}

impl Loaded for Network {
    fn run(&mut self) -> Result<()> {
        self.y = None;
        self.y = self.model.run(tvec![self.x.clone()])?.pop();
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<Vec<f32>>> {
        let y = self.y.clone().ok_or("nothing ran")?.into_tensor();
        Ok(vec![y.try_as_plain_ram()?.as_slice::<f32>()?.to_vec()])
    }
}
