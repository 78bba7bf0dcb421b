//! What each layer of a network costs for one input, read off the recorded graph of a forward pass.
//!
//! Multiply-adds are those of convolutions, linear layers and matrix products, as papers count them: one multiplication
//! with its addition is one, and normalisation, activation and pooling are not counted.

use std::collections::HashMap;

use serde::Serialize;
use striate::Tensor;
use striate::autograd::GraphNode;
use striate::layers::{Module, named_parameters, parameter_count};

use crate::failure::Failure;

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Layer {
    /// Its path.
    pub(crate) layer: String,
    /// The operation that it is mostly made of.
    pub(crate) op: String,
    /// The shape of its output.
    pub(crate) output: Vec<usize>,
    /// Learned elements of its own.
    pub(crate) parameters: u64,
    /// Multiplications with additions.
    pub(crate) multiply_adds: u64,
}

/// A whole network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Cost {
    /// Learned elements; what is used twice counts once.
    pub(crate) parameters: u64,
    /// Multiplications with additions.
    pub(crate) multiply_adds: u64,
    /// Elements of all outputs of all operations.
    pub(crate) activations: u64,
    /// The layers in the order in which they run, then those that do not.
    pub(crate) layers: Vec<Layer>,
}

/// Runs `network` once on zeros of shape `input`.
pub(crate) fn measure(network: &dyn Module, input: [usize; 4]) -> Result<Cost, Failure> {
    let x = Tensor::zeros(input, striate::DType::F32)?;
    let y = network.forward(&x)?;
    let nodes = y.graph().nodes;
    let mut own = own_parameters(network);
    let mut layers: Vec<Layer> = Vec::new();
    let (mut multiply_adds, mut activations) = (0u64, 0u64);
    for node in &nodes {
        let cost = node_cost(node);
        multiply_adds = multiply_adds.saturating_add(cost);
        activations = activations.saturating_add(product(&node.shape));
        let Some(path) = &node.path else { continue };
        match layers.last_mut() {
            Some(last) if last.layer == *path => {
                last.output.clone_from(&node.shape);
                if cost > last.multiply_adds {
                    node.description.name.clone_into(&mut last.op);
                }
                last.multiply_adds = last.multiply_adds.saturating_add(cost);
            }
            _ => layers.push(Layer {
                layer: path.clone(),
                op: node.description.name.to_owned(),
                output: node.shape.clone(),
                // A layer that runs again is listed again, its parameters only once.
                parameters: own.remove(path).map_or(0, |(_, count)| count),
                multiply_adds: cost,
            }),
        }
    }
    let mut unused: Vec<(String, (usize, u64))> = own.into_iter().collect();
    unused.sort_by_key(|(_, (position, _))| *position);
    layers.extend(unused.into_iter().map(|(layer, (_, parameters))| Layer {
        layer,
        op: String::new(),
        output: Vec::new(),
        parameters,
        multiply_adds: 0,
    }));
    let parameters = parameter_count(network) as u64;
    Ok(Cost {
        parameters,
        multiply_adds,
        activations,
        layers,
    })
}

/// The number of learned elements directly in each layer, with the layer's place in the network.
fn own_parameters(network: &dyn Module) -> HashMap<String, (usize, u64)> {
    let mut own: HashMap<String, (usize, u64)> = HashMap::new();
    for (position, (name, parameter)) in named_parameters(network).into_iter().enumerate() {
        let layer = name.rsplit_once('.').map_or("", |(layer, _)| layer);
        own.entry(layer.to_owned()).or_insert((position, 0)).1 += parameter.numel() as u64;
    }
    own
}

fn node_cost(node: &GraphNode) -> u64 {
    let input = |i: usize| node.inputs.get(i).map_or(&[][..], |input| &input.shape);
    let outputs = product(&node.shape);
    let per_output = match node.description.name {
        // Weights are [out, in / groups, kh, kw] and [out, in].
        "conv2d" | "linear" => product(input(1).get(1..).unwrap_or_default()),
        "matmul" => input(0).last().map_or(0, |&n| n as u64),
        _ => 0,
    };
    outputs.saturating_mul(per_output)
}

fn product(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |n, &d| n.saturating_mul(d as u64))
}
