//! Copies between all kinds of strides against element-by-element assignment.

use super::*;
use crate::nest::row_major;
use crate::testing::Random;

/// Strides of an array whose dimensions are in a random order, with gaps every now and then.
fn strides(shape: &[usize], random: &mut Random) -> Vec<usize> {
    let mut order: Vec<usize> = (0..shape.len()).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, random.below(i + 1));
    }
    let gap = usize::from(random.below(3) == 0);
    let (mut strides, mut next) = (vec![0; shape.len()], 1);
    for &d in order.iter().rev() {
        strides[d] = next;
        next = next * shape[d] + gap;
    }
    strides
}

fn check<T: Copy + Send + Sync + PartialEq + std::fmt::Debug>(
    shape: &[usize],
    [dst_strides, src_strides]: [&[usize]; 2],
    number: impl Fn(usize) -> T,
) {
    let nest = LoopNest::new("copy", shape, [dst_strides, src_strides]).unwrap();
    let src: Vec<T> = (0..nest.extent(1)).map(|i| number(i + 1)).collect();
    let mut dst = vec![number(0); nest.extent(0)];
    let mut expected = dst.clone();
    for_each_element(&nest, 0..nest.len(), |[o, i]| expected[o] = src[i]);
    copy(&nest, &src, &mut dst).unwrap();
    assert_eq!(
        dst, expected,
        "{shape:?}, to {dst_strides:?} from {src_strides:?}"
    );
}

#[test]
fn every_pair_of_strides() {
    let mut random = Random::new(1);
    for _ in 0..400 {
        let shape: Vec<usize> = (0..random.below(5)).map(|_| random.below(9) + 1).collect();
        let (dst, mut src) = (strides(&shape, &mut random), strides(&shape, &mut random));
        if let Some(repeated) = src.get_mut(random.below(8)) {
            *repeated = 0;
        }
        check(&shape, [&dst, &src], |i| i as f32);
        check(&shape, [&dst, &src], |i| i as u8);
        check(&shape, [&row_major(&shape), &src], |i| i as i64);
    }
}

#[test]
fn layouts_of_images() {
    // Larger than a square, than a task, and than one task of rows and of columns.
    for [n, c, h, w] in [
        [2, 3, 5, 7],
        [1, 64, 14, 14],
        [3, 17, 33, 31],
        [1, 300, 20, 20],
        [2, 2, 200, 201],
    ] {
        let first = [c * h * w, h * w, w, 1];
        let last = [c * h * w, 1, w * c, c];
        check(&[n, c, h, w], [&last, &first], |i| i as f64);
        check(&[n, c, h, w], [&first, &last], |i| i as f32);
    }
}

#[test]
fn threads_do_not_change_the_result() {
    let nest = LoopNest::new("copy", &[300, 500], [&[500, 1], &[1, 300]]).unwrap();
    let src: Vec<usize> = (0..150_000).collect();
    for dst in crate::testing::on_threads(|| {
        let mut dst = vec![0; 150_000];
        copy(&nest, &src, &mut dst).unwrap();
        dst
    }) {
        assert!((0..150_000).all(|i| dst[i] == i % 500 * 300 + i / 500));
    }
}

#[test]
fn short_slices_are_refused() {
    let nest = LoopNest::new("copy", &[3, 4], [&[4, 1], &[1, 3]]).unwrap();
    assert!(copy(&nest, &[0; 11], &mut [0; 12]).is_err());
    assert!(copy(&nest, &[0; 12], &mut [0; 11]).is_err());
    let nest = LoopNest::new("copy", &[3, 0], [&[4, 1], &[1, 3]]).unwrap();
    assert!(copy::<u8>(&nest, &[], &mut []).is_ok());
}
