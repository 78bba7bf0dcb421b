//! Arrays from functions, for code that is compiled for a level.
//!
//! The standard library's `from_fn` and `map` go through functions that the compiler may leave as they are: calls, and of
//! code without the features of the level. What is here is inlined in every build, as all of a kernel must be.

/// `[f(0), ..., f(N - 1)]`, called in this order.
#[inline(always)]
pub(crate) fn array<T: Copy, const N: usize>(mut f: impl FnMut(usize) -> T) -> [T; N] {
    const { assert!(N > 0, "the first element is what the others start from") };
    let mut values = [f(0); N];
    for i in 1..N {
        values[i] = f(i);
    }
    values
}

/// `N` slices to write to.
#[derive(Debug)]
pub(crate) struct Slices<'a, T, const N: usize>([Option<&'a mut [T]>; N]);

impl<'a, T, const N: usize> Slices<'a, T, N> {
    /// The slices `f(0), ..., f(N - 1)`, called in this order.
    #[inline(always)]
    pub(crate) fn new(mut f: impl FnMut(usize) -> &'a mut [T]) -> Self {
        let mut slices = [const { None }; N];
        for i in 0..N {
            slices[i] = Some(f(i));
        }
        Self(slices)
    }

    /// The same slices for a while, in places of their own: a loop may keep them in registers.
    #[inline(always)]
    pub(crate) fn reborrow(&mut self) -> Slices<'_, T, N> {
        let mut slices = self.0.iter_mut();
        Slices::new(
            #[inline(always)]
            |_| {
                let slice = slices.next().and_then(Option::as_deref_mut);
                slice.unwrap_or_default()
            },
        )
    }

    #[inline(always)]
    pub(crate) fn get(&mut self, i: usize) -> &mut [T] {
        self.0[i].as_deref_mut().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_called_in_order() {
        let mut calls = 0;
        let values: [usize; 5] = array(|i| {
            calls += 1;
            10 * i + calls
        });
        assert_eq!(values, [1, 12, 23, 34, 45]);
    }

    #[test]
    fn slices_can_be_written_to() {
        let mut data = [7; 6];
        let mut chunks = data.chunks_mut(2);
        let mut slices = Slices::<_, 3>::new(|_| chunks.next().unwrap_or_default());
        for i in 0..3 {
            slices.get(i).fill(i);
        }
        assert_eq!(data, [0, 0, 1, 1, 2, 2]);
    }
}
