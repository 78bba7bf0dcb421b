//! The blocks of the residual attention network.
