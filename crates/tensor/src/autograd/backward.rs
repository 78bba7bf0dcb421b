//! The backward pass.

use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;

use super::grad_mode::no_grad;
use super::node::{BackwardCall, Edge, LeafId, Node, Origin};
use crate::{Error, Result, Tensor};

/// Gradients of the leaves, as returned by [`Tensor::backward`].
///
/// Iteration is in the order in which the leaves were made.
#[derive(Clone, Debug, Default)]
pub struct Gradients {
    by_leaf: BTreeMap<LeafId, Tensor>,
}

impl Gradients {
    /// No gradients.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The gradient of a leaf; `None` if the loss does not depend on it or it is not a leaf.
    #[must_use]
    pub fn get(&self, leaf: &Tensor) -> Option<&Tensor> {
        self.by_leaf.get(&leaf.leaf_id()?)
    }

    /// Takes the gradient of a leaf out.
    pub fn remove(&mut self, leaf: &Tensor) -> Option<Tensor> {
        self.by_leaf.remove(&leaf.leaf_id()?)
    }

    /// Replaces the gradient of a leaf.
    ///
    /// # Errors
    /// `leaf` is not a leaf, or the shapes differ.
    pub fn insert(&mut self, leaf: &Tensor, grad: Tensor) -> Result<()> {
        let id = leaf
            .leaf_id()
            .ok_or_else(|| Error::Autograd("Gradients::insert: the tensor is not a leaf".into()))?;
        check_grad(&grad, leaf.shape(), leaf.dtype())?;
        self.by_leaf.insert(id, grad);
        Ok(())
    }

    /// Adds other gradients to these: several batches for one step.
    ///
    /// # Errors
    /// Memory is out.
    pub fn accumulate(&mut self, other: Self) -> Result<()> {
        for (id, grad) in other.by_leaf {
            self.add(id, grad)?;
        }
        Ok(())
    }

    fn add(&mut self, id: LeafId, grad: Tensor) -> Result<()> {
        let sum = match self.by_leaf.remove(&id) {
            Some(sum) => add_into(sum, &grad)?,
            None => grad,
        };
        self.by_leaf.insert(id, sum);
        Ok(())
    }

    /// Every gradient with its leaf's identity.
    pub fn iter(&self) -> impl Iterator<Item = (LeafId, &Tensor)> {
        self.by_leaf.iter().map(|(&id, grad)| (id, grad))
    }

    /// Every gradient, for changing: clipping, scaling.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (LeafId, &mut Tensor)> {
        self.by_leaf.iter_mut().map(|(&id, grad)| (id, grad))
    }

    /// How many leaves have a gradient.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_leaf.len()
    }

    /// Whether no leaf has a gradient.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_leaf.is_empty()
    }
}

impl Tensor {
    /// Gradients of this one number with respect to every leaf it was computed from.
    ///
    /// Frees what the operations saved; a second pass needs [`Tensor::backward_retain`] the first time.
    ///
    /// # Errors
    /// There is more than one element, nothing was recorded, or the graph has been freed.
    pub fn backward(&self) -> Result<Gradients> {
        run(self, self.grad_of_scalar()?, Past::default())
    }

    /// [`Tensor::backward`], keeping what the operations saved for another pass.
    ///
    /// # Errors
    /// As for [`Tensor::backward`].
    pub fn backward_retain(&self) -> Result<Gradients> {
        let past = Past {
            retain: true,
            ..Past::default()
        };
        run(self, self.grad_of_scalar()?, past)
    }

    /// Gradients of `sum(self * grad)`.
    ///
    /// # Errors
    /// `grad` has another shape or type, nothing was recorded, or the graph has been freed.
    pub fn backward_with(&self, grad: &Self) -> Result<Gradients> {
        self.backward_onto(grad, Gradients::new())
    }

    /// [`Tensor::backward_with`], adding to gradients that there are: several batches for one step. A sum has the memory
    /// of what it began with, if nobody else holds that.
    ///
    /// # Errors
    /// As for [`Tensor::backward_with`].
    pub fn backward_onto(&self, grad: &Self, sums: Gradients) -> Result<Gradients> {
        let past = Past {
            sums,
            ..Past::default()
        };
        run(self, grad.detach(), past)
    }

    fn grad_of_scalar(&self) -> Result<Self> {
        if self.numel() != 1 {
            return Err(Error::Autograd(format!(
                "backward: needs one element, got shape {:?}: reduce it to a loss, \
                 or give its gradient with backward_with",
                self.shape()
            )));
        }
        no_grad(|| self.ones_like())
    }
}

