//! Entries of down-sampling without aliases.

use striate_tensor::{PadMode, Result};

use super::{Entry, Example, Options, Typical};
use crate::{BlurConvConfig, BlurPoolConfig, Conv2dConfig, MaxBlurPoolConfig};

const PAPER: &str =
    "Zhang, Making Convolutional Networks Shift-Invariant Again, ICML 2019, arXiv:1904.11486";

const TYPICAL: Typical = Typical {
    config: r#"{"channels": 256}"#,
    inputs: &[&[1, 256, 56, 56]],
};

fn blur(o: &Options<'_>, channels: usize, filt_size: usize) -> Result<BlurPoolConfig> {
    let modes = [
        ("reflect", PadMode::Reflect),
        ("replicate", PadMode::Replicate),
        ("zero", PadMode::Zeros),
    ];
    Ok(BlurPoolConfig::new(channels)
        .filt_size(o.count_or("filt_size", filt_size)?)
        .stride(o.count_or("stride", 2)?)
        .pad_mode(o.choice("pad_type", &modes)?))
}

const INVALID: &[&str] = &[
    r#"{"channels": 0}"#,
    r#"{"channels": 4, "filt_size": 0}"#,
    r#"{"channels": 4, "filt_size": 8}"#,
    r#"{"channels": 4, "stride": 0}"#,
    r#"{"channels": 4, "pad_type": "circular"}"#,
    "{}",
];

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "blurpool",
        description: "down-samples after a low-pass filter",
        formula: "y = (a a^T * x) at every second place, a a row of Pascal's triangle over its sum",
        paper: PAPER,
        page: "blurpool",
        typical: TYPICAL,
        examples: &[
            Example::new(r#"{"channels": 3}"#, &[&[2, 3, 7, 6]], &[&[2, 3, 4, 3]]),
            Example::new(
                r#"{"channels": 4, "filt_size": 5, "stride": 3, "pad_off": 1}"#,
                &[&[1, 4, 9, 8]],
                &[&[1, 4, 4, 4]],
            ),
            Example::new(
                r#"{"channels": 2, "filt_size": 6, "pad_type": "replicate"}"#,
                &[&[1, 2, 1, 3]],
                &[&[1, 2, 1, 2]],
            ),
            Example::new(
                r#"{"channels": 9, "filt_size": 7, "stride": 1, "pad_type": "zero"}"#,
                &[&[2, 9, 4, 5]],
                &[&[2, 9, 4, 5]],
            ),
            Example::new(
                r#"{"channels": 2, "filt_size": 1}"#,
                &[&[1, 2, 3, 4]],
                &[&[1, 2, 2, 2]],
            ),
        ],
        counts: &[(r#"{"channels": 256}"#, 0)],
        invalid: INVALID,
        make: |o, vb| {
            let config = blur(o, o.count("channels")?, 4)?;
            Ok(Box::new(
                config.pad_off(o.count_or("pad_off", 0)?).build(vb)?,
            ))
        },
    },
    Entry {
        name: "blurpool1d",
        description: "down-samples a sequence after a low-pass filter",
        formula: "y = (a * x) at every second place, a a row of Pascal's triangle over its sum",
        paper: PAPER,
        page: "blurpool",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 1024]],
        },
        examples: &[
            Example::new(r#"{"channels": 3}"#, &[&[2, 3, 7]], &[&[2, 3, 4]]),
            Example::new(
                r#"{"channels": 4, "filt_size": 6, "pad_type": "zero", "pad_off": 1}"#,
                &[&[1, 4, 8]],
                &[&[1, 4, 5]],
            ),
        ],
        counts: &[(r#"{"channels": 256}"#, 0)],
        invalid: INVALID,
        make: |o, vb| {
            let config = blur(o, o.count("channels")?, 3)?;
            Ok(Box::new(
                config.pad_off(o.count_or("pad_off", 0)?).build_1d(vb)?,
            ))
        },
    },
    Entry {
        name: "maxblurpool",
        description: "max pooling that blurs before it down-samples",
        formula: "y = blur(max over the window of x)",
        paper: PAPER,
        page: "blurpool",
        typical: TYPICAL,
        examples: &[
            Example::new(r#"{"channels": 3}"#, &[&[2, 3, 9, 8]], &[&[2, 3, 4, 4]]),
            Example::new(
                r#"{"channels": 4, "kernel_size": 3, "padding": 1, "filt_size": 3}"#,
                &[&[1, 4, 5, 6]],
                &[&[1, 4, 3, 3]],
            ),
        ],
        counts: &[(r#"{"channels": 256}"#, 0)],
        invalid: &[
            r#"{"channels": 0}"#,
            r#"{"channels": 4, "kernel_size": 0}"#,
            r#"{"channels": 4, "padding": 2}"#,
            r#"{"channels": 4, "filt_size": 8}"#,
        ],
        make: |o, vb| {
            let channels = o.count("channels")?;
            let config = MaxBlurPoolConfig::new(channels)
                .window(o.count_or("kernel_size", 2)?, o.count_or("padding", 0)?)
                .blur(blur(o, channels, 4)?);
            Ok(Box::new(config.build(vb)?))
        },
    },
    Entry {
        name: "blurconv",
        description: "a convolution at stride 1 that is blurred before it is down-sampled",
        formula: "y = blur(relu(bn(conv(x))))",
        paper: PAPER,
        page: "blurpool",
        typical: Typical {
            config: r#"{"in_channels": 256, "out_channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 3, "out_channels": 4}"#,
                &[&[2, 3, 7, 6]],
                &[&[2, 4, 4, 3]],
            ),
            Example::new(
                r#"{"in_channels": 2, "out_channels": 9, "kernel_size": 1, "filt_size": 3, "pad_type": "zero"}"#,
                &[&[1, 2, 5, 4]],
                &[&[1, 9, 3, 2]],
            ),
        ],
        counts: &[(
            r#"{"in_channels": 256, "out_channels": 256}"#,
            9 * 256 * 256 + 512,
        )],
        invalid: &[
            r#"{"in_channels": 0, "out_channels": 4}"#,
            r#"{"in_channels": 4, "out_channels": 4, "kernel_size": 0}"#,
            r#"{"in_channels": 4, "out_channels": 4, "kernel_size": 2}"#,
            r#"{"in_channels": 4, "out_channels": 4, "filt_size": 8}"#,
        ],
        make: |o, vb| {
            let (i, out) = (o.count("in_channels")?, o.count("out_channels")?);
            let kernel = o.count_or("kernel_size", 3)?;
            crate::util::odd("BlurConv", "kernel_size", kernel)?;
            let conv = Conv2dConfig::new(i, out, kernel).padding(kernel / 2);
            let config = BlurConvConfig::of(conv).blur(blur(o, out, 4)?);
            Ok(Box::new(config.build(vb)?))
        },
    },
];
