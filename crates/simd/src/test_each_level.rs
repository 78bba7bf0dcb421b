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
    ($($(#[$attribute:meta])* fn $name:ident($level:ident: Level) $body:block)+) => {
        $(
            $(#[$attribute])*
            #[test]
            fn $name() {
                $crate::test_each_level::run(|$level: $crate::Level| $body);
            }
        )+
    };
}

/// Runs `body` on every available level.
///
/// # Panics
/// If `STRIATE_REQUIRE_LEVEL` names a level that cannot be run, and where `body` does.
pub fn run(mut body: impl FnMut(Level)) {
    if let Ok(name) = std::env::var(REQUIRE_VARIABLE)
        && let Err(error) = Level::select(Some(&name))
    {
        panic!("{REQUIRE_VARIABLE}: {error}");
    }
    for level in Level::available() {
        eprintln!("level {level}");
        body(level);
    }
}
