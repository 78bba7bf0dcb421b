//! Weights in the orders in which kernels read them.
//!
//! Packing the weights of a convolution costs as much as a convolution of a small image. So what was
//! packed is kept beside the elements it was made from: it is found by every tensor that shares them,
//! on any thread, is forgotten when the elements change, and is freed with them. A weight is thus
//! packed once for each of its values, when it is first used.
//!
//! In inference that is the second time: a network that runs once would need twice the memory for nothing, and memory that is
//! fresh takes longer to come than packing.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use striate_kernels::conv_transpose2d;
use striate_kernels::conv2d::{Arrangement, PackedWeights};
use striate_kernels::deform_conv2d;
use striate_kernels::gemm::PackedB;
use striate_simd::Level;

use crate::Result;
use crate::layout::Layout;

/// The most that is kept: a weight that is used at ever more image sizes or levels must not grow.
const KEPT: usize = 4;

/// Elements in the order of a kernel.
pub(crate) trait Packed: Any + Send + Sync {
    /// Besides the elements, all that the result of packing depends on.
    type Key: PartialEq;

    /// What this was packed for.
    fn key(&self) -> Self::Key;
}

/// The weights of a convolution, dense `[O, C/groups, KH, KW]` in the logical order.
impl Packed for PackedWeights {
    type Key = Arrangement;

    fn key(&self) -> Arrangement {
        *self.arrangement()
    }
}

/// The weights of a transposed convolution, dense `[C, O/groups, KH, KW]` in the logical order.
impl Packed for conv_transpose2d::PackedWeights {
    type Key = conv_transpose2d::Arrangement;

    fn key(&self) -> conv_transpose2d::Arrangement {
        self.arrangement().clone()
    }
}

/// The weights of a deformable convolution, in any memory order.
impl Packed for deform_conv2d::PackedWeights {
    /// The level and the groups.
    type Key = (Level, usize);

    fn key(&self) -> Self::Key {
        (self.level(), self.groups())
    }
}

/// The weights of a linear map, whose transpose is the right operand of a product.
impl Packed for PackedB {
    type Key = Level;

    fn key(&self) -> Level {
        self.level()
    }
}

/// What was packed of one buffer, the least recently used first.
#[derive(Debug, Default)]
pub(crate) struct Packs {
    entries: Mutex<Vec<Entry>>,
    /// Whether the elements were used without keeping anything.
    used: AtomicBool,
}

/// The elements of one view, packed.
#[derive(Debug)]
struct Entry {
    view: Layout,
    packed: Arc<dyn Any + Send + Sync>,
}

impl Packs {
    /// The elements of `view` packed for `key`: what is kept, or else what `pack` makes of them.
    pub(crate) fn get<P: Packed>(
        &self,
        view: &Layout,
        key: &P::Key,
        pack: impl FnOnce() -> Result<P>,
    ) -> Result<Arc<P>> {
        if let Some(packed) = find(&mut self.entries(), view, key) {
            return Ok(packed);
        }
        // Not under the lock: packing waits for other threads, and they may need the lock. Two that
        // come first at once pack both, and keep one.
        let packed = Arc::new(pack()?);
        let mut entries = self.entries();
        if let Some(packed) = find(&mut entries, view, key) {
            return Ok(packed);
        }
        let oldest = (entries.len() >= KEPT).then(|| entries.remove(0));
        entries.push(Entry {
            view: view.clone(),
            packed: Arc::clone(&packed) as _,
        });
        drop(entries);
        drop(oldest);
        Ok(packed)
    }

    /// As [`get`](Self::get), but nothing the first time, if nothing is kept yet: elements that are used once are not worth it.
    pub(crate) fn get_again<P: Packed>(
        &self,
        view: &Layout,
        key: &P::Key,
        pack: impl FnOnce() -> Result<P>,
    ) -> Result<Option<Arc<P>>> {
        if !self.used.swap(true, Ordering::Relaxed) && self.entries().is_empty() {
            return Ok(None);
        }
        self.get(view, key, pack).map(Some)
    }

    /// Forgets everything: the elements are about to change.
    pub(crate) fn clear(&mut self) {
        *self.used.get_mut() = false;
        let entries = self.entries.get_mut();
        entries.unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is kept for `view` and `key`, which becomes the most recently used.
fn find<P: Packed>(entries: &mut [Entry], view: &Layout, key: &P::Key) -> Option<Arc<P>> {
    let at = entries.iter().position(|entry| {
        let packed = entry.packed.downcast_ref::<P>();
        entry.view == *view && packed.is_some_and(|packed| packed.key() == *key)
    })?;
    entries[at..].rotate_left(1);
    let packed = Arc::clone(&entries.last()?.packed);
    packed.downcast().ok()
}

#[cfg(test)]
mod tests;
