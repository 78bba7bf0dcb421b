//! The first layer of a network that departs from reference activations.

use std::path::Path;

use serde_json::Value;
use striate::autograd::observe;
use striate::layers::safetensors::{self, Metadata};
use striate::layers::{Module, StateDict, VarBuilder, evaluating, state_dict};
use striate::models::{self, Options};
use striate::{Philox, Tensor};

use crate::support::{Outcome, run, text};

fn save<'a>(path: &Path, tensors: impl IntoIterator<Item = (&'a str, Tensor)>) {
    let tensors = tensors.into_iter().map(|(name, t)| (name.to_owned(), t));
    safetensors::save(path, &StateDict::from_iter(tensors), &Metadata::new()).unwrap();
}

#[test]
fn the_layer_with_a_damaged_weight_is_named() {
    let root = tempfile::tempdir().unwrap();
    let file = |name: &str| root.path().join(name);
    let (weights, activations) = (file("w.safetensors"), file("a.safetensors"));
    let network = models::build("seresnet20", &Options::default(), &VarBuilder::seeded(3));
    let network = network.unwrap();
    let x = Tensor::randn([2, 3, 16, 16], &mut Philox::new(1)).unwrap();
    let tracked = x.requires_grad(true).unwrap();
    let (y, observed) = observe(|| evaluating(&network, || network.forward(&tracked)));
    let mut tensors = vec![
        ("input", x.clone()),
        ("output", y.unwrap()),
        ("relu", x.clone()),
    ];
    // The last under a path is what the layer gives.
    let layers = observed.iter().filter(|o| !o.path.is_empty());
    tensors.extend(layers.map(|o| (&*o.path, o.value.clone())));
    save(&activations, tensors);
    let parity = |weights: &Path, options: &[&str]| -> Outcome {
        let line = [
            "parity",
            "seresnet20",
            "--weights",
            text(weights),
            "--activations",
            text(&activations),
        ];
        run(line.iter().chain(options).copied())
    };

    let own = state_dict(&network);
    safetensors::save(&weights, &own, &Metadata::new()).unwrap();
    let objects = parity(&weights, &["--json"]).objects();
    let (verdict, layers) = objects.split_last().unwrap();
    assert!(layers.len() > 60 && layers.iter().all(|l| l["pass"] == true));
    assert_eq!(verdict["compared"], layers.len());
    assert_eq!(verdict["not_compared"], serde_json::json!(["relu"]));
    assert_eq!(
        (&verdict["first"], &verdict["departing"]),
        (&Value::Null, &0.into())
    );

    for damaged in [
        "conv1.weight",
        "layer2.1.conv2.weight",
        "layer3.0.bn1.running_var",
        "fc.bias",
    ] {
        let tensors = own.iter().map(|(name, tensor)| {
            if name != damaged {
                return (name, tensor.clone());
            }
            let mut values = tensor.to_vec::<f32>().unwrap();
            values[3] += 1.0;
            (name, Tensor::from_vec(values, tensor.shape()).unwrap())
        });
        let bad = file("bad.safetensors");
        save(&bad, tensors);
        let outcome = parity(&bad, &["--json"]);
        assert_eq!(outcome.code, 1, "{outcome:?}");
        let (layer, _) = damaged.rsplit_once('.').unwrap();
        let error = outcome.stderr.lines().last().unwrap();
        assert!(
            error.starts_with(&format!("error: {layer} is the first layer")),
            "{error}"
        );
        let lines = outcome
            .stdout
            .lines()
            .map(|l| serde_json::from_str(l).unwrap());
        let objects: Vec<Value> = lines.collect();
        let first = objects.iter().find(|o| o["pass"] == false).unwrap();
        assert_eq!(first["layer"], layer);
        let last = &objects[objects.len() - 2];
        assert_eq!(
            (&last["layer"], &last["pass"]),
            (&"output".into(), &false.into())
        );
        assert_eq!(objects.last().unwrap()["first"], layer);
    }

    let own_only = || parity(&weights, &[]);
    save(&activations, [("input", x.clone()), ("relu", x.clone())]);
    own_only().fails(1, &["a.safetensors", "no layer"]);
    save(&activations, [("conv1", x.clone())]);
    own_only().fails(1, &["a.safetensors", "`input`"]);
    save(&activations, [("input", x.reshape([2, 768]).unwrap())]);
    own_only().fails(1, &["a.safetensors", "input", "[2, 768]"]);
    save(&activations, [("input", x.clone()), ("conv1", x.clone())]);
    let outcome = own_only();
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(
        outcome.stderr.contains("conv1 is the first layer"),
        "another shape: {outcome:?}"
    );
    parity(&activations, &[]).fails(1, &["a.safetensors", "missing"]);
    parity(&weights, &["--tolerance", "2"]).fails(2, &["--tolerance"]);
    parity(&weights, &["--every-level"]).fails(2, &["--every-level"]);
    parity(&weights, &["resnet20"]).fails(2, &["one network"]);
    run(["parity", "seresnet20", "--weights", text(&weights)]).fails(2, &["--activations"]);
    run(["parity", "golden", "--attention", "se"]).fails(2, &["--activations"]);
}
