//! The caching allocator behind tensors and workspaces.
//!
//! Fresh memory costs more than most kernels: the system hands it out page by page, on first touch.
//! So blocks are kept when they are dropped and handed out again, and large ones ask for huge
//! pages. Sizes are rounded up to quarter powers of two, large ones to eighths, which bounds the waste to a
//! fifth or a ninth of a block and lets blocks be reused for sizes close by.
//!
//! A block is always initialised: zeroed by the system when it is new, with the contents of its
//! last owner when it is not. That is what makes [`Buffer::recycled`](crate::Buffer::recycled)
//! safe.

use crate::AllocError;
use memmap2::MmapMut;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Alignment of a block: a cache line, and an AVX-512 vector.
pub(crate) const ALIGN: usize = 64;
/// Blocks of this size or larger are mappings.
const LARGE: usize = 1 << 20;
/// What is this large or larger may get a block of up to twice the size.
const SHARED: usize = 1 << 16;
/// The size of a huge page, to which large blocks are aligned.
const HUGE_PAGE: usize = 2 << 20;
/// The largest block: half of what a slice can hold, so that rounding and alignment cannot
/// overflow.
const MAX_BYTES: usize = isize::MAX as usize / 2;
/// In use and cached together may be twice what was in use at a time since the cache was last trimmed, and at least this.
/// Twice, because the sizes that the parts of a training step need at their worst times add up to more than any time needs.
const CACHE_FLOOR: usize = 64 << 20;

/// Bytes in use by buffers and kept for reuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// In use now, rounded up to block sizes.
    pub current: usize,
    /// The most that was in use since the start or [`reset_peak`].
    pub peak: usize,
    /// Kept for reuse.
    pub cached: usize,
}

/// What is in use and cached now.
pub fn stats() -> MemoryStats {
    pool().stats
}

/// Starts a new measurement of the peak.
pub fn reset_peak() {
    let mut pool = pool();
    pool.stats.peak = pool.stats.current;
}

/// Gives the cached blocks back to the system.
pub fn trim() {
    let mut pool = pool();
    let free = std::mem::take(&mut pool.free);
    pool.stats.cached = 0;
    pool.most = pool.stats.current;
    drop(pool);
    // Outside the lock: unmapping takes time.
    drop(free);
}

/// Where the bytes of a block are.
enum Memory {
    Heap(Vec<u8>),
    Mapping(MmapMut),
}

/// Initialised, aligned memory of one size class.
pub(crate) struct Block {
    memory: Memory,
    offset: usize,
    bytes: usize,
}

impl Block {
    /// A zeroed block, if the system grants it.
    fn new(bytes: usize) -> Option<Self> {
        if bytes >= LARGE && cfg!(any(unix, windows)) {
            // Whole huge pages, or the system gives none; a remainder of less than three quarters of a page goes without, as
            // what lies behind the block in a huge page is memory for nothing.
            let huge = (bytes + HUGE_PAGE / 4) / HUGE_PAGE * HUGE_PAGE;
            let map = MmapMut::map_anon(bytes.max(huge) + HUGE_PAGE).ok()?;
            let offset = map.as_ptr().align_offset(HUGE_PAGE).min(HUGE_PAGE);
            // Advice: without huge pages the block is as good, only slower to touch first.
            #[cfg(target_os = "linux")]
            let _ = map.advise_range(memmap2::Advice::HugePage, offset, huge);
            #[cfg(not(target_os = "linux"))]
            let _ = huge;
            return Some(Self {
                memory: Memory::Mapping(map),
                offset,
                bytes,
            });
        }
        let mut heap = Vec::new();
        heap.try_reserve_exact(bytes + ALIGN).ok()?;
        heap.resize(bytes + ALIGN, 0);
        let offset = heap.as_ptr().align_offset(ALIGN).min(ALIGN);
        Some(Self {
            memory: Memory::Heap(heap),
            offset,
            bytes,
        })
    }

