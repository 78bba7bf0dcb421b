//! Who helps with a region: threads of rayon's pool that stay for the regions that follow.
//!
//! A network pass is a row of short regions. Handing each to rayon anew may cost the wake-up of a sleeping thread; so a
//! thread that has helped with one waits a moment for the next. Rayon owns the threads: a helper is a job like any other, and
//! it gives its thread back when no region comes. When it has had it for a while it runs what other jobs wait in the pool and goes
//! on: to call another helper would wake another thread while this one is still awake, one more than there are cores.
//!
//! The one who opens a region, its leader, works on it too and never waits for a helper to come: without any it does all
//! tasks itself. It waits only for tasks that run. Such a task may open a region and wait for that one's tasks in turn, but
//! never for the region that it belongs to, so no wait closes a circle.

use super::region::{Region, Visit};
use super::wait::poll;
use rayon::Yield;
use std::cell::{Cell, OnceCell};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a helper waits for the next region: more than passes between two operations of a network.
const LINGER: Duration = Duration::from_micros(200);
/// After how long a helper steps aside between two regions, so that other jobs of the pool get their turn.
const TENURE: Duration = Duration::from_millis(1);

/// The leaders and helpers of one pool.
#[derive(Debug, Default)]
struct Team {
    board: Mutex<Board>,
    /// Counts the regions opened, for helpers to watch.
    opened: AtomicUsize,
}

#[derive(Debug, Default)]
struct Board {
    /// Innermost last.
    regions: Vec<Arc<Region>>,
    /// Helpers called and not yet gone.
    helpers: usize,
    /// Those of them inside a region.
    busy: usize,
}

/// The team of the threads outside every pool: their work goes to rayon's global pool.
static OUTSIDE: LazyLock<Arc<Team>> = LazyLock::new(Arc::default);

thread_local! {
    /// The team of a pool's thread: that of the first leader it helped, or one it founded.
    static OWN: OnceCell<Arc<Team>> = const { OnceCell::new() };
    /// Whether a helper has stepped aside and the thread runs other jobs meanwhile.
    static ASIDE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f(0)`, ..., `f(tasks - 1)` on this thread and others of its pool, which has `threads`.
pub(super) fn run(threads: usize, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
    let team = Team::of_this_thread();
    let shares = threads.min(tasks);
    Region::lead((tasks, shares), f, |region| {
        team.open(region, threads, tasks)
    });
}

impl Team {
    fn of_this_thread() -> Arc<Self> {
        if rayon::current_thread_index().is_none() {
            return Arc::clone(&OUTSIDE);
        }
        let own = OWN.try_with(|own| Arc::clone(own.get_or_init(Arc::default)));
        // A thread that is ending has lost its own.
        own.unwrap_or_default()
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        // Nothing panics while it holds the lock.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows a region to the helpers, and calls those that are missing.
    fn open<'t>(
        self: &'t Arc<Self>,
        region: &Arc<Region>,
        threads: usize,
        tasks: usize,
    ) -> Open<'t> {
        let mut board = self.board();
        board.regions.push(Arc::clone(region));
        let idle = board.helpers - board.busy;
        let missing = (threads.min(tasks) - 1).saturating_sub(idle);
        let missing = missing.min((threads - 1).saturating_sub(board.helpers));
        board.helpers += missing;
        drop(board);
        self.opened.fetch_add(1, Ordering::Release);
        for _ in 0..missing {
            let team = Arc::clone(self);
            rayon::spawn(move || team.help());
        }
        Open {
            team: self,
            region: Arc::clone(region),
        }
    }

    /// The work of a helper.
    fn help(self: Arc<Self>) {
        // Fails when the thread has a team already, which is then left as it is.
        let _ = OWN.try_with(|own| own.set(Arc::clone(&self)));
        let mut start = Instant::now();
        let (mut helped, mut leaving) = (false, false);
        loop {
            let opened = self.opened.load(Ordering::Acquire);
            if let Some(visit) = self.visit(leaving) {
                // A number that the thread has in all regions of its leader.
                visit.work(rayon::current_thread_index().unwrap_or(0));
                self.board().busy -= 1;
                helped = true;
                leaving = false;
            } else if leaving {
                return;
            } else {
                let next = || self.opened.load(Ordering::Acquire) != opened;
                leaving = !helped || !poll(LINGER, next);
                if !leaving && start.elapsed() > TENURE {
                    if ASIDE.get() {
                        leaving = true;
                    } else if self.step_aside() {
                        start = Instant::now();
                    } else {
                        return;
                    }
                }
            }
        }
    }

    /// Runs the other jobs of the pool. Says whether the helper is on the list again: others may have been called.
    fn step_aside(&self) -> bool {
        self.board().helpers -= 1;
        ASIDE.set(true);
        while matches!(rayon::yield_now(), Some(Yield::Executed)) {}
        ASIDE.set(false);
        let mut board = self.board();
        let wanted = board.helpers + 1 < rayon::current_num_threads();
        board.helpers += usize::from(wanted);
        wanted
    }

    /// Enters a region with tasks left. If there is none and the helper is leaving, it is off the list from here on, so that
    /// the next leader calls another.
    fn visit(&self, leaving: bool) -> Option<Visit> {
        let mut board = self.board();
        let visit = board.regions.iter().rev().find_map(Region::enter);
        board.busy += usize::from(visit.is_some());
        board.helpers -= usize::from(visit.is_none() && leaving);
        visit
    }
}

/// A region that helpers see.
struct Open<'t> {
    team: &'t Team,
    region: Arc<Region>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut board = self.team.board();
        board.regions.retain(|r| !Arc::ptr_eq(r, &self.region));
    }
}
