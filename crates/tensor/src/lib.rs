//! Strided NCHW tensors with autograd.
