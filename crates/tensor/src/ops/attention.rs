//! Attention.

use striate_kernels::attention::pairs::{self, Pairs};
use striate_kernels::attention::{self, AttentionGeometry, Operands, Outcome};
use striate_simd::Buffer;

use super::{check_float, check_same_dtype};
use crate::autograd::{Description, Function, apply};
use crate::dtype::match_float;
use crate::{Element, Error, MemoryFormat, Result, Tensor, current_level};

const OP: &str = "attention";

impl Tensor {
    /// Attention: each query gathers the values, weighted by the softmax of its products with the keys.
    ///
    /// `y[b,i] = sum over j of softmax_j(scale * q[b,i] . k[b,j]) v[b,j]`
    ///
    /// The weights are never stored, neither forward nor backward: memory is linear in `P` and `Q`.
    ///
    /// # Shapes
    /// The queries `self [B, P, D]`, `keys [B, Q, D]`, `values [B, Q, E]` to `[B, P, E]`.
    ///
    /// # Errors
    /// The shapes do not fit each other, there are no keys or they are empty, element types differ, or memory is out.
    pub fn attention(&self, keys: &Self, values: &Self, scale: f64) -> Result<Self> {
        check_float(OP, self)?;
        check_same_dtype(OP, self, keys)?;
        check_same_dtype(OP, self, values)?;
        let [b, p, d] = self.dims_array(OP)?;
        let [keys_b, q, keys_d] = keys.dims_array(OP)?;
        let [values_b, values_q, e] = values.dims_array(OP)?;
        if [keys_b, values_b, keys_d, values_q] != [b, b, d, q] {
            let [x, k, v] = [self, keys, values].map(Self::shape);
            let detail =
                format!("expected [B, P, D], [B, Q, D] and [B, Q, E], got {x:?}, {k:?}, {v:?}");
            return Err(Error::shape(OP, detail));
        }
        let geometry = AttentionGeometry::new(b, [p, q], [d, e])?;
        apply(Attention { geometry, scale }, [self, keys, values])
    }

    /// Gathers values by the positive parts of sums: `y[b,i] = sum over j of max(self[b,i] + keys[b,j], 0) values[b,j]`,
    /// in time and memory linear in `P` and `Q`.
    ///
    /// # Shapes
    /// `self [B, P]`, `keys [B, Q]`, `values [B, Q, E]` to `[B, P, E]`.
    ///
    /// # Errors
    /// The shapes do not fit each other, there are no keys or values, element types differ, or memory is out.
    pub fn rectified_pairs(&self, keys: &Self, values: &Self) -> Result<Self> {
        const OP: &str = "rectified_pairs";
        check_float(OP, self)?;
        check_same_dtype(OP, self, keys)?;
        check_same_dtype(OP, self, values)?;
        let [b, p] = self.dims_array(OP)?;
        let [values_b, q, e] = values.dims_array(OP)?;
        if values_b != b || keys.shape() != [b, q] {
            let [x, k, v] = [self, keys, values].map(Self::shape);
            let detail = format!("expected [B, P], [B, Q] and [B, Q, E], got {x:?}, {k:?}, {v:?}");
            return Err(Error::shape(OP, detail));
        }
        let geometry = AttentionGeometry::new(b, [p, q], [1, e])?;
        apply(RectifiedPairs(geometry), [self, keys, values])
    }
}

#[derive(Debug)]
struct Attention {
    geometry: AttentionGeometry,
    scale: f64,
}

struct Saved {
    /// Queries, keys and values, in row-major order.
    x: [Tensor; 3],
    y: Tensor,
    log_sums: Tensor,
}

impl Attention {
    fn operands<'a, T: Element>(&self, [q, k, v]: &'a [Tensor; 3]) -> Result<Operands<'a, T>> {
        Ok(Operands {
            q: q.memory()?,
            k: k.memory()?,
            v: v.memory()?,
            scale: self.scale,
        })
    }
}

impl Function<3> for Attention {
    type Saved = Saved;

    fn describe(&self) -> Description {
        let g = &self.geometry;
        Description::new(OP)
            .with("queries", g.queries())
            .with("keys", g.keys())
            .with("scale", self.scale)
    }

