//! Convolutional networks on CPUs in pure Rust: train, fine-tune and serve.
