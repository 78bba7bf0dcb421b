//! Dependencies point one way: simd, kernels, tensor, layers, models and train, facade, command.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// Every crate with what it may depend on, itself or through others; tests may also use testkit.
const MAY_USE: &[(&str, &[&str])] = &[
    ("striate-simd", &[]),
    ("striate-kernels", &["striate-simd"]),
    ("striate-tensor", &["striate-simd", "striate-kernels"]),
    (
        "striate-layers",
        &["striate-simd", "striate-kernels", "striate-tensor"],
    ),
    (
        "striate-models",
        &[
            "striate-simd",
            "striate-kernels",
            "striate-tensor",
            "striate-layers",
        ],
    ),
    (
        "striate-train",
        &[
            "striate-simd",
            "striate-kernels",
            "striate-tensor",
            "striate-layers",
        ],
    ),
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
    (
        "striate-benches",
        &[
            "striate-simd",
            "striate-kernels",
            "striate-tensor",
            "striate-layers",
        ],
    ),
    // The pages of the modules come from the catalogue.
    (
        "xtask",
        &[
            "striate-simd",
            "striate-kernels",
            "striate-tensor",
            "striate-layers",
        ],
    ),
];

/// Outside crates of the library and the command, each argued for in `docs/decisions/`.
const OUTSIDE: &[&str] = &[
    "bytemuck",
    "clap",
    "ctrlc",
    "flate2",
    "indicatif",
    "matrixmultiply",
    "memmap2",
    "plotters",
    "png",
    "rayon",
    "safetensors",
    "serde",
    "serde_json",
    "thiserror",
    "wide",
    "zune-jpeg",
];

/// Outside crates that only tests and benchmarks use.
const DEVELOPMENT: &[&str] = &["criterion", "proptest", "tempfile"];

/// What would need a C toolchain on the user's machine.
const NATIVE: &[&str] = &["bindgen", "cc", "cmake", "pkg-config", "vcpkg"];

/// Licences under which a crate may come in; one of them must be on offer.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "Unlicense",
    "Zlib",
];

struct Package {
    /// (name, whether it is a development dependency)
    dependencies: Vec<(String, bool)>,
}

fn metadata(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn workspace() -> BTreeMap<String, Package> {
    metadata(&["--no-deps", "--offline"])["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            let dependencies = dependencies
                .iter()
                .map(|d| (text(&d["name"]), d["kind"] == "dev"))
                .collect();
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
            // Tests use the case files, and turn on features of their own crate.
            let for_tests = [*name, "striate-testkit"].contains(&dependency.as_str());
            if is_ours(dependency) && !(*development && for_tests) {
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

/// Names and licences of all that the command is built from, on any platform.
fn built_into_the_command() -> BTreeMap<String, String> {
    let metadata = metadata(&["--locked"]);
    let by_id = |list: &Value| -> BTreeMap<String, Value> {
        let list = list.as_array().expect("a list");
        list.iter()
            .map(|entry| (text(&entry["id"]), entry.clone()))
            .collect()
    };
    let packages = by_id(&metadata["packages"]);
    let nodes = by_id(&metadata["resolve"]["nodes"]);
    let command = packages
        .iter()
        .find(|(_, p)| p["name"] == "striate-cli")
        .expect("the command");
    let mut found = BTreeMap::new();
    let mut next = vec![command.0.clone()];
    while let Some(id) = next.pop() {
        let package = &packages[&id];
        if found
            .insert(text(&package["name"]), text(&package["license"]))
            .is_none()
        {
            for dependency in nodes[&id]["deps"].as_array().expect("a list") {
                let kinds = dependency["dep_kinds"].as_array().expect("a list");
                if kinds.iter().any(|kind| kind["kind"] != "dev") {
                    next.push(text(&dependency["pkg"]));
                }
            }
        }
    }
    found
}

#[test]
fn nothing_needs_a_c_toolchain() {
    for name in built_into_the_command().keys() {
        assert!(
            !NATIVE.contains(&name.as_str()),
            "{name} is built into the command"
        );
    }
}

#[test]
fn licences_are_permissive() {
    for (name, licence) in built_into_the_command() {
        let mut offered = licence.split(|c: char| c.is_whitespace() || "()/".contains(c));
        assert!(
            offered.any(|one| LICENCES.contains(&one)),
            "{name} comes under \"{licence}\", which nobody argued for"
        );
    }
}
