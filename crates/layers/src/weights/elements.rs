//! Elements as files store them, and as tensors hold them.

use std::ops::Range;

use striate_tensor::{Element, Error, Result, Tensor};

/// An element type of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    /// Bytes and booleans.
    U8,
}

impl Kind {
    /// Bytes of an element.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::I8 | Self::U8 => 1,
        }
    }
}

/// In which order the bytes of an element are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endian {
    Little,
    Big,
}

/// Elements in memory: element `(i0, i1, ...)` is the one at `offset + i0*strides[0] + i1*strides[1] + ...` of `bytes`.
#[derive(Clone, Debug)]
pub(crate) struct Stored<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) kind: Kind,
    pub(crate) endian: Endian,
    pub(crate) offset: usize,
    pub(crate) shape: &'a [usize],
    pub(crate) strides: &'a [usize],
}

impl Stored<'_> {
    /// The elements in a tensor of the type that holds them exactly.
    ///
    /// A dimension of stride 0 repeats its elements without copies of them.
    pub(crate) fn tensor(&self) -> Result<Tensor> {
        let is_repeated = |d: usize| self.strides[d] == 0 && self.shape[d] > 1;
        let dims = 0..self.shape.len();
        let own: Vec<usize> = dims
            .clone()
            .map(|d| if is_repeated(d) { 1 } else { self.shape[d] })
            .collect();
        let tensor = match self.kind {
            Kind::F64 => self.plain(&own, f64::from_le_bytes),
            Kind::F32 => self.plain(&own, f32::from_le_bytes),
            Kind::I64 => self.plain(&own, i64::from_le_bytes),
            Kind::U8 => self.plain(&own, u8::from_le_bytes),
            Kind::F16 => self.gather(&own, |b| Some(half(u16::from_le_bytes(b)))),
            Kind::Bf16 => self.gather(&own, |b| {
                Some(f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16))
            }),
            Kind::I32 => self.gather(&own, |b| Some(i64::from(i32::from_le_bytes(b)))),
            Kind::I16 => self.gather(&own, |b| Some(i64::from(i16::from_le_bytes(b)))),
            Kind::I8 => self.gather(&own, |b| Some(i64::from(i8::from_le_bytes(b)))),
            Kind::U64 => self.gather(&own, |b| i64::try_from(u64::from_le_bytes(b)).ok()),
            Kind::U32 => self.gather(&own, |b| Some(i64::from(u32::from_le_bytes(b)))),
            Kind::U16 => self.gather(&own, |b| Some(i64::from(u16::from_le_bytes(b)))),
        }?;
        if dims.into_iter().any(is_repeated) {
            return tensor.expand(self.shape);
        }
        Ok(tensor)
    }

    /// Elements that tensors hold as they are stored: a single copy if they lie in row-major order.
    fn plain<T: Element, const N: usize>(
        &self,
        shape: &[usize],
        from_le: fn([u8; N]) -> T,
    ) -> Result<Tensor> {
        let places = self.places(shape)?;
        let is_native = N == 1 || cfg!(target_endian = "little") == (self.endian == Endian::Little);
        if is_native
            && self.is_row_major(shape)
            && let Some(bytes) = self.bytes.get(places.start * N..places.end * N)
            && let Ok(values) = bytemuck::try_cast_slice::<u8, T>(bytes)
        {
            return Tensor::from_slice(values, shape);
        }
        self.gather(shape, |b| Some(from_le(b)))
    }

    fn is_row_major(&self, shape: &[usize]) -> bool {
        let Some(own) = row_major(shape) else {
            return false;
        };
        let mut pairs = own.iter().zip(self.strides).zip(shape);
        pairs.all(|((own, stride), &dim)| dim == 1 || own == stride)
    }

    /// Each element of `shape` on its own, converted; `None` is one that the type cannot hold.
    fn gather<T: Element, const N: usize>(
        &self,
        shape: &[usize],
        convert: impl Fn([u8; N]) -> Option<T>,
    ) -> Result<Tensor> {
        let places = self.places(shape)?;
        let elements = &self.bytes.as_chunks::<N>().0[places];
        let mut values = Vec::new();
        let numel = shape.iter().product();
        if values.try_reserve_exact(numel).is_err() {
            return Err(Error::msg(format!(
                "no memory for a tensor of shape {shape:?}"
            )));
        }
        let mut place = 0;
        let mut index = vec![0; shape.len()];
        while values.len() < numel {
            let mut bytes = elements[place];
            if self.endian == Endian::Big {
                bytes.reverse();
            }
            let value = convert(bytes);
            values.push(value.ok_or_else(|| {
                Error::msg("an unsigned integer exceeds what 64 bits with a sign can hold")
            })?);
            // The next index, as a counter whose last dimension turns fastest.
            for d in (0..shape.len()).rev().filter(|&d| shape[d] > 1) {
                index[d] += 1;
                place += self.strides[d];
                if index[d] < shape[d] {
                    break;
                }
                place -= shape[d] * self.strides[d];
                index[d] = 0;
            }
        }
        Tensor::from_vec(values, shape)
    }

    /// The places from the first element to behind the last, which lie inside the bytes.
    fn places(&self, shape: &[usize]) -> Result<Range<usize>> {
        let held = self.bytes.len() / self.kind.size();
        let end = span(shape, self.strides).and_then(|span| self.offset.checked_add(span));
        match end {
            Some(_) if shape.contains(&0) => Ok(0..0),
            Some(end) if end <= held => Ok(self.offset..end),
            _ => Err(Error::msg(format!(
                "shape {:?} with strides {:?} from element {} does not lie inside a storage of {held} elements",
                self.shape, self.strides, self.offset
            ))),
        }
    }
}

