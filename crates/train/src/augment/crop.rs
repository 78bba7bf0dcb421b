//! Cuts out a part.

use striate_tensor::Philox;

use super::Transform;
use super::shift::window;
use crate::data::Image;
use crate::error::{Error, Result};

/// Surrounds the picture with `padding` zeros on each side and cuts out a random part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomCrop {
    /// Height and width of the part.
    pub size: [usize; 2],
    /// Zeros added on each of the four sides.
    pub padding: usize,
}

/// Cuts out the centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CentreCrop {
    /// Height and width of the part.
    pub size: [usize; 2],
}

impl RandomCrop {
    /// How far the part can move, in rows and in columns.
    fn room(&self, size: [usize; 2]) -> Result<[usize; 2]> {
        room(self.size, size, self.padding)
    }
}

impl Transform for RandomCrop {
    fn output(&self, channels: usize, size: [usize; 2]) -> Result<(usize, [usize; 2])> {
        self.room(size)?;
        Ok((channels, self.size))
    }

    fn apply(&self, image: Image, rng: &mut Philox) -> Result<Image> {
        let room = self.room(image.size())?;
        // At most MAX_PADDING more than a side of a picture in memory: the casts keep the numbers.
        let origin = room.map(|r| rng.below(r as u64 + 1) as isize - self.padding as isize);
        window(&image, origin, self.size)
    }
}

impl Transform for CentreCrop {
    fn output(&self, channels: usize, size: [usize; 2]) -> Result<(usize, [usize; 2])> {
        room(self.size, size, 0)?;
        Ok((channels, self.size))
    }

    fn apply(&self, image: Image, _rng: &mut Philox) -> Result<Image> {
        let room = room(self.size, image.size(), 0)?;
        window(&image, room.map(|r| (r / 2) as isize), self.size)
    }
}

/// More would only add black pictures.
const MAX_PADDING: usize = 1 << 15;

fn room(part: [usize; 2], size: [usize; 2], padding: usize) -> Result<[usize; 2]> {
    let [h, w] = size;
    let too_large = || {
        let [a, b] = part;
        Error::config(
            "crop",
            format!("{a}x{b} of a picture of {h}x{w} padded by {padding}"),
        )
    };
    if part.contains(&0) || padding > MAX_PADDING {
        return Err(too_large());
    }
    let room = |axis: usize| (size[axis] + 2 * padding).checked_sub(part[axis]);
    Ok([
        room(0).ok_or_else(too_large)?,
        room(1).ok_or_else(too_large)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::super::counting;
    use super::*;

    #[test]
    fn the_centre() {
        let crop = |size| CentreCrop { size }.apply(counting([3, 4]), &mut Philox::new(0));
        assert_eq!(crop([1, 2]).unwrap().values(), [6., 7.]);
        assert_eq!(crop([3, 4]).unwrap(), counting([3, 4]));
        let message = crop([4, 4]).unwrap_err().to_string();
        assert_eq!(message, "crop: 4x4 of a picture of 3x4 padded by 0");
    }

    #[test]
    fn random_parts_reach_both_ends() {
        let crop = RandomCrop {
            size: [1, 2],
            padding: 1,
        };
        let mut rng = Philox::new(3);
        let mut seen = Vec::new();
        for _ in 0..200 {
            seen.push(
                crop.apply(counting([1, 2]), &mut rng)
                    .unwrap()
                    .values()
                    .to_vec(),
            );
        }
        for part in [[0., 0.], [0., 1.], [1., 2.], [2., 0.]] {
            assert!(seen.iter().any(|s| s == &part), "{part:?}");
        }
        assert!(
            RandomCrop {
                size: [3, 2],
                padding: usize::MAX
            }
            .output(1, [1, 2])
            .is_err()
        );
        assert!(
            RandomCrop {
                size: [0, 2],
                padding: 1
            }
            .output(1, [1, 2])
            .is_err()
        );
    }
}
