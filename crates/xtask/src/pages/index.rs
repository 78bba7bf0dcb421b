//! The list of all modules, family by family.

use std::fmt::Write;

use striate_layers::catalog::families;

use super::costs::Costs;

/// A table for each family.
pub(super) fn table(costs: &Costs) -> Result<String, String> {
    let mut text = String::new();
    for family in families().iter().filter(|f| !f.entries.is_empty()) {
        let _ = write!(
            text,
            "\n## Modules that {}\n\n\
             | module | what it does | parameters | multiply-adds | forward | training step |\n\
             |---|---|--:|--:|--:|--:|\n",
            family.description
        );
        for entry in family.entries {
            let [parameters, multiply_adds, forward, step] = costs.cells(entry)?;
            let _ = writeln!(
                text,
                "| [`{}`]({}.md) | {} | {parameters} | {multiply_adds} | {forward} | {step} |",
                entry.name, entry.page, entry.description
            );
        }
    }
    text.push('\n');
    Ok(text)
}
