//! The files in `shapes/`.

use std::path::Path;

/// A line of a file of shapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape<const N: usize> {
    /// The numbers, in the order that `shapes/README.md` tells.
    pub numbers: [usize; N],
    /// What has this shape.
    pub name: String,
}

/// Reads `shapes/<file>.txt`.
///
/// # Errors
/// If the file cannot be read or a line does not start with `N` numbers.
pub fn read<const N: usize>(file: &str) -> Result<Vec<Shape<N>>, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("shapes")
        .join(file)
        .with_extension("txt");
    read_from(&path)
}

/// As [`read`], from any file.
///
/// # Errors
/// As there.
pub fn read_from<const N: usize>(path: &Path) -> Result<Vec<Shape<N>>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    parse(&text).map_err(|line| format!("{}: not a shape: {line}", path.display()))
}

fn parse<const N: usize>(text: &str) -> Result<Vec<Shape<N>>, String> {
    let lines = text
        .lines()
        .filter_map(|line| line.split('#').next())
        .map(str::trim);
    lines
        .filter(|line| !line.is_empty())
        .map(|line| shape(line).ok_or(line.to_owned()))
        .collect()
}

fn shape<const N: usize>(line: &str) -> Option<Shape<N>> {
    let mut words = line.split_whitespace();
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = words.next()?.parse().ok()?;
    }
    let name = words.collect::<Vec<_>>().join(" ");
    (!name.is_empty()).then_some(Shape { numbers, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbers_and_a_name() {
        let shapes = parse::<2>("# all\n 1 22  a  layer # why\n\n").unwrap();
        assert_eq!(
            shapes,
            [Shape {
                numbers: [1, 22],
                name: "a layer".to_owned()
            }]
        );
        for wrong in ["1 a layer", "1 2", "1 -2 layer"] {
            assert_eq!(parse::<2>(wrong), Err(wrong.to_owned()));
        }
    }

    #[test]
    fn the_files_can_be_read() {
        assert!(read::<3>("gemm").is_ok_and(|shapes| !shapes.is_empty()));
        assert!(read::<7>("pool").is_ok_and(|shapes| !shapes.is_empty()));
        assert!(read::<1>("elementwise").is_ok_and(|shapes| !shapes.is_empty()));
    }
}
