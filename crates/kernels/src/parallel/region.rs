//! One region: tasks that a leader and its visitors claim.
//!
//! Tasks are shared out: everyone has a counter to begin with, and goes on with what others have left. The same thread gets
//! the same tasks in the next region of as many, and neighbouring tasks: what is near to it in its caches, it has computed
//! itself.
//!
//! A visitor is a thread of the pool that does not know the leader's stack frame, on which the tasks live. The gate makes
//! that sound by itself, whatever happens elsewhere: nobody enters once it is closed, and [`Region::lead`] neither returns
//! nor unwinds before it is closed and every visitor has left.
#![expect(
    unsafe_code,
    reason = "lends a borrowed closure to threads that stay longer than the borrow"
)]

use super::wait::poll;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

/// The bit of the gate that says it is closed; the others count the visitors.
const CLOSED: usize = 1 << (usize::BITS - 1);
/// How long a leader looks for the end of a visitor's last task before it sleeps.
const PATIENCE: Duration = Duration::from_micros(200);

/// Tasks to claim, and who is at it.
#[derive(Debug)]
pub(super) struct Region {
    /// Where the leader keeps its `&(dyn Fn(usize) + Sync)`.
    task: AtomicPtr<()>,
    tasks: usize,
    /// The next task of each share.
    next: Vec<AtomicUsize>,
    gate: AtomicUsize,
    leader: Thread,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Region {
    /// Runs `f(0)`, ..., `f(tasks - 1)`, in so many shares, together with whoever [`enter`](Self::enter)s the region that
    /// `announce` is given. What `announce` returns is dropped when no task is left.
    ///
    /// # Panics
    /// With the panic of a task, after all tasks that had begun have ended.
    pub(super) fn lead<A>(
        (tasks, shares): (usize, usize),
        f: &(dyn Fn(usize) + Sync),
        announce: impl FnOnce(&Arc<Self>) -> A,
    ) {
        let region = Arc::new(Self {
            task: AtomicPtr::new((&raw const f).cast_mut().cast()),
            tasks,
            next: (0..shares)
                .map(|share| AtomicUsize::new(first(tasks, shares, share)))
                .collect(),
            gate: AtomicUsize::new(0),
            leader: thread::current(),
            panic: Mutex::new(None),
        });
        // Also when a task of the leader's unwinds.
        let gate = Gate(&region);
        let announced = announce(&region);
        region.claim(0, f);
        drop(announced);
        drop(gate);
        let panic = region.panic.lock();
        if let Some(panic) = panic.unwrap_or_else(PoisonError::into_inner).take() {
            resume_unwind(panic);
        }
    }

    /// Does the tasks of a share, then those that are left of the others.
    fn claim(&self, share: usize, f: &(dyn Fn(usize) + Sync)) {
        let shares = self.next.len();
        for share in (share..shares).chain(0..share) {
            let end = first(self.tasks, shares, share + 1);
            loop {
                let task = self.next[share].fetch_add(1, Ordering::Relaxed);
                if task >= end {
                    break;
                }
                f(task);
            }
        }
    }

    /// The share, or if somebody is at it already another at which nobody is, if there is one.
    fn unbegun(&self, share: usize) -> usize {
        let shares = self.next.len();
        let begins = |share: usize| first(self.tasks, shares, share);
        (share..shares)
            .chain(0..share)
            .find(|&share| self.next[share].load(Ordering::Relaxed) == begins(share))
            .unwrap_or(share)
    }

    /// Leaves the tasks that nobody has begun undone.
    fn abandon(&self) {
        for next in &self.next {
            next.store(self.tasks, Ordering::Relaxed);
        }
    }

    /// Whether somebody has yet to begin a task.
    fn has_tasks(&self) -> bool {
        let mut shares = self.next.iter().enumerate();
        shares.any(|(share, next)| {
            next.load(Ordering::Relaxed) < first(self.tasks, self.next.len(), share + 1)
        })
    }

    /// Comes to help, if there are tasks left.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Visit> {
        if !self.has_tasks() {
            return None;
        }
        let enter = |gate: usize| (gate & CLOSED == 0).then_some(gate + 1);
        let entered = self
            .gate
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, enter);
        entered.is_ok().then(|| Visit(Arc::clone(self)))
    }
}

/// The first task of a share, or the end of the one before.
pub(super) fn first(tasks: usize, shares: usize, share: usize) -> usize {
    let longer = share.min(tasks % shares);
    tasks / shares * share + longer
}

/// Closes a region when it is dropped, and waits for its visitors.
struct Gate<'r>(&'r Region);

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        self.0.abandon();
        self.0.gate.fetch_or(CLOSED, Ordering::Relaxed);
        let empty = || self.0.gate.load(Ordering::Acquire) == CLOSED;
        if !poll(PATIENCE, empty) {
            while !empty() {
                thread::park();
            }
        }
    }
}

/// A visitor of a region, which leaves when it is dropped.
#[derive(Debug)]
pub(super) struct Visit(Arc<Region>);

impl Visit {
    /// Works until no task is left, first on the share of helper number `helper`. A panic of a task is the leader's to
    /// pass on.
    pub(super) fn work(self, helper: usize) {
        let region = &self.0;
        // The first share is the leader's.
        let share = region.unbegun(1 + helper % (region.next.len() - 1).max(1));
        let f = region
            .task
            .load(Ordering::Relaxed)
            .cast::<&(dyn Fn(usize) + Sync)>();
        // SAFETY: the gate was open when this visit began and the visit has not ended. So `lead` has not ended either: its
        // variable `f`, to which this points, and all that `f` borrows are alive, and it is only read.
        let f = unsafe { *f };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| region.claim(share, f))) {
            region.abandon();
            *region.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if self.0.gate.fetch_sub(1, Ordering::AcqRel) == CLOSED | 1 {
            self.0.leader.unpark();
        }
    }
}
