//! What the blocks of well-known networks promise: whole networks' counts, definitions restated, names.

use striate_layers::*;
use striate_tensor::{Conv2dOptions, DType, Divisor, Philox, PoolOptions, Result, Tensor};

fn vb() -> VarBuilder {
    VarBuilder::seeded(0)
}

fn randn(shape: &[usize]) -> Result<Tensor> {
    Tensor::randn(shape, &mut Philox::new(8))
}

fn close(got: &Tensor, expected: &Tensor, tolerance: f32) -> Result<()> {
    assert_eq!(got.shape(), expected.shape());
    let (got, expected) = (got.to_vec::<f32>()?, expected.to_vec::<f32>()?);
    for (i, (g, e)) in got.iter().zip(&expected).enumerate() {
        assert!(
            (g - e).abs() <= tolerance * (1.0 + e.abs()),
            "element {i} is {g}, not {e}"
        );
    }
    Ok(())
}

/// A convolution, its batch norm as it starts, in evaluation, and ReLU.
fn conv(
    dict: &StateDict,
    name: &str,
    x: &Tensor,
    stride: usize,
    padding: [usize; 2],
    eps: f64,
) -> Result<Tensor> {
    let weight = dict.get(&format!("{name}.conv.weight")).expect(name);
    let options = Conv2dOptions::default().stride(stride).padding(padding);
    let y = x.conv2d(weight, None, options)?;
    y.mul_scalar((1.0 + eps).powf(-0.5))?.relu()
}

fn joined(parts: &[&Tensor]) -> Result<Tensor> {
    Tensor::cat(parts, 1)
}

const PLACES: [&str; 10] = ["3a", "3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b"];

#[test]
fn bn_inception_has_the_published_count() -> Result<()> {
    let conv_bn = |i: usize, o: usize, k: usize| i * o * k * k + 2 * o;
    let mut sum = conv_bn(3, 64, 7) + conv_bn(64, 64, 1) + conv_bn(64, 192, 3);
    let mut channels = 192;
    for place in PLACES {
        let config = BnInceptionConfig::at(place)?;
        assert_eq!(config.in_channels, channels, "{place}");
        let pooled = config.pool_proj.unwrap_or(channels);
        channels = config.ch1x1.unwrap_or(0) + config.ch3x3[1] + config.double[2] + pooled;
        sum += parameter_count(&config.build(&vb())?);
    }
    assert_eq!(channels, 1024);
    assert_eq!(sum + 1024 * 1000 + 1000, 11_285_224);
    let error = BnInceptionConfig::at("6a")
        .map(|_| ())
        .expect_err("no place");
    assert!(error.to_string().contains("5b"), "{error}");
    Ok(())
}

#[test]
fn googlenet_has_the_published_count() -> Result<()> {
    let conv_bn = |i: usize, o: usize, k: usize| i * o * k * k + 2 * o;
    let mut sum = conv_bn(3, 64, 7) + conv_bn(64, 64, 1) + conv_bn(64, 192, 3);
    let mut channels = 192;
    for (a, b, c, p) in [
        (64, [96, 128], [16, 32], 32),
        (128, [128, 192], [32, 96], 64),
        (192, [96, 208], [16, 48], 64),
        (160, [112, 224], [24, 64], 64),
        (128, [128, 256], [24, 64], 64),
        (112, [144, 288], [32, 64], 64),
        (256, [160, 320], [32, 128], 128),
        (256, [160, 320], [32, 128], 128),
        (384, [192, 384], [48, 128], 128),
    ] {
        sum += parameter_count(&InceptionV1Config::new(channels, a, b, c, p).build(&vb())?);
        channels = a + b[1] + c[1] + p;
    }
    assert_eq!(sum + 1024 * 1000 + 1000, 6_624_904);
    Ok(())
}

#[test]
fn inception_v3_has_the_published_count() -> Result<()> {
    let conv_bn = |i: usize, o: usize, k: usize| i * o * k * k + 2 * o;
    let mut sum = conv_bn(3, 32, 3) + conv_bn(32, 32, 3) + conv_bn(32, 64, 3);
    sum += conv_bn(64, 80, 1) + conv_bn(80, 192, 3);
    use InceptionV3Kind::{A, B, C, D, E};
    for (channels, kind) in [
        (192, A { pool_features: 32 }),
        (256, A { pool_features: 64 }),
        (288, A { pool_features: 64 }),
        (288, B),
        (768, C { width: 128 }),
        (768, C { width: 160 }),
        (768, C { width: 160 }),
        (768, C { width: 192 }),
        (768, D),
        (1280, E),
        (2048, E),
    ] {
        sum += parameter_count(&InceptionV3Config::new(channels, kind).build(&vb())?);
    }
    assert_eq!(sum + 2048 * 1000 + 1000, 23_834_568);
    Ok(())
}

