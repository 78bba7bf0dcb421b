//! What a trained network says of pictures, and the drawings of its attention.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{npz, run, text};
use striate::layers::safetensors::{self, Metadata};
use striate::layers::{Module, StateDict, VarBuilder, evaluating, state_dict};
use striate::models::{self, Options};
use striate::train::data::Picture;
use striate::{DType, Philox, Tensor, no_grad};
use tempfile::TempDir;

/// Writes a grey picture, or one of red, green and blue if there are three times as many values.
fn save(path: &Path, size: [usize; 2], bytes: Vec<u8>) {
    let channels = bytes.len() / (size[0] * size[1]);
    let picture = Picture::new(size, channels, bytes).unwrap();
    fs::write(path, picture.to_png().unwrap()).unwrap();
}

/// A run on few digits, with a picture beside it.
fn trained(attention: &str) -> (TempDir, PathBuf, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("run");
    let line = format!("train --limit 64 --batch 32 --epochs 1 --attention {attention} --out");
    run(line.split(' ').chain([text(&folder)])).success();
    let picture = root.path().join("one.png");
    let stroke = |i| if (20..26).contains(&(i % 45)) { 255 } else { 0 };
    save(&picture, [61, 45], (0..61 * 45).map(stroke).collect());
    (root, folder, picture)
}

