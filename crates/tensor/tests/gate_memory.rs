//! Memory that the gradient of a gate takes. Alone in its process, which the counts are of.

use striate_tensor::{DType, Result, Tensor, memory};

#[test]
fn the_gradient_of_a_gate_needs_no_map_of_products() -> Result<()> {
    let shape = [4, 64, 32, 32];
    let x = Tensor::ones(shape, DType::F32)?.channels_last()?;
    for gate in [[4, 64, 1, 1], [4, 1, 32, 32]] {
        let gate = Tensor::ones(gate, DType::F32)?.requires_grad(true)?;
        let y = x.mul(&gate)?;
        let grad = x.clone();
        let before = memory::stats().current;
        memory::reset_peak();
        let grads = y.backward_with(&grad)?;
        let extra = memory::stats().peak.saturating_sub(before);
        assert!(grads.get(&gate).is_some());
        assert!(
            extra < x.numel(),
            "{extra} bytes for a gradient of {} numbers",
            gate.numel()
        );
    }
    Ok(())
}
