//! Patterns of paths.

/// Whether `path` is `pattern`, in which `*` stands for any characters of one name: `layer*.0` is `layer3.0`.
#[must_use]
pub fn path_matches(pattern: &str, path: &str) -> bool {
    let (mut names, mut patterns) = (path.split('.'), pattern.split('.'));
    loop {
        match (names.next(), patterns.next()) {
            (None, None) => return true,
            (Some(name), Some(pattern)) if matches_name(pattern, name) => {}
            _ => return false,
        }
    }
}

/// Whether `path` is `pattern`, or lies below what [is](path_matches): `layer3.0.conv1` below `layer*`.
#[must_use]
pub fn path_is_below(pattern: &str, path: &str) -> bool {
    let mut names = path.split('.');
    pattern
        .split('.')
        .all(|pattern| names.next().is_some_and(|name| matches_name(pattern, name)))
}

fn matches_name(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(after) = name.strip_prefix(start) else {
        return false;
    };
    (0..=after.len())
        .filter_map(|i| after.get(i..))
        .any(|tail| matches_name(rest, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, path, expected) in [
            ("layer3.*", "layer3.0", true),
            ("layer3.*", "layer3.0.conv1", false),
            ("layer3.*", "layer31", false),
            ("layer*.0", "layer4.0", true),
            ("*.*", "layer4.22", true),
            ("layer[3].*", "layer3.0", false),
            ("l*y*r3.0", "layer3.0", true),
            ("layer3", "layer3", true),
            ("", "layer3", false),
            ("*", "", true),
        ] {
            assert_eq!(
                path_matches(pattern, path),
                expected,
                "{pattern} and {path}"
            );
        }
    }

    #[test]
    fn what_lies_below_begins_with_whole_names() {
        for (pattern, path, expected) in [
            ("layer3", "layer3.0.conv1.weight", true),
            ("layer3", "layer3", true),
            ("layer3", "layer31.0", false),
            ("layer*", "layer31.0", true),
            ("*.0", "layer1.0.bn1", true),
            ("*.0", "layer1.1.bn1", false),
            ("layer3.0", "layer3", false),
            ("", "layer3", false),
        ] {
            assert_eq!(
                path_is_below(pattern, path),
                expected,
                "{pattern} and {path}"
            );
        }
    }
}
