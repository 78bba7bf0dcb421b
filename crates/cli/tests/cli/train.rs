//! Training runs: what they print and write, how they are interrupted and resumed, and what goes wrong.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Outcome, run, striate, text};
use serde_json::Value;

/// A short training on few digits.
fn train(folder: &Path, options: &str) -> Outcome {
    let quick = [
        "train",
        "--limit",
        "64",
        "--batch",
        "32",
        "--out",
        text(folder),
    ];
    let options = options.split(' ').filter(|option| !option.is_empty());
    run(quick.into_iter().chain(options))
}

#[test]
fn the_last_line_tells_the_result_and_the_folder_holds_it() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("run");
    let objects = train(&folder, "--epochs 2 --json --threads 2 --attention none").objects();
    assert_eq!(objects.len(), 3, "an object for each epoch, and the result");
    let last = &objects[2];
    let accuracy = last["test_accuracy"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&accuracy));
    assert_eq!(objects[1]["test_accuracy"], last["test_accuracy"]);
    for field in ["seconds", "images_per_second"] {
        assert!(last[field].as_f64().unwrap() > 0.0, "{field}");
    }
    assert_eq!(last["run"], text(&folder));
    assert_eq!((&last["epochs"], &last["threads"]), (&2.into(), &2.into()));
    for file in [
        "config.json",
        "metrics.jsonl",
        "curves.svg",
        "confusion.svg",
        "weights.safetensors",
    ] {
        assert!(folder.join(file).is_file(), "{file}");
    }
    let eval = run(["eval", text(&folder), "--json"]).objects();
    assert_eq!(eval[0]["test_accuracy"], last["test_accuracy"]);
    assert_eq!(eval[0]["classes"].as_array().unwrap().len(), 10);
    let again = train(&folder, "--epochs 2");
    again.fails(1, &[text(&folder), "holds a run already"]);
}

#[test]
fn activations_computed_again_and_small_batches_reach_the_same() {
    let root = tempfile::tempdir().unwrap();
    let weights = |name: &str, options: &str| {
        let folder = root.path().join(name);
        train(&folder, &format!("--epochs 1 {options}")).success();
        fs::read(folder.join("weights.safetensors")).unwrap()
    };
    let tensors = |file: &[u8]| {
        let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        file[8 + header..].to_vec()
    };
    let plain = weights("plain", "");
    let again = weights("again", "--checkpoint-activations");
    assert!(tensors(&plain) == tensors(&again), "the same bits");
    let accumulated = weights("accumulated", "--accumulate 2");
    assert!(tensors(&plain) != tensors(&accumulated), "another run");
}

#[test]
fn frozen_parts_keep_their_weights() {
    let root = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| root.path().join(name));
    train(&first, "--epochs 1").success();
    let weights = first.join("weights.safetensors");
    let options = format!(
        "--epochs 1 --freeze conv1 --freeze layer* --weights {}",
        text(&weights)
    );
    train(&second, &options).success();
    let read = |folder: &Path| {
        let weights = striate::train::checkpoint::load_weights(&folder.join("weights.safetensors"));
        weights.unwrap().state_dict
    };
    let (before, after) = (read(&first), read(&second));
    for (name, tensor) in before.iter().filter(|(_, t)| t.dtype().is_float()) {
        let same =
            tensor.to_vec::<f32>().unwrap() == after.get(name).unwrap().to_vec::<f32>().unwrap();
        let frozen = name.starts_with("conv1") || name.starts_with("layer");
        assert_eq!(same, frozen, "{name}");
    }
    let wrong = root.path().join("wrong");
    train(&wrong, "--freeze layer9").fails(1, &["freeze: no parameter lies below \"layer9\""]);
    assert!(!wrong.exists(), "no folder without a run");
}

