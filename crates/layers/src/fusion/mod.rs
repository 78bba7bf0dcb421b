//! Modules that join maps of several sizes.