#[test]
fn classes_come_with_probabilities_that_add_up() {
    let (root, folder, picture) = trained("none");
    let predict = ["predict", text(&folder), text(&picture), "--json"];
    let all = &run(predict.into_iter().chain(["--top", "10"])).objects()[0];
    let probabilities = all["classes"].as_array().unwrap().iter();
    let probabilities: Vec<f64> = probabilities
        .map(|c| c["probability"].as_f64().unwrap())
        .collect();
    assert_eq!(probabilities.len(), 10);
    assert!(
        (probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-5,
        "{probabilities:?}"
    );
    assert!(
        probabilities.is_sorted_by(|a, b| a >= b),
        "{probabilities:?}"
    );
    assert_eq!(all["class"], all["classes"][0]["class"]);
    let one = &run(predict.into_iter().chain(["--top", "1"])).objects()[0];
    assert_eq!(one["classes"].as_array().unwrap().len(), 1);
    assert_eq!(one["probability"], all["probability"]);

    // The same picture in other colours: dark on white, and one in red, green and blue.
    let mut dark = Picture::read(&picture).unwrap();
    dark.bytes_mut().iter_mut().for_each(|v| *v = 255 - *v);
    let inverted = root.path().join("inverted.png");
    fs::write(&inverted, dark.to_png().unwrap()).unwrap();
    let command = [
        "predict",
        text(&folder),
        text(&inverted),
        "--invert",
        "--json",
    ];
    let same = &run(command).objects()[0];
    let difference = same["probability"].as_f64().unwrap() - all["probability"].as_f64().unwrap();
    assert!(difference.abs() < 1e-4, "{difference}");
    let colour = root.path().join("colour.png");
    let gradient = (0..100).flat_map(|y| (0..200).flat_map(move |x| [x, y, 9]));
    save(&colour, [100, 200], gradient.collect());
    let text_lines = run(["predict", text(&folder), text(&colour), text(&picture)]).success();
    assert_eq!(text_lines.lines().count(), 2 * (1 + 3), "{text_lines}");
    assert!(text_lines.contains('%'));
}

#[test]
fn each_attention_is_drawn() {
    for attention in ["se", "sk", "cbam"] {
        let (root, folder, picture) = trained(attention);
        let explain = [
            "predict",
            text(&folder),
            text(&picture),
            "--explain",
            "--json",
        ];
        let plain = run(["predict", text(&folder), text(&picture), "--json"]).objects();
        let objects = run(explain).objects();
        assert_eq!(
            objects[0]["classes"], plain[0]["classes"],
            "looking changes nothing"
        );
        let drawing = PathBuf::from(objects[0]["explanation"].as_str().unwrap());
        assert_eq!(drawing, folder.join("explain").join("one.png"));
        let drawn = Picture::read(&drawing).unwrap();
        let ink = drawn.bytes().chunks(3).filter(|p| p != &[255; 3]).count();
        let [height, width] = drawn.size();
        assert!(width > 600 && height > 300 && ink > 10_000, "{attention}");
        let elsewhere = root.path().join("pictures");
        let twice = [
            "predict",
            text(&folder),
            text(&picture),
            text(&picture),
            "--explain",
        ];
        run(twice.into_iter().chain(["--explain-dir", text(&elsewhere)])).success();
        let names = fs::read_dir(&elsewhere).unwrap().count();
        assert_eq!(
            names, 2,
            "two pictures of one name do not overwrite each other"
        );
    }
}

#[test]
fn what_cannot_be_looked_at_is_named() {
    let (root, folder, picture) = trained("none");
    let predict = |path: &Path| run(["predict", text(&folder), text(path)]);
    predict(&root.path().join("no.png")).fails(1, &["cannot read", "no.png"]);
    let words = root.path().join("words.png");
    fs::write(&words, "these are words").unwrap();
    predict(&words).fails(1, &["words.png"]);
    let half = root.path().join("half.png");
    let bytes = fs::read(&picture).unwrap();
    fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    predict(&half).fails(1, &["half.png"]);
    predict(root.path()).fails(1, &[text(root.path())]);
    run(["predict", text(&folder), text(&picture), "--explain"]).fails(1, &["no attention"]);
    run(["predict", text(&folder)]).fails(2, &["<IMAGE>"]);
    run(["predict", "no/run", text(&picture)]).fails(2, &["no/run"]);
    run(["predict", text(&folder), text(&picture), "--top", "0"]).fails(2, &["--top"]);
    let command = [
        "predict",
        text(&folder),
        text(&picture),
        "--explain-dir",
        "x",
    ];
    run(command).fails(2, &["--explain"]);

    // One that cannot be read does not keep the others from being looked at.
    let outcome = run(["predict", text(&folder), text(&words), text(&picture)]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stdout.contains("one.png:"), "{outcome:?}");
}

#[test]
fn a_network_runs_on_a_tensor_file() {
    let (root, folder, _) = trained("none");
    let [input, output] = ["x.safetensors", "y.safetensors"].map(|name| root.path().join(name));
    let x = Tensor::randn([3, 1, 32, 32], &mut Philox::new(1)).unwrap();
    let save = |name: &str, tensor: &Tensor| {
        let dict = StateDict::from_iter([(name.to_owned(), tensor.clone())]);
        safetensors::save(&input, &dict, &Metadata::new()).unwrap();
    };
    let weights = folder.join("weights.safetensors");
    let run_with = |weights: &Path| {
        let line = [
            "run",
            "resnet_small",
            "--weights",
            text(weights),
            "--input",
            text(&input),
        ];
        run(line
            .into_iter()
            .chain(["--output", text(&output), "--json"]))
    };
    save("input", &x);
    assert_eq!(
        run_with(&weights).objects()[0]["output"],
        serde_json::json!([3, 10])
    );
    let y = |path: &Path| {
        safetensors::load(path)
            .unwrap()
            .0
            .get("output")
            .unwrap()
            .to_vec::<f32>()
    };
    let first = y(&output).unwrap();
    assert!(first.len() == 30 && first.iter().all(|v| v.is_finite()));
    // A checkpoint of the same run holds the same weights.
    run_with(&folder.join("checkpoints").join("last.safetensors")).success();
    assert_eq!(y(&output).unwrap(), first);

    // So do arrays of NumPy with the prefix of data parallel training.
    let (dict, _) = safetensors::load(&weights).unwrap();
    let arrays = dict.iter().map(|(name, tensor)| {
        let values = tensor.to_dtype(DType::F32).unwrap().to_vec().unwrap();
        (format!("module.{name}"), tensor.shape().to_vec(), values)
    });
    let arrays: Vec<_> = arrays.collect();
    let other = root.path().join("weights.npz");
    fs::write(&other, npz(&arrays)).unwrap();
    let told = &run_with(&other).objects()[0]["weights"];
    let count = dict.len();
    assert_eq!(
        *told,
        format!("npz, {count} tensors, names without module.")
    );
    assert_eq!(y(&output).unwrap(), first);

    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/weights");
    run_with(&files.join("checkpoint.pt")).fails(1, &["conv1.weight", "bn.running_mean"]);
    run_with(&files.join("refused-system.pt")).fails(1, &["system is not part of a state dict"]);

    run_with(&input).fails(1, &["x.safetensors", "missing"]);
    save("image", &x);
    run_with(&weights).fails(1, &["no tensor `input`", "image"]);
    save("input", &x.reshape([3, 32, 32]).unwrap());
    run_with(&weights).fails(1, &["[3, 32, 32]"]);
    save("input", &x.reshape([3, 4, 16, 16]).unwrap());
    run_with(&weights).fails(1, &["conv1.weight", "mis-shaped"]);
}

#[test]
fn a_folder_of_pictures_is_learnt() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    for (class, colour) in [("red", [250, 20, 20]), ("blue", [20, 20, 250])] {
        fs::create_dir_all(data.join(class)).unwrap();
        for i in 0..20u8 {
            let shade = colour.map(|c: u8| c.saturating_sub(i));
            let size = [24, 20 + usize::from(i)];
            let path = data.join(class).join(format!("{i}.png"));
            save(&path, size, shade.repeat(size[0] * size[1]));
        }
    }
    let folder = root.path().join("run");
    let line = "train --size 16 --epochs 4 --batch 8 --lr 0.02 --json --data";
    let line = line.split(' ').chain([text(&data), "--out", text(&folder)]);
    let last = run(line).objects().pop().unwrap();
    assert_eq!(last["test_accuracy"], 1.0);
    let picture = data.join("blue").join("3.png");
    let seen = &run(["predict", text(&folder), text(&picture), "--json"]).objects()[0];
    assert_eq!(seen["class"], "blue");
    assert_eq!(
        seen["classes"].as_array().unwrap().len(),
        2,
        "there are no more classes"
    );
}

