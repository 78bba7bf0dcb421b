//! The caching allocator: alignment, contents, reuse, counts and impossible requests.

use std::sync::{Mutex, MutexGuard, PoisonError};
use striate_simd::{AllocError, Buffer, memory};

/// The counts are of the process: one test at a time, from an empty cache.
fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    let guard = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    memory::trim();
    memory::reset_peak();
    guard
}

const MIB: usize = 1 << 20;

#[test]
fn buffers_are_aligned_and_zeroed() {
    let _alone = alone();
    for len in [
        1,
        2,
        15,
        16,
        17,
        1000,
        65_537,
        MIB / 4 - 1,
        MIB / 4,
        MIB,
        3 * MIB + 7,
    ] {
        let mut buffer = Buffer::<f32>::zeroed(len).expect("memory");
        assert_eq!(buffer.len(), len);
        assert_eq!(buffer.as_ptr().align_offset(64), 0, "{len} floats");
        if len * 4 >= MIB {
            assert_eq!(buffer.as_ptr().align_offset(2 * MIB), 0, "{len} floats");
        }
        assert!(
            buffer.iter().all(|x| x.to_bits() == 0),
            "{len} fresh floats are zero"
        );
        buffer.fill(7.0);
        drop(buffer);
        let again = Buffer::<f32>::zeroed(len).expect("memory");
        assert!(
            again.iter().all(|x| x.to_bits() == 0),
            "{len} recycled floats are zero"
        );
    }
}

#[test]
fn every_element_type_fits() {
    let _alone = alone();
    assert_eq!(*Buffer::<u8>::filled(3, 9).expect("memory"), [9, 9, 9]);
    assert_eq!(*Buffer::<i64>::copy_of(&[-1, 2]).expect("memory"), [-1, 2]);
    assert_eq!(*Buffer::<f64>::zeroed(2).expect("memory"), [0.0, 0.0]);
    assert_eq!(
        format!("{:?}", Buffer::<u8>::filled(2, 1).expect("memory")),
        "[1, 1]"
    );
}

#[test]
fn empty_buffers_cost_nothing() {
    let _alone = alone();
    let mut buffer = Buffer::<f32>::zeroed(0).expect("nothing");
    assert!(buffer.is_empty(), "no elements");
    assert!(buffer.iter_mut().next().is_none(), "no elements");
    assert_eq!(memory::stats().current, 0);
}

#[test]
fn blocks_are_reused_across_types_and_close_sizes() {
    let _alone = alone();
    for bytes in [4000, 5 * MIB] {
        let first = Buffer::<f32>::filled(bytes / 4, 3.0).expect("memory");
        let address = first.as_ptr() as usize;
        drop(first);
        let second = Buffer::<u8>::recycled(bytes - 30).expect("memory");
        assert_eq!(second.as_ptr() as usize, address, "{bytes} bytes");
        assert_eq!(
            second[..4],
            3f32.to_ne_bytes(),
            "contents are those of the last owner"
        );
    }
}

#[test]
fn counts_follow_use_and_trim() {
    let _alone = alone();
    let a = Buffer::<u8>::zeroed(MIB).expect("memory");
    let b = Buffer::<u8>::zeroed(4 * MIB).expect("memory");
    assert_eq!(memory::stats().current, 5 * MIB);
    drop(a);
    let stats = memory::stats();
    assert_eq!(
        (stats.current, stats.peak, stats.cached),
        (4 * MIB, 5 * MIB, MIB)
    );

    memory::reset_peak();
    assert_eq!(memory::stats().peak, 4 * MIB);
    let a = Buffer::<u8>::zeroed(MIB - 100).expect("memory");
    assert_eq!(memory::stats().cached, 0, "the block is back in use");
    drop((a, b));
    assert_eq!(memory::stats().cached, 5 * MIB);

    memory::trim();
    let stats = memory::stats();
    assert_eq!((stats.current, stats.peak, stats.cached), (0, 5 * MIB, 0));
}

#[test]
fn rounding_wastes_at_most_a_fifth() {
    let _alone = alone();
    for bytes in (256..40_000)
        .step_by(7)
        .chain([MIB + 1, 5 * MIB - 1, 5 * MIB + 1])
    {
        let buffer = Buffer::<u8>::recycled(bytes).expect("memory");
        let block = memory::stats().current;
        assert!(
            block >= bytes && (block - bytes) * 5 < block.max(320),
            "{block} for {bytes}"
        );
        drop(buffer);
    }
}

