//! Files that are cut off or changed anywhere.

use striate_tensor::Philox;

use super::*;

fn below(random: &mut Philox, n: usize) -> usize {
    random.below(n as u64) as usize
}

/// Every file that can be read.
fn good_files() -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder()).expect("golden/weights");
    let names = entries.map(|e| e.expect("readable").file_name());
    let mut names: Vec<String> = names.map(|n| n.to_string_lossy().into_owned()).collect();
    names.sort();
    names.retain(|name| !name.starts_with("refused"));
    let dict = read("types.pt").state_dict;
    let metadata = Metadata::from([("format".into(), "pt".into())]);
    let saved = safetensors::to_bytes(&dict, &metadata).expect("a small file");
    let read = names.into_iter().map(|name| (name.clone(), file(&name)));
    read.chain([("types.safetensors".to_owned(), saved)])
        .collect()
}

#[test]
fn a_file_that_is_cut_off_is_an_error() {
    for (name, bytes) in good_files() {
        for len in 0..bytes.len() {
            assert!(from_bytes(&bytes[..len]).is_err(), "{name}: {len} bytes");
        }
    }
}

#[test]
fn a_damaged_byte_is_an_error_or_changes_nothing_where_there_are_checksums() {
    let mut random = Philox::new(1);
    for (name, bytes) in good_files() {
        let whole = from_bytes(&bytes).expect(&name).state_dict;
        let elements: usize = whole.iter().map(|(_, t)| t.numel()).sum();
        for at in 0..bytes.len() {
            let flip = 1 << random.below(8);
            for new in [bytes[at] ^ flip, random.next_u32() as u8, 0, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = new;
                let Ok(read) = from_bytes(&damaged) else {
                    continue;
                };
                let checked = name.ends_with(".npz")
                    || (name.ends_with(".pt")
                        && !name.contains("legacy")
                        && name != "unchecked.pt");
                assert!(
                    !checked || same(&read.state_dict, &whole),
                    "{name}: byte {at} made {new}"
                );
                let held: usize = read.state_dict.iter().map(|(_, t)| t.numel()).sum();
                assert!(
                    held <= elements + 8 * bytes.len(),
                    "{name}: byte {at} made {new}"
                );
            }
        }
    }
}

#[test]
fn damage_in_several_places_is_no_panic() {
    let mut random = Philox::new(2);
    for (_, bytes) in good_files() {
        for _ in 0..2000 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + random.below(8) {
                let at = below(&mut random, damaged.len());
                damaged[at] = random.next_u32() as u8;
            }
            // A run of bytes elsewhere, or gone.
            let [from, to] = [0; 2].map(|_| below(&mut random, damaged.len()));
            let len = below(&mut random, 64).min(damaged.len() - from.max(to));
            damaged.copy_within(from..from + len, to);
            if random.below(4) == 0 {
                damaged.drain(from..from + len);
            }
            let _ = from_bytes(&damaged);
        }
    }
}