/// Elements of a shape; `None` if they cannot be counted.
pub(crate) fn numel(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim))
}

/// Row-major strides; `None` if they cannot be counted.
pub(crate) fn row_major(shape: &[usize]) -> Option<Vec<usize>> {
    nested(shape.len(), shape.iter().copied().rev()).map(|mut strides| {
        strides.reverse();
        strides
    })
}

/// Column-major strides; `None` if they cannot be counted.
pub(crate) fn column_major(shape: &[usize]) -> Option<Vec<usize>> {
    nested(shape.len(), shape.iter().copied())
}

/// The strides of dimensions of these sizes, the innermost first.
fn nested(rank: usize, sizes: impl Iterator<Item = usize>) -> Option<Vec<usize>> {
    let mut strides = Vec::with_capacity(rank);
    let mut step = 1usize;
    for size in sizes {
        strides.push(step);
        step = step.checked_mul(size.max(1))?;
    }
    Some(strides)
}

/// Places from the first element to the last; `None` if they cannot be counted, or not be made out of as many dimensions.
fn span(shape: &[usize], strides: &[usize]) -> Option<usize> {
    if shape.len() != strides.len() {
        return None;
    }
    let numel = numel(shape)?;
    if numel == 0 {
        return Some(0);
    }
    shape
        .iter()
        .zip(strides)
        .try_fold(1usize, |span, (&dim, &stride)| {
            span.checked_add((dim - 1).checked_mul(stride)?)
        })
}

/// IEEE half precision to single, exactly.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10 & 0x1f);
    let mantissa = u32::from(bits & 0x3ff);
    match exponent {
        // Zero and subnormals: mantissa * 2^-24.
        0 => f32::from_bits(sign | (mantissa as f32 / 16_777_216.0).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | mantissa << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | mantissa << 13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_exact() {
        for (bits, value) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0400, 6.103_515_6e-5),
            (0x0001, 5.960_464_5e-8),
            (0x7c00, f32::INFINITY),
        ] {
            assert_eq!(half(bits), value, "{bits:#x}");
        }
        assert!(half(0x7e00).is_nan() && half(0x8000).is_sign_negative());
    }
}
