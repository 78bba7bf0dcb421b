//! Every module of the catalogue goes through a file and computes the same bits.

#[path = "support/families.rs"]
mod families;
mod support;

use striate_layers::catalog::Entry;
use striate_layers::safetensors::{Metadata, from_bytes, to_bytes};
use striate_layers::{Loading, VarBuilder, load_state_dict, set_training, state_dict};
use striate_tensor::{DType, Result, no_grad};

fn round_trip(entry: &Entry) -> Result<()> {
    for example in entry.examples {
        let source = support::build(entry, example, &VarBuilder::seeded(1))?;
        let inputs = support::inputs(example, DType::F32)?;
        // A step in training moves the buffers away from where they start.
        source.run(&inputs)?;
        let (dict, _) = from_bytes(&to_bytes(&state_dict(&source), &Metadata::new())?)?;
        let loaded = entry.build_str(example.config, &VarBuilder::seeded(2))?;
        let report = load_state_dict(&loaded, &dict, Loading::Strict)?;
        assert_eq!(
            report.loaded.len(),
            dict.len(),
            "{} {}",
            entry.name,
            example.config
        );
        let built = entry.build_str(example.config, &VarBuilder::from_state_dict(dict))?;
        let run = |module: &dyn striate_layers::catalog::Catalogued| {
            set_training(module, false);
            let outputs = no_grad(|| module.run(&inputs))?;
            outputs
                .iter()
                .map(|y| y.to_vec::<f32>())
                .collect::<Result<Vec<_>>>()
        };
        let expected = run(&*source)?;
        assert_eq!(
            run(&*loaded)?,
            expected,
            "{} {}",
            entry.name,
            example.config
        );
        assert_eq!(run(&*built)?, expected, "{} {}", entry.name, example.config);
    }
    Ok(())
}

families::test_each_family!(round_trip);
