//! The verbs that tell what there is.

use crate::support::run;

#[test]
fn models_are_listed_with_their_costs() {
    let models = run(["models", "--json"]).objects();
    let named = |name: &str| models.iter().find(|m| m["model"] == name).expect(name);
    // Two 3x3 convolutions in each of nine blocks of 16, 32 and 64 channels, 1x1 shortcuts, and the two ends.
    assert_eq!(named("resnet20")["multiply_adds"], 40_813_184);
    assert_eq!(named("resnet20")["parameters"], 272_474);
    assert_eq!(models.iter().filter(|m| m["default"] == true).count(), 1);
    let text = run(["models"]).success();
    assert_eq!(text.lines().count(), models.len() + 1, "{text}");
}

#[test]
fn modules_are_listed_with_their_papers() {
    let modules = run(["modules", "--json"]).objects();
    for name in ["se", "sk", "cbam"] {
        let module = modules.iter().find(|m| m["module"] == name).expect(name);
        assert!(!module["paper"].as_str().unwrap().is_empty(), "{name}");
    }
}

#[test]
fn a_summary_adds_up() {
    for options in [
        &[][..],
        &["--attention", "sk"],
        &["--attention", "cbam", "--classes", "3"],
    ] {
        let objects = run(["summary", "--json"].iter().chain(options).copied()).objects();
        let [summary] = objects.as_slice() else {
            panic!("one object")
        };
        for field in ["parameters", "multiply_adds"] {
            let layers = summary["layers"].as_array().unwrap();
            let sum: u64 = layers
                .iter()
                .map(|layer| layer[field].as_u64().unwrap())
                .sum();
            assert_eq!(summary[field].as_u64(), Some(sum), "{field} {options:?}");
        }
    }
    let text = run(["summary", "resnet20", "--input", "2x3x32x32"]).success();
    assert!(
        text.contains("layer3.2.conv2") && text.contains("2x64x8x8"),
        "{text}"
    );
}

#[test]
fn a_graft_is_part_of_the_summary() {
    let parameters = |options: &[&str]| {
        let line = ["summary", "resnet20", "--json"].iter().chain(options);
        run(line.copied()).objects()[0]["parameters"]
            .as_u64()
            .unwrap()
    };
    let plain = parameters(&[]);
    // 64 -> 16 -> 64 with biases, and the factor, in three blocks.
    let added = 3 * (2 * 64 * 16 + 16 + 64 + 1);
    assert_eq!(
        parameters(&["--graft", "layer3.*=se:reduction=4"]),
        plain + added
    );
    assert_eq!(
        parameters(&["--graft", "layer3.*=se:reduction=4@post"]),
        plain + added
    );
    let graft = |text| run(["summary", "resnet20", "--graft", text]);
    graft("layer3.*").fails(2, &["layer3.*", "PATTERN=MODULE"]);
    graft("layer9.*=se").fails(2, &["layer9.*", "layer1.0"]);
    graft("layer3.*=sse").fails(2, &["sse", "nearest"]);
    graft("layer3.*=se@last").fails(2, &["last", "standard"]);
    graft("layer3.*=se:reduce=4").fails(2, &["reduce"]);
}

#[test]
fn a_wrong_model_attention_or_input_is_named() {
    run(["summary", "resnet_smal"]).fails(2, &["resnet_smal", "nearest: resnet_small"]);
    run(["summary", "--attention", "sse"]).fails(2, &["sse", "cbam"]);
    run(["summary", "sknet_cifar", "--attention", "se"]).fails(2, &["no slot"]);
    run(["summary", "--input", "1x1x32"]).fails(2, &["NxCxHxW"]);
    run(["summary", "--classes", "0"]).fails(2, &["--classes"]);
}

#[test]
fn a_bench_tells_the_median_at_each_level() {
    let conv = "conv2d 1x8x9x9 --out 8 --kernel 3 --padding 1";
    for what in [
        conv,
        "--mode train --attention none",
        "resnet_small --batch 2 --size 16",
    ] {
        let line = format!("bench {what} --seconds 0 --every-level --threads 2 --json");
        let objects = run(line.split(' ')).objects();
        let levels = run(["doctor", "--levels"]).success();
        let measured = objects.iter().map(|o| o["level"].as_str().unwrap());
        assert!(measured.eq(levels.lines()), "{what}");
        for object in objects {
            assert!(object["median_ms"].as_f64().unwrap() > 0.0, "{what}");
            assert!(object["runs"].as_u64().unwrap() >= 5, "{what}");
            assert_eq!(object["threads"], 2, "{what}");
        }
    }
    let objects = run("bench --layers --seconds 0 --json".split(' ')).objects();
    assert!(
        objects.iter().any(|o| o["layer"] == "layer1.0.conv1"),
        "{objects:?}"
    );
    run(["bench", "resnet_smal"]).fails(2, &["nearest: resnet_small"]);
    run(["bench", "--seconds", "x"]).fails(2, &["--seconds"]);
    run(["bench", "--size", "0x32"]).fails(2, &["--size"]);
    run(["bench", "--level", "avx3"]).fails(2, &["avx3", "portable"]);
    run(["bench", "--mode", "train", "--layers"]).fails(2, &["--layers"]);
    let portable = run("bench --level portable --seconds 0 --json".split(' ')).objects();
    assert_eq!(portable[0]["level"], "portable");
}
