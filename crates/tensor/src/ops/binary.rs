//! Functions of two numbers, with broadcasting.
//!
//! Dimensions are matched from the right; sizes must be equal or one of them 1. The result has the
//! memory order of the larger operand.

use striate_kernels::elementwise::{
    Binary, BinaryGeometry, Unary, accumulate, binary, unary_backward,
};
use striate_kernels::reduce::{ReduceGeometry, sum_of_products};
use striate_simd::Buffer;

use crate::autograd::{Description, Function, apply, is_shapes_only};
use crate::dtype::match_float;
use crate::layout::{Layout, broadcast_layouts};
use crate::level::current_level;
use crate::nest::{nest, zip};
use crate::ops::check_same_dtype;
use crate::ops::dense::{in_order_of, renested};
use crate::ops::sum::{MEMORY_ORDER, USUAL_ORDER, in_memory_order};
use crate::{Element, Error, Result, Tensor};

macro_rules! binary_methods {
    ($($(#[doc = $doc:literal])+ $name:ident = $op:ident;)+) => {
        impl Tensor {$(
            $(#[doc = $doc])+
            ///
            /// # Errors
            /// The shapes do not broadcast, or the operands are not floats of one type.
            pub fn $name(&self, other: &Self) -> Result<Self> {
                check_same_dtype(stringify!($name), self, other)?;
                apply(Pairwise { name: stringify!($name), op: Binary::$op }, [self, other])
            }
        )+}
    };
}

binary_methods! {
    /// `self + other`
    add = Add;
    /// `self - other`
    sub = Sub;
    /// `self * other`
    mul = Mul;
    /// `self / other`
    div = Div;
    /// The larger of each pair; NaN if either is. Equal numbers share the gradient.
    maximum = Max;
    /// The smaller of each pair; NaN if either is. Equal numbers share the gradient.
    minimum = Min;
    /// `max(self + other, 0)`: the end of a residual block, in one pass over memory.
    add_relu = AddRelu;
}

struct Pairwise {
    name: &'static str,
    op: Binary,
}

/// The operands as far as the derivative wants them, and their shapes.
struct PairwiseSaved {
    a: Option<Tensor>,
    b: Option<Tensor>,
    y: Option<Tensor>,
    a_shape: Vec<usize>,
    b_shape: Vec<usize>,
}

impl Function<2> for Pairwise {
    type Saved = PairwiseSaved;

    fn describe(&self) -> Description {
        Description::new(self.name)
    }

    fn forward(&self, [a, b]: [&Tensor; 2]) -> Result<(Tensor, PairwiseSaved)> {
        let y = match_float!(self.name, a.dtype(), T => compute::<T>(self.name, self.op, a, b)?);
        let (keeps_operands, keeps_value) = match self.op {
            Binary::Mul | Binary::Max | Binary::Min => ([true, true], false),
            Binary::Div => ([false, true], true),
            Binary::AddRelu => ([false, false], true),
            _ => ([false, false], false),
        };
        let saved = PairwiseSaved {
            a: keeps_operands[0].then(|| a.clone()),
            b: keeps_operands[1].then(|| b.clone()),
            y: keeps_value.then(|| y.clone()),
            a_shape: a.shape().to_vec(),
            b_shape: b.shape().to_vec(),
        };
        Ok((y, saved))
    }

    fn backward(
        &self,
        saved: &PairwiseSaved,
        grad: &Tensor,
        needs: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let PairwiseSaved {
            a,
            b,
            y,
            a_shape,
            b_shape,
        } = saved;
        let wanted = |i: usize, f: &dyn Fn() -> Result<Tensor>| {
            if needs[i] { f().map(Some) } else { Ok(None) }
        };
        match (self.op, a, b, y) {
            (Binary::Add, ..) => Ok([
                wanted(0, &|| grad.sum_to(a_shape))?,
                wanted(1, &|| grad.sum_to(b_shape))?,
            ]),
            (Binary::Sub, ..) => Ok([
                wanted(0, &|| grad.sum_to(a_shape))?,
                wanted(1, &|| grad.sum_to(b_shape)?.neg())?,
            ]),
            (Binary::Mul, Some(a), Some(b), _) => Ok([
                wanted(0, &|| product_summed_to(grad, b, a_shape))?,
                wanted(1, &|| product_summed_to(grad, a, b_shape))?,
            ]),
            (Binary::Div, _, Some(b), Some(y)) => {
                let by_a = grad.div(b)?;
                Ok([
                    wanted(0, &|| by_a.sum_to(a_shape))?,
                    wanted(1, &|| product_summed_to(&by_a, y, b_shape)?.neg())?,
                ])
            }
            (Binary::Max | Binary::Min, Some(a), Some(b), _) => {
                let share = self.share_of_first(a, b)?;
                let by_a = grad.mul(&share)?;
                Ok([
                    wanted(0, &|| by_a.sum_to(a_shape))?,
                    wanted(1, &|| grad.sub(&by_a)?.sum_to(b_shape))?,
                ])
            }
            (Binary::AddRelu, _, _, Some(y)) => {
                let layout = Layout::dense_like(self.name, y.shape(), y.layout())?;
                let [y, grad] = [in_order_of(y, &layout)?, in_order_of(grad, &layout)?];
                let passed = match_float!(self.name, grad.dtype(), T => {
                    let mut passed = Buffer::<T>::recycled(grad.numel())?;
                    let (level, op) = (current_level()?, Unary::Relu);
                    unary_backward(level, op, y.memory()?, grad.memory()?, &mut passed)?;
                    Tensor::from_parts(passed, layout)
                });
                Ok([
                    wanted(0, &|| passed.sum_to(a_shape))?,
                    wanted(1, &|| passed.sum_to(b_shape))?,
                ])
            }
            _ => Err(Error::Autograd(format!("{} has no derivative", self.name))),
        }
    }
}

impl Pairwise {
    /// 1 where the first operand is the extreme, 1/2 where both are, else 0.
    fn share_of_first(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let max = self.op == Binary::Max;
        match_float!(self.name, a.dtype(), T => zip::<T, T>(self.name, a, b, |a, b| {
            if a == b {
                0.5
            } else if (a > b) == max {
                1.0
            } else {
                0.0
            }
        }))
    }
}

fn compute<T: Element + striate_kernels::real::Real>(
    name: &'static str,
    op: Binary,
    a: &Tensor,
    b: &Tensor,
) -> Result<Tensor> {
    let [_, _, out] = broadcast_layouts(name, a.layout(), b.layout())?;
    if is_shapes_only() {
        return Ok(Tensor::from_parts(Buffer::<T>::recycled(out.numel())?, out));
    }
    let copies = [renested(a, &out)?, renested(b, &out)?];
    let [a, b] = [
        copies[0].as_ref().unwrap_or(a),
        copies[1].as_ref().unwrap_or(b),
    ];
    let [la, lb] = [
        a.layout().expand(name, out.shape())?,
        b.layout().expand(name, out.shape())?,
    ];
    let geometry = BinaryGeometry::new(out.shape(), la.strides(), lb.strides(), out.strides())?;
    let mut y = Buffer::<T>::recycled(out.numel())?;
    // Expanding keeps the first element, so each operand's memory serves its wider layout.
    binary(
        current_level()?,
        op,
        &geometry,
        a.memory()?,
        b.memory()?,
        &mut y,
    )?;
    Ok(Tensor::from_parts(y, out))
}

/// `(x * y).sum_to(shape)`, in one pass if something is summed.
fn product_summed_to(x: &Tensor, y: &Tensor, shape: &[usize]) -> Result<Tensor> {
    const OP: &str = "mul";
    let [_, _, full] = broadcast_layouts(OP, x.layout(), y.layout())?;
    if full.shape() == shape {
        return x.mul(y);
    }
    let copies = [renested(x, &full)?, renested(y, &full)?];
    let [x, y] = [
        copies[0].as_ref().unwrap_or(x),
        copies[1].as_ref().unwrap_or(y),
    ];
    let [lx, ly] = [
        x.layout().expand(OP, full.shape())?,
        y.layout().expand(OP, full.shape())?,
    ];
    let lead = full.rank() - shape.len();
    let axes: Vec<usize> = (0..full.rank())
        .filter(|&d| d < lead || (shape[d - lead] == 1 && full.shape()[d] != 1))
        .collect();
    // What is left besides the summed dimensions are those of `shape`, up to ones.
    let (layouts, axes, out) = match in_memory_order(&full, &axes).filter(|_| lead == 0) {
        Some(axes) => {
            let out = MEMORY_ORDER.map(|d| shape[d]);
            let out = Layout::row_major(OP, &out)?.permute(&USUAL_ORDER);
            ([full, lx, ly].map(|l| l.permute(&MEMORY_ORDER)), axes, out)
        }
        None => ([full, lx, ly], axes, Layout::row_major(OP, shape)?),
    };
    let [full, lx, ly] = layouts;
    let geometry = ReduceGeometry::pair(full.shape(), lx.strides(), ly.strides(), &axes)?;
    match_float!(OP, x.dtype(), T => {
        let mut sums = Buffer::<T>::recycled(geometry.output_len())?;
        sum_of_products(current_level()?, &geometry, x.memory()?, y.memory()?, &mut sums)?;
        Ok(Tensor::from_parts(sums, out))
    })
}

impl Tensor {
    /// Adds `other`, of the same shape and type, in place if this handle is the only owner of dense
    /// memory; else does nothing and returns false.
    pub(crate) fn add_in_place(&mut self, other: &Self) -> Result<bool> {
        self.add_to_part(&self.layout().clone(), other)
    }

    /// [`add_in_place`](Self::add_in_place) to a part of this tensor, whose layout is given.
    pub(crate) fn add_to_part(&mut self, part: &Layout, other: &Self) -> Result<bool> {
        const OP: &str = "add";
        check_same_dtype(OP, self, other)?;
        if part.shape() != other.shape() || !self.layout().is_dense() {
            return Ok(false);
        }
        let copy = renested(other, part)?;
        let other = copy.as_ref().unwrap_or(other);
        // Memory is counted from the first element of the whole.
        let start = part.offset() - self.layout().offset();
        let nest = nest(OP, [part, other.layout()])?;
        match_float!(OP, self.dtype(), T => {
            let Some(sum) = self.sole_memory_mut::<T>() else { return Ok(false) };
            if !nest.is_empty() {
                accumulate(current_level()?, &nest, 1.0, other.memory::<T>()?, &mut sum[start..])?;
            }
            Ok(true)
        })
    }
}