    /// The contents.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        let whole: &[u8] = match &self.memory {
            Memory::Heap(heap) => heap,
            Memory::Mapping(map) => map,
        };
        &whole[self.offset..][..self.bytes]
    }

    /// The contents.
    #[inline]
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        let whole: &mut [u8] = match &mut self.memory {
            Memory::Heap(heap) => heap,
            Memory::Mapping(map) => map,
        };
        &mut whole[self.offset..][..self.bytes]
    }
}

/// Free blocks by size, and the counts.
struct Pool {
    free: BTreeMap<usize, Class>,
    releases: u64,
    stats: MemoryStats,
    /// The peak since the cache was trimmed.
    most: usize,
}

/// Free blocks of one size.
#[derive(Default)]
struct Class {
    blocks: Vec<Block>,
    last_release: u64,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    free: BTreeMap::new(),
    releases: 0,
    stats: MemoryStats {
        current: 0,
        peak: 0,
        cached: 0,
    },
    most: 0,
});

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// A block of the size; if none is free, a larger one rather than fresh memory, as long as half of it is used.
    fn take(&mut self, bytes: usize) -> Option<Block> {
        let most = if bytes < SHARED { bytes } else { 2 * bytes };
        let mut classes = self.free.range_mut(bytes..=most);
        let block = classes.find_map(|(_, class)| class.blocks.pop())?;
        self.stats.cached -= block.bytes;
        self.count(block.bytes);
        Some(block)
    }

    fn count(&mut self, bytes: usize) {
        self.stats.current += bytes;
        self.stats.peak = self.stats.peak.max(self.stats.current);
        self.most = self.most.max(self.stats.current);
    }

    fn give(&mut self, block: Block) {
        let bytes = block.bytes;
        self.stats.current -= bytes;
        self.stats.cached += bytes;
        self.releases += 1;
        let class = self.free.entry(bytes).or_default();
        class.last_release = self.releases;
        class.blocks.push(block);
    }

    /// Removes blocks from the cache until it is within its bound, of the sizes not released for
    /// the longest time first: sizes nobody asks for any more must not pile up.
    fn evict(&mut self) -> Vec<Block> {
        let bound = (2 * self.most).max(CACHE_FLOOR);
        let mut evicted = Vec::new();
        while self.stats.cached + self.stats.current > bound {
            let classes = self
                .free
                .iter_mut()
                .filter(|(_, class)| !class.blocks.is_empty());
            let Some((bytes, class)) = classes.min_by_key(|(_, class)| class.last_release) else {
                break;
            };
            self.stats.cached -= bytes;
            evicted.extend(class.blocks.pop());
        }
        evicted
    }
}

/// Rounds up to a quarter power of two, of large blocks to an eighth, and to whole cache lines.
fn size_class(bytes: usize) -> usize {
    let top = 1usize << bytes.saturating_sub(1).checked_ilog2().unwrap_or(0);
    let parts = if bytes < LARGE { 4 } else { 8 };
    bytes.next_multiple_of((top / parts).max(ALIGN))
}

/// A block of at least `bytes` bytes, and whether it is zeroed.
pub(crate) fn acquire(bytes: usize) -> Result<(Block, bool), AllocError> {
    if bytes > MAX_BYTES {
        return Err(AllocError { bytes });
    }
    let class = size_class(bytes.max(1));
    if let Some(block) = pool().take(class) {
        return Ok((block, false));
    }
    let block = Block::new(class).or_else(|| {
        trim();
        Block::new(class)
    });
    let block = block.ok_or(AllocError { bytes })?;
    pool().count(class);
    Ok((block, true))
}

/// Takes a block back.
pub(crate) fn release(block: Block) {
    let mut pool = pool();
    pool.give(block);
    let evicted = pool.evict();
    drop(pool);
    // Outside the lock: unmapping takes time.
    drop(evicted);
}
