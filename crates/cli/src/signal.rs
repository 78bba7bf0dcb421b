//! Ctrl-C: the first one asks the work to stop at the next safe place, the second ends the process.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::output::note;

/// Catches Ctrl-C from now on; the flag becomes true at the first one.
///
/// Files are only ever replaced whole, so that the second Ctrl-C loses the work since the last checkpoint and no more.
pub(crate) fn stop_flag() -> Arc<AtomicBool> {
    stop_flag_saying(
        "interrupted: finishing this step, then writing a checkpoint (Ctrl-C again stops at once)",
        "Ctrl-C will end the run without a checkpoint",
    )
}

/// [`stop_flag`] that says `first` at the first Ctrl-C, and warns of `otherwise` where it cannot be caught.
pub(crate) fn stop_flag_saying(first: &'static str, otherwise: &str) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    let caught = ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::SeqCst) {
            note("interrupted twice: stopped at once");
            process::exit(1);
        }
        note(first);
    });
    if let Err(error) = caught {
        note(format!("warning: {otherwise} ({error})"));
    }
    stop
}
