use proptest::prelude::*;
use striate_kernels::conv_transpose2d::ConvTranspose2dGeometry;
use striate_kernels::conv2d::{Arrangement, Conv2dGeometry, PackedWeights};
use striate_kernels::geometry::Layout as ImageLayout;
use striate_kernels::{Accuracy, Policy};

use super::*;
use crate::{
    Conv2dEpilogue, Conv2dOptions, ConvTranspose2dOptions, Error, Philox, Tensor, current_level,
    no_grad, with_level,
};

const CHANNELS: usize = 12;

fn random(shape: &[usize], seed: u64) -> Tensor {
    Tensor::randn(shape, &mut Philox::new(seed)).unwrap()
}

fn weight(seed: u64) -> Tensor {
    random(&[CHANNELS, CHANNELS, 3, 3], seed)
}

fn image(size: usize) -> Tensor {
    let x = random(&[1, CHANNELS, size, size], size as u64);
    x.channels_last().unwrap()
}

fn same_padding() -> Conv2dOptions {
    Conv2dOptions::default().padding(1)
}

fn values(x: &Tensor) -> Vec<f32> {
    x.to_vec().unwrap()
}

/// What is kept of a weight for a convolution of `image(size)`.
fn kept(weight: &Tensor, size: usize) -> Option<Arc<PackedWeights>> {
    let policy = Policy {
        level: current_level().unwrap(),
        accuracy: Accuracy::Fast,
    };
    let (shape, both) = ([size; 2], CHANNELS);
    let g = Conv2dGeometry::new(1, both, shape, both, [3; 2], [1; 2], [1; 4], [1; 2], 1).unwrap();
    let key = Arrangement::choose(policy, &g, ImageLayout::Nhwc);
    weight
        .packed(&key, || Err(Error::msg("nothing is kept")))
        .ok()
}

/// The values of a convolution with weights that nothing was made of before.
fn fresh(x: &Tensor, weight: &Tensor, options: Conv2dOptions) -> Vec<f32> {
    let copy = Tensor::from_vec(values(weight), weight.shape()).unwrap();
    values(&x.conv2d(&copy, None, options).unwrap())
}

#[test]
fn every_handle_finds_what_was_packed() {
    let (x, w) = (image(9), weight(1));
    assert!(kept(&w, 9).is_none());
    x.conv2d(&w, None, same_padding()).unwrap();
    let packed = kept(&w, 9).unwrap();
    let leaf = w.requires_grad(true).unwrap();
    let y = x.conv2d(&leaf, None, same_padding()).unwrap();
    no_grad(|| x.conv2d(&w.detach(), None, same_padding())).unwrap();
    y.sum_all().unwrap().backward().unwrap();
    for handle in [&w, &leaf, &w.clone()] {
        assert!(Arc::ptr_eq(&packed, &kept(handle, 9).unwrap()));
    }
}

#[test]
fn a_linear_map_is_packed_once() {
    let (x, w) = (random(&[3, 40], 1), random(&[10, 40], 2));
    let first = x.linear(&w, None).unwrap();
    let level = current_level().unwrap();
    let kept = |w: &Tensor| w.packed::<PackedB>(&level, || Err(Error::msg("nothing is kept")));
    let packed = kept(&w).unwrap();
    assert_eq!(values(&x.linear(&w, None).unwrap()), values(&first));
    assert!(Arc::ptr_eq(&packed, &kept(&w).unwrap()));
}

