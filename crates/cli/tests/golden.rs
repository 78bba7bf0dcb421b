//! The committed reference cases at every SIMD level.

use std::path::{Path, PathBuf};

use striate::{Level, with_level};
use striate_cli::parity::{self, Report};

fn cases(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../golden/cases")
        .join(folder)
}

/// Runs a folder of cases and says everything that does not hold in one failure.
fn check(level: Level, folder: &str) {
    let reports = with_level(level, || parity::run(&cases(folder))).expect("the cases are there");
    let failed: Vec<String> = reports
        .iter()
        .filter(|r| !r.pass)
        .map(Report::to_string)
        .collect();
    assert!(
        failed.is_empty(),
        "{} cases fail:\n{}",
        failed.len(),
        failed.join("\n")
    );
    assert!(
        reports.iter().all(|r| r.level == level.name()),
        "the level asked for is the one that ran"
    );
}

striate::simd::test_each_level! {
    fn ops_equal_pytorch(level: Level) {
        check(level, "ops");
    }

    fn modules_equal_pytorch(level: Level) {
        check(level, "modules");
    }

    fn curves_equal_pytorch(level: Level) {
        check(level, "curve");
    }
}