#[test]
fn a_network_with_weights_is_asked_as_torchvisions_are() {
    let root = tempfile::tempdir().unwrap();
    let file = |name: &str| root.path().join(name);
    let (weights, picture, names) = (file("w.safetensors"), file("a.png"), file("names.txt"));
    let network = models::build("ghostnet_050", &Options::default(), &VarBuilder::seeded(1));
    let network = network.unwrap();
    safetensors::save(&weights, &state_dict(&network), &Metadata::new()).unwrap();
    let gradient = (0..300).flat_map(|y| (0..260).flat_map(move |x| [y as u8, x as u8, 9]));
    save(&picture, [300, 260], gradient.collect());
    let write = |count: usize, other: Option<&str>| {
        let lines = (0..count).map(|i| format!("class {i}"));
        let lines: Vec<String> = lines.chain(other.map(str::to_owned)).collect();
        fs::write(&names, lines.join("\n")).unwrap();
    };
    let predict = |options: &[&str]| {
        let line = [
            "predict",
            "--model",
            "ghostnet_050",
            "--weights",
            text(&weights),
        ];
        run(line.iter().chain(options).copied())
    };

    let centre = Picture::read(&picture).unwrap().centre(256, [224, 224]);
    let mut values = centre.unwrap().values().to_vec();
    let statistics = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)];
    for (plane, (mean, std)) in values.chunks_exact_mut(224 * 224).zip(statistics) {
        plane.iter_mut().for_each(|v| *v = (*v - mean) / std);
    }
    let x = Tensor::from_vec(values, [1, 3, 224, 224]).unwrap();
    let scores = evaluating(&network, || no_grad(|| network.forward(&x))).unwrap();
    let expected = scores.softmax(1).unwrap().to_vec::<f32>().unwrap();
    let mut best: Vec<usize> = (0..1000).collect();
    best.sort_by(|&a, &b| expected[b].total_cmp(&expected[a]));

    write(1000, None);
    for (classes, prefix) in [(&[][..], ""), (&["--classes", text(&names)][..], "class ")] {
        let options = [&[text(&picture), "--top", "5", "--json"], classes].concat();
        let told = &predict(&options).objects()[0];
        let classes = told["classes"].as_array().unwrap();
        assert_eq!(classes.len(), 5);
        for (class, &index) in classes.iter().zip(&best) {
            assert_eq!(class["index"], index);
            assert_eq!(class["class"], format!("{prefix}{index}"));
            let difference = class["probability"].as_f64().unwrap() - f64::from(expected[index]);
            assert!(difference.abs() < 1e-6, "{difference}");
        }
    }
    let both = predict(&[text(&picture), text(&picture), "--top", "2"]).success();
    assert_eq!(both.lines().count(), 2 * (1 + 2), "{both}");

    let named = || predict(&["--classes", text(&names), text(&picture)]);
    write(999, None);
    named().fails(1, &["names 999 classes", "mis-shaped", "[1000,"]);
    write(999, Some(" \nlast"));
    named().fails(1, &["line 1000 is blank"]);
    write(0, None);
    named().fails(1, &["no names"]);
    fs::remove_file(&names).unwrap();
    named().fails(1, &["cannot read", "names.txt"]);
    predict(&[text(&file("b.png"))]).fails(1, &["cannot read", "b.png"]);
    predict(&[]).fails(2, &["<PATH>"]);
    predict(&[text(&picture), "--explain"]).fails(2, &["--explain-dir"]);
    let other = |model: &'static str, weights: &str| {
        run([
            "predict",
            "--model",
            model,
            "--weights",
            weights,
            text(&picture),
        ])
    };
    other("resnet20", text(&weights)).fails(2, &["no custom", "striate run"]);
    other("deeplabv3_resnet50", text(&weights)).fails(2, &["every pixel"]);
    other("ghostnet_05", text(&weights)).fails(2, &["nearest: ghostnet_050"]);
    other("resnet18", text(&weights)).fails(1, &["w.safetensors", "missing"]);
    other("ghostnet_050", "no.pth").fails(1, &["no.pth"]);
    let line = |options: &[&str]| {
        let line = ["predict", text(&picture), text(&picture)];
        run(line.iter().chain(options).copied())
    };
    line(&["--model", "resnet18"]).fails(2, &["--weights"]);
    line(&["--weights", text(&weights)]).fails(2, &["--model"]);
    line(&["--classes", text(&names)]).fails(2, &["--model"]);
    line(&["--attention", "se"]).fails(2, &["for --model"]);
}
