//! Families of backbones: maps of their stages, names of their parts, gradients, what is refused.

use striate_layers::{
    Module, Place, SkConvConfig, VarBuilder, evaluating, named_parameters, parameter_count,
    state_dict,
};
use striate_models::{
    AttentionNetConfig, AttentionStem, BnInceptionNetConfig, ConvPlugin, DeepLabV3Config,
    DeepLabV3PlusConfig, EfficientNetConfig, GhostNetConfig, GoogLeNetConfig,
    InceptionResNetV2Config, InceptionV3NetConfig, MobileNetV1Config, MobileNetV2Config,
    MobileNetV3Config, Network, OutputStride, Plugin, ResNetConfig, Stages, VggConfig,
};
use striate_tensor::{Philox, Result, Tensor, no_grad};

fn vb() -> VarBuilder {
    VarBuilder::seeded(0)
}

fn images(n: usize, side: usize) -> Result<Tensor> {
    Tensor::randn([n, 3, side, side], &mut Philox::new(1))
}

/// Channels and side of the map behind every stage.
fn maps(net: &Network, side: usize) -> Result<Vec<[usize; 2]>> {
    let maps = evaluating(net, || no_grad(|| net.features(&images(1, side)?)))?;
    let channels: Vec<usize> = net.stages().map(|(_, channels)| channels).collect();
    let found: Vec<_> = maps.iter().map(|m| [m.shape()[1], m.shape()[2]]).collect();
    assert!(found.iter().map(|m| m[0]).eq(channels), "{found:?}");
    Ok(found)
}

#[test]
fn stages_have_their_maps() -> Result<()> {
    let net = VggConfig::vgg11().classes(2).build(&vb())?;
    assert_eq!(
        maps(&net, 32)?,
        [[64, 32], [128, 16], [256, 8], [512, 4], [512, 2]]
    );
    let net = GoogLeNetConfig::new().build(&vb())?;
    assert_eq!(
        maps(&net, 64)?,
        [[64, 32], [192, 16], [480, 8], [832, 4], [1024, 2]]
    );
    let net = BnInceptionNetConfig::se().build(&vb())?;
    assert_eq!(
        maps(&net, 64)?,
        [[64, 32], [192, 16], [320, 8], [608, 4], [1024, 2]]
    );
    let net = InceptionV3NetConfig::new().build(&vb())?;
    assert_eq!(
        maps(&net, 75)?,
        [[64, 35], [192, 15], [288, 7], [768, 3], [2048, 1]]
    );
    let net = InceptionResNetV2Config::new().build(&vb())?;
    assert_eq!(
        maps(&net, 75)?,
        [[64, 35], [192, 15], [320, 7], [1088, 3], [1536, 1]]
    );
    let net = MobileNetV2Config::new().build(&vb())?;
    assert_eq!(
        maps(&net, 64)?,
        [[16, 32], [24, 16], [32, 8], [96, 4], [320, 2]]
    );
    let net = MobileNetV3Config::small().build(&vb())?;
    assert_eq!(
        maps(&net, 64)?,
        [[16, 32], [16, 16], [24, 8], [48, 4], [96, 2]]
    );
    let net = EfficientNetConfig::cond_conv(4).build(&vb())?;
    let ends = [
        [16, 33],
        [24, 17],
        [40, 9],
        [80, 5],
        [112, 5],
        [192, 3],
        [320, 3],
    ];
    assert_eq!(maps(&net, 65)?, ends);
    let net = AttentionNetConfig::imagenet([1, 1, 1]).build(&vb())?;
    assert_eq!(
        maps(&net, 64)?,
        [[64, 32], [256, 16], [512, 8], [1024, 4], [2048, 2]]
    );
    Ok(())
}

#[test]
fn plug_ins_stand_where_they_are_put() -> Result<()> {
    let has = |net: &dyn Module, name: &str| {
        let names = state_dict(net);
        assert!(names.get(name).is_some(), "{name} is missing");
    };
    let net = MobileNetV2Config::new()
        .plugin(Place::Conv3x3, Plugin::se(4))
        .conv(ConvPlugin::od_conv(2));
    let net = net.build(&vb())?;
    has(&net, "features.1.se.fc1.weight");
    has(&net, "features.17.conv.1.0.attention.kernel_fc.bias");
    has(&net, "features.18.0.attention.fc.weight");
    has(
        &MobileNetV1Config::se().build(&vb())?,
        "blocks.4.1.se.fc2.bias",
    );
    let selective = ConvPlugin::normalized(|conv, vb| {
        SkConvConfig::new(conv.in_channels, conv.out_channels)
            .groups(conv.groups)
            .stride(conv.stride)
            .build(vb)
    });
    let net = MobileNetV1Config::new().conv(selective).build(&vb())?;
    let names = state_dict(&net);
    assert!(names.get("blocks.0.0.conv_pw.weight").is_some(), "it stays");
    let norm = names.get("blocks.0.0.bn1.weight");
    assert!(norm.is_none(), "selective kernels have their own norms");
    evaluating(&net, || no_grad(|| net.forward(&images(1, 32)?)))?;
    let net = VggConfig::vgg11().attention(Plugin::eca()).build(&vb())?;
    has(&net, "features.18.se.conv.weight");
    let net = BnInceptionNetConfig::se().build(&vb())?;
    has(&net, "inception_4e.se.fc1.weight");
    let net = InceptionResNetV2Config::new().attention(Plugin::se(16));
    has(&net.build(&vb())?, "repeat_1.19.se.fc1.weight");
    let net = ResNetConfig::resnet50().non_local().build(&vb())?;
    has(&net, "layer2.1.nl.theta.weight");
    has(&net, "layer3.5.nl.W.1.weight");
    assert!(state_dict(&net).get("layer3.4.nl.theta.weight").is_none());
    let net = ResNetConfig::resnet50().deformable(true).build(&vb())?;
    has(&net, "layer2.0.conv2.conv_offset.bias");
    Ok(())
}

