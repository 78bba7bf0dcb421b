//! Every module of the catalogue: output shapes, and configurations that must be refused.

mod support;

use striate_layers::catalog::{Example, entries, find};
use striate_layers::{VarBuilder, set_training};
use striate_tensor::{DType, Result, Tensor, no_grad};

#[test]
fn outputs_have_the_stated_shapes() -> Result<()> {
    for entry in entries() {
        assert!(!entry.examples.is_empty(), "{} has no example", entry.name);
        for example in entry.examples {
            let module = support::build(entry, example, &VarBuilder::seeded(0))?;
            let inputs = support::inputs(example, DType::F32)?;
            for training in [example.training, false] {
                set_training(&module, training);
                let outputs = module.run(&inputs)?;
                let shapes: Vec<&[usize]> = outputs.iter().map(Tensor::shape).collect();
                assert_eq!(shapes, example.outputs, "{} {}", entry.name, example.config);
                for y in &outputs {
                    let finite = y.to_vec::<f32>()?.iter().all(|v| v.is_finite());
                    assert!(finite, "{} {}", entry.name, example.config);
                }
            }
        }
    }
    Ok(())
}

#[test]
fn every_module_has_odd_uneven_and_single_inputs() {
    for entry in entries() {
        // What makes places of points is judged by the places.
        let sides = |e: &Example| match entry.name {
            "tps_grid" => e.outputs,
            _ => e.inputs,
        };
        let shapes: Vec<&[usize]> = entry
            .examples
            .iter()
            .flat_map(|e| sides(e).iter().copied())
            .collect();
        // Maps of one, two or three dimensions.
        let maps = || shapes.iter().filter(|s| s.len() > 2);
        assert!(
            maps().any(|s| s[0] == 1),
            "{} has no batch of 1",
            entry.name
        );
        assert!(
            maps().any(|s| s[2..].iter().any(|d| d % 2 == 1)),
            "{} has no odd map",
            entry.name
        );
        assert!(
            maps().any(|s| s.len() == 3 || s[2..].windows(2).any(|d| d[0] != d[1])),
            "{} has only square maps",
            entry.name
        );
    }
}

#[test]
fn an_empty_batch_gives_an_empty_batch() -> Result<()> {
    for entry in entries() {
        let example = &entry.examples[0];
        let module = support::build(entry, example, &VarBuilder::seeded(0))?;
        set_training(&module, false);
        let empty = |shape: &[usize]| [&[0], &shape[1..]].concat();
        let inputs: Result<Vec<_>> = example
            .inputs
            .iter()
            .map(|s| Tensor::zeros(empty(s), DType::F32))
            .collect();
        let outputs = no_grad(|| module.run(&inputs?))?;
        for (y, &expected) in outputs.iter().zip(example.outputs) {
            assert_eq!(y.shape(), empty(expected), "{}", entry.name);
        }
    }
    Ok(())
}

#[test]
fn inputs_that_do_not_fit_are_errors() -> Result<()> {
    for entry in entries() {
        let example = &entry.examples[0];
        let vb = VarBuilder::seeded(0) / "stage" / 2;
        let module = support::build(entry, example, &vb)?;
        let good = support::inputs(example, DType::F32)?;
        assert!(module.run(&[]).is_err(), "{} without an input", entry.name);
        let shape = good[0].shape().to_vec();
        let rank = [Tensor::zeros(&shape[1..], DType::F32)?];
        let error = module
            .run(&[&rank[..], &good[1..]].concat())
            .expect_err(entry.name)
            .to_string();
        assert!(
            error.contains(&format!("{:?}", &shape[1..])),
            "{}: {error}",
            entry.name
        );
        assert!(error.contains("stage.2"), "{}: {error}", entry.name);
        // What takes any number of channels has another output.
        let mut wider = shape.clone();
        wider[1] += 1;
        let x = [Tensor::zeros(wider, DType::F32)?];
        if let Ok(outputs) = module.run(&[&x[..], &good[1..]].concat()) {
            assert_ne!(
                outputs[0].shape(),
                example.outputs[0],
                "{} with a channel more",
                entry.name
            );
        }
    }
    Ok(())
}

#[test]
fn invalid_configurations_are_refused() {
    for entry in entries() {
        assert!(!entry.invalid.is_empty(), "{} refuses nothing", entry.name);
        for config in entry.invalid {
            let error = entry.build_str(config, &VarBuilder::seeded(0));
            let error = error
                .map(|_| ())
                .expect_err(&format!("{} {config}", entry.name))
                .to_string();
            assert!(error.len() > 20, "{} {config}: {error}", entry.name);
        }
    }
}

#[test]
fn names_are_unique_and_found() {
    for entry in entries() {
        assert_eq!(
            entries().filter(|e| e.name == entry.name).count(),
            1,
            "{}",
            entry.name
        );
        assert_eq!(find(entry.name).map(|e| e.name).ok(), Some(entry.name));
        let links = ["arXiv:", "https://"];
        let linked = links.iter().any(|link| entry.paper.contains(link));
        assert!(linked, "{}", entry.name);
    }
    let error = find("cbam_tim")
        .map(|e| e.name)
        .expect_err("a typo")
        .to_string();
    assert!(error.contains("cbam_timm"), "{error}");
}
