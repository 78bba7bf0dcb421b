//! Data flow as text: a node a line, `id: label | shape <- input, input`.

/// The data flow of a module.
#[derive(Debug)]
pub(super) struct Flow {
    /// Its nodes; the inputs of a node come before it.
    pub(super) nodes: Vec<Node>,
}

/// An operation, or an input of the whole if it has no inputs itself.
#[derive(Debug)]
pub(super) struct Node {
    /// What it does.
    pub(super) label: String,
    /// Shape of its result, if that is worth saying.
    pub(super) shape: Option<String>,
    /// Positions of its inputs.
    pub(super) inputs: Vec<usize>,
}

impl Flow {
    /// Reads the text; empty lines are skipped.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut ids: Vec<&str> = Vec::new();
        let mut nodes = Vec::new();
        let lines = (1..).zip(text.lines().map(str::trim));
        for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
            let fault = |what: &str| format!("line {number}: {what}");
            let (id, rest) = line
                .split_once(": ")
                .ok_or_else(|| fault("expected `id: label <- inputs`"))?;
            let (what, from) = rest.split_once(" <- ").unwrap_or((rest, ""));
            let (label, shape) = match what.split_once(" | ") {
                Some((label, shape)) => (label, Some(shape.trim().to_owned())),
                None => (what, None),
            };
            let names = from.split(',').map(str::trim).filter(|n| !n.is_empty());
            let inputs = names
                .map(|name| {
                    let at = ids.iter().position(|i| *i == name);
                    at.ok_or_else(|| fault(&format!("no line before this one has the id {name}")))
                })
                .collect::<Result<_, _>>()?;
            if ids.contains(&id) {
                return Err(fault(&format!("the id {id} is taken")));
            }
            if !line.is_ascii() {
                return Err(fault("only ASCII can be drawn everywhere"));
            }
            ids.push(id);
            nodes.push(Node {
                label: label.trim().to_owned(),
                shape,
                inputs,
            });
        }
        match nodes.len() {
            0..2 => Err("a data flow has two nodes at least".to_owned()),
            _ => Ok(Self { nodes }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Flow;

    #[test]
    fn lines_become_nodes() -> Result<(), String> {
        let flow = Flow::parse("x: x | N,C,H,W\n\ng: mean, sigmoid <- x\ny: multiply <- x, g\n")?;
        assert_eq!(flow.nodes[0].shape.as_deref(), Some("N,C,H,W"));
        assert_eq!(flow.nodes[1].label, "mean, sigmoid");
        assert_eq!(flow.nodes[2].inputs, [0, 1]);
        Ok(())
    }

    #[test]
    fn faults_name_their_line() {
        for (text, part) in [
            (
                "x: x\ny: add <- x, z",
                "line 2: no line before this one has the id z",
            ),
            ("x: x\nx: add <- x", "line 2: the id x is taken"),
            ("x", "line 1: expected"),
            ("x: x", "two nodes"),
        ] {
            let fault = Flow::parse(text).expect_err(text);
            assert!(fault.contains(part), "{fault}");
        }
    }
}