#[test]
fn the_block_of_bn_inception_is_its_definition() -> Result<()> {
    let x = randn(&[2, 5, 6, 8])?;
    for (config, stride) in [
        (BnInceptionConfig::new(5, 3, [2, 4], [3, 2, 5], 2), 1),
        (
            BnInceptionConfig::new(5, 3, [2, 4], [3, 2, 5], 2).pool(BnPool::Max),
            1,
        ),
        (BnInceptionConfig::halving(5, [2, 4], [3, 2, 5]), 2),
    ] {
        let block = config.build(&vb())?;
        set_training(&block, false);
        let dict = state_dict(&block);
        let conv = |name: &str, x: &Tensor, stride, padding| {
            conv(&dict, name, x, stride, [padding; 2], 1e-5)
        };
        let single = conv("3x3", &conv("3x3_reduce", &x, 1, 0)?, stride, 1)?;
        let double = conv("double_3x3_1", &conv("double_3x3_reduce", &x, 1, 0)?, 1, 1)?;
        let double = conv("double_3x3_2", &double, stride, 1)?;
        let same = PoolOptions::new(3).stride(1).padding(1);
        let expected = if stride == 2 {
            let pooled = x.max_pool2d(PoolOptions::new(3).stride(2).ceil_mode(true))?;
            joined(&[&single, &double, &pooled])?
        } else {
            let pooled = match config.pool {
                BnPool::Avg => x.avg_pool2d(same, Divisor::IncludePad)?,
                BnPool::Max => x.max_pool2d(same)?,
            };
            let pooled = conv("pool_proj", &pooled, 1, 0)?;
            joined(&[&conv("1x1", &x, 1, 0)?, &single, &double, &pooled])?
        };
        close(&block.forward(&x)?, &expected, 1e-5)?;
    }
    Ok(())
}

#[test]
fn a_block_that_halves_wants_even_maps() -> Result<()> {
    let block = BnInceptionConfig::halving(2, [2, 2], [2, 2, 2]).build(&(vb() / "net" / "3c"))?;
    let error = block
        .forward(&randn(&[2, 2, 7, 8])?)
        .map(|_| ())
        .expect_err("7 rows");
    assert!(error.to_string().contains("net.3c"), "{error}");
    Ok(())
}

#[test]
fn the_blocks_of_inception_v3_are_their_definitions() -> Result<()> {
    let x = randn(&[1, 4, 5, 7])?;
    let mean = |x: &Tensor| {
        x.avg_pool2d(
            PoolOptions::new(3).stride(1).padding(1),
            Divisor::IncludePad,
        )
    };
    let max = |x: &Tensor| x.max_pool2d(PoolOptions::new(3).stride(2));
    use InceptionV3Kind::{C, D, E};
    for kind in [C { width: 3 }, D, E] {
        let block = InceptionV3Config::new(4, kind).build(&vb())?;
        set_training(&block, false);
        let dict = state_dict(&block);
        let conv = |name: &str, x: &Tensor, padding| {
            conv(&dict, &format!("branch{name}"), x, 1, padding, 1e-3)
        };
        let halve = |name: &str, x: &Tensor| {
            let name = format!("branch{name}");
            self::conv(&dict, &name, x, 2, [0, 0], 1e-3)
        };
        let expected = match kind {
            C { .. } => {
                let one = conv("7x7_2", &conv("7x7_1", &x, [0, 0])?, [0, 3])?;
                let one = conv("7x7_3", &one, [3, 0])?;
                let mut two = conv("7x7dbl_1", &x, [0, 0])?;
                for (i, padding) in [(2, [3, 0]), (3, [0, 3]), (4, [3, 0]), (5, [0, 3])] {
                    two = conv(&format!("7x7dbl_{i}"), &two, padding)?;
                }
                let pooled = conv("_pool", &mean(&x)?, [0, 0])?;
                joined(&[&conv("1x1", &x, [0, 0])?, &one, &two, &pooled])?
            }
            D => {
                let one = halve("3x3_2", &conv("3x3_1", &x, [0, 0])?)?;
                let two = conv("7x7x3_2", &conv("7x7x3_1", &x, [0, 0])?, [0, 3])?;
                let two = halve("7x7x3_4", &conv("7x7x3_3", &two, [3, 0])?)?;
                joined(&[&one, &two, &max(&x)?])?
            }
            _ => {
                let fork = |name: &str, x: &Tensor| {
                    let row = conv(&format!("{name}a"), x, [0, 1])?;
                    joined(&[&row, &conv(&format!("{name}b"), x, [1, 0])?])
                };
                let one = fork("3x3_2", &conv("3x3_1", &x, [0, 0])?)?;
                let two = conv("3x3dbl_2", &conv("3x3dbl_1", &x, [0, 0])?, [1, 1])?;
                let two = fork("3x3dbl_3", &two)?;
                let pooled = conv("_pool", &mean(&x)?, [0, 0])?;
                joined(&[&conv("1x1", &x, [0, 0])?, &one, &two, &pooled])?
            }
        };
        close(&block.forward(&x)?, &expected, 1e-4)?;
    }
    Ok(())
}

