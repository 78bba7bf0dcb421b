//! Networks: parameter counts, names, shapes, options.

use striate_layers::{
    Layer, Loading, StateDict, VarBuilder, load_state_dict, named_buffers, named_parameters,
    parameter_count, se_key_maps, set_training, state_dict, summary,
};
use striate_models::{
    Attention, ModelInfo, Options, ResNetSmallConfig, SeSlot, SkNetCifarConfig, Task, build, find,
    list,
};
use striate_tensor::{Philox, Result, Tensor, no_grad};

fn vb() -> VarBuilder {
    VarBuilder::seeded(0)
}

/// The layers with weights of the authors' prototxt files.
fn caffe_names(stem: &[&str], depths: [usize; 4]) -> Vec<String> {
    let mut names = vec!["classifier.weight".to_owned(), "classifier.bias".to_owned()];
    let mut conv = |layer: &str| {
        names.push(format!("{layer}.weight"));
        for statistic in ["running_mean", "running_var"] {
            names.push(format!("{layer}/bn.{statistic}"));
        }
        for factor in ["weight", "bias"] {
            names.push(format!("{layer}/bn/scale.{factor}"));
        }
    };
    stem.iter().copied().for_each(&mut conv);
    for (stage, depth) in (2..).zip(depths) {
        for block in 1..=depth {
            let place = format!("conv{stage}_{block}");
            for part in ["1x1_reduce", "3x3", "1x1_increase"] {
                conv(&format!("{place}_{part}"));
            }
        }
        // So it is called in SENet-154 too, where it is a 3x3.
        conv(&format!("conv{stage}_1_1x1_proj"));
    }
    for (stage, depth) in (2..).zip(depths) {
        for block in 1..=depth {
            for part in [
                "1x1_down.weight",
                "1x1_down.bias",
                "1x1_up.weight",
                "1x1_up.bias",
            ] {
                names.push(format!("conv{stage}_{block}_{part}"));
            }
        }
    }
    names
}

#[test]
fn released_caffe_networks_have_all_their_names() -> Result<()> {
    let seven = ["conv1/7x7_s2"];
    let three = ["conv1_1/3x3_s2", "conv1_2/3x3", "conv1_3/3x3"];
    for (network, stem, depths) in [
        ("legacy_seresnet50", &seven[..], [3, 4, 6, 3]),
        ("legacy_seresnext101_32x4d", &seven, [3, 4, 23, 3]),
        ("legacy_senet154", &three, [3, 8, 36, 3]),
    ] {
        let net = build(network, &Options::default(), &VarBuilder::zeros())?;
        let own = state_dict(&net);
        let mut own: Vec<&str> = own.names().collect();
        own.retain(|name| !name.ends_with("num_batches_tracked"));
        own.sort_unstable();
        let one = Tensor::scalar(1.0f32)?;
        let names = caffe_names(stem, depths).into_iter();
        let caffe: StateDict = names.map(|name| (name, one.clone())).collect();
        let mapped = se_key_maps::caffe_network().apply(caffe)?;
        let mut mapped: Vec<&str> = mapped.names().collect();
        mapped.sort_unstable();
        assert_eq!(mapped, own, "{network}");
    }
    Ok(())
}

#[test]
fn counts_equal_the_published_ones() -> Result<()> {
    let count = |config: ResNetSmallConfig| {
        Ok::<_, striate_tensor::Error>(parameter_count(&config.build(&vb())?))
    };
    assert_eq!(count(ResNetSmallConfig::cifar(3, 10, 3))?, 272_474);
    let se = Attention::Se(SeSlot::new(16).bias(false));
    assert_eq!(
        count(ResNetSmallConfig::cifar(3, 10, 3).attention(se))?,
        274_490
    );
    assert_eq!(count(ResNetSmallConfig::cifar(3, 10, 9))?, 855_770);
    for (classes, plain, dilated) in [(10, 10_453_322, 8_388_938), (100, 10_545_572, 8_481_188)] {
        let config = SkNetCifarConfig::new(3, classes);
        assert_eq!(parameter_count(&config.build(&vb())?), plain);
        assert_eq!(
            parameter_count(&config.dilated(true).build(&vb())?),
            dilated
        );
    }
    Ok(())
}

