//! Dependencies point one way: simd, kernels, tensor, layers, models and train, facade, command.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// Every crate with what it may depend on, itself or through others; tests may also use testkit.
const MAY_USE: &[(&str, &[&str])] = &[
    ("striate-simd", &[]),
    ("striate-kernels", &["striate-simd"]),
    ("striate-tensor", &["striate-simd", "striate-kernels"]),
    ("striate-layers", &["striate-simd", "striate-kernels", "striate-tensor"]),
    ("striate-models", &["striate-simd", "striate-kernels", "striate-tensor", "striate-layers"]),
    ("striate-train", &["striate-simd", "striate-kernels", "striate-tensor", "striate-layers"]),
    (
        "striate",
        &[
            "striate-simd",
            "striate-kernels",
            "striate-tensor",
            "striate-layers",
            "striate-models",
            "striate-train",
        ],
    ),
    ("striate-cli", &["striate", "striate-testkit"]),
    ("striate-testkit", &[]),
    ("striate-benches", &["striate-simd", "striate-kernels"]),
    ("xtask", &[]),
];

/// Outside crates of the library and the command, each argued for in `docs/decisions/`.
const OUTSIDE: &[&str] = &[
    "bytemuck",
    "clap",
    "ctrlc",
    "flate2",
    "image",
    "indicatif",
    "matrixmultiply",
    "memmap2",
    "plotters",
    "rayon",
    "safetensors",
    "serde",
    "serde_json",
    "thiserror",
    "wide",
];

/// Outside crates that only tests and benchmarks use.
const DEVELOPMENT: &[&str] = &["criterion", "proptest", "tempfile"];

struct Package {
    /// (name, whether it is a development dependency)
    dependencies: Vec<(String, bool)>,
}

fn workspace() -> BTreeMap<String, Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let text = |v: &Value| v.as_str().expect("a string").to_owned();
    metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            let dependencies =
                dependencies.iter().map(|d| (text(&d["name"]), d["kind"] == "dev")).collect();
            (text(&package["name"]), Package { dependencies })
        })
        .collect()
}

fn is_ours(name: &str) -> bool {
    name.starts_with("striate")
}

#[test]
fn every_crate_is_on_the_map() {
    let found: Vec<String> = workspace().into_keys().collect();
    let mut known: Vec<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    known.sort_unstable();
    assert_eq!(found, known, "the crates of the workspace and of this map");
}

#[test]
fn edges_point_one_way() {
    let packages = workspace();
    for (name, allowed) in MAY_USE {
        for (dependency, development) in &packages[*name].dependencies {
            if is_ours(dependency) && !(*development && dependency == "striate-testkit") {
                assert!(
                    allowed.contains(&dependency.as_str()),
                    "{name} depends on {dependency}, which is not below it"
                );
            }
        }
    }
}

#[test]
fn outside_crates_are_the_chosen_ones() {
    for (name, package) in workspace() {
        for (dependency, development) in package.dependencies {
            let development = development || name == "striate-benches";
            assert!(
                is_ours(&dependency)
                    || OUTSIDE.contains(&dependency.as_str())
                    || (development && DEVELOPMENT.contains(&dependency.as_str())),
                "{name} depends on {dependency}, which nobody argued for"
            );
        }
    }
}