#[test]
fn a_grafted_network_starts_with_the_accuracy_of_its_weights() {
    let root = tempfile::tempdir().unwrap();
    let first = root.path().join("first");
    let trained = train(&first, "--epochs 4 --json --attention none").objects();
    let accuracy = trained[4]["test_accuracy"].as_f64().unwrap();
    let weights = first.join("weights.safetensors");
    let second = root.path().join("second");
    let options = format!(
        "--epochs 1 --attention none --graft layer*.*=cbam:reduction=4 --weights {}",
        text(&weights)
    );
    let tuned = train(&second, &options);
    let told = format!("test accuracy before training: {:.2} %", 100.0 * accuracy);
    assert!(
        tuned.stderr.contains(&told),
        "{told} is not in {}",
        tuned.stderr
    );
    assert!(
        tuned.stderr.contains("layer1.0.cbam"),
        "what starts anew: {}",
        tuned.stderr
    );
    let eval = run(["eval", text(&second), "--json"]).objects();
    assert!(
        eval[0]["test_accuracy"].as_f64().is_some(),
        "the graft is part of the run"
    );
    let third = root.path().join("third");
    let nothing = train(
        &third,
        "--epochs 1 --model sknet_cifar --weights nowhere.pt",
    );
    nothing.fails(1, &["nowhere.pt"]);
    assert!(!third.exists(), "no folder without a run");
}

#[test]
fn runs_without_a_name_are_numbered() {
    let root = tempfile::tempdir().unwrap();
    for number in ["001", "002"] {
        let mut command = striate("train --limit 32 --epochs 1 --json".split(' '));
        let last = crate::support::outcome(command.current_dir(root.path()))
            .objects()
            .pop()
            .unwrap();
        assert_eq!(last["run"], format!("runs/digits-{number}"));
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_resumes_to_the_same_weights() {
    let root = tempfile::tempdir().unwrap();
    let [whole, stopped] = ["whole", "stopped"].map(|name| root.path().join(name));
    let options = "--epochs 6 --seed 5 --attention cbam --threads 2";
    train(&whole, options).success();

    let quick = [
        "train",
        "--limit",
        "64",
        "--batch",
        "32",
        "--json",
        "--out",
        text(&stopped),
    ];
    let mut child = striate(quick.into_iter().chain(options.split(' ')))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["epoch"], 1);
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let last: Value = serde_json::from_str(&lines.last().unwrap().unwrap()).unwrap();
    let ended = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains(&format!("striate train --resume {}", text(&stopped))),
        "{stderr}"
    );
    assert_eq!(last["interrupted"], true);
    assert!(!stopped.join("weights.safetensors").exists());

    let resumed = run([
        "train",
        "--resume",
        text(&stopped),
        "--threads",
        "1",
        "--json",
    ])
    .objects();
    let done = first["epoch"].as_u64().unwrap() as usize;
    assert!(
        resumed.len() <= 6 - done + 1,
        "finished epochs are not repeated"
    );
    let weights = |folder: &Path| fs::read(folder.join("weights.safetensors")).unwrap();
    assert!(
        weights(&whole) == weights(&stopped),
        "the final weights are the same, bit for bit"
    );
}

#[test]
fn a_resume_takes_the_options_of_the_run() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("run");
    train(&folder, "--epochs 1 --attention none").success();
    train(&folder, "--epochs 1 --resume").success();
    train(&folder, "--epochs 2 --resume").fails(2, &["--epochs 2", "started with 1"]);
    train(&folder, "--attention se --resume").fails(2, &["--attention se", "none"]);
    train(&folder, "--graft layer3.*=se --resume").fails(2, &["--graft layer3.*=se", "none"]);
    train(&folder, "--accumulate 2 --resume").fails(2, &["--accumulate 2", "started with 1"]);
    train(&folder, "--ema 0.9 --resume").fails(2, &["--ema 0.9", "started with none"]);
    train(&folder, "--mixup 0.2 --resume").fails(2, &["--mixup 0.2", "started with none"]);
    train(&folder, "--freeze layer1 --resume").fails(2, &["--freeze", "other frozen parts"]);
    let again = train(&folder, "--checkpoint-activations --resume");
    again.fails(2, &["--checkpoint-activations", "without"]);
    run(["train", "--resume"]).fails(2, &["--resume RUN"]);
    let other = root.path().join("other");
    run(["train", "--resume", text(&other)]).fails(1, &[text(&other), "holds no run"]);
    run(["train", "--resume", text(&folder), "--out", text(&other)]).fails(2, &["in place"]);
}