#[test]
fn inference_keeps_what_it_uses_again() {
    let (x, mut w) = (image(9), weight(1));
    let (plain, matrix) = (Conv2dEpilogue::default(), random(&[10, 40], 2));
    let row = random(&[3, 40], 1);
    let level = current_level().unwrap();
    let kept_matrix = |w: &Tensor| {
        w.packed::<PackedB>(&level, || Err(Error::msg("nothing is kept")))
            .is_ok()
    };
    let expected = fresh(&x, &w, same_padding());
    for round in 0..3 {
        assert_eq!(kept(&w, 9).is_some(), round > 1, "{round}");
        let y = x.conv2d_fused(&w, same_padding(), &plain).unwrap();
        assert_eq!(values(&y), expected, "{round}");
        assert_eq!(kept_matrix(&matrix), round > 1, "{round}");
        let y = no_grad(|| row.linear(&matrix, None)).unwrap();
        let copy = Tensor::from_vec(values(&matrix), matrix.shape()).unwrap();
        assert_eq!(
            values(&y),
            values(&row.linear(&copy, None).unwrap()),
            "{round}"
        );
    }
    w.update_slice(|w: &mut [f32]| w[0] += 1.0).unwrap();
    x.conv2d_fused(&w, same_padding(), &plain).unwrap();
    assert!(
        kept(&w, 9).is_none(),
        "new values are used for the first time"
    );
}

#[test]
fn a_transposed_convolution_is_packed_once() {
    let (x, mut w) = (image(9), weight(1));
    let options = ConvTranspose2dOptions::default().stride(2);
    let policy = Policy::from(current_level().unwrap());
    let (shape, both) = ([9; 2], CHANNELS);
    let g = ConvTranspose2dGeometry::new(
        1, both, shape, both, [3; 2], [2; 2], [0; 4], [0; 2], [1; 2], 1,
    );
    let key = conv_transpose2d::arrangement(policy, &g.unwrap());
    let kept = |w: &Tensor| {
        let nothing = || Err(Error::msg("nothing is kept"));
        w.packed::<conv_transpose2d::PackedWeights>(&key, nothing)
    };
    let first = x.conv_transpose2d(&w, None, options).unwrap();
    let packed = kept(&w).unwrap();
    let second = x.conv_transpose2d(&w, None, options).unwrap();
    assert_eq!(values(&first), values(&second));
    assert!(Arc::ptr_eq(&packed, &kept(&w).unwrap()));
    w.update_slice(|w: &mut [f32]| w.fill(0.0)).unwrap();
    let y = x.conv_transpose2d(&w, None, options).unwrap();
    assert!(values(&y).iter().all(|&y| y == 0.0));
}

#[test]
fn a_write_forgets_and_a_copy_starts_anew() {
    let (x, mut w) = (image(9), weight(1));
    x.conv2d(&w, None, same_padding()).unwrap();
    w.update_slice(|w: &mut [f32]| w[0] += 1.0).unwrap();
    assert!(kept(&w, 9).is_none(), "written in place");
    x.conv2d(&w, None, same_padding()).unwrap();
    let before = w.clone();
    w.update_slice(|w: &mut [f32]| w[0] += 1.0).unwrap();
    assert!(kept(&w, 9).is_none(), "a copy was written");
    assert!(kept(&before, 9).is_some(), "the old values are still used");
    for w in [&w, &before] {
        let y = x.conv2d(w, None, same_padding()).unwrap();
        assert_eq!(values(&y), fresh(&x, w, same_padding()));
    }
}

#[test]
fn views_are_packed_apart() {
    let (x, w) = (image(9), weight(1));
    let half = CHANNELS / 2;
    for part in w.split(&[half, half], 0).unwrap() {
        let y = x.conv2d(&part, None, same_padding()).unwrap();
        assert_eq!(values(&y), fresh(&x, &part, same_padding()));
    }
    let turned = w.transpose(0, 1).unwrap();
    for w in [&w, &turned] {
        let y = x.conv2d(w, None, same_padding()).unwrap();
        assert_eq!(values(&y), fresh(&x, w, same_padding()));
    }
}

