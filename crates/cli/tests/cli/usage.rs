//! What the command says when it is asked wrongly, and that it never says it twice or with a panic.

use std::fs::OpenOptions;
use std::process::Stdio;

use crate::support::{outcome, run, striate};

#[test]
fn help_and_version_go_to_standard_output() {
    let help = run(["--help"]).success();
    assert!(
        help.contains("doctor") && help.contains("Exit codes"),
        "{help}"
    );
    let version = run(["--version"]).success();
    assert_eq!(
        version.trim(),
        concat!("striate ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn wrong_usage_is_one_line_and_exit_code_2() {
    run([]).fails(2, &["subcommand"]);
    run(["docto"]).fails(2, &["docto", "doctor"]);
    run(["doctor", "--level"]).fails(2, &["--level", "--levels"]);
    run(["doctor", "--threads", "0"]).fails(2, &["--threads", "at least 1"]);
    run(["doctor", "--threads", "two"]).fails(2, &["two", "whole number"]);
    run(["doctor", "--threads", "99999999"]).fails(2, &["99999999 threads", "1024"]);
}

#[test]
fn an_impossible_level_is_one_line_that_lists_the_possible_ones() {
    outcome(striate(["doctor"]).env("STRIATE_SIMD", "avx9")).fails(2, &["avx9", "portable"]);
}

#[test]
fn doctor_tells_levels_and_threads() {
    let levels = run(["doctor", "--levels"]).success();
    assert!(levels.lines().any(|level| level == "portable"), "{levels}");
    let objects = run(["doctor", "--json", "--threads", "3"]).objects();
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["threads"], 3);
    assert!(objects[0]["gflops"].as_f64().unwrap() > 0.0);
    let named = objects[0]["level"].as_str().unwrap();
    assert!(
        levels.lines().any(|level| level == named),
        "{named} is not in {levels}"
    );
}

#[test]
fn kernels_tells_what_a_convolution_gets() {
    let line = "kernels conv2d 1x64x56x56 --out 32 --kernel 3 --padding 1 --stride 2 --json";
    let chosen = &run(line.split(' ')).objects()[0];
    let name = chosen["implementation"].as_str().unwrap();
    assert!(
        name.starts_with("f32-conv2d-") && name.contains("-3x3s2-"),
        "{name}"
    );
    assert_eq!(chosen["output"], serde_json::json!([1, 32, 28, 28]));
    let candidates = chosen["candidates"].as_array().unwrap();
    let is_chosen = |c: &&serde_json::Value| c["chosen"] == true;
    let [choice] = candidates.iter().filter(is_chosen).collect::<Vec<_>>()[..] else {
        panic!("one is chosen of {candidates:?}");
    };
    assert_eq!(choice["implementation"], name);
    assert!(choice["predicted_ms"].as_f64().unwrap() > 0.0);
    let ops = run(["kernels", "--json"]).objects();
    assert!(
        ops.iter()
            .any(|o| o["op"] == "conv2d" && o["implementations"][0].is_string())
    );
}

#[test]
fn kernels_tells_the_same_of_gradients_and_transposed_convolutions() {
    for (line, name, output) in [
        (
            "kernels conv_transpose2d 1x64x28x28 --out 32 --kernel 4 --stride 2 --padding 1",
            "f32-conv_transpose2d-",
            [1, 32, 56, 56],
        ),
        (
            "kernels conv2d 1x64x28x28 --out 32 --kernel 3 --stride 2 --padding 1 --pass input-gradient",
            "f32-conv2d-input-gradient-",
            [1, 32, 14, 14],
        ),
        (
            "kernels conv2d 1x64x28x28 --out 32 --kernel 3 --padding 1 --pass weight-gradient",
            "f32-conv2d-weight-gradient-",
            [1, 32, 28, 28],
        ),
        (
            "kernels conv_transpose2d 1x64x14x14 --out 32 --kernel 2 --stride 2 --pass input-gradient",
            "f32-conv_transpose2d-input-gradient-",
            [1, 32, 28, 28],
        ),
    ] {
        let line = format!("{line} --measure --json");
        let chosen = &run(line.split(' ')).objects()[0];
        assert_eq!(chosen["output"], serde_json::json!(output));
        let implementation = chosen["implementation"].as_str().unwrap();
        assert!(implementation.starts_with(name), "{implementation}");
        let candidates = chosen["candidates"].as_array().unwrap();
        let is_chosen = |c: &&serde_json::Value| c["chosen"] == true;
        let [choice] = candidates.iter().filter(is_chosen).collect::<Vec<_>>()[..] else {
            panic!("one is chosen of {candidates:?}");
        };
        assert_eq!(choice["implementation"], implementation);
        for candidate in candidates {
            assert!(
                candidate["predicted_ms"].as_f64().unwrap() > 0.0,
                "{candidate}"
            );
            assert!(
                candidate["measured_ms"].as_f64().unwrap() > 0.0,
                "{candidate}"
            );
        }
    }
    run("kernels conv_transpose2d 1x8x9x9 --out 4 --kernel 3 --output-padding 2".split(' '))
        .fails(2, &["conv_transpose2d", "output_padding", "2"]);
}

#[test]
fn kernels_measures_what_the_accuracy_allows_at_a_level() {
    let line = "kernels conv2d 1x32x12x12 --out 32 --kernel 3 --padding 1 --measure --level portable --json";
    let families = |line: &str| -> Vec<String> {
        let chosen = &run(line.split(' ')).objects()[0];
        assert_eq!(chosen["level"], "portable");
        let candidates = chosen["candidates"].as_array().unwrap().iter();
        let family = |c: &serde_json::Value| {
            assert!(c["measured_ms"].as_f64().unwrap() > 0.0, "{c}");
            assert!(c["share_of_peak"].as_f64().unwrap() > 0.0, "{c}");
            let name = c["implementation"].as_str().unwrap();
            name.split('-').nth(2).unwrap().to_owned()
        };
        candidates.map(family).collect()
    };
    assert!(families(line).contains(&"winograd4x4".to_owned()));
    assert_eq!(
        families(&format!("{line} --accuracy strict"))
            .last()
            .unwrap(),
        "direct"
    );
    assert!(!families(&format!("{line} --accuracy strict")).contains(&"winograd4x4".to_owned()));
    run("kernels conv2d 1x3x9x9 --out 4 --kernel 3 --accuracy none".split(' '))
        .fails(2, &["fast or strict"]);
    run("kernels conv2d 1x3x9x9 --out 4 --kernel 3 --level avx9".split(' '))
        .fails(2, &["avx9", "portable"]);
}

#[test]
fn an_impossible_convolution_names_the_field() {
    let conv = |options: &str| run(format!("kernels conv2d {options}").split(' '));
    conv("1x64x56 --out 4 --kernel 3").fails(2, &["1x64x56", "NxCxHxW"]);
    conv("1x6x9x9 --out 4 --kernel 3 --groups 4").fails(2, &["conv2d", "groups", "6"]);
    conv("1x6x9x9 --out 4 --kernel 11").fails(2, &["conv2d", "kernel", "11"]);
    conv("1x6x9x9 --out 0 --kernel 1").fails(2, &["--out", "at least 1"]);
    conv("99999999x999999x99999x9999 --out 1 --kernel 1").fails(2, &["conv2d"]);
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_is_no_error() {
    let mut child = striate(["doctor"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn a_full_disk_behind_standard_output_is_an_error() {
    if let Ok(full) = OpenOptions::new().write(true).open("/dev/full") {
        let mut command = striate(["doctor"]);
        outcome(command.stdout(full)).fails(1, &["standard output"]);
    }
}
