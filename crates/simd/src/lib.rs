//! SIMD levels of striate: tokens, vectors, dispatch and aligned buffers.
