//! A slice seen as a logical `[N, C, H, W]` array with any strides.
//!
//! What the reference kernels read and write. Strides count elements; a stride of zero repeats.

use crate::error::{KernelError, check_len};
use crate::geometry::{GeometryError, Layout, element_count};
use crate::real::Real;

/// Read access to a slice as `[N, C, H, W]`.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, T> {
    data: &'a [T],
    shape: [usize; 4],
    strides: [usize; 4],
}

/// Write access to a slice as `[N, C, H, W]`.
#[derive(Debug)]
pub struct ViewMut<'a, T> {
    data: &'a mut [T],
    shape: [usize; 4],
    strides: [usize; 4],
}

/// The strides of a dense `[N, C, H, W]` array of `layout`.
pub fn dense_strides([_, c, h, w]: [usize; 4], layout: Layout) -> [usize; 4] {
    match layout {
        Layout::Nchw => [c * h * w, h * w, w, 1],
        Layout::Nhwc => [c * h * w, 1, w * c, c],
    }
}

/// The number of elements a slice must have to hold `shape` with `strides`.
fn extent(shape: [usize; 4], strides: [usize; 4]) -> Result<usize, GeometryError> {
    if shape.contains(&0) {
        return Ok(0);
    }
    let last = shape
        .iter()
        .zip(strides)
        .try_fold(0_usize, |last, (&size, stride)| {
            (size - 1)
                .checked_mul(stride)
                .and_then(|reach| last.checked_add(reach))
        });
    last.and_then(|l| l.checked_add(1)).ok_or_else(|| {
        let rule = "the last element's offset must fit the address space";
        GeometryError::new("view", "strides", format!("{strides:?}"), rule)
    })
}

fn check(shape: [usize; 4], strides: [usize; 4], len: usize) -> Result<(), KernelError> {
    element_count("view", "shape", &shape)?;
    let expected = extent(shape, strides)?;
    if expected <= len {
        Ok(())
    } else {
        Err(KernelError::Length {
            op: "view",
            operand: "data",
            expected,
            got: len,
        })
    }
}

fn check_dense(shape: [usize; 4], len: usize) -> Result<(), KernelError> {
    check_len("view", "data", len, element_count("view", "shape", &shape)?)
}

macro_rules! constructors {
    ($view:ident, $slice:ty) => {
        impl<'a, T> $view<'a, T> {
            /// Dense data with contiguous rows.
            ///
            /// # Errors
            /// If the slice has not exactly the shape's number of elements.
            pub fn nchw(data: $slice, shape: [usize; 4]) -> Result<Self, KernelError> {
                Self::dense(data, shape, Layout::Nchw)
            }

            /// Dense data with contiguous channels.
            ///
            /// # Errors
            /// If the slice has not exactly the shape's number of elements.
            pub fn nhwc(data: $slice, shape: [usize; 4]) -> Result<Self, KernelError> {
                Self::dense(data, shape, Layout::Nhwc)
            }

            /// Dense data of either layout.
            ///
            /// # Errors
            /// If the slice has not exactly the shape's number of elements.
            pub fn dense(
                data: $slice,
                shape: [usize; 4],
                layout: Layout,
            ) -> Result<Self, KernelError> {
                check_dense(shape, data.len())?;
                Ok(Self {
                    data,
                    shape,
                    strides: dense_strides(shape, layout),
                })
            }

            /// Data with any strides.
            ///
            /// # Errors
            /// If an index of the shape leads outside the slice.
            pub fn strided(
                data: $slice,
                shape: [usize; 4],
                strides: [usize; 4],
            ) -> Result<Self, KernelError> {
                check(shape, strides, data.len())?;
                Ok(Self {
                    data,
                    shape,
                    strides,
                })
            }

            /// The logical shape `[N, C, H, W]`.
            pub fn shape(&self) -> [usize; 4] {
                self.shape
            }

            /// The strides of `N`, `C`, `H`, `W` in elements.
            pub fn strides(&self) -> [usize; 4] {
                self.strides
            }

            #[inline(always)]
            fn offset(&self, n: usize, c: usize, h: usize, w: usize) -> usize {
                let [sn, sc, sh, sw] = self.strides;
                n * sn + c * sc + h * sh + w * sw
            }
        }
    };
}

constructors!(View, &'a [T]);
constructors!(ViewMut, &'a mut [T]);

/// Whether the strides are those of dense data of `layout`. The stride of a dimension of size one does not matter.
fn is_dense(shape: [usize; 4], strides: [usize; 4], layout: Layout) -> bool {
    let dense = dense_strides(shape, layout);
    (0..4).all(|d| shape[d] == 1 || strides[d] == dense[d])
}

impl<'a, T> View<'a, T> {
    /// The elements, if they are dense in `layout`.
    pub fn as_dense(&self, layout: Layout) -> Option<&'a [T]> {
        let len = self.shape.iter().product();
        (len == 0 || is_dense(self.shape, self.strides, layout)).then(|| &self.data[..len])
    }
}

impl<T> ViewMut<'_, T> {
    /// The elements for writing, if they are dense in `layout`.
    pub fn as_dense_mut(&mut self, layout: Layout) -> Option<&mut [T]> {
        let len = self.shape.iter().product();
        (len == 0 || is_dense(self.shape, self.strides, layout)).then(|| &mut self.data[..len])
    }
}

