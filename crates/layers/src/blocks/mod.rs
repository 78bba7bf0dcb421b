//! Blocks of well-known networks.

mod bn_inception;
mod chain;
mod inception_resnet;
mod inception_v1;
mod inception_v3;
mod res2net;

pub use bn_inception::{BnInceptionConfig, BnPool, bn_inception_key_maps};
pub use chain::InceptionBlock;
pub use inception_resnet::{InceptionResNetBlock, InceptionResNetConfig, InceptionResNetKind};
pub use inception_v1::InceptionV1Config;
pub use inception_v3::{InceptionV3Config, InceptionV3Kind};
pub use res2net::{Res2Net, Res2NetConfig};
