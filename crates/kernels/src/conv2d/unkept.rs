//! The forward pass with weights that may never be used again.
//!
//! Winograd's points are up to four times what weights are, and fresh memory takes longer to come than all else that a network
//! does at its first run. So the weights of a few panels of output channels are packed at a time, into memory that those of the
//! panels before them had.

use super::packed::PackedWeights;
use super::{Arrangement, Conv2dGeometry};
use crate::accuracy::Policy;
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::geometry::Layout;
use crate::parallel::Cut;

/// Elements that are packed at a time, about: less than the second-level caches of two threads hold, and than an image of the
/// first layers has.
const ELEMENTS: usize = 224 << 10;

/// Computes `y` (NHWC) from `x` of layout `input`, to the last bit as [`PackedWeights::new`] and
/// [`PackedWeights::forward`] do, but keeps nothing, and packs a megabyte of the weights at a time.
///
/// # Errors
/// If a slice does not have the geometry's length, or memory runs out.
pub fn forward_unkept(
    policy: impl Into<Policy>,
    g: &Conv2dGeometry,
    (x, input): (&[f32], Layout),
    weight: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    let policy = policy.into();
    let arrangement = Arrangement::choose(policy, g, input);
    let Some((panels, len)) = arrangement.separable(g, ELEMENTS) else {
        return PackedWeights::new(policy, g, input, weight)?.forward(g, x, epilogue, y);
    };
    let most = Cut::every(panels.count(), ELEMENTS / len.max(1));
    let passes = Cut::every(panels.count(), panels.count().div_ceil(most.tasks()));
    (0..passes.tasks()).try_for_each(|pass| {
        let held = (panels, passes.range(pass));
        PackedWeights::of_panels(arrangement, g, weight, held)?.forward(g, x, epilogue, y)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epilogue::Activation;
    use crate::testing::Random;
    use striate_simd::{Level, test_each_level};

    test_each_level! {
        fn nothing_but_memory_differs(level: Level) {
            // Pointwise, tiles of either kind, a stride, one group of many, and more panels than fit.
            for (batch, channels, size, out, kernel, stride, groups) in [
                (1, 256, 14, 1024, 1, 1, 1),
                (1, 512, 7, 512, 3, 1, 1),
                (2, 256, 14, 256, 3, 1, 1),
                (1, 256, 14, 512, 3, 2, 1),
                (1, 512, 9, 300, 1, 2, 1),
                (1, 128, 28, 1000, 3, 1, 1),
                (1, 64, 6, 64, 3, 1, 64),
                (1, 64, 6, 128, 3, 1, 4),
            ] {
                let pad = [kernel / 2; 4];
                let g = Conv2dGeometry::new(
                    batch, channels, [size; 2], out, [kernel; 2], [stride; 2], pad, [1; 2], groups,
                )
                .unwrap();
                let mut random = Random::new(channels as u64);
                let [x, weight, residual] = [g.x_len(), g.weight_len(), g.y_len()]
                    .map(|len| random.normals(len));
                let bias = random.normals(out);
                let epilogue = Epilogue::NONE.bias(Some(&bias)).residual(Some(&residual));
                let epilogue = epilogue.activation(Activation::Relu);
                let [mut kept, mut unkept] = [(); 2].map(|()| vec![f32::NAN; g.y_len()]);
                let packed = PackedWeights::new(level, &g, Layout::Nhwc, &weight).unwrap();
                packed.forward(&g, &x, &epilogue, &mut kept).unwrap();
                let operands = (&x[..], Layout::Nhwc);
                forward_unkept(level, &g, operands, &weight, &epilogue, &mut unkept).unwrap();
                assert_eq!(kept, unkept, "{g:?}");
            }
        }
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let g = Conv2dGeometry::new(1, 64, [4; 2], 64, [1; 2], [1; 2], [0; 4], [1; 2], 1).unwrap();
        let (x, weight) = (vec![0.0; g.x_len()], vec![0.0; g.weight_len()]);
        let run = |x: &[f32], weight: &[f32], len: usize| {
            let mut y = vec![0.0; len];
            let level = Level::detect();
            forward_unkept(
                level,
                &g,
                (x, Layout::Nhwc),
                weight,
                &Epilogue::NONE,
                &mut y,
            )
        };
        assert!(run(&x, &weight, g.y_len()).is_ok());
        assert!(run(&x[1..], &weight, g.y_len()).is_err());
        assert!(run(&x, &weight[1..], g.y_len()).is_err());
        assert!(run(&x, &weight, g.y_len() - 1).is_err());
    }
}
