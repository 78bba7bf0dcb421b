//! Convolutions and poolings with learned offsets.
