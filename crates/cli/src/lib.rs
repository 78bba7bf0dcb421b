//! The striate command.
