//! Runs the command as a user does: what it prints, writes and refuses.

mod graft_cost;
mod listings;
mod parity;
mod predict;
mod support;
mod train;
mod usage;
