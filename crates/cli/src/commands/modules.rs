//! `striate modules`: the plug-in modules there are.

use clap::Args;
use serde::Serialize;
use striate::layers::catalog;

use crate::failure::Failure;
use crate::output::{Output, table};

/// List the plug-in modules with what they do and the papers they come from
#[derive(Args, Debug)]
#[command(after_help = "Example: striate modules")]
pub(crate) struct Modules {}

#[derive(Serialize)]
struct Listed {
    module: &'static str,
    description: &'static str,
    paper: &'static str,
}

impl Modules {
    pub(crate) fn run(&self, out: &mut Output) -> Result<(), Failure> {
        let mut rows = vec![
            ["module", "what it does", "paper"]
                .map(str::to_owned)
                .to_vec(),
        ];
        for entry in catalog::entries() {
            let listed = Listed {
                module: entry.name,
                description: entry.description,
                paper: entry.paper,
            };
            out.object(&listed)?;
            rows.push(
                [listed.module, listed.description, listed.paper]
                    .map(str::to_owned)
                    .to_vec(),
            );
        }
        table(&rows).iter().try_for_each(|line| out.text(line))
    }
}