#[test]
fn multiply_adds_equal_the_published_ones() -> Result<()> {
    for (strides, plain, dilated) in [
        ([1, 2, 2], 1_374_865_408, 1_072_875_520),
        ([2, 2, 2], 352_503_808, 277_006_336),
    ] {
        let config = SkNetCifarConfig::new(3, 10).strides(strides);
        let count = |config: &SkNetCifarConfig| {
            Ok::<_, striate_tensor::Error>(
                summary(&config.build(&vb())?, &[1, 3, 32, 32])?.multiply_adds,
            )
        };
        assert_eq!(count(&config)?, plain, "{strides:?}");
        assert_eq!(
            count(&config.dilated(true))?,
            dilated,
            "{strides:?}, dilated"
        );
    }
    let net = build(striate_models::DEFAULT, &Options::default(), &vb())?;
    let cost = summary(&net, &[1, 1, 32, 32])?;
    assert!(
        cost.multiply_adds <= 15_000_000,
        "the default network is small: {cost}"
    );
    assert_eq!(
        cost.layers.iter().map(|l| l.parameters).sum::<usize>(),
        cost.parameters
    );
    assert_eq!(
        cost.layers.iter().map(|l| l.multiply_adds).sum::<u64>(),
        cost.multiply_adds
    );
    let conv = cost
        .layers
        .iter()
        .find(|l| l.path == "layer2.0.conv1")
        .expect("it ran");
    assert_eq!(
        (conv.output.as_slice(), conv.multiply_adds),
        (&[1, 64, 8, 8][..], 64 * 64 * 32 * 9)
    );
    assert_eq!(cost.layers[0].path, "conv1");
    Ok(())
}

#[test]
fn names_are_those_of_the_listing() -> Result<()> {
    let dict = state_dict(&SkNetCifarConfig::new(3, 10).build(&vb())?);
    for name in [
        "basic_conv.0.weight",
        "basic_conv.1.running_var",
        "stage_1.0.feas.0.bias",
        "stage_1.0.shortcut.1.weight",
        "stage_2.4.feas.2.convs.1.0.weight",
        "stage_3.2.feas.2.convs.0.1.num_batches_tracked",
        "stage_3.2.feas.2.fc.bias",
        "stage_3.2.feas.2.fcs.1.weight",
        "stage_3.4.feas.5.weight",
        "classifier.0.weight",
    ] {
        assert!(dict.get(name).is_some(), "{name} is missing");
    }
    assert!(
        dict.get("stage_1.2.shortcut.0.weight").is_none(),
        "an identity has no weights"
    );
    Ok(())
}

