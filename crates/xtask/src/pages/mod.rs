//! The pages of the modules: draws their figures, fills in what the catalogue knows, and checks
//! that each module has a page with all its sections.

mod costs;
mod flow;
mod index;
mod layout;
mod svg;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use striate_layers::catalog;

use costs::Costs;
use flow::Flow;

/// What every page has, in this order.
const SECTIONS: [&str; 7] = [
    "## Formula",
    "## Data flow",
    "## Configuration",
    "## Cost",
    "## Grafting",
    "## Dialects",
    "## Paper",
];

/// Writes figures and generated parts, or only says which are out of date.
pub(crate) fn run(write: bool) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/modules");
    let costs = Costs::read(&root.join("costs.tsv"))?;
    let mut faults = Vec::new();
    let mut files = Vec::new();
    let pages: BTreeSet<&str> = catalog::entries().map(|e| e.page).collect();
    for page in &pages {
        match one(&root, page, &costs) {
            Ok(both) => files.extend(both),
            Err(fault) => faults.push(fault),
        }
    }
    let index = root.join("README.md");
    let text = read(&index)?;
    files.push((index, between(&text, "index", &index::table(&costs)?)?));
    faults.extend(strays(&root, &pages)?);
    faults.extend(untested(&pages)?);
    for (path, text) in files {
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        if write {
            fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        } else {
            faults.push(format!("{} is out of date", path.display()));
        }
    }
    if faults.is_empty() {
        println!(
            "{} pages of {} modules",
            pages.len(),
            catalog::entries().count()
        );
        Ok(())
    } else {
        Err(format!(
            "{}\n{} faults; `cargo run --release -p xtask -- pages` writes what is generated",
            faults.join("\n"),
            faults.len()
        ))
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// A page with its costs filled in, and its figure.
fn one(root: &Path, page: &str, costs: &Costs) -> Result<[(PathBuf, String); 2], String> {
    let path = root.join(page).with_extension("md");
    let at = |fault: String| format!("{}: {fault}", path.display());
    let text = read(&path)?;
    let mut rest = text.as_str();
    for section in SECTIONS {
        let start = rest.find(&format!("\n{section}\n")).ok_or_else(|| {
            at(format!(
                "the section {section:?} is missing or out of order"
            ))
        })?;
        rest = &rest[start + 1..];
    }
    let figure = format!("figures/{page}.svg");
    if !text.contains(&format!("]({figure})")) {
        return Err(at(format!("the figure {figure} is not shown")));
    }
    for entry in catalog::entries().filter(|e| e.page == page) {
        if !text.contains(&format!("`{}`", entry.name)) {
            return Err(at(format!("the module {} is not named", entry.name)));
        }
    }
    let source = root.join("figures").join(page).with_extension("flow");
    let flow = Flow::parse(&read(&source)?).map_err(|e| format!("{}: {e}", source.display()))?;
    let text = between(&text, "costs", &costs.of_page(page)?).map_err(at)?;
    Ok([(path, text), (root.join(figure), svg::draw(&flow))])
}

/// Replaces what is between the marks of that name.
fn between(text: &str, mark: &str, content: &str) -> Result<String, String> {
    let (open, close) = (format!("<!-- {mark} -->\n"), format!("<!-- /{mark} -->"));
    let missing = || format!("the marks {} and {close} are missing", open.trim_end());
    let (before, rest) = text.split_once(&open).ok_or_else(missing)?;
    let (_, after) = rest.split_once(&close).ok_or_else(missing)?;
    Ok(format!("{before}{open}{content}{close}{after}"))
}

/// Pages whose programs are not among the documentation's tests.
fn untested(pages: &BTreeSet<&str>) -> Result<Vec<String>, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../striate/src/pages.rs");
    let listed = read(&path)?;
    let listed: BTreeSet<&str> = listed.split_whitespace().collect();
    let missing = pages.difference(&listed);
    Ok(missing
        .map(|page| format!("{}: {page} is missing", path.display()))
        .collect())
}

/// Pages, sources and figures that no module has.
fn strays(root: &Path, pages: &BTreeSet<&str>) -> Result<Vec<String>, String> {
    let mut strays = Vec::new();
    for folder in [root.to_path_buf(), root.join("figures")] {
        let files = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        for file in files {
            let path = file.map_err(|e| e.to_string())?.path();
            let stem = path
                .file_stem()
                .and_then(|s| s.to_str())
                .unwrap_or_default();
            let ours = ["README", "costs", "figures"].contains(&stem);
            if !ours && !pages.contains(stem) {
                strays.push(format!("{}: no module has this page", path.display()));
            }
        }
    }
    Ok(strays)
}
