//! rten, with weights packed ahead.

use std::sync::Arc;

use protocol::{Loaded, Mode, Result, Work};
use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, ValueOrView};
use rten_tensor::Tensor;
use rten_tensor::prelude::*;

fn main() -> Result<()> {
    Ok(protocol::serve_all(load)?)
}

fn load(work: &Work, mode: Mode) -> Result<Box<dyn Loaded>> {
    let case = work.onnx(mode)?;
    let model = ModelOptions::with_all_ops()
        .prepack_weights(true)
        .load_file(case.path)?;
    let pool = Arc::new(ThreadPool::with_num_threads(protocol::threads()));
    Ok(Box::new(Network {
        input: model.input_ids()[0],
        output: model.output_ids()[0],
        model,
        options: RunOptions::default().with_thread_pool(Some(pool)),
        x: Tensor::from_data(&case.shape, case.input),
        y: None,
    }))
}

struct Network {
    model: Model,
    input: NodeId,
    output: NodeId,
    options: RunOptions,
    x: Tensor<f32>,
    y: Option<rten::Value>,
}

impl Loaded for Network {
    fn run(&mut self) -> Result<()> {
        let inputs = vec![(self.input, ValueOrView::from(&self.x))];
        self.y = None;
        self.y = self
            .model
            .run(inputs, &[self.output], Some(self.options.clone()))?
            .pop();
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<Vec<f32>>> {
        let y: Tensor<f32> = self.y.clone().ok_or("nothing ran")?.try_into()?;
        Ok(vec![y.to_vec()])
    }
}