#[test]
fn threads_share() {
    let (x, w) = (image(16), weight(1));
    let expected = fresh(&x, &w, same_padding());
    let packs: Vec<_> = std::thread::scope(|scope| {
        let run = || {
            let y = x.conv2d(&w, None, same_padding()).unwrap();
            assert_eq!(values(&y), expected);
            kept(&w, 16).unwrap()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        let packs = threads.into_iter().map(|thread| thread.join());
        packs.map(|packs| packs.unwrap()).collect()
    });
    for packed in &packs {
        assert!(Arc::ptr_eq(packed, &packs[0]));
    }
}

#[test]
fn levels_do_not_mix() {
    let (x, w) = (image(9), weight(1));
    for _ in 0..2 {
        for level in Level::available() {
            with_level(level, || {
                let y = x.conv2d(&w, None, same_padding()).unwrap();
                assert_eq!(values(&y), fresh(&x, &w, same_padding()), "{level}");
                let packed = kept(&w, 9).unwrap();
                assert_eq!(packed.level(), level);
            });
        }
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let (x, w) = (image(9), weight(1));
    let paddings = 1..KEPT + 3;
    for padding in paddings {
        let options = Conv2dOptions::default().padding(padding);
        x.conv2d(&w, None, options).unwrap();
    }
    assert!(kept(&w, 9).is_none(), "the oldest is gone");
    x.conv2d(&w, None, same_padding()).unwrap();
    assert!(kept(&w, 9).is_some());
}

/// What a program may do with a weight.
#[derive(Clone, Debug)]
enum Step {
    Write(usize, f32),
    Share,
    Release,
    Replace(u64),
    Infer { size: usize, padding: usize },
    Train { size: usize },
    Part { size: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop::sample::select(vec![1, 4, 7, 14]);
    prop_oneof![
        (0..CHANNELS * CHANNELS * 9, -2.0f32..2.0).prop_map(|(at, by)| Step::Write(at, by)),
        Just(Step::Share),
        Just(Step::Release),
        (0..9u64).prop_map(Step::Replace),
        (size.clone(), 1..3usize).prop_map(|(size, padding)| Step::Infer { size, padding }),
        size.clone().prop_map(|size| Step::Train { size }),
        size.prop_map(|size| Step::Part { size }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever was done before, a convolution is that of the present values, bit by bit.
    #[test]
    fn nothing_is_ever_stale(steps in prop::collection::vec(step(), 1..24), level in 0..5usize) {
        let levels = Level::available();
        let level = levels[level % levels.len()];
        with_level(level, || {
            let mut w = weight(1).requires_grad(true).unwrap();
            let mut others = Vec::new();
            for step in steps {
                match step {
                    Step::Write(at, by) => {
                        w.update_slice(|w: &mut [f32]| w[at] += by).unwrap();
                    }
                    Step::Share => others.push((w.clone(), values(&w))),
                    Step::Release => others.clear(),
                    Step::Replace(seed) => w = w.with_data_of(&weight(seed)).unwrap(),
                    Step::Infer { size, padding } => {
                        let (x, options) = (image(size), Conv2dOptions::default().padding(padding));
                        let y = x.conv2d_fused(&w.detach(), options, &Conv2dEpilogue::default());
                        prop_assert_eq!(values(&y.unwrap()), fresh(&x, &w, options));
                        let y = no_grad(|| x.conv2d(&w, None, options)).unwrap();
                        prop_assert_eq!(values(&y), fresh(&x, &w, options));
                    }
                    Step::Train { size } => {
                        let x = image(size).requires_grad(true).unwrap();
                        let y = x.conv2d(&w, None, same_padding()).unwrap();
                        prop_assert_eq!(values(&y), fresh(&x, &w, same_padding()));
                        let grads = y.sum_all().unwrap().backward().unwrap();
                        let dw = values(grads.get(&w).unwrap());
                        w.update_slice(|w: &mut [f32]| {
                            w.iter_mut().zip(&dw).for_each(|(w, dw)| *w -= 0.1 * dw);
                        }).unwrap();
                    }
                    Step::Part { size } => {
                        let x = image(size);
                        let part = w.detach().narrow(0, 3, 8).unwrap();
                        let y = x.conv2d(&part, None, same_padding()).unwrap();
                        prop_assert_eq!(values(&y), fresh(&x, &part, same_padding()));
                    }
                }
                for (other, then) in &others {
                    prop_assert_eq!(&values(other), then);
                    let x = image(4);
                    let y = x.conv2d(other, None, same_padding()).unwrap();
                    prop_assert_eq!(values(&y), fresh(&x, other, same_padding()));
                }
            }
            Ok(())
        })?;
    }
}