/// What a backward pass starts from.
#[derive(Default)]
pub(crate) struct Past {
    /// Gradients of leaves, to add to.
    pub(crate) sums: Gradients,
    /// Whether what was saved must be kept.
    pub(crate) retain: bool,
    /// Nothing recorded before this may be reached.
    pub(crate) oldest: u64,
}

/// Sends `grad` through everything that `output` was computed from.
pub(crate) fn run(output: &Tensor, grad: Tensor, past: Past) -> Result<Gradients> {
    check_grad(&grad, output.shape(), output.dtype()).map_err(|error| error.at("backward"))?;
    if !output.tracks_grad() {
        return Err(Error::Autograd(
            "backward: nothing was recorded: no input called requires_grad(true), \
             or it was computed under no_grad or after detach()"
                .into(),
        ));
    }
    let Past {
        sums,
        retain,
        oldest,
    } = past;
    let mut pass = Pass {
        leaves: sums,
        ..Pass::default()
    };
    no_grad(|| {
        pass.send(&Edge::to(output), grad)?;
        while let Some(node) = pass.heap.pop() {
            let node = node.0;
            if node.id < oldest {
                return Err(Error::Autograd(
                    "checkpoint: the function uses a tensor computed outside of it: \
                     pass that tensor as one of the inputs"
                        .into(),
                ));
            }
            let Some(grad) = pass.pending.remove(&node.id) else {
                continue;
            };
            pass.visit(&node, grad, retain)
                .map_err(|error| error.at(&node.place()))?;
        }
        Ok(pass.leaves)
    })
}

/// State of a backward pass.
#[derive(Default)]
struct Pass {
    /// Nodes with a gradient, youngest first.
    heap: BinaryHeap<ById>,
    /// Sum of the gradients that have reached each node in the heap.
    pending: HashMap<u64, Tensor>,
    leaves: Gradients,
}

impl Pass {
    fn visit(&mut self, node: &Node, grad: Tensor, retain: bool) -> Result<()> {
        let needs: Vec<bool> = node
            .edges
            .iter()
            .map(|edge| !matches!(edge.origin, Origin::Constant))
            .collect();
        let call = BackwardCall {
            grad: &grad,
            needs: &needs,
            retain,
            sum: match &node.edges[..] {
                [
                    Edge {
                        origin: Origin::Node(input),
                        ..
                    },
                ] => self.pending.get_mut(&input.id),
                _ => None,
            },
            captured: &mut self.leaves,
        };
        let grads = node.function.backward(call)?;
        // Freed here, so that a gradient passed on unchanged has one owner.
        drop(grad);
        if grads.len() != node.edges.len() {
            return Err(Error::Autograd(format!(
                "returned {} gradients for {} inputs",
                grads.len(),
                node.edges.len()
            )));
        }
        for (edge, grad) in node.edges.iter().zip(grads) {
            if let Some(grad) = grad {
                check_grad(&grad, &edge.shape, edge.dtype)?;
                self.send(edge, grad)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, edge: &Edge, grad: Tensor) -> Result<()> {
        match &edge.origin {
            Origin::Constant => Ok(()),
            Origin::Leaf(id) => self.leaves.add(*id, grad),
            Origin::Node(node) => {
                let sum = match self.pending.remove(&node.id) {
                    Some(sum) => add_into(sum, &grad)?,
                    None => {
                        self.heap.push(ById(Arc::clone(node)));
                        grad
                    }
                };
                self.pending.insert(node.id, sum);
                Ok(())
            }
        }
    }
}

/// `sum + grad`, in the memory of `sum` if it has no other owner.
fn add_into(mut sum: Tensor, grad: &Tensor) -> Result<Tensor> {
    if sum.add_in_place(grad)? {
        Ok(sum)
    } else {
        sum.add(grad)
    }
}

fn check_grad(grad: &Tensor, shape: &[usize], dtype: crate::DType) -> Result<()> {
    if grad.shape() != shape || grad.dtype() != dtype {
        return Err(Error::Autograd(format!(
            "a gradient of shape {:?} {} does not fit its tensor of shape {shape:?} {dtype}",
            grad.shape(),
            grad.dtype()
        )));
    }
    Ok(())
}

/// Orders nodes by age.
struct ById(Arc<Node>);

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}

impl PartialOrd for ById {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ById {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.id.cmp(&other.0.id)
    }
}