#[test]
fn the_cache_is_bounded_by_what_was_in_use() {
    let _alone = alone();
    // Ever new sizes, one at a time: a cache that kept them all would hold ten times this.
    for size in 1..=60 {
        drop(Buffer::<u8>::recycled(size * MIB).expect("memory"));
        assert!(memory::stats().cached <= 128 * MIB, "{:?}", memory::stats());
    }
    // Blocks in use at the same time are all kept, with sizes of before as far as the bound goes.
    let many: Vec<_> = (0..10)
        .map(|_| Buffer::<u8>::recycled(16 * MIB).expect("memory"))
        .collect();
    let addresses: Vec<_> = many.iter().map(|buffer| buffer.as_ptr()).collect();
    drop(many);
    let cached = memory::stats().cached;
    assert!((160 * MIB..=320 * MIB).contains(&cached), "{cached}");
    // A new measurement of the peak gives nothing away.
    memory::reset_peak();
    drop(Buffer::<u8>::recycled(16 * MIB).expect("memory"));
    assert_eq!(memory::stats().cached, cached);
    let many: Vec<_> = (0..10)
        .map(|_| Buffer::<u8>::recycled(16 * MIB).expect("memory"))
        .collect();
    assert!(
        many.iter()
            .all(|buffer| addresses.contains(&buffer.as_ptr())),
        "reused"
    );
}

#[test]
fn a_step_in_parts_of_different_sizes_finds_all_its_blocks() {
    let _alone = alone();
    for _ in 0..3 {
        let first = Buffer::<u8>::recycled(64 * MIB).expect("memory");
        drop(first);
        let second = [(); 2].map(|()| Buffer::<u8>::recycled(32 * MIB).expect("memory"));
        drop(second);
        // One of the two was in the block of the first.
        assert_eq!(memory::stats().cached, 96 * MIB, "nothing is given back");
    }
}

#[test]
fn a_block_serves_what_fills_half_of_it() {
    let _alone = alone();
    let both = [8, 3].map(|size| Buffer::<u8>::recycled(size * MIB).expect("memory"));
    drop(both);
    assert_eq!(memory::stats().cached, 11 * MIB);
    let half = Buffer::<u8>::filled(4 * MIB, 5).expect("memory");
    assert_eq!((half.len(), memory::stats().cached), (4 * MIB, 3 * MIB));
    drop(half);
    let whole = Buffer::<u8>::zeroed(8 * MIB).expect("memory");
    assert!(whole.iter().all(|&x| x == 0), "its old contents are gone");
    assert_eq!(memory::stats().cached, 3 * MIB, "it is whole again");
    drop(Buffer::<u8>::recycled(4000).expect("memory"));
    let small = Buffer::<u8>::recycled(2000).expect("memory");
    assert!(memory::stats().cached > 3 * MIB, "small blocks stay apart");
    drop(small);
}

#[test]
fn absurd_sizes_are_errors() {
    let _alone = alone();
    let over = Buffer::<f64>::zeroed(usize::MAX / 4).expect_err("more bytes than a number holds");
    assert_eq!(over, AllocError { bytes: usize::MAX });
    for len in [
        usize::MAX,
        usize::MAX / 2,
        isize::MAX as usize,
        isize::MAX as usize / 2,
        1 << 50,
    ] {
        let error = Buffer::<u8>::zeroed(len).expect_err("more than any machine has");
        assert_eq!(error.to_string(), format!("cannot allocate {len} bytes"));
        Buffer::<u8>::recycled(len).expect_err("more than any machine has");
        Buffer::<u8>::filled(len, 1).expect_err("more than any machine has");
    }
    assert_eq!(memory::stats().current, 0, "nothing leaks into the counts");
}

#[test]
fn threads_share_the_cache() {
    let _alone = alone();
    std::thread::scope(|scope| {
        for thread in 0..8u8 {
            scope.spawn(move || {
                for i in 0..300usize {
                    let len = 1 + (i * 7919 + usize::from(thread) * 104_729) % (2 * MIB);
                    let len = if i % 4 == 0 { len } else { len % 5000 + 1 };
                    let mut buffer = Buffer::<u8>::recycled(len).expect("memory");
                    let (first, last) = (0, len - 1);
                    buffer[first] = thread;
                    buffer[last] = thread;
                    std::thread::yield_now();
                    assert_eq!([buffer[first], buffer[last]], [thread, thread]);
                }
            });
        }
    });
    assert_eq!(memory::stats().current, 0);
    memory::trim();
    assert_eq!(memory::stats().cached, 0);
}
