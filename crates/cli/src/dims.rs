//! Sizes on the command line: `3`, `3x5`, `1x64x56x56`.

/// Numbers separated by `x`, each at least `least`.
fn numbers(text: &str, least: usize) -> Result<Vec<usize>, String> {
    let number = |part: &str| match part.parse::<usize>() {
        Ok(n) if n >= least => Ok(n),
        _ => Err(format!(
            "`{part}` is not a whole number of at least {least}"
        )),
    };
    text.split(['x', 'X']).map(number).collect()
}

/// A batch of images, `NxCxHxW`.
pub(crate) fn batch(text: &str) -> Result<[usize; 4], String> {
    let sizes = numbers(text, 1)?;
    let count = sizes.len();
    sizes
        .try_into()
        .map_err(|_| format!("four sizes are needed, NxCxHxW, not {count}"))
}

/// One number for both directions, or `HxW`.
fn pair_from(text: &str, least: usize) -> Result<[usize; 2], String> {
    match numbers(text, least)?.as_slice() {
        &[both] => Ok([both, both]),
        &[h, w] => Ok([h, w]),
        more => Err(format!(
            "one or two sizes are needed, N or HxW, not {}",
            more.len()
        )),
    }
}

/// A pair of sizes from 1.
pub(crate) fn pair(text: &str) -> Result<[usize; 2], String> {
    pair_from(text, 1)
}

/// A pair of sizes from 0.
pub(crate) fn padding(text: &str) -> Result<[usize; 2], String> {
    pair_from(text, 0)
}

/// `[1, 64, 56, 56]` as `1x64x56x56`.
pub(crate) fn joined(sizes: &[usize]) -> String {
    sizes
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(batch("1x64x56x56"), Ok([1, 64, 56, 56]));
        assert_eq!(pair("3"), Ok([3, 3]));
        assert_eq!(pair("1x7"), Ok([1, 7]));
        assert_eq!(padding("0"), Ok([0, 0]));
        assert_eq!(joined(&[1, 3, 32]), "1x3x32");
    }

    #[test]
    fn what_is_no_size_is_said() {
        assert!(batch("1x64x56").unwrap_err().contains("not 3"));
        assert!(batch("1x0x5x5").unwrap_err().contains("`0`"));
        assert!(pair("1x2x3").unwrap_err().contains("not 3"));
        assert!(pair("").unwrap_err().contains("``"));
        assert!(pair("-1").unwrap_err().contains("`-1`"));
        assert!(pair("99999999999999999999999").is_err());
    }
}
