//! Names, order and choice of levels.

use striate_simd::{Level, LevelError, Simd, dispatch};

#[test]
fn available_levels_parse_and_print() {
    let levels = Level::available();
    assert!(levels.is_sorted(), "worst first: {levels:?}");
    assert_eq!(levels.last(), Some(&Level::detect()));
    for level in levels {
        assert_eq!(Level::parse(level.name()), Ok(level));
        assert_eq!(level.name().parse(), Ok(level));
        assert_eq!(level.to_string(), level.name());
        assert_eq!(format!("{level:?}"), level.name());
        assert_eq!(dispatch!(level, s => s.level()), level);
        assert_eq!(Level::select(Some(level.name())), Ok(level));
    }
}

#[test]
fn levels_include_lower_ones_with_shorter_vectors() {
    let available = Level::available();
    for &level in &available {
        assert_eq!(level.with_lanes(level.lanes()), Some(level));
        assert_eq!(level.with_lanes(7), None);
        if level.name() == "avx512" {
            assert_eq!(level.with_lanes(8), Level::parse("avx2").ok());
        } else {
            let others = [4, 8, 16].map(|lanes| level.with_lanes(lanes));
            assert!(others.iter().flatten().all(|&other| other == level));
        }
    }
}

#[test]
fn no_value_selects_the_best_level() {
    assert_eq!(Level::select(None), Ok(Level::detect()));
    assert_eq!(Level::select(Some("")), Ok(Level::detect()));
}

#[test]
fn unknown_names_are_errors_that_list_the_choice() {
    for name in ["avx1024", "AVX2", " avx2", "avx2 ", "0", "portable\0"] {
        let error = Level::select(Some(name)).expect_err("no such level");
        assert!(
            matches!(&error, LevelError::Unknown { name: n, .. } if n == name),
            "{error:?}"
        );
        for level in Level::available() {
            assert!(error.to_string().contains(level.name()), "{error}");
        }
        assert!(error.to_string().contains("STRIATE_SIMD"), "{error}");
    }
}

#[test]
fn levels_of_other_machines_are_errors_of_their_own() {
    let foreign = if cfg!(target_arch = "aarch64") {
        "avx2"
    } else {
        "neon"
    };
    let error = Level::parse(foreign).expect_err("another architecture");
    assert!(matches!(error, LevelError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("cannot run here"), "{error}");
}

#[test]
fn the_selected_level_obeys_the_variable() {
    let value = std::env::var(striate_simd::level::LEVEL_VARIABLE).ok();
    assert_eq!(Level::selected(), Level::select(value.as_deref()));
}
