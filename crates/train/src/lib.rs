//! Losses, optimizers, schedules, data and the training loop.