    fn forward(&self, [q, k, v]: [&Tensor; 3]) -> Result<(Tensor, Saved)> {
        let (g, level) = (&self.geometry, current_level()?);
        let x = [q.contiguous()?, k.contiguous()?, v.contiguous()?];
        let [y, log_sums] = match_float!(OP, q.dtype(), T => {
            let mut y = Buffer::<T>::recycled(g.y_len())?;
            let mut log_sums = Buffer::<T>::recycled(g.rows())?;
            attention::forward(level, g, &self.operands::<T>(&x)?, &mut y, &mut log_sums)?;
            let shape = [g.batch(), g.queries(), g.values()];
            [
                Tensor::from_buffer(y, shape, MemoryFormat::RowMajor)?,
                Tensor::from_buffer(log_sums, g.rows(), MemoryFormat::RowMajor)?,
            ]
        });
        Ok((y.clone(), Saved { x, y, log_sums }))
    }

    fn backward(
        &self,
        Saved { x, y, log_sums }: &Saved,
        grad: &Tensor,
        needs: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let (g, level) = (&self.geometry, current_level()?);
        let grad = grad.contiguous()?;
        let gradients = match_float!(OP, grad.dtype(), T => {
            let outcome = Outcome {
                y: y.memory::<T>()?,
                log_sums: log_sums.memory()?,
            };
            let mut dq = Buffer::<T>::recycled(g.q_len())?;
            let mut dk = Buffer::<T>::recycled(g.k_len())?;
            let mut dv = Buffer::<T>::recycled(g.v_len())?;
            let all = [&mut dq[..], &mut dk[..], &mut dv[..]];
            attention::backward(level, g, &self.operands(x)?, &outcome, grad.memory()?, all)?;
            let of = |memory, x: &Tensor| Tensor::from_buffer(memory, x.shape(), MemoryFormat::RowMajor);
            [of(dq, &x[0])?, of(dk, &x[1])?, of(dv, &x[2])?]
        });
        let mut needs = needs.into_iter();
        Ok(gradients.map(|gradient| needs.next().unwrap_or(false).then_some(gradient)))
    }
}

#[derive(Debug)]
struct RectifiedPairs(AttentionGeometry);

fn pairs_of<T: Element>([a, b, v]: &[Tensor; 3]) -> Result<Pairs<'_, T>> {
    Ok(Pairs {
        a: a.memory()?,
        b: b.memory()?,
        v: v.memory()?,
    })
}

impl Function<3> for RectifiedPairs {
    /// The operands, in row-major order.
    type Saved = [Tensor; 3];

    fn describe(&self) -> Description {
        Description::new("rectified_pairs")
            .with("queries", self.0.queries())
            .with("keys", self.0.keys())
    }

    fn forward(&self, [a, b, v]: [&Tensor; 3]) -> Result<(Tensor, [Tensor; 3])> {
        let g = &self.0;
        let x = [a.contiguous()?, b.contiguous()?, v.contiguous()?];
        let y = match_float!("rectified_pairs", a.dtype(), T => {
            let mut y = Buffer::<T>::recycled(g.y_len())?;
            pairs::forward(g, &pairs_of::<T>(&x)?, &mut y)?;
            let shape = [g.batch(), g.queries(), g.values()];
            Tensor::from_buffer(y, shape, MemoryFormat::RowMajor)?
        });
        Ok((y, x))
    }

    fn backward(
        &self,
        x: &[Tensor; 3],
        grad: &Tensor,
        needs: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let grad = grad.contiguous()?;
        let gradients = match_float!("rectified_pairs", grad.dtype(), T => {
            let [mut da, mut db, mut dv] = [
                Buffer::<T>::recycled(x[0].numel())?,
                Buffer::<T>::recycled(x[1].numel())?,
                Buffer::<T>::recycled(x[2].numel())?,
            ];
            let all = [&mut da[..], &mut db[..], &mut dv[..]];
            pairs::backward(&self.0, &pairs_of(x)?, grad.memory()?, all)?;
            let of = |memory, x: &Tensor| Tensor::from_buffer(memory, x.shape(), MemoryFormat::RowMajor);
            [of(da, &x[0])?, of(db, &x[1])?, of(dv, &x[2])?]
        });
        let mut needs = needs.into_iter();
        Ok(gradients.map(|gradient| needs.next().unwrap_or(false).then_some(gradient)))
    }
}
