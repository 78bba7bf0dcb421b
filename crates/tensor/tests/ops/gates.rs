//! What every attention ends with: a map times a number per channel or per pixel.

use striate_tensor::Result;

use crate::common::randn;
use crate::harness::check;

#[test]
fn gradients_and_levels() -> Result<()> {
    for c in [3, 17] {
        let x = randn(&[2, c, 4, 3], 1)?;
        for gate in [[2, c, 1, 1], [2, 1, 4, 3], [1, c, 1, 1], [2, 1, 1, 1]] {
            let inputs = [x.clone(), randn(&gate, 2)?];
            check(
                &format!("gate {gate:?}"),
                |x| x[0].mul(&x[1]),
                &inputs,
                4e-6,
            )?;
        }
    }
    Ok(())
}
