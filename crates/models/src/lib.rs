//! Backbones with typed slots for plug-ins.
