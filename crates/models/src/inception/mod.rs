//! Inception networks: modules whose branches look at several sizes at once.

mod bn_inception;
mod googlenet;
mod inception_resnet;
mod inception_v3;

pub use bn_inception::BnInceptionNetConfig;
pub use googlenet::GoogLeNetConfig;
pub use inception_resnet::InceptionResNetV2Config;
pub use inception_v3::InceptionV3NetConfig;
