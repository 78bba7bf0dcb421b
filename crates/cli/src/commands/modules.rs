//! `striate modules`: the plug-in modules there are, and the essentials of one.

use clap::Args;
use serde::Serialize;
use striate::layers::catalog::{self, Entry};

use crate::dims::joined;
use crate::failure::Failure;
use crate::output::{Output, grouped, table};

/// List the plug-in modules, or show the essentials of one
#[derive(Args, Debug)]
#[command(after_help = "Example: striate modules cbam")]
pub(crate) struct Modules {
    /// The module to show
    name: Option<String>,
}

#[derive(Serialize)]
struct Listed {
    module: &'static str,
    family: &'static str,
    description: &'static str,
    paper: &'static str,
}

#[derive(Serialize)]
struct Shown {
    module: &'static str,
    description: &'static str,
    formula: &'static str,
    paper: &'static str,
    arguments: Vec<Argument>,
    config: serde_json::Value,
    inputs: &'static [&'static [usize]],
    output: Vec<usize>,
    parameters: usize,
    multiply_adds: u64,
    elementwise: u64,
    page: String,
}

#[derive(Serialize)]
struct Argument {
    name: &'static str,
    default: Option<String>,
    choices: Vec<&'static str>,
}

impl Modules {
    pub(crate) fn run(&self, out: &mut Output) -> Result<(), Failure> {
        match &self.name {
            Some(name) => show(catalog::find(name).map_err(Failure::usage)?, out),
            None => list(out),
        }
    }
}

fn list(out: &mut Output) -> Result<(), Failure> {
    let mut rows = vec![
        ["module", "family", "what it does"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for family in catalog::families() {
        for entry in family.entries {
            out.object(&Listed {
                module: entry.name,
                family: family.name,
                description: entry.description,
                paper: entry.paper,
            })?;
            rows.push(
                [entry.name, family.name, entry.description]
                    .map(str::to_owned)
                    .to_vec(),
            );
        }
    }
    table(&rows).iter().try_for_each(|line| out.text(line))
}

fn show(entry: &'static Entry, out: &mut Output) -> Result<(), Failure> {
    let summary = entry.summary()?;
    let arguments = entry.arguments()?.into_iter().map(|a| Argument {
        name: a.name,
        default: a.default,
        choices: a.choices,
    });
    let shown = Shown {
        module: entry.name,
        description: entry.description,
        formula: entry.formula,
        paper: entry.paper,
        arguments: arguments.collect(),
        config: serde_json::from_str(entry.typical.config)?,
        inputs: entry.typical.inputs,
        output: summary.output,
        parameters: summary.parameters,
        multiply_adds: summary.multiply_adds,
        elementwise: summary.elementwise,
        page: format!("docs/modules/{}.md", entry.page),
    };
    out.object(&shown)?;
    out.text(format!("{}: {}\n", shown.module, shown.description))?;
    out.text(format!("{}\n\n{}\n", shown.formula, shown.paper))?;
    let mut rows = vec![
        ["argument", "default", "choices"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(shown.arguments.iter().map(|a| {
        let default = a
            .default
            .clone()
            .unwrap_or_else(|| "must be given".to_owned());
        vec![a.name.to_owned(), default, a.choices.join(", ")]
    }));
    table(&rows).iter().try_for_each(|line| out.text(line))?;
    let inputs: Vec<String> = shown.inputs.iter().map(|s| joined(s)).collect();
    out.text(format!("\nWith {} on {}:", shown.config, inputs.join(", ")))?;
    out.text(format!("output         {}", joined(&shown.output)))?;
    out.text(format!(
        "parameters     {}",
        grouped(shown.parameters as u64)
    ))?;
    out.text(format!("multiply-adds  {}", grouped(shown.multiply_adds)))?;
    out.text(format!("elementwise    {}", grouped(shown.elementwise)))?;
    out.text(format!("\n{}", shown.page))
}
