//! Colours for values: a scale from dark blue to yellow, and one colour for each branch.

use super::canvas::Colour;

/// Evenly spaced points of the scale; brightness grows along it, so that it also reads in grey and for the colour-blind.
const SCALE: [Colour; 7] = [
    [38, 24, 92],
    [60, 70, 145],
    [43, 114, 150],
    [32, 152, 138],
    [86, 190, 100],
    [170, 218, 60],
    [250, 232, 60],
];

const BRANCHES: [Colour; 6] = [
    [52, 104, 172],
    [238, 150, 48],
    [64, 160, 96],
    [200, 72, 88],
    [136, 96, 176],
    [120, 128, 136],
];

/// The colour of a value from 0 to 1.
pub(super) fn scale(value: f32) -> Colour {
    let position = clamp(value) * (SCALE.len() - 1) as f32;
    let below = (position as usize).min(SCALE.len() - 2);
    mix(SCALE[below], SCALE[below + 1], position - below as f32)
}

/// The colour of a branch.
pub(super) fn branch(index: usize) -> Colour {
    BRANCHES[index % BRANCHES.len()]
}

/// `a` at 0, `b` at 1.
pub(super) fn mix(a: Colour, b: Colour, share: f32) -> Colour {
    let share = clamp(share);
    std::array::from_fn(|i| {
        (f32::from(a[i]) * (1.0 - share) + f32::from(b[i]) * share).round() as u8
    })
}

/// `value` within 0 to 1; a NaN is 0.
pub(super) fn clamp(value: f32) -> f32 {
    if value.is_nan() {
        0.0
    } else {
        value.clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_gets_brighter_and_takes_any_value() {
        let brightness = |v: f32| scale(v).iter().map(|&c| u32::from(c)).sum::<u32>();
        let values: Vec<u32> = (0..=20).map(|i| brightness(i as f32 / 20.0)).collect();
        assert!(values.is_sorted(), "{values:?}");
        assert_eq!(scale(f32::NAN), SCALE[0]);
        assert_eq!(scale(-3.0), SCALE[0]);
        assert_eq!(scale(f32::INFINITY), SCALE[6]);
        assert_eq!(scale(1.0), SCALE[6]);
    }
}
