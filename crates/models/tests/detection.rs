//! Pyramids and the detector's network: parameters, maps, what is refused.

use striate_layers::{ExtraLevels, VarBuilder, evaluating, parameter_count, state_dict};
use striate_models::{PyramidNetConfig, ResNetConfig, RfbNetConfig, RfbNetSize};
use striate_tensor::{Philox, Result, Tensor, no_grad};

fn vb() -> VarBuilder {
    VarBuilder::seeded(0)
}

fn image(side: usize) -> Result<Tensor> {
    Tensor::randn([1, 3, side, side], &mut Philox::new(1))
}

#[test]
fn a_pyramid_has_a_map_for_every_level() -> Result<()> {
    let net = PyramidNetConfig::new(ResNetConfig::resnet50()).build(&vb())?;
    // The trunk of ResNet-50, and torchvision's pyramid on it.
    assert_eq!(parameter_count(&net), 25_557_032 - 2_049_000 + 3_344_384);
    let maps = evaluating(&net, || no_grad(|| net.forward(&image(70)?)))?;
    let shapes: Vec<_> = maps.iter().map(|m| m.shape().to_vec()).collect();
    let expected = [18, 9, 5, 3].map(|side| vec![1, 256, side, side]);
    assert_eq!(shapes, expected);
    let names = state_dict(&net);
    for name in [
        "body.layer1.0.conv1.weight",
        "fpn.inner_blocks.0.0.weight",
        "fpn.layer_blocks.3.0.bias",
    ] {
        assert!(names.get(name).is_some(), "{name} is missing");
    }
    let net = PyramidNetConfig::new(ResNetConfig::resnet18())
        .levels(3)
        .channels(64)
        .extra(ExtraLevels::P6P7)
        .build(&vb())?;
    let maps = evaluating(&net, || no_grad(|| net.forward(&image(64)?)))?;
    let sides: Vec<_> = maps.iter().map(|m| m.shape()[2]).collect();
    assert_eq!(sides, [8, 4, 2, 1, 1]);
    Ok(())
}

#[test]
fn a_fused_pyramid_keeps_its_sizes() -> Result<()> {
    let net = PyramidNetConfig::asff(ResNetConfig::resnet50()).build(&vb())?;
    assert_eq!(parameter_count(&net), 29_776_153);
    let maps = evaluating(&net, || no_grad(|| net.forward(&image(64)?)))?;
    let shapes: Vec<_> = maps.iter().map(|m| m.shape().to_vec()).collect();
    assert_eq!(shapes, [8, 4, 2].map(|side| vec![1, 256, side, side]));
    let uneven = evaluating(&net, || no_grad(|| net.forward(&image(72)?)));
    assert!(uneven.is_err(), "9, 5, 3 do not halve exactly");
    Ok(())
}

#[test]
fn the_detector_has_its_boxes() -> Result<()> {
    let net = RfbNetConfig::new().build(&vb())?;
    assert_eq!(parameter_count(&net), 36_531_296);
    let (boxes, scores) = evaluating(&net, || no_grad(|| net.forward(&image(300)?)))?;
    assert_eq!(boxes.shape(), [1, 11_620, 4]);
    assert_eq!(scores.shape(), [1, 11_620, 21]);
    let names = state_dict(&net);
    for name in [
        "base.21.weight",
        "base.31.weight",
        "base.33.bias",
        "Norm.branch3.0.conv.weight",
        "extras.2.ConvLinear.bn.weight",
        "extras.6.conv.weight",
        "loc.5.bias",
        "conf.0.weight",
    ] {
        assert!(names.get(name).is_some(), "{name} is missing");
    }
    let large = RfbNetConfig::new().size(RfbNetSize::Large).classes(3);
    let large = large.build(&vb())?;
    let (boxes, scores) = evaluating(&large, || no_grad(|| large.forward(&image(512)?)))?;
    assert_eq!(boxes.shape(), [1, 32_756, 4]);
    assert_eq!(scores.shape(), [1, 32_756, 3]);
    Ok(())
}

#[test]
fn what_does_not_fit_is_an_error() -> Result<()> {
    let pyramid = || PyramidNetConfig::new(ResNetConfig::resnet18());
    for levels in [0, 5] {
        assert!(
            pyramid().levels(levels).build(&vb()).is_err(),
            "{levels} levels"
        );
    }
    assert!(pyramid().channels(0).build(&vb()).is_err());
    let fused = PyramidNetConfig::asff(ResNetConfig::resnet18());
    assert!(fused.clone().levels(1).build(&vb()).is_err());
    assert!(fused.extra(ExtraLevels::MaxPool).build(&vb()).is_err());
    assert!(RfbNetConfig::new().classes(0).build(&vb()).is_err());
    assert!(RfbNetConfig::new().in_channels(0).build(&vb()).is_err());
    let net = RfbNetConfig::new().build(&vb())?;
    let small = evaluating(&net, || no_grad(|| net.forward(&image(64)?)));
    assert!(small.is_err(), "the last map vanishes");
    Ok(())
}
