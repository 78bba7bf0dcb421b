//! What modules that choose between branches promise.

#[path = "support/values.rs"]
mod values;

use striate_layers::probe::{self, ProbeKind};
use striate_layers::*;
use striate_tensor::{Result, Tensor};
use values::{close, load, randn, vb};

/// Two versions of two channels: the first from the first channel of the input, the second from the second.
fn two_versions() -> Result<SplitAttention> {
    let config = SplitAttentionConfig::new(2, 2).kernel(1).padding(0);
    let split = config.rd_channels(1).build(&vb())?;
    load(
        &split,
        &[
            ("conv.weight", &[1.0, 2.0, -1.0, -2.0]),
            ("bn0.weight", &[1.0; 4]),
            ("bn0.bias", &[0.0; 4]),
            ("fc1.weight", &[0.0; 2]),
            ("fc1.bias", &[0.0]),
            ("bn1.weight", &[1.0]),
            ("bn1.bias", &[0.0]),
            ("fc2.weight", &[0.0; 4]),
            ("fc2.bias", &[0.0, 1.0, 3f32.ln(), 1.0]),
        ],
    )?;
    set_training(&split, false);
    Ok(split)
}

#[test]
fn split_attention_by_hand() -> Result<()> {
    let split = two_versions()?;
    let x = Tensor::from_vec(vec![3.0f32, -4.0], [1, 2, 1, 1])?;
    let (y, probes) = probe::record(|| split.forward(&x));
    // The versions are relu(3, 6) and relu(4, 8), the logits (0, 1) and (ln 3, 1).
    assert_eq!(
        (probes[0].kind, probes[0].tensor.shape()),
        (ProbeKind::BranchWeights, &[1, 2, 2][..])
    );
    close(&probes[0].tensor, &[0.25, 0.5, 0.75, 0.5], "weights")?;
    let scale = 1.0 / (1.0f32 + 1e-5).sqrt();
    let expected = [0.25 * 3.0 + 0.75 * 4.0, 0.5 * 6.0 + 0.5 * 8.0].map(|v: f32| v * scale);
    close(&y?, &expected, "chosen")
}

#[test]
fn weights_of_versions_sum_to_one() -> Result<()> {
    let x = randn(&[3, 8, 5, 4])?;
    let split = SplitAttentionConfig::new(8, 8)
        .groups(2)
        .radix(4)
        .rd_channels(4);
    let (y, probes) = probe::record(|| split.build(&vb())?.forward(&x));
    assert_eq!(y?.shape(), [3, 8, 5, 4]);
    let sums = probes[0].tensor.sum(&[1], false)?;
    close(&sums, &[1.0; 24], "over the versions")?;
    let one = SplitAttentionConfig::new(8, 8).radix(1).build(&vb())?;
    let (_, probes) = probe::record(|| one.forward(&x));
    assert_eq!(
        (probes[0].kind, probes[0].tensor.shape()),
        (ProbeKind::ChannelGate, &[3, 8][..])
    );
    Ok(())
}

#[test]
fn selective_kernels_start_as_the_authors_do() -> Result<()> {
    let config = SkConvConfig::new(128, 128).fc_bias(true).conv_bias(true);
    let sk = config.init(SkInit::Prototxt).build(&vb())?;
    let mut seen = 0;
    for (name, tensor) in state_dict(&sk).iter() {
        let deviation = match name.rsplit_once('.') {
            // Four channels of a group, nine taps.
            Some((place, "weight")) if place.ends_with("conv") => (2f64 / 36.0).sqrt(),
            Some((place, "weight")) if place.contains(".fc_") => 0.01,
            Some((place, "bias")) if !place.ends_with("bn") => 0.0,
            _ => continue,
        };
        let got = f64::from(tensor.square()?.mean_all()?.item::<f32>()?).sqrt();
        assert!(
            (got - deviation).abs() <= 0.05 * deviation,
            "{name}: {got}, not {deviation}"
        );
        seen += 1;
    }
    assert_eq!(seen, 8, "two maps and two branches, each with a bias");
    Ok(())
}