#[test]
fn wrong_options_are_one_line() {
    for (options, parts) in [
        ("--model resnet21", &["resnet21", "nearest: resnet20"][..]),
        ("--attention no", &["\"no\"", "cbam"]),
        ("--model sknet_cifar --attention se", &["no slot"]),
        ("--epochs 0", &["--epochs", "at least 1"]),
        ("--batch 0", &["--batch", "at least 1"]),
        ("--accumulate 0", &["--accumulate", "at least 1"]),
        ("--lr -1", &["--lr", "above 0"]),
        ("--lr nan", &["--lr", "above 0"]),
        ("--ema 1", &["ema: 1", "below 1"]),
        ("--ema -0.5", &["ema: -0.5"]),
        ("--mixup 0", &["mixup: 0", "from 0.001"]),
        ("--cutmix -1", &["cutmix: -1"]),
        ("--seed x", &["--seed"]),
        ("--threads 0", &["--threads", "at least 1"]),
        ("--data no/such/folder", &["no/such/folder", "`digits`"]),
        ("--data Cargo.toml", &["Cargo.toml is not a folder"]),
    ] {
        run(format!("train {options}").split(' ')).fails(2, parts);
    }
    run(["train", "--data", "src"]).fails(1, &["src/commands: no pictures"]);
    let blocked = Path::new("Cargo.toml/run");
    train(blocked, "--epochs 1").fails(1, &["cannot create", "Cargo.toml/run"]);
}

#[test]
fn damaged_files_of_a_run_are_named() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("run");
    train(&folder, "--epochs 1").success();
    let spoil = |file: &str, command: &[&str]| {
        let path = folder.join(file);
        let whole = fs::read(&path).unwrap();
        for bytes in [
            &whole[..whole.len() / 2],
            &whole[..3],
            b"",
            b"something else entirely",
        ] {
            fs::write(&path, bytes).unwrap();
            let outcome = run(command.iter().copied().chain([text(&folder)]));
            outcome.fails(1, &[text(&path)]);
        }
        fs::remove_file(&path).unwrap();
        let outcome = run(command.iter().copied().chain([text(&folder)]));
        assert!(
            outcome.code == 1 || file.starts_with("weights"),
            "{outcome:?}"
        );
        fs::write(&path, whole).unwrap();
    };
    spoil("weights.safetensors", &["eval"]);
    spoil("config.json", &["eval"]);
    spoil("checkpoints/last.safetensors", &["train", "--resume"]);
    run(["eval", text(&folder)]).success();
}

#[test]
fn a_damaged_data_set_is_named() {
    let root = tempfile::tempdir().unwrap();
    let train_on = |folder: &Path| run(["train", "--epochs", "1", "--data", text(folder)]);
    let mnist = root.path().join("mnist");
    fs::create_dir(&mnist).unwrap();
    let images = mnist.join("train-images-idx3-ubyte");
    fs::write(&images, [0, 0, 8, 3, 0, 0, 0, 2, 0, 0]).unwrap();
    fs::write(
        mnist.join("train-labels-idx1-ubyte"),
        [0, 0, 8, 1, 0, 0, 0, 2, 1, 1],
    )
    .unwrap();
    train_on(&mnist).fails(1, &[text(&images), "truncated"]);
    let cifar = root.path().join("cifar");
    fs::create_dir(&cifar).unwrap();
    fs::write(cifar.join("data_batch_1.bin"), [0; 3000]).unwrap();
    train_on(&cifar).fails(1, &["data_batch_1.bin", "3000 bytes"]);
}
