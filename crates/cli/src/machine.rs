//! What the operating system tells about this machine. Whatever it does not tell is absent, never an error.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// A cache of the first core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Cache {
    /// 1, 2, 3, ...
    pub(crate) level: u32,
    /// `data`, `instruction` or `unified`.
    pub(crate) kind: String,
    /// Its size in bytes.
    pub(crate) bytes: u64,
}

/// The name of the processor, or of its architecture where the system does not tell the name.
pub(crate) fn cpu_name() -> String {
    let from_linux = fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| cpu_field(&text));
    let from_windows = || std::env::var("PROCESSOR_IDENTIFIER").ok();
    from_linux
        .or_else(macos_brand)
        .or_else(from_windows)
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn cpu_field(cpuinfo: &str) -> Option<String> {
    // x86 says "model name", some Arm boards "Model" or "Hardware", many Arm servers nothing of the kind.
    ["model name", "Model", "Hardware"]
        .iter()
        .find_map(|field| {
            cpuinfo.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let value = value.trim();
                (name.trim() == *field && !value.is_empty()).then(|| value.to_owned())
            })
        })
}

fn macos_brand() -> Option<String> {
    if !cfg!(target_os = "macos") {
        return None;
    }
    let output = std::process::Command::new("sysctl")
        .args(["-n", "machdep.cpu.brand_string"])
        .output();
    let text = String::from_utf8(output.ok()?.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The caches of the first core, nearest first.
pub(crate) fn caches() -> Vec<Cache> {
    caches_in(Path::new("/sys/devices/system/cpu/cpu0/cache"))
}

fn caches_in(folder: &Path) -> Vec<Cache> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut caches: Vec<Cache> = entries
        .filter_map(|entry| cache_in(&entry.path()))
        .collect();
    caches.sort_by(|a, b| (a.level, &a.kind).cmp(&(b.level, &b.kind)));
    caches
}

fn cache_in(folder: &Path) -> Option<Cache> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    Some(Cache {
        level: read("level")?.trim().parse().ok()?,
        kind: read("type")?.trim().to_lowercase(),
        bytes: size(read("size")?.trim())?,
    })
}

/// `48K` as bytes.
fn size(text: &str) -> Option<u64> {
    let (digits, factor) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 1 << 10),
        b'M' => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// The system's policy of huge pages for ordinary memory: `always`, `madvise` (they come where the library asks for
/// them) or `never`.
pub(crate) fn huge_pages() -> Option<String> {
    let text = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").ok()?;
    let (_, rest) = text.split_once('[')?;
    let (policy, _) = rest.split_once(']')?;
    Some(policy.to_owned())
}

/// How many pages the system has handed to this process on first touch so far.
pub(crate) fn page_faults() -> Option<u64> {
    faults_in(&fs::read_to_string("/proc/self/stat").ok()?)
}

fn faults_in(stat: &str) -> Option<u64> {
    // The eighth field after the program's name, which may itself hold blanks and brackets.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(7)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_found_among_its_fields() {
        let x86 = "processor\t: 0\nmodel\t\t: 143\nmodel name\t: Some CPU @ 2 GHz\n";
        assert_eq!(cpu_field(x86).as_deref(), Some("Some CPU @ 2 GHz"));
        let arm = "processor\t: 0\nBogoMIPS\t: 50\n\nModel\t\t: A Board\n";
        assert_eq!(cpu_field(arm).as_deref(), Some("A Board"));
        assert_eq!(cpu_field("processor: 0\nmodel name:\n"), None);
        assert!(!cpu_name().is_empty());
    }

    #[test]
    fn caches_are_read_in_order_and_odd_ones_left_out() {
        let root = tempfile::tempdir().unwrap();
        let entries = [
            ("index0", "2", "Unified", "2048K"),
            ("index1", "1", "Data", "48K"),
            ("x", "?", "?", "?"),
        ];
        for (name, level, kind, size) in entries {
            let folder = root.path().join(name);
            fs::create_dir(&folder).unwrap();
            for (file, text) in [("level", level), ("type", kind), ("size", size)] {
                fs::write(folder.join(file), format!("{text}\n")).unwrap();
            }
        }
        let cache = |level, kind: &str, bytes| Cache {
            level,
            kind: kind.to_owned(),
            bytes,
        };
        let expected = [cache(1, "data", 48 << 10), cache(2, "unified", 2 << 20)];
        assert_eq!(caches_in(root.path()), expected);
        assert!(caches_in(&root.path().join("none")).is_empty());
    }

    #[test]
    fn page_faults_are_found_behind_any_name() {
        let stat = "17 (a) b (c) R 1 2 3 4 5 6 789 10 11";
        assert_eq!(faults_in(stat), Some(789));
        assert_eq!(faults_in("17 (a)"), None);
        if cfg!(target_os = "linux") {
            assert!(page_faults() > Some(0));
        }
    }
}
