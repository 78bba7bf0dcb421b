//! What plug-ins cost a network.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::{run, striate};

#[test]
fn each_module_that_fits_is_measured() {
    let line = "graft-cost resnet20 --module se:reduction=4 --module spp --module nonlocal1d \
                --module gather_excite --size 16 --batch 2 --seconds 0 --json";
    let objects = run(line.split_whitespace()).objects();
    let named = |name: &str| objects.iter().find(|o| o["module"] == name).expect(name);
    let se = named("se:reduction=4");
    // 2 C C/4 with biases and the factor, in three blocks of each width.
    let parameters = |c: u64| 2 * c * (c / 4) + c / 4 + c + 1;
    let sum: u64 = [16, 32, 64].into_iter().map(parameters).sum();
    assert_eq!(se["parameters"], 3 * sum);
    let multiply_adds = |c: u64| 2 * c * (c / 4);
    let sum: u64 = [16, 32, 64].into_iter().map(multiply_adds).sum();
    assert_eq!(se["multiply_adds"], 2 * 3 * sum, "of two images");
    assert_eq!((&se["slots"], &se["blended"]), (&9.into(), &9.into()));
    assert!(se["rounds"].as_u64().unwrap() >= 5);
    let ms = |key: &str| se[key].as_f64().unwrap();
    let added = ms("grafted_ms") - ms("plain_ms");
    assert!((ms("added_ms") - added).abs() < 1e-9 && ms("plain_ms") > 0.0);
    assert!(
        named("spp")["left_out"]
            .as_str()
            .unwrap()
            .contains("keep the shape")
    );
    assert!(
        named("nonlocal1d")["left_out"]
            .as_str()
            .unwrap()
            .contains("expected [N,")
    );
    let measured: Vec<f64> = objects
        .iter()
        .filter_map(|o| o["added_ms"].as_f64())
        .collect();
    assert!(measured.len() == 2 && measured.is_sorted(), "{measured:?}");

    let line = "graft-cost seresnet18 --place post --at layer4.* --module eca --module spp --size 64 --seconds 0";
    let text = run(line.split(' ')).success();
    assert!(
        text.contains("2 post slots") && text.contains("left out: spp:"),
        "{text}"
    );
    // The network's own attention stays.
    assert!(
        text.lines()
            .any(|l| l.starts_with("eca") && l.contains("blended")),
        "{text}"
    );
}

#[test]
fn what_cannot_be_measured_is_named() {
    let cost = |line: &str| run(["graft-cost"].into_iter().chain(line.split(' ')));
    cost("resnet_2").fails(2, &["nearest"]);
    cost("resnet20 --place last").fails(2, &["last", "standard"]);
    cost("resnet20 --at layer9.*").fails(2, &["layer9.*", "layer1.0"]);
    cost("resnet20 --module sse").fails(2, &["sse", "nearest"]);
    cost("resnet20 --batch 0").fails(2, &["--batch"]);
    cost("vgg11 --place pre").fails(2, &["vgg11 has no pre slots"]);
    cost("seresnet18").fails(2, &["every standard slot is taken by se"]);
}

#[cfg(unix)]
#[test]
fn an_interruption_tells_what_is_measured() {
    let line = "graft-cost resnet20 --module eca --module se --size 16 --seconds 600";
    let mut child = striate(line.split(' '));
    child.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut progress = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = progress.next().unwrap().unwrap();
    assert_eq!(first, "1/2 eca");
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let rest: Vec<String> = progress.map(Result::unwrap).collect();
    assert!(
        rest.last()
            .unwrap()
            .contains("interrupted after 0 of 2 modules"),
        "{rest:?}"
    );
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