impl<T: Copy> View<'_, T> {
    /// The element at `[n, c, h, w]`, which must be inside the shape.
    #[inline(always)]
    pub fn at(&self, n: usize, c: usize, h: usize, w: usize) -> T {
        self.data[self.offset(n, c, h, w)]
    }
}

impl<T: Copy> ViewMut<'_, T> {
    /// The element at `[n, c, h, w]`, which must be inside the shape.
    #[inline(always)]
    pub fn at(&self, n: usize, c: usize, h: usize, w: usize) -> T {
        self.data[self.offset(n, c, h, w)]
    }

    /// The element at `[n, c, h, w]`, which must be inside the shape, for writing.
    #[inline(always)]
    pub fn at_mut(&mut self, n: usize, c: usize, h: usize, w: usize) -> &mut T {
        let offset = self.offset(n, c, h, w);
        &mut self.data[offset]
    }

    /// Writes the element at `[n, c, h, w]`, which must be inside the shape.
    #[inline(always)]
    pub fn set(&mut self, n: usize, c: usize, h: usize, w: usize, value: T) {
        *self.at_mut(n, c, h, w) = value;
    }

    /// Writes `value` to every element of the shape.
    pub fn fill(&mut self, value: T) {
        let [n, c, h, w] = self.shape;
        for n in 0..n {
            for c in 0..c {
                for h in 0..h {
                    (0..w).for_each(|w| self.set(n, c, h, w, value));
                }
            }
        }
    }

    /// The same elements for reading.
    pub fn as_view(&self) -> View<'_, T> {
        View {
            data: self.data,
            shape: self.shape,
            strides: self.strides,
        }
    }
}

/// The data of a view that vector kernels of channels-last images can read.
pub(crate) fn source<'a, R: Real>(view: &View<'a, R>) -> Option<&'a [f32]> {
    R::as_f32(view.as_dense(Layout::Nhwc)?)
}

/// The data of a view that vector kernels of channels-last images can write.
pub(crate) fn target<'a, R: Real>(view: &'a mut ViewMut<'_, R>) -> Option<&'a mut [f32]> {
    R::as_f32_mut(view.as_dense_mut(Layout::Nhwc)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_read_the_same_logical_element() {
        let shape = [2, 3, 2, 2];
        let nchw: Vec<usize> = (0..24).collect();
        let mut nhwc = vec![0; 24];
        let source = View::nchw(&nchw, shape).unwrap();
        let mut target = ViewMut::nhwc(&mut nhwc, shape).unwrap();
        for i in 0..24 {
            let [n, c, h, w] = [i / 12, i / 4 % 3, i / 2 % 2, i % 2];
            assert_eq!(source.at(n, c, h, w), i);
            target.set(n, c, h, w, i);
        }
        assert_eq!(&nhwc[..6], &[0, 4, 8, 1, 5, 9]);
    }

    #[test]
    fn dense_data_is_recognised() {
        let data = [0; 24];
        let view = View::strided(&data, [2, 1, 3, 4], [12, 7, 4, 1]).unwrap();
        assert_eq!(view.as_dense(Layout::Nchw).map(<[i32]>::len), Some(24));
        assert!(
            view.as_dense(Layout::Nhwc).is_some(),
            "one channel has no place of its own"
        );
        let view = View::nhwc(&data, [2, 3, 2, 2]).unwrap();
        assert!(view.as_dense(Layout::Nhwc).is_some() && view.as_dense(Layout::Nchw).is_none());
        let gaps = View::strided(&data, [2, 2, 2, 2], [12, 1, 6, 2]).unwrap();
        assert!(gaps.as_dense(Layout::Nhwc).is_none());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let data = [0.0_f32; 12];
        assert!(View::nchw(&data, [1, 3, 2, 3]).is_err());
        assert!(View::strided(&data, [1, 3, 2, 2], [0, 4, 2, 1]).is_ok());
        assert!(View::strided(&data, [1, 3, 2, 2], [0, 4, 3, 1]).is_err());
        assert!(View::strided(&data, [1, 3, 2, 2], [0, usize::MAX, 3, 1]).is_err());
        assert!(
            View::strided(&data, [9, 1, 1, 1], [0, 0, 0, 0]).is_ok(),
            "a repeated element"
        );
        assert!(
            View::strided(&data[..0], [0, 3, 2, 2], [9, 9, 9, 9]).is_ok(),
            "nothing to read"
        );
        assert!(View::nchw(&data, [usize::MAX, usize::MAX, 0, 1]).is_err());
    }
}
