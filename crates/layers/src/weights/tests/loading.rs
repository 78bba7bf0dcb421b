//! From a file into a network.

use striate_tensor::{DType, Tensor};

use super::*;
use crate::{BatchNormConfig, Conv2dConfig, Layer, Loading, VarBuilder, Visitor, load_state_dict};

#[test]
fn names_lose_only_what_all_of_them_have() {
    let weights = |names: &[&str]| {
        let entry = |name: &&str| ((*name).to_owned(), Tensor::scalar(1f32).expect("one"));
        let dict = names.iter().map(entry).collect();
        let bytes = safetensors::to_bytes(&dict, &Metadata::new()).expect("a small file");
        let weights = from_bytes(&bytes).expect("just written");
        let mut names: Vec<String> = weights.state_dict.names().map(str::to_owned).collect();
        names.sort();
        (names, weights.stripped)
    };
    let (names, stripped) = weights(&["module._orig_mod.a", "module._orig_mod.b"]);
    assert_eq!(names, ["a", "b"]);
    assert_eq!(stripped, ["module.", "_orig_mod."]);
    let (names, stripped) = weights(&["module.a", "b"]);
    assert_eq!(names, ["b", "module.a"]);
    assert_eq!(stripped, [""; 0]);
}

#[derive(Debug)]
struct Network {
    conv: crate::Conv2d,
    bn: crate::BatchNorm2d,
}

impl Network {
    fn new() -> Self {
        let vb = VarBuilder::seeded(0);
        let conv = Conv2dConfig::new(2, 3, 3).build(&(&vb / "conv"));
        let bn = BatchNormConfig::new(3).build_2d(&(&vb / "bn"));
        Self {
            conv: conv.expect("valid"),
            bn: bn.expect("valid"),
        }
    }
}

impl Layer for Network {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("conv", &self.conv);
        v.child("bn", &self.bn);
    }
}

#[test]
fn a_load_that_fails_changes_nothing() {
    let network = Network::new();
    let before = crate::state_dict(&network);
    let unchanged = || same(&crate::state_dict(&network), &before);
    let good = read("checkpoint.pt").state_dict;
    let renamed = |from: &str, to: &str| {
        let rename = |(name, t): (String, Tensor)| (name.replace(from, to), t);
        good.clone().into_iter().map(rename).collect::<StateDict>()
    };
    let mut mis_shaped = good.clone();
    mis_shaped.insert("bn.bias", Tensor::zeros([4], DType::F32).expect("small"));
    for (dict, parts) in [
        (
            renamed("conv.weight", "conv.weights"),
            [
                "1 missing: conv.weight (nearest: conv.weights)",
                "1 unexpected: conv.weights (nearest: conv.weight)",
            ],
        ),
        (
            mis_shaped,
            [
                "1 mis-shaped: bn.bias (expected [3], got [4])",
                "nothing changed",
            ],
        ),
        (read("types.pt").state_dict, ["6 missing", "10 unexpected"]),
    ] {
        let error = load_state_dict(&network, &dict, Loading::Strict).expect_err(parts[0]);
        for part in parts {
            assert!(error.to_string().contains(part), "{error}");
        }
        assert!(unchanged(), "{error}");
    }
    let report = load_state_dict(&network, &good, Loading::Strict).expect("it fits");
    assert_eq!(report.loaded.len(), 7);
    assert!(!unchanged());
    check_network(&crate::state_dict(&network), true);
}
