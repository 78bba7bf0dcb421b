//! Dimensions in another order.

use crate::autograd::{Description, Function, apply};
use crate::ops::{check_dim, check_dims};
use crate::{Error, Result, Tensor};

impl Tensor {
    /// Dimension `i` of the result is dimension `order[i]`. Shares memory.
    ///
    /// # Errors
    /// `order` does not name every dimension once.
    pub fn permute(&self, order: &[usize]) -> Result<Self> {
        const OP: &str = "permute";
        check_dims(OP, self, order)?;
        if order.len() != self.rank() {
            let detail = format!(
                "order {order:?} does not name every dimension of {:?}",
                self.shape()
            );
            return Err(Error::index(OP, detail));
        }
        apply(
            Permute {
                order: order.to_vec(),
            },
            [self],
        )
    }

    /// Exchanges two dimensions. Shares memory.
    ///
    /// # Errors
    /// There are no such dimensions.
    pub fn transpose(&self, a: usize, b: usize) -> Result<Self> {
        check_dim("transpose", self, a)?;
        check_dim("transpose", self, b)?;
        let mut order: Vec<usize> = (0..self.rank()).collect();
        order.swap(a, b);
        apply(Permute { order }, [self])
    }
}

struct Permute {
    order: Vec<usize>,
}

impl Function<1> for Permute {
    type Saved = ();

    fn describe(&self) -> Description {
        Description::new("permute").with("order", &self.order)
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, ())> {
        Ok((x.view(x.layout().permute(&self.order)), ()))
    }

    fn backward(&self, (): &(), grad: &Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        let mut inverse = vec![0; self.order.len()];
        for (to, &from) in self.order.iter().enumerate() {
            inverse[from] = to;
        }
        Ok([Some(grad.permute(&inverse)?)])
    }
}