#[test]
fn a_residual_inception_block_corrects_its_input() -> Result<()> {
    let x = randn(&[1, 3, 4, 5])?;
    let config = InceptionResNetConfig::new(3, InceptionResNetKind::Block35);
    // Without a correction only the ReLU is left, and without that nothing.
    let none = config.clone().scale(0.0).build(&vb())?;
    close(&none.forward(&x)?, &x.relu()?, 0.0)?;
    let plain = config.relu(false).build(&vb())?;
    set_training(&plain, false);
    let dict = state_dict(&plain);
    let conv = |name: &str, x: &Tensor, padding| conv(&dict, name, x, 1, [padding; 2], 1e-3);
    let one = conv("branch1.1", &conv("branch1.0", &x, 0)?, 1)?;
    let two = conv(
        "branch2.2",
        &conv("branch2.1", &conv("branch2.0", &x, 0)?, 1)?,
        1,
    )?;
    let all = joined(&[&conv("branch0", &x, 0)?, &one, &two])?;
    let (weight, bias) = (dict.get("conv2d.weight"), dict.get("conv2d.bias"));
    let all = all.conv2d(weight.expect("a weight"), bias, Conv2dOptions::default())?;
    close(&plain.forward(&x)?, &x.add(&all.mul_scalar(0.17)?)?, 1e-5)
}

#[test]
fn parts_of_res2net_read_each_other_only_where_shapes_stay() -> Result<()> {
    // A change of the first part's weights reaches the last convolved part, or does not.
    let x = randn(&[1, 8, 6, 6])?;
    for (out, reads) in [(8, true), (12, false)] {
        let block = Res2NetConfig::new(8, 2, out).build(&vb())?;
        set_training(&block, false);
        let parameter = |name: &str| {
            let mut all = named_parameters(&block).into_iter();
            all.find(|(n, _)| n == name).expect(name).1
        };
        // Only the third part is seen.
        let mut seen = vec![0.0f32; out * 8];
        for o in 0..out {
            seen[o * 8 + 4] = 1.0;
        }
        parameter("conv3.weight").set(&Tensor::from_vec(seen, [out, 8, 1, 1])?)?;
        let before = block.forward(&x)?.to_vec::<f32>()?;
        parameter("convs.0.weight").set(&Tensor::zeros([2, 2, 3, 3], DType::F32)?)?;
        assert_eq!(
            block.forward(&x)?.to_vec::<f32>()? != before,
            reads,
            "{out}"
        );
    }
    Ok(())
}

#[test]
fn flat_names_of_bn_inception_are_translated() -> Result<()> {
    let block = BnInceptionConfig::new(2, 2, [2, 2], [2, 2, 2], 2).conv_bias(true);
    let block = block.build(&vb())?;
    let (mut flat, mut own) = (StateDict::new(), Vec::new());
    for (name, tensor) in state_dict(&block).iter() {
        let mut parts = name.split('.');
        let [layer, part, leaf] = [(); 3].map(|()| parts.next().expect("three parts"));
        let norm = if part == "bn" { "_bn" } else { "" };
        flat.insert(format!("inception_3a_{layer}{norm}.{leaf}"), tensor.clone());
        own.push(format!("inception_3a.{name}"));
    }
    let translated = bn_inception_key_maps::flat().apply(flat)?;
    assert_eq!(translated.names().collect::<Vec<_>>(), own);
    Ok(())
}