#[test]
fn non_local_blocks_start_as_the_identity() -> Result<()> {
    let run = |config: ResNetConfig| {
        let net = config.build(&vb())?;
        evaluating(&net, || no_grad(|| net.forward(&images(1, 48)?)))?.to_vec::<f32>()
    };
    let plain = run(ResNetConfig::resnet50())?;
    assert_eq!(run(ResNetConfig::resnet50().non_local())?, plain);
    Ok(())
}

#[test]
fn gradients_reach_every_parameter() -> Result<()> {
    let narrow = MobileNetV1Config::new().width(0.25).classes(3);
    let reach = |name: &str, net: &dyn Module, side: usize| -> Result<()> {
        let y = net.forward(&images(2, side)?)?;
        let grads = y.square()?.sum_all()?.backward()?;
        for (parameter, p) in named_parameters(net) {
            assert!(
                grads.get(&p.tensor()).is_some(),
                "{name}: {parameter} has no gradient"
            );
        }
        Ok(())
    };
    for (name, conv) in [
        ("conditional", ConvPlugin::cond_conv(2)),
        ("dynamic", ConvPlugin::dynamic_conv(2)),
        ("omni-dimensional", ConvPlugin::od_conv(2)),
        ("deformable", ConvPlugin::deformable(true)),
    ] {
        reach(name, &narrow.clone().conv(conv).build(&vb())?, 64)?;
    }
    let net = AttentionNetConfig::cifar(1).build(&vb())?;
    reach("attention", &net, 32)?;
    let mixed = EfficientNetConfig::cond_conv(2).scale(0.25, 1.0);
    reach("experts", &mixed.build(&vb())?, 64)?;
    let net = DeepLabV3PlusConfig::new(ResNetConfig::resnet18()).classes(2);
    reach("deeplabv3+", &net.build(&vb())?, 64)
}

#[test]
fn deeplab_has_a_second_head_for_training() -> Result<()> {
    let config = DeepLabV3Config::new(ResNetConfig::resnet50()).aux(true);
    let net = config.build(&vb())?;
    assert_eq!(parameter_count(&net), 42_004_074);
    let x = images(1, 40)?;
    let (scores, aux) = evaluating(&net, || no_grad(|| net.forward_both(&x)))?;
    assert_eq!(scores.shape(), [1, 21, 40, 40]);
    assert_eq!(aux.map(|y| y.shape().to_vec()), Some(vec![1, 21, 40, 40]));
    let alone = evaluating(&net, || no_grad(|| net.forward(&x)))?;
    assert_eq!(alone.to_vec::<f32>()?, scores.to_vec::<f32>()?);
    Ok(())
}

#[test]
fn what_does_not_fit_is_an_error() {
    let refused = |what: &str, built: Result<Network>| assert!(built.is_err(), "{what}");
    refused(
        "no convolution",
        VggConfig::new([1, 0, 1, 1, 1]).build(&vb()),
    );
    refused(
        "a dropout of 2",
        VggConfig::vgg11().dropout(2.0).build(&vb()),
    );
    for width in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        refused("width", MobileNetV1Config::new().width(width).build(&vb()));
        refused("width", MobileNetV2Config::new().width(width).build(&vb()));
        refused(
            "width",
            MobileNetV3Config::small().width(width).build(&vb()),
        );
        refused("width", GhostNetConfig::new(width).build(&vb()));
        refused(
            "width",
            EfficientNetConfig::b0().scale(width, 1.0).build(&vb()),
        );
        refused(
            "depth",
            EfficientNetConfig::b0().scale(1.0, width).build(&vb()),
        );
    }
    refused("no expert", EfficientNetConfig::cond_conv(0).build(&vb()));
    let stages = AttentionNetConfig {
        stages: vec![],
        ..AttentionNetConfig::cifar(1)
    };
    refused("no stage", stages.build(&vb()));
    let stem = AttentionNetConfig::cifar(1).stem(AttentionStem::Conv3(0));
    refused("a stem of 0 channels", stem.build(&vb()));
    let net = || ResNetConfig::resnet18();
    refused("a grid of 0", net().multi_grid([1, 0, 1]).build(&vb()));
    let never = net().plugin_every(0, Stages::ALL, Place::Post, Plugin::eca());
    refused("every 0-th block", never.build(&vb()));
    refused("no kernel", net().od_conv(0).build(&vb()));
    let deeplab = || DeepLabV3Config::new(net());
    assert!(deeplab().rates([]).build(&vb()).is_err());
    assert!(deeplab().classes(0).build(&vb()).is_err());
    let plus = DeepLabV3PlusConfig::new(net()).output_stride(OutputStride::Eight);
    assert!(plus.in_channels(0).build(&vb()).is_err());
}
