//! Runs reference cases and compares every tensor with its expectation.
//!
//! A case is rebuilt from its file: inputs, attributes, and what is fed to the backward pass. What comes out is
//! compared at the tolerance of its kind ([`striate_testkit::tolerance`]). A case that nothing here can run has not
//! passed: it is reported as a failure that says so.

pub(crate) mod activations;
mod curves;
mod models;
mod modules;
mod ops;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;
use striate::Tensor;
use striate_testkit::tolerance::{CURVE_RTOL, MODULE_RTOL, OP_RTOL};
use striate_testkit::{CaseError, CaseFile, CaseTensor, Data, Kind, compare, find_cases};

/// What became of one case at one SIMD level.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The case's file name without its ending.
    pub case: String,
    /// Whether every tensor met its expectation.
    pub pass: bool,
    /// The SIMD level it ran on.
    pub level: &'static str,
    /// The tensor that came closest to its bound, or went furthest beyond it. Empty if the case did not run.
    pub tensor: String,
    /// That tensor's error in the 2-norm; infinite (`null` in JSON) if its shape is wrong or it did not run.
    pub error: f64,
    /// The error it may have.
    pub bound: f64,
    /// Why the case could not be run or compared, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// One line: `op-conv2d-00 avx512: ok, grad.input.1 has error 1.2e-6 of 3.4e-5`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            case,
            level,
            tensor,
            error,
            bound,
            ..
        } = self;
        match &self.failure {
            Some(failure) => write!(f, "{case} {level}: FAILED, {failure}"),
            None => {
                let outcome = if self.pass { "ok" } else { "FAILED" };
                write!(
                    f,
                    "{case} {level}: {outcome}, {tensor} has error {error:.1e} of {bound:.1e}"
                )
            }
        }
    }
}

/// Runs the case file at `path`, or every case below the folder `path`, in the order of their names.
///
/// # Errors
/// The path cannot be read, a file is no case file, or there is no usable SIMD level. A case that fails is a
/// [`Report`], not an error.
pub fn run(path: &Path) -> Result<Vec<Report>, ParityError> {
    let paths = find_cases(path)?;
    if paths.is_empty() {
        return Err(ParityError::Empty(path.display().to_string()));
    }
    paths
        .iter()
        .map(|path| run_case(&CaseFile::read(path)?))
        .collect()
}

/// Runs one case at the current level.
///
/// # Errors
/// There is no usable SIMD level.
pub fn run_case(case: &CaseFile) -> Result<Report, ParityError> {
    let level = striate::current_level()?.name();
    let outcome = match case.kind {
        Kind::Op => ops::run(case).map(|computed| (computed, OP_RTOL)),
        Kind::Module => modules::run(case).map(|computed| (computed, MODULE_RTOL)),
        Kind::Curve => curves::run(case).map(|computed| (computed, CURVE_RTOL)),
        Kind::Model => models::run(case),
    };
    let checks = outcome.and_then(|(computed, rtol)| compare_all(case, &computed, rtol));
    Ok(report(case.stem(), level, checks))
}

/// What a case gave, under the names of its expectations.
type Computed = BTreeMap<String, Tensor>;

/// How the name of what was computed with `Accuracy::Strict` ends.
const STRICT: &str = ", strict";

/// How the names of expectations begin.
const EXPECTED: [&str; 4] = ["output", "grad.input.", "grad.param.", "after."];

/// Compares every expectation of the case.
fn compare_all(case: &CaseFile, computed: &Computed, rtol: f64) -> Result<Vec<Check>, String> {
    let expected = case.tensors.iter();
    expected
        .filter(|(name, _)| EXPECTED.iter().any(|prefix| name.starts_with(prefix)))
        .flat_map(|(name, expected)| {
            let strict = format!("{name}{STRICT}");
            let strict = computed
                .get_key_value(&strict)
                .map(|(strict, got)| check(strict, got, expected, rtol));
            let usual = match computed.get(name) {
                Some(got) => check(name, got, expected, rtol),
                None => Err(format!("{name} was not computed")),
            };
            [Some(usual), strict].into_iter().flatten()
        })
        .collect()
}

/// Why cases could not be run at all.
#[derive(Debug)]
pub enum ParityError {
    /// A path or file that cannot be used.
    Case(CaseError),
    /// No usable SIMD level.
    Tensor(striate::Error),
    /// A folder without case files.
    Empty(String),
}

impl fmt::Display for ParityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Case(e) => e.fmt(f),
            Self::Tensor(e) => e.fmt(f),
            Self::Empty(path) => write!(f, "{path}: no case file (*.safetensors) in it"),
        }
    }
}

impl std::error::Error for ParityError {}

