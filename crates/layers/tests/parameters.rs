//! Parameter counts: of every module of the catalogue, and of networks made of them.

use striate_layers::catalog::entries;
use striate_layers::*;
use striate_tensor::Result;

fn vb() -> VarBuilder {
    VarBuilder::seeded(0)
}

#[test]
fn counts_equal_the_worked_numbers() -> Result<()> {
    for entry in entries() {
        assert!(
            !entry.counts.is_empty(),
            "{} has no worked number",
            entry.name
        );
        for &(config, expected) in entry.counts {
            let module = entry.build_str(config, &vb())?;
            assert_eq!(
                parameter_count(&module),
                expected,
                "{} {config}",
                entry.name
            );
        }
    }
    Ok(())
}

/// Blocks, width and output channels of each stage of ResNet-50.
const STAGES: [(usize, usize, usize); 4] =
    [(3, 64, 256), (4, 128, 512), (6, 256, 1024), (3, 512, 2048)];
/// Its parameters.
const RESNET50: usize = 25_557_032;

/// Extra parameters of attention at one place of every block.
fn extra(position: SePosition, bias: bool) -> Result<usize> {
    let mut sum = 0;
    let mut channels = 64;
    for (blocks, width, out) in STAGES {
        for block in 0..blocks {
            let attended = match position {
                SePosition::Pre if block == 0 => channels,
                SePosition::Conv3x3 => width,
                _ => out,
            };
            sum += parameter_count(&SqueezeExciteConfig::new(attended).bias(bias).build(&vb())?);
        }
        channels = out;
    }
    Ok(sum)
}

#[test]
fn ablations_of_squeeze_excitation_have_the_published_counts() -> Result<()> {
    for (position, with_bias, without) in [
        (SePosition::Standard, 28_088_024, 28_071_976),
        (SePosition::Pre, 27_562_140, 27_548_200),
        (SePosition::Conv3x3, 25_718_228, 25_714_216),
    ] {
        assert_eq!(RESNET50 + extra(position, true)?, with_bias, "{position:?}");
        assert_eq!(RESNET50 + extra(position, false)?, without, "{position:?}");
    }
    let stages: Vec<_> = STAGES.iter().map(|&(n, _, c)| (n, c)).collect();
    for (reduction, with_bias, without) in [
        (2, 45_699_240, 45_676_584),
        (4, 35_635_688, 35_616_808),
        (8, 30_603_912, 30_586_920),
        (16, 28_088_024, 28_071_976),
        (32, 26_830_080, 26_814_504),
    ] {
        assert_eq!(
            RESNET50 + se_extra_params(&stages, reduction, true)?,
            with_bias,
            "r {reduction}"
        );
        assert_eq!(
            RESNET50 + se_extra_params(&stages, reduction, false)?,
            without,
            "r {reduction}"
        );
    }
    for (from, to, expected) in [
        (0, 1, 25_582_424),
        (1, 2, 25_690_280),
        (2, 3, 26_349_992),
        (3, 4, 27_136_424),
        (0, 3, 26_508_632),
    ] {
        assert_eq!(
            RESNET50 + se_extra_params(&stages[from..to], 16, true)?,
            expected,
            "{from}..{to}"
        );
    }
    for (blocks, expected) in [
        ([3, 4, 23, 3], 4_743_168 + 34_544),
        ([3, 8, 36, 3], 6_578_176 + 50_864),
    ] {
        let stages: Vec<_> = blocks.iter().zip(&stages).map(|(&n, s)| (n, s.1)).collect();
        assert_eq!(se_extra_params(&stages, 16, true)?, expected, "{blocks:?}");
    }
    assert!(
        se_extra_params(&[(1, 8)], 16, true).is_err() && se_extra_params(&stages, 0, true).is_err()
    );
    assert!(
        se_extra_params(&[(usize::MAX, 64)], 16, true).is_err(),
        "an overflow"
    );
    Ok(())
}

#[test]
fn roundings_of_the_width_differ_in_narrow_networks() -> Result<()> {
    let total = |rounding: Rounding| {
        let widths = [64, 128, 256, 512].into_iter();
        widths
            .map(|c| {
                Ok(2 * parameter_count(
                    &SqueezeExciteConfig::new(c)
                        .rounding(rounding)
                        .build(&vb())?,
                ))
            })
            .sum::<Result<usize>>()
    };
    assert_eq!(
        11_689_512 + total(Rounding::DivisibleBy(8))?,
        11_779_624,
        "SE-ResNet-18 in timm"
    );
    assert_eq!(
        11_689_512 + total(Rounding::Floor)?,
        11_778_592,
        "SE-ResNet-18, legacy"
    );
    Ok(())
}

/// Parameters of SKNet with that many units a stage.
fn sknet(units: [usize; 4]) -> Result<usize> {
    let (stem, head) = (64 * 3 * 49 + 128, 2048 * 1000 + 1000);
    let mut sum = stem + head;
    let mut channels = 64;
    for ((_, width, out), n) in STAGES.into_iter().zip(units) {
        let first = SkUnitConfig::new(channels, 2 * width, out).build(&vb())?;
        let other = SkUnitConfig::new(out, 2 * width, out).build(&vb())?;
        sum += parameter_count(&first) + (n - 1) * parameter_count(&other);
        channels = out;
    }
    Ok(sum)
}

#[test]
fn selective_kernel_networks_have_the_published_counts() -> Result<()> {
    assert_eq!(sknet([2, 2, 2, 2])?, 16_746_408);
    assert_eq!(sknet([3, 4, 6, 3])?, 27_479_784);
    assert_eq!(sknet([3, 4, 23, 3])?, 48_736_040);
    Ok(())
}

#[test]
fn cbam_networks_have_the_published_counts() -> Result<()> {
    let extra = |stages: &[(usize, usize)]| {
        stages
            .iter()
            .map(|&(n, c)| Ok(n * parameter_count(&CbamConfig::new(c).build(&vb())?)))
            .sum::<Result<usize>>()
    };
    let stages: Vec<_> = STAGES.iter().map(|&(n, _, c)| (n, c)).collect();
    assert_eq!(RESNET50 + extra(&stages)?, 28_089_624);
    assert_eq!(
        11_689_512 + extra(&[(2, 64), (2, 128), (2, 256), (2, 512)])?,
        11_779_392
    );
    Ok(())
}
