//! `striate predict`: what a trained network sees in pictures, and why.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use striate::layers::probe;
use striate::no_grad;
use striate::train::data::Image;

use crate::args::count;
use crate::explain::{Canvas, draw, probes};
use crate::failure::Failure;
use crate::output::Output;
use crate::pretrained::{Pretrained, Subject};
use crate::setup::Trained;

/// Tell what a trained network sees in pictures; with --explain, draw what its attention does
#[derive(Args, Debug)]
#[command(
    override_usage = "striate predict [OPTIONS] <RUN> <IMAGE>...\n       striate predict [OPTIONS] --model <NAME> --weights <FILE> <IMAGE>...",
    after_help = "A picture of any size and colour is brought to what the network was trained on: grey or red, green and blue, scaled
with averaging so that it covers the input's size, its centre cut out. The embedded digits are bright strokes on a dark
ground: use --invert for dark ink on white paper. For --model the short side becomes 256/224 of the input's, as torchvision
does it, and the values are normalised as the network's weights expect: docs/networks.md.

Examples:
  striate predict runs/digits-001 seven.png
  striate predict runs/digits-001 scan1.jpg scan2.jpg --invert --top 1 --json
  striate predict runs/digits-001 seven.png --explain --explain-dir pictures
  striate predict --model resnet50 --weights resnet50.pth --classes imagenet.txt cat.jpg dog.jpg"
)]
pub(crate) struct Predict {
    /// The folder of a run, unless there is --model; then PNG or JPEG files
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    pretrained: Pretrained,

    /// How many classes to name
    #[arg(long, value_name = "N", default_value = "3", value_parser = count)]
    top: NonZeroUsize,

    /// Make dark bright and bright dark first
    #[arg(long)]
    invert: bool,

    /// Draw what the attention did with each picture: channel gates, branch weights, spatial maps
    #[arg(long)]
    explain: bool,

    /// Where the drawings go [default: the folder `explain` of the run; needed with --model]
    #[arg(long, value_name = "FOLDER", requires = "explain")]
    explain_dir: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report<'a> {
    image: &'a Path,
    class: &'a str,
    probability: f32,
    classes: Vec<Class<'a>>,
    explanation: Option<PathBuf>,
}

#[derive(Serialize)]
struct Class<'a> {
    class: &'a str,
    index: usize,
    probability: f32,
}

impl Predict {
    pub(crate) fn run(&self, out: &mut Output) -> Result<(), Failure> {
        let (subject, images, folder) = self.subject()?;
        let drawings = self.drawings(images, folder)?;
        let mut failed = None;
        for (i, path) in images.iter().enumerate() {
            // A picture that cannot be read does not keep the others from being looked at.
            match self.look(&subject, path, drawings.get(i)) {
                Ok(report) => print(&report, images.len() > 1, out)?,
                Err(failure) if failed.is_none() => failed = Some(failure),
                Err(_) => {}
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// The network, the pictures, and where drawings go.
    fn subject(&self) -> Result<(Subject, &[PathBuf], Option<PathBuf>), Failure> {
        if let Some(subject) = self.pretrained.open()? {
            if self.explain && self.explain_dir.is_none() {
                let message = "--explain with --model needs --explain-dir <FOLDER>";
                return Err(Failure::usage(message));
            }
            return Ok((subject, &self.paths, self.explain_dir.clone()));
        }
        let [run, images @ ..] = self.paths.as_slice() else {
            return Err(Failure::usage("the folder of a run is missing"));
        };
        if images.is_empty() {
            let message = "no picture is given: <IMAGE>... follow the folder of the run";
            return Err(Failure::usage(message));
        }
        let trained = Trained::open(run)?;
        let own = trained.run.path().join("explain");
        let folder = self.explain_dir.clone().unwrap_or(own);
        Ok((trained.into(), images, Some(folder)))
    }

    fn look<'a>(
        &self,
        subject: &'a Subject,
        path: &'a Path,
        drawing: Option<&PathBuf>,
    ) -> Result<Report<'a>, Failure> {
        let view = &subject.view;
        let image = view.read(path, self.invert)?;
        let x = view.tensor(&image)?;
        let (scores, seen) = probe::record(|| no_grad(|| subject.network.forward(&x)));
        let probabilities = scores?.softmax(1)?.to_vec::<f32>()?;
        let names = subject.classes.iter().map(String::as_str);
        let mut classes: Vec<Class<'_>> = names
            .zip(probabilities)
            .enumerate()
            .map(|(index, (class, probability))| Class {
                class,
                index,
                probability,
            })
            .collect();
        classes.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        classes.truncate(self.top.get());
        let Some(&Class {
            class, probability, ..
        }) = classes.first()
        else {
            return Err(Failure::work("the network has no classes"));
        };
        if let Some(drawing) = drawing {
            let attentions = probes::attentions(&seen)?;
            if attentions.is_empty() {
                let model = &subject.title;
                return Err(Failure::work(format!(
                    "{model} has no attention to explain: train one with --attention se, sk or cbam"
                )));
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let title = format!("{name}: {class} ({:.1} %)", 100.0 * probability);
            save(&draw(&picture(&image), &title, &attentions), drawing)?;
        }
        let explanation = drawing.cloned();
        Ok(Report {
            image: path,
            class,
            probability,
            classes,
            explanation,
        })
    }

    /// A path for the drawing of each picture, none twice, if they are wanted.
    fn drawings(
        &self,
        images: &[PathBuf],
        folder: Option<PathBuf>,
    ) -> Result<Vec<PathBuf>, Failure> {
        let Some(folder) = folder.filter(|_| self.explain) else {
            return Ok(Vec::new());
        };
        fs::create_dir_all(&folder)
            .map_err(|e| Failure::work(format!("cannot create {}: {e}", folder.display())))?;
        let mut paths: Vec<PathBuf> = Vec::new();
        for image in images {
            let stem = image.file_stem().unwrap_or_default().to_string_lossy();
            let mut names = (1..).map(|i| match i {
                1 => folder.join(format!("{stem}.png")),
                _ => folder.join(format!("{stem}-{i}.png")),
            });
            paths.extend(names.find(|path| !paths.contains(path)));
        }
        Ok(paths)
    }
}

fn print(report: &Report<'_>, several: bool, out: &mut Output) -> Result<(), Failure> {
    out.object(report)?;
    if several {
        out.text(format!("{}:", report.image.display()))?;
    }
    for Class {
        class, probability, ..
    } in &report.classes
    {
        out.text(format!("{:>6.2} %  {class}", 100.0 * probability))?;
    }
    match &report.explanation {
        Some(path) => out.text(format!("explained in {}", path.display())),
        None => Ok(()),
    }
}

/// What the network was shown, before normalisation.
fn picture(image: &Image) -> Canvas {
    let [h, w] = image.size();
    let values = image.values();
    Canvas::from_fn([w as u32, h as u32], |x, y| {
        [0, 1, 2].map(|c: usize| {
            let plane = c.min(image.channels().saturating_sub(1)) * h * w;
            (255.0 * values[plane + y as usize * w + x as usize]).round() as u8
        })
    })
}

/// Writes a PNG file, whole or not at all.
fn save(drawing: &Canvas, path: &Path) -> Result<(), Failure> {
    striate::layers::safetensors::write_atomically(path, &drawing.to_png()?)
        .map_err(|e| Failure::work(format!("cannot write {}: {e}", path.display())))
}
