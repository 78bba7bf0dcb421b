//! Tests of the operations of neural networks: values, gradients against differences in F64, and F32 on every level
//! against F64.

mod attention;
mod classification;
#[path = "../tensor/common.rs"]
mod common;
mod conv2d;
mod conv_transpose2d;
mod deformable;
mod dropout;
mod dynamic;
mod fused;
mod gates;
mod harness;
mod normalisation;
mod padding;
mod pooling;
mod products;
mod regions;
mod sampling;
mod volumes;
