use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

#[test]
fn every_item_is_in_exactly_one_task() {
    for (items, cost) in [(0, 1), (1, 0), (7, 1 << 20), (1000, 700), (1 << 20, 1)] {
        let cut = Cut::new(items, cost);
        let mut next = 0;
        for task in 0..cut.tasks() {
            let range = cut.range(task);
            assert_eq!(range.start, next, "tasks follow each other");
            assert!(!range.is_empty(), "no task is empty");
            next = range.end;
        }
        assert_eq!(next, items, "the tasks cover the items");
    }
}

#[test]
fn shares_follow_each_other() {
    for (tasks, shares) in (1..30).flat_map(|tasks| (1..=tasks).map(move |shares| (tasks, shares)))
    {
        let share = |share| region::first(tasks, shares, share);
        assert_eq!([share(0), share(shares)], [0, tasks]);
        let lengths = (0..shares).map(|i| share(i + 1) - share(i));
        assert!(lengths.clone().all(|len| len.abs_diff(tasks / shares) <= 1));
        assert_eq!(lengths.sum::<usize>(), tasks);
    }
}

#[test]
fn chunks_of_two_slices_go_together() {
    let (mut a, mut b) = (vec![0; 10], vec![0; 4]);
    for_each_chunk2((&mut a, 3), (&mut b, 1), |i, a, b| {
        a.fill(i);
        b[0] = a.len();
    });
    assert_eq!(a, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]);
    assert_eq!(b, [3, 3, 3, 1]);
}

#[test]
fn the_number_of_threads_is_checked() {
    for count in [0, MAX_THREADS + 1] {
        let error = set_threads(count).unwrap_err();
        assert_eq!(error, ThreadsError::Count(count));
    }
}

#[test]
fn all_tasks_run_once() {
    let counts: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
    for_each(counts.len(), |i| {
        counts[i].fetch_add(1, Ordering::Relaxed);
    });
    assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
}

/// Runs `f` outside every pool and in pools of 1, 2, 3 and 20 threads.
fn everywhere(f: impl Fn() + Sync) {
    f();
    for threads in [1, 2, 3, 20] {
        pool(threads).install(&f);
    }
}

fn pool(threads: usize) -> rayon::ThreadPool {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("a pool of threads")
}

/// Adds up what the tasks write to memory that only the caller owns.
fn sum_of_tasks(tasks: usize) -> usize {
    let mut squares = vec![0; tasks];
    for_each_chunk(&mut squares, 1, |i, square| square[0] = i + 1);
    squares.iter().sum()
}

#[test]
fn a_region_has_the_threads_of_its_pool() {
    for threads in [1, 2, 5] {
        assert_eq!(pool(threads).install(super::threads), threads);
    }
    // Both tasks are needed at the same time, also by a pool that has gone to sleep.
    let pool = pool(2);
    for _ in 0..5 {
        let both = Barrier::new(2);
        pool.install(|| {
            for_each(2, |_| {
                both.wait();
            });
        });
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_region_has_no_more_threads_than_its_pool() {
    for threads in [1, 2, 3] {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let regions = || {
            for _ in 0..50 {
                for_each(2 * threads, |_| {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        };
        pool(threads).install(regions);
        assert!(most.into_inner() <= threads);
    }
}

#[test]
fn regions_follow_each_other() {
    everywhere(|| {
        for tasks in (0..400).map(|i| i % 9) {
            assert_eq!(sum_of_tasks(tasks), tasks * (tasks + 1) / 2);
        }
    });
}

#[test]
fn regions_nest() {
    everywhere(|| {
        for _ in 0..10 {
            let sum = AtomicUsize::new(0);
            for_each(3, |i| {
                for_each(4, |j| {
                    sum.fetch_add(sum_of_tasks(5 + i + j), Ordering::Relaxed);
                });
            });
            let expected = (0..12).map(|k| 5 + k / 4 + k % 4).map(|n| n * (n + 1) / 2);
            assert_eq!(sum.into_inner(), expected.sum::<usize>());
        }
    });
}

#[test]
fn several_threads_use_one_pool_at_once() {
    let pool = pool(3);
    std::thread::scope(|scope| {
        for user in 0..6 {
            let pool = &pool;
            scope.spawn(move || {
                for tasks in 1..60 {
                    let sum = if user % 2 == 0 {
                        pool.install(|| sum_of_tasks(tasks))
                    } else {
                        sum_of_tasks(tasks)
                    };
                    assert_eq!(sum, tasks * (tasks + 1) / 2);
                }
            });
        }
    });
}

#[test]
fn every_thread_of_a_pool_leads_at_once() {
    for threads in [2, 7] {
        let sums = pool(threads).broadcast(|_| (0..50).map(|_| sum_of_tasks(9)).sum::<usize>());
        assert_eq!(sums, vec![50 * 45; threads]);
    }
}

#[test]
fn a_pool_ends_while_helpers_wait() {
    for _ in 0..30 {
        assert_eq!(pool(3).install(|| sum_of_tasks(8)), 36);
    }
}

#[test]
fn a_panic_is_passed_on_after_the_other_tasks() {
    everywhere(|| {
        for panicking in 0..6 {
            let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let region = || {
                for_each(6, |i| {
                    begun.fetch_add(1, Ordering::Relaxed);
                    assert_ne!(i, panicking, "task {panicking}");
                    std::thread::yield_now();
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            };
            let panic = catch_unwind(AssertUnwindSafe(region)).unwrap_err();
            let message = panic.downcast_ref::<String>().expect("a message");
            assert!(message.contains(&format!("task {panicking}")), "{message}");
            assert_eq!(begun.into_inner(), ended.into_inner() + 1, "none runs on");
            assert_eq!(sum_of_tasks(20), 210, "the threads work on");
        }
    });
}

#[test]
fn panics_of_inner_regions_and_of_all_tasks_pass() {
    everywhere(|| {
        let region = || for_each(3, |_| for_each(3, |_| panic!("each")));
        let panic = catch_unwind(AssertUnwindSafe(region)).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"each"));
        assert_eq!(sum_of_tasks(20), 210);
    });
}

#[test]
fn the_first_error_ends_the_work() {
    everywhere(|| {
        let ran = AtomicUsize::new(0);
        let result = try_for_each(10_000, |i| {
            ran.fetch_add(1, Ordering::Relaxed);
            if i == 3 {
                return Err(i);
            }
            std::thread::sleep(Duration::from_micros(50));
            Ok(())
        });
        assert_eq!(result, Err(3));
        assert!(ran.into_inner() < 10_000);
    });
}

#[test]
fn other_jobs_of_the_pool_get_their_turn() {
    let pool = pool(2);
    let done = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    pool.install(|| {
        let flag = Arc::clone(&done);
        let wait = Duration::from_millis(5);
        rayon::spawn(move || {
            std::thread::sleep(wait);
            rayon::spawn(move || flag.store(true, Ordering::Relaxed));
        });
        while !done.load(Ordering::Relaxed) {
            assert_eq!(sum_of_tasks(4), 10);
            assert!(start.elapsed() < Duration::from_secs(20), "the job starves");
        }
    });
}
