//! Plug-ins put into networks that have weights, and taken out again.

use std::collections::HashSet;

use striate_layers::{
    Loading, Place, VarBuilder, load_state_dict, named_parameters, parameter_count, set_training,
    state_dict,
};
use striate_models::{Options, Plugin, build, graft, prune, slots};
use striate_tensor::{Philox, Result, Tensor, no_grad};

fn bits(y: &Tensor) -> Result<Vec<u32>> {
    Ok(y.to_vec::<f32>()?.into_iter().map(f32::to_bits).collect())
}

/// In evaluation.
fn output(net: &dyn striate_layers::Module, x: &Tensor) -> Result<Vec<f32>> {
    set_training(net, false);
    no_grad(|| net.forward(x))?.to_vec()
}

fn close(a: &[f32], b: &[f32]) -> bool {
    let largest = a.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| (a - b).abs() <= 1e-5 * largest)
}

#[test]
fn a_graft_is_the_identity_until_it_is_trained() -> Result<()> {
    for plugin in [
        "se",
        "eca",
        "cbam",
        "bam",
        "gc",
        "nonlocal2d",
        "simam",
        "coord_attention",
        "scse",
        "triplet",
    ] {
        let net = build("resnet20", &Options::default(), &VarBuilder::seeded(0))?;
        let old = state_dict(&net);
        let x = Tensor::randn([2, 3, 32, 32], &mut Philox::new(1))?;
        let before = output(&net, &x)?;
        let plain = parameter_count(&net);
        let plugin = Plugin::parse(plugin)?;
        let grafted = graft(&net, "layer3.*", Place::Standard, &plugin, 3)?;
        assert_eq!(grafted.len(), 3, "{plugin:?}");
        let added: usize = grafted.iter().map(|g| g.parameters).sum();
        assert_eq!(parameter_count(&net), plain + added, "{plugin:?}");
        assert!(
            close(&before, &output(&net, &x)?),
            "{plugin:?} is the identity at first"
        );

        // The network that has it still takes its old weights, and the plug-in learns.
        assert!(
            load_state_dict(&net, &old, Loading::Lenient)?
                .unexpected
                .is_empty(),
            "{plugin:?}"
        );
        set_training(&net, true);
        let labels = Tensor::from_vec(vec![1i64, 4], [2])?;
        let grads = net.forward(&x)?.cross_entropy(&labels, 0.0)?.backward()?;
        let learns = named_parameters(&net).into_iter().any(|(name, p)| {
            let grad = grads.get(&p.tensor()).and_then(|g| g.to_vec::<f32>().ok());
            name.contains(plugin.name()) && grad.is_some_and(|g| g.iter().any(|v| *v != 0.0))
        });
        assert!(learns || added == 0, "{plugin:?} gets a gradient");

        assert_eq!(prune(&net, "layer3.*"), 3, "{plugin:?}");
        assert_eq!(parameter_count(&net), plain);
        load_state_dict(&net, &old, Loading::Strict)?;
        assert_eq!(output(&net, &x)?, before, "{plugin:?} leaves no trace");
    }
    Ok(())
}

#[test]
fn every_place_takes_a_plugin() -> Result<()> {
    let x = Tensor::randn([2, 3, 40, 33], &mut Philox::new(1))?;
    for model in ["resnet18", "resnet50"] {
        let net = build(
            model,
            &Options::default().classes(5),
            &VarBuilder::seeded(0),
        )?;
        let before = output(&net, &x)?;
        let all = slots(&net).len();
        for (name, place) in Place::NAMES {
            let pattern = if place == Place::Stage {
                "layer*"
            } else {
                "layer*.*"
            };
            let grafted = graft(&net, pattern, place, &Plugin::se(8), 1)?;
            assert!(
                grafted.iter().all(|g| g.blended && g.place == place),
                "{model}: {name}"
            );
            assert!(close(&before, &output(&net, &x)?), "{model}: {name}");
            let names: HashSet<String> = named_parameters(&net).into_iter().map(|p| p.0).collect();
            assert_eq!(names.len(), named_parameters(&net).len(), "{model}: {name}");
            let part = format!("{}.se.", grafted[0].block);
            assert!(names.iter().any(|n| n.starts_with(&part)), "{part}");
            prune(&net, pattern);
        }
        assert_eq!(slots(&net).len(), all, "slots stay");
        assert!(slots(&net).iter().all(striate_layers::Slot::is_empty));
    }
    Ok(())
}

#[test]
fn a_name_that_a_block_has_is_refused() -> Result<()> {
    let net = build("seresnet20", &Options::default(), &VarBuilder::seeded(0))?;
    let error = |plugin: &Plugin| {
        let result = graft(&net, "layer3.*", Place::Post, plugin, 0);
        result.expect_err("the name is taken").to_string()
    };
    let text = error(&Plugin::se(4));
    assert!(text.contains("layer3.0.se"), "{text}");
    let text = error(&Plugin::se(4).named("conv1"));
    assert!(text.contains("layer3.0.conv1"), "{text}");
    assert_eq!(prune(&net, "layer3.*"), 3, "its own, and nothing was added");
    graft(&net, "layer3.*", Place::Standard, &Plugin::se(4), 0)?;
    let other = Plugin::se(4).named("se2");
    let grafted = graft(&net, "layer3.*", Place::Post, &other, 0)?;
    assert_eq!(grafted.len(), 3);
    let dict = state_dict(&net);
    for name in ["layer3.2.se.fc1.weight", "layer3.2.se2.fc1.weight"] {
        assert!(dict.get(name).is_some(), "{name}");
    }
    Ok(())
}

#[test]
fn what_does_not_fit_changes_nothing() -> Result<()> {
    let net = build("resnet20", &Options::default(), &VarBuilder::seeded(0))?;
    let x = Tensor::randn([1, 3, 32, 32], &mut Philox::new(1))?;
    let before = bits(&Tensor::from_vec(output(&net, &x)?, 10)?)?;
    let error = |pattern: &str, place, plugin: &Plugin| {
        let result = graft(&net, pattern, place, plugin, 0);
        result.expect_err("it does not fit").to_string()
    };
    let text = error("layer9.*", Place::Standard, &Plugin::se(4));
    assert!(
        text.contains("layer9.*") && text.contains("layer1.0"),
        "{text}"
    );
    let text = error("layer1.*", Place::Stage, &Plugin::se(4));
    assert!(text.contains("Stage"), "{text}");
    // 16, 32 and 64 channels: the first blocks would take it.
    let text = error("layer*.*", Place::Standard, &Plugin::se(48));
    assert!(text.contains("48"), "{text}");
    let halves = Plugin::parse("blurpool")?;
    let text = error("layer1.0", Place::Standard, &halves);
    assert!(text.contains("keep the shape"), "{text}");
    assert!(Plugin::parse("sse").is_err(), "no such module");
    assert!(Plugin::parse("se:reduction").is_err(), "no value");
    graft(&net, "layer1.0", Place::Standard, &Plugin::se(4), 0)?;
    let text = error("layer1.*", Place::Standard, &Plugin::se(4));
    assert!(text.contains("layer1.0") && text.contains("se"), "{text}");
    assert_eq!(prune(&net, "*.*"), 1, "nothing else was put in");
    assert_eq!(bits(&Tensor::from_vec(output(&net, &x)?, 10)?)?, before);
    Ok(())
}
