//! `test_each_level!`: a test per level this machine can run.

use crate::Level;

/// The environment variable that turns a level this machine lacks from a skip into a failure.
pub const REQUIRE_VARIABLE: &str = "STRIATE_REQUIRE_LEVEL";

/// Makes `#[test]` functions of `fn name(level: Level) { ... }`, each run on every available level,
/// worst first.
///
/// The test prints the level before it runs it, so that a failure says which one. With
/// `STRIATE_REQUIRE_LEVEL=avx512` the test fails on a machine that cannot run that level.
#[macro_export]
macro_rules! test_each_level {
    ($($(#[$attribute:meta])* fn $name:ident($level:ident: $type:ty) $body:block)+) => {
        $(
            $(#[$attribute])*
            #[test]
            fn $name() {
                $crate::test_each_level::run(|$level: $type| $body);
            }
        )+
    };
}

/// Runs `body` on every available level.
///
/// # Panics
/// If `STRIATE_REQUIRE_LEVEL` names a level that cannot be run, and where `body` does.
pub fn run(body: impl FnMut(Level)) {
    run_requiring(std::env::var(REQUIRE_VARIABLE).ok().as_deref(), body);
}

/// Runs `body` on every available level.
///
/// # Panics
/// If `required` names a level that cannot be run, and where `body` does.
fn run_requiring(required: Option<&str>, mut body: impl FnMut(Level)) {
    if let Err(error) = Level::select(required) {
        panic!("{REQUIRE_VARIABLE}: {error}");
    }
    for level in Level::available() {
        eprintln!("level {level}");
        body(level);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "STRIATE_REQUIRE_LEVEL: no SIMD level is called \"avx1024\"")]
    fn a_required_level_that_is_missing_fails() {
        run_requiring(Some("avx1024"), |_| ());
    }

    #[test]
    fn each_level_runs_once_worst_first() {
        let mut seen = Vec::new();
        run_requiring(Some("portable"), |level| seen.push(level));
        assert_eq!(seen, Level::available());
    }
}
