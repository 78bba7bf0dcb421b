//! The reference cases: outputs, gradients and buffers equal PyTorch's, on every level.

#[path = "support/families.rs"]
mod families;

use std::path::{Path, PathBuf};

use striate_layers::StateDict;
use striate_layers::catalog::{Entry, Replay, Replayed, find};
use striate_tensor::{DType, Level, Result, Tensor, with_level};
use striate_testkit::tolerance::MODULE_RTOL;
use striate_testkit::{CaseFile, CaseTensor, Data, Mode, compare, find_cases};

fn tensor(t: &CaseTensor, dtype: DType) -> Result<Tensor> {
    let shape = t.shape.as_slice();
    match &t.data {
        Data::F32(v) => Tensor::from_slice(v, shape)?.to_dtype(dtype),
        Data::I64(v) => Tensor::from_slice(v, shape),
        Data::U8(v) => Tensor::from_slice(v, shape),
    }
}

fn numbered(case: &CaseFile, group: &str, dtype: DType) -> Result<Vec<Tensor>> {
    let name = |i: usize| format!("{group}.{i}");
    let listed = (0..).map_while(|i| case.tensors.get(&name(i)));
    listed.map(|t| tensor(t, dtype)).collect()
}

fn replay(entry: &Entry, case: &CaseFile, dtype: DType) -> Result<Replayed> {
    let mut state = StateDict::new();
    for (name, t) in case.group("param.").chain(case.group("buffer.")) {
        state.insert(name, tensor(t, dtype)?);
    }
    let inputs = numbered(case, "input", dtype)?;
    let wanted = |i| case.tensors.contains_key(&format!("grad.input.{i}"));
    entry.replay(&Replay {
        config: &case.config,
        training: case.mode == Mode::Train,
        state,
        differentiable: (0..inputs.len()).map(wanted).collect(),
        inputs,
        grad_outputs: numbered(case, "grad_output", dtype)?,
    })
}

/// Compares every expectation of the case; returns how many there are.
fn check(case: &CaseFile, got: &Replayed, rtol: f64, place: &str) -> Result<usize> {
    let index = |rest: &str| rest.parse::<usize>().expect("a number");
    let mut checked = 0;
    for (name, expected) in &case.tensors {
        let own = if let Some(rest) = name.strip_prefix("output.") {
            got.outputs.get(index(rest))
        } else if let Some(rest) = name.strip_prefix("grad.input.") {
            got.input_grads.get(index(rest)).and_then(Option::as_ref)
        } else if let Some(rest) = name.strip_prefix("grad.param.") {
            got.parameter_grads.get(rest)
        } else if let Some(rest) = name.strip_prefix("after.") {
            got.buffers.get(rest)
        } else {
            continue;
        };
        let place = format!("{} {place}: {name}", case.stem());
        let own = own.unwrap_or_else(|| panic!("{place} was not computed"));
        assert_eq!(own.shape(), expected.shape, "{place}");
        match &expected.data {
            Data::F32(expected) => {
                let own = own.to_dtype(DType::F32)?.to_vec::<f32>()?;
                let c = compare(&own, expected, rtol);
                assert!(c.passes(), "{place}: error {:e} of {:e}", c.error, c.bound);
            }
            Data::I64(expected) => assert_eq!(own.to_vec::<i64>()?, *expected, "{place}"),
            Data::U8(expected) => assert_eq!(own.to_vec::<u8>()?, *expected, "{place}"),
        }
        checked += 1;
    }
    Ok(checked)
}

fn cases() -> Vec<CaseFile> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/cases/modules");
    let paths = find_cases(&folder).expect("the committed cases");
    let read = |path: &PathBuf| CaseFile::read(path).expect("a valid case");
    paths.iter().map(read).collect()
}

#[test]
fn every_case_has_its_module() -> Result<()> {
    let cases = cases();
    assert!(cases.len() >= 256, "{} cases", cases.len());
    cases
        .iter()
        .try_for_each(|case| find(&case.name).map(|_| ()))
}

fn equals_pytorch(entry: &Entry) -> Result<()> {
    for case in cases().iter().filter(|case| case.name == entry.name) {
        for level in Level::available() {
            let got = with_level(level, || replay(entry, case, DType::F32))?;
            assert!(
                check(case, &got, MODULE_RTOL, level.name())? > 0,
                "{} checks nothing",
                case.stem()
            );
        }
        // The reference kernels compute in double precision: only the files' rounding is left.
        check(case, &replay(entry, case, DType::F64)?, 1e-6, "f64")?;
    }
    Ok(())
}

families::test_each_family!(equals_pytorch);