#[test]
fn every_network_takes_odd_images() {
    let wrong: Vec<_> = list()
        .iter()
        .filter_map(|model| Some((model.name, takes_odd_images(model).err()?)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Uniform weights that keep the size of a map's numbers, cheaper to draw than the layers' own.
fn fill(net: &dyn Layer) -> Result<()> {
    let mut state = 1_u32;
    for (name, p) in named_parameters(net) {
        let fan_in: usize = p.shape().iter().skip(1).product();
        let (centre, spread) = match p.shape().len() {
            1 if name.ends_with("weight") => (0.5, 0.1),
            1 => (0.0, 0.1),
            _ => (0.0, (3.0 / fan_in as f32).sqrt()),
        };
        p.update(|numbers| {
            for number in numbers {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let unit = (state >> 8) as f32 / 8_388_608.0 - 1.0;
                *number = centre + spread * unit;
            }
        })?;
    }
    for (name, buffer) in named_buffers(net) {
        if name.ends_with("running_var") {
            buffer.set(&Tensor::ones(buffer.shape(), buffer.dtype())?)?;
        }
    }
    Ok(())
}

fn takes_odd_images(model: &ModelInfo) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let [channels, _, _] = model.input;
    let options = Options::default().classes(7);
    let net = build(model.name, &options, &VarBuilder::zeros())?;
    fill(&net)?;
    set_training(&net, false);
    let size = [13.max(model.smallest + 1), 10.max(model.smallest)];
    let [h, w] = size.map(|side| side.next_multiple_of(model.multiple_of));
    let x = Tensor::randn([2, channels, h, w], &mut Philox::new(2))?;
    let y = no_grad(|| net.forward(&x))?;
    let shape = match model.task {
        Task::Classification => vec![2, 7],
        Task::Segmentation => vec![2, 7, h, w],
    };
    if y.shape() != shape {
        return Err(format!("{:?} instead of {shape:?}", y.shape()).into());
    }
    let both = y.to_vec::<f32>()?;
    if !both.iter().all(|v| v.is_finite()) {
        return Err("not finite".into());
    }
    let first = no_grad(|| net.forward(&x.narrow(0, 0, 1)?))?.to_vec::<f32>()?;
    // Small outputs may be differences of large numbers, which another algorithm rounds differently.
    let largest = both.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    let apart = first.iter().zip(&both).map(|(a, b)| (a - b).abs());
    let apart = apart.fold(0.0_f32, f32::max);
    if apart > 1e-5 * largest {
        return Err(format!("a sample depends on its neighbours: {apart} of {largest}").into());
    }
    Ok(())
}

#[test]
fn every_attention_trains_and_loads() -> Result<()> {
    for name in Attention::names() {
        let options = Options::default()
            .attention(Attention::parse(name)?)
            .in_channels(3);
        let net = build("resnet_small", &options, &vb())?;
        let x = Tensor::randn([2, 3, 16, 16], &mut Philox::new(3))?;
        let labels = Tensor::from_vec(vec![1i64, 4], [2])?;
        let grads = net.forward(&x)?.cross_entropy(&labels, 0.0)?.backward()?;
        for (parameter, p) in named_parameters(&net) {
            assert!(
                grads.get(&p.tensor()).is_some(),
                "{name}: {parameter} has no gradient"
            );
        }
        let other = build("resnet_small", &options, &VarBuilder::seeded(1))?;
        assert!(
            load_state_dict(&other, &state_dict(&net), Loading::Strict)?.is_complete(),
            "{name}"
        );
    }
    Ok(())
}

#[test]
fn what_does_not_exist_is_an_error() {
    let error = find("seresnet_smal").expect_err("a typo").to_string();
    assert!(error.contains("seresnet_small"), "{error}");
    assert!(Attention::parse("sse").is_err());
    let sk = Options::default().attention(Attention::None);
    assert!(build("sknet_cifar", &sk, &vb()).is_err(), "it has no slot");
    for options in [
        Options::default().classes(0),
        Options::default().in_channels(0),
    ] {
        for model in list() {
            assert!(
                build(model.name, &options, &vb()).is_err(),
                "{}",
                model.name
            );
        }
    }
    let small = ResNetSmallConfig::new(1, 10);
    assert!(small.clone().blocks([1, 0, 1]).build(&vb()).is_err());
    assert!(small.clone().widths([0, 4, 8]).build(&vb()).is_err());
    assert!(small.clone().stem_stride(0).build(&vb()).is_err());
    assert!(
        small
            .widths([4, 4, 4])
            .attention(Attention::Se(SeSlot::new(8)))
            .build(&vb())
            .is_err()
    );
    let sk = SkNetCifarConfig::new(3, 10);
    assert!(sk.clone().strides([1, 0, 2]).build(&vb()).is_err());
    assert!(
        SkNetCifarConfig {
            branches: 0,
            ..sk.clone()
        }
        .build(&vb())
        .is_err()
    );
    assert!(SkNetCifarConfig { groups: 3, ..sk }.build(&vb()).is_err());
}