impl From<CaseError> for ParityError {
    fn from(e: CaseError) -> Self {
        Self::Case(e)
    }
}

impl From<striate::Error> for ParityError {
    fn from(e: striate::Error) -> Self {
        Self::Tensor(e)
    }
}

/// One tensor beside its expectation.
struct Check {
    tensor: String,
    error: f64,
    bound: f64,
}

impl Check {
    /// In units of the bound: above 1 fails.
    fn ratio(&self) -> f64 {
        if self.error == 0.0 {
            0.0
        } else {
            self.error / self.bound
        }
    }
}

fn report(case: String, level: &'static str, outcome: Result<Vec<Check>, String>) -> Report {
    let worst = outcome.and_then(|checks| {
        let worst = checks
            .into_iter()
            .max_by(|a, b| a.ratio().total_cmp(&b.ratio()));
        worst.ok_or_else(|| "the case expects nothing".to_owned())
    });
    match worst {
        Ok(worst) => Report {
            case,
            // Not `ratio() <= 1`: a NaN must fail.
            pass: worst.error <= worst.bound,
            level,
            tensor: worst.tensor,
            error: worst.error,
            bound: worst.bound,
            failure: None,
        },
        Err(failure) => Report {
            case,
            pass: false,
            level,
            tensor: String::new(),
            error: f64::INFINITY,
            bound: 0.0,
            failure: Some(failure),
        },
    }
}

/// Compares a tensor with the expectation of that name.
fn check(name: &str, got: &Tensor, expected: &CaseTensor, rtol: f64) -> Result<Check, String> {
    if got.shape() != expected.shape {
        let (got, expected) = (got.shape(), &expected.shape);
        return Err(format!("{name} has shape {got:?}, expected {expected:?}"));
    }
    let fail = |e: striate::Error| format!("{name}: {e}");
    let exact = |equal: bool| if equal { 0.0 } else { f64::INFINITY };
    let (error, bound) = match &expected.data {
        Data::F32(expected) => {
            let c = compare(&got.to_vec::<f32>().map_err(fail)?, expected, rtol);
            (c.error, c.bound)
        }
        Data::I64(expected) => (exact(got.to_vec::<i64>().map_err(fail)? == *expected), 0.0),
        Data::U8(expected) => (exact(got.to_vec::<u8>().map_err(fail)? == *expected), 0.0),
    };
    Ok(Check {
        tensor: name.to_owned(),
        error,
        bound,
    })
}

/// The tensor of a case.
fn tensor(t: &CaseTensor) -> striate::Result<Tensor> {
    let shape = t.shape.as_slice();
    match &t.data {
        Data::F32(v) => Tensor::from_slice(v, shape),
        Data::I64(v) => Tensor::from_slice(v, shape),
        Data::U8(v) => Tensor::from_slice(v, shape),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(errors: &[f64]) -> Result<Vec<Check>, String> {
        let checks = errors.iter().enumerate();
        Ok(checks
            .map(|(i, &error)| Check {
                tensor: i.to_string(),
                error,
                bound: 1.0,
            })
            .collect())
    }

    #[test]
    fn the_worst_tensor_decides() {
        let good = report("c".into(), "portable", outcome(&[0.1, 0.9, 0.3]));
        assert_eq!(
            (good.pass, good.tensor.as_str()),
            (true, "1"),
            "all within their bounds"
        );
        for bad in [1.1, f64::INFINITY, f64::NAN] {
            let r = report("c".into(), "portable", outcome(&[0.1, bad, 0.3]));
            assert_eq!(
                (r.pass, r.tensor.as_str()),
                (false, "1"),
                "{bad} is beyond the bound"
            );
        }
    }

    #[test]
    fn what_checks_nothing_does_not_pass() {
        let r = report("c".into(), "portable", outcome(&[]));
        assert!(
            !r.pass && r.failure.is_some(),
            "a case without expectations"
        );
    }

    #[test]
    fn an_expectation_that_was_not_computed_is_a_failure() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../golden/cases/ops/op-relu-00.safetensors");
        let case = CaseFile::read(&path).expect("a committed case");
        let failure = compare_all(&case, &Computed::new(), OP_RTOL).err();
        assert!(
            failure.is_some_and(|f| f.contains("was not computed")),
            "nothing was computed"
        );
    }

    #[test]
    fn a_wrong_shape_is_a_failure() {
        let got = Tensor::from_slice(&[1.0_f32, 2.0], [2]).expect("two elements");
        let expected = CaseTensor {
            shape: vec![1, 2],
            data: Data::F32(vec![1.0, 2.0]),
        };
        let failure = check("output.0", &got, &expected, 1e-5).err();
        assert!(
            failure.is_some_and(|f| f.contains("[1, 2]")),
            "it names the expected shape"
        );
    }
}
