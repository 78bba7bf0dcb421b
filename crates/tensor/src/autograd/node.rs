//! Nodes of the recorded graph.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::backward::Gradients;
use super::function::Description;
use super::scope;
use crate::dims::Dims;
use crate::{DType, Result, Tensor};

/// Identity of a leaf. Clones of a tensor share it; [`Tensor::requires_grad`] makes a new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LeafId(u64);

/// Leaves and nodes count up together: an operation's number is above those of its inputs.
static SEQUENCE: AtomicU64 = AtomicU64::new(0);

pub(crate) fn next_in_sequence() -> u64 {
    SEQUENCE.fetch_add(1, Ordering::Relaxed)
}

impl LeafId {
    pub(crate) fn fresh() -> Self {
        Self(next_in_sequence())
    }
}

impl fmt::Display for LeafId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "leaf{}", self.0)
    }
}

/// Where a tensor comes from.
#[derive(Clone)]
pub(crate) enum Origin {
    Constant,
    Leaf(LeafId),
    Node(Arc<Node>),
}

/// The backward half of a recorded operation.
pub(crate) trait NodeFunction: Send + Sync {
    fn describe(&self) -> Description;

    /// Gradients of the inputs; `None` is zero, or has been added to [`BackwardCall::sum`].
    fn backward(&self, call: BackwardCall<'_>) -> Result<Vec<Option<Tensor>>>;
}

/// What a node needs for its backward pass.
pub(crate) struct BackwardCall<'a> {
    /// Gradient of the output.
    pub(crate) grad: &'a Tensor,
    /// Which inputs want a gradient.
    pub(crate) needs: &'a [bool],
    /// Whether what was saved must be kept.
    pub(crate) retain: bool,
    /// What other users of the only input have sent it so far.
    pub(crate) sum: Option<&'a mut Tensor>,
    /// Takes gradients of leaves that are not inputs.
    pub(crate) captured: &'a mut Gradients,
}

/// A recorded operation.
pub(crate) struct Node {
    pub(crate) id: u64,
    pub(crate) function: Box<dyn NodeFunction>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) shape: Dims,
    pub(crate) dtype: DType,
    /// The layer that ran the operation.
    pub(crate) path: Option<Arc<str>>,
}

/// An input of a node.
pub(crate) struct Edge {
    pub(crate) origin: Origin,
    pub(crate) shape: Dims,
    pub(crate) dtype: DType,
}

impl Edge {
    pub(crate) fn to(input: &Tensor) -> Self {
        Self {
            origin: input.origin.clone(),
            shape: input.layout().dims(),
            dtype: input.dtype(),
        }
    }
}

impl Node {
    pub(crate) fn new(function: Box<dyn NodeFunction>, edges: Vec<Edge>, output: &Tensor) -> Self {
        Self {
            id: next_in_sequence(),
            function,
            edges,
            shape: output.layout().dims(),
            dtype: output.dtype(),
            path: scope::current(),
        }
    }

    /// `layer1.conv (conv2d)`, to say where a backward pass failed.
    pub(crate) fn place(&self) -> String {
        let name = self.function.describe().name;
        match &self.path {
            Some(path) => format!("{path}: backward of {name}"),
            None => format!("backward of {name}"),
        }
    }
}

/// Frees a chain of any length without recursion.
impl Drop for Node {
    fn drop(&mut self) {
        let mut edges = std::mem::take(&mut self.edges);
        while let Some(edge) = edges.pop() {
            if let Origin::Node(node) = edge.origin
                && let Some(mut node) = Arc::into_inner(node)
            {
                edges.append(&mut node.edges);
            }
        }
    }
}
