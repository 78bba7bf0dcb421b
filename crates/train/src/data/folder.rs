//! A folder of JPEG and PNG files, one subfolder for each class.
//!
//! The classes are the names of the subfolders in sorted order. Files are found when the data set is opened and read when they
//! are asked for. Every picture is scaled so that it covers the wanted size, and its centre cut out.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::picture::MAX_SIDE;
use super::resample::cover;
use super::{Dataset, Image, Picture, Sample, check_index, hold_out};
use crate::error::{Error, Result, malformed};

/// Out of this many pictures of a class one is held out, where no folder for testing exists.
pub const HOLD_OUT_EVERY: usize = 5;

/// The colours that a picture is turned into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// One plane: the brightness.
    Grey,
    /// Three planes: red, green, blue.
    Rgb,
}

impl Colours {
    /// How many planes.
    pub fn channels(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

/// Pictures of a folder, found by their number: class after class, sorted by file name within each.
#[derive(Clone, Debug)]
pub struct Folder {
    files: Vec<(PathBuf, usize)>,
    classes: Vec<String>,
    size: [usize; 2],
    colours: Colours,
}

impl Folder {
    /// Lists the pictures of `root`: files that end in `.jpg`, `.jpeg` or `.png` in its subfolders. Hidden
    /// files and folders are skipped.
    ///
    /// # Errors
    /// When `root` cannot be read, has no subfolders, one of them has no pictures, or `size` has a zero.
    pub fn open(root: &Path, size: [usize; 2], colours: Colours) -> Result<Self> {
        if size.iter().any(|&s| s == 0 || s > MAX_SIDE as usize) {
            let [h, w] = size;
            return Err(Error::config(
                "size",
                format!("{h}x{w}: each side 1 to {MAX_SIDE}"),
            ));
        }
        let classes = subfolders(root)?;
        if classes.is_empty() {
            let e = malformed!("no subfolders in it: one is needed for each class");
            return Err(Error::malformed(root, e));
        }
        let mut files = Vec::new();
        for (label, class) in classes.iter().enumerate() {
            let folder = root.join(class);
            let pictures = pictures(&folder)?;
            if pictures.is_empty() {
                let e = malformed!("no pictures in it (.jpg, .jpeg or .png)");
                return Err(Error::malformed(&folder, e));
            }
            files.extend(pictures.into_iter().map(|p| (p, label)));
        }
        Ok(Self {
            files,
            classes,
            size,
            colours,
        })
    }

    /// The path of one picture.
    ///
    /// # Errors
    /// When `index` is not below `len()`.
    pub fn path(&self, index: usize) -> Result<&Path> {
        Ok(&self.files[check_index(index, self.files.len())?].0)
    }
}

impl Dataset for Folder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn image_size(&self) -> [usize; 2] {
        self.size
    }

    fn channels(&self) -> usize {
        self.colours.channels()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Result<usize> {
        Ok(self.files[check_index(index, self.files.len())?].1)
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let (path, label) = &self.files[check_index(index, self.files.len())?];
        Ok(Sample {
            image: read(path, self.size, self.colours)?,
            label: *label,
        })
    }
}

/// Opens the pictures to train on and those to test with: the subfolders `train` and `val` (or `test`) of `root` if it has
/// both, else every fifth picture of each class of `root` is held out, as [`hold_out`] cuts.
///
/// # Errors
/// As [`Folder::open`], and when the two folders do not have the same classes.
pub fn open_pair(
    root: &Path,
    size: [usize; 2],
    colours: Colours,
) -> Result<(Arc<dyn Dataset>, Arc<dyn Dataset>)> {
    let train = root.join("train");
    let test = ["val", "valid", "validation", "test"]
        .map(|n| root.join(n))
        .into_iter()
        .find(|p| p.is_dir());
    if let (true, Some(test)) = (train.is_dir(), test) {
        let [train, test] = [
            Folder::open(&train, size, colours)?,
            Folder::open(&test, size, colours)?,
        ];
        if train.classes != test.classes {
            let e = malformed!("the folders to train on and to test with have different classes");
            return Err(Error::malformed(root, e));
        }
        return Ok((Arc::new(train), Arc::new(test)));
    }
    let all: Arc<dyn Dataset> = Arc::new(Folder::open(root, size, colours)?);
    let (train, held) = hold_out(&all, HOLD_OUT_EVERY)?;
    Ok((Arc::new(train), Arc::new(held)))
}

/// Reads one JPEG or PNG file, scales it to cover `size` and cuts out the centre; values in 0 to 1.
///
/// # Errors
/// As [`Picture::read`].
pub fn read(path: &Path, size: [usize; 2], colours: Colours) -> Result<Image> {
    let picture = Picture::read(path)?;
    let picture = match colours {
        Colours::Grey => picture.into_grey(),
        Colours::Rgb => picture.into_rgb(),
    };
    cover(&picture, size)
}

fn subfolders(root: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for path in entries(root)?.into_iter().filter(|p| p.is_dir()) {
        let name = path.file_name().and_then(|n| n.to_str());
        let name =
            name.ok_or_else(|| Error::malformed(&path, malformed!("the name is not Unicode")))?;
        names.push(name.to_owned());
    }
    Ok(names)
}

fn pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_picture = |p: &PathBuf| {
        let extension = p.extension().and_then(|e| e.to_str()).unwrap_or_default();
        ["jpg", "jpeg", "png"]
            .iter()
            .any(|e| extension.eq_ignore_ascii_case(e))
            && p.is_file()
    };
    Ok(entries(folder)?.into_iter().filter(is_picture).collect())
}

/// What a folder holds, sorted by name, without hidden entries.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io("read", folder, e);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn save(path: &Path, size: [usize; 2], pixel: &[u8]) {
        let bytes = pixel.repeat(size[0] * size[1]);
        let picture = Picture::new(size, pixel.len(), bytes).unwrap();
        fs::write(path, picture.to_png().unwrap()).unwrap();
    }

    fn example() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for class in ["cats", "ants"] {
            fs::create_dir(root.path().join(class)).unwrap();
        }
        save(&root.path().join("cats/b.png"), [2, 4], &[255, 0, 51]);
        fs::write(
            root.path().join("cats/a.jpg"),
            include_bytes!("testdata/red.jpg"),
        )
        .unwrap();
        save(&root.path().join("ants/x.PNG"), [2, 2], &[102]);
        fs::write(root.path().join("ants/.hidden.png"), "no picture").unwrap();
        fs::write(root.path().join("ants/notes.txt"), "no picture").unwrap();
        root
    }

    #[test]
    fn classes_and_files_are_sorted() {
        let root = example();
        let set = Folder::open(root.path(), [2, 2], Colours::Rgb).unwrap();
        assert_eq!(set.classes(), ["ants", "cats"]);
        assert_eq!(
            (set.len(), set.channels(), set.image_size()),
            (3, 3, [2, 2])
        );
        assert!(set.path(1).unwrap().ends_with("cats/a.jpg"));
        assert_eq!(set.get(0).unwrap().image.values(), [0.4; 12]);
        let red = set.get(2).unwrap();
        assert_eq!(red.label, 1);
        assert_eq!(red.image.values(), [[1.0; 4], [0.0; 4], [0.2; 4]].concat());
        let jpeg = set.get(1).unwrap().image;
        assert!(
            jpeg.values()
                .iter()
                .zip(red.image.values())
                .all(|(a, b)| (a - b).abs() < 0.02)
        );
        let grey = Folder::open(root.path(), [2, 2], Colours::Grey).unwrap();
        assert_eq!(grey.get(0).unwrap().image.values(), [0.4; 4]);
    }

    #[test]
    fn folders_to_train_and_to_test_are_found() {
        let (outer, source) = (tempfile::tempdir().unwrap(), example());
        let (train, held) = open_pair(source.path(), [2, 2], Colours::Grey).unwrap();
        assert_eq!((train.len(), held.len()), (3, 0));
        for part in ["train", "val"] {
            let folder = outer.path().join(part).join("only");
            fs::create_dir_all(&folder).unwrap();
            fs::copy(source.path().join("cats/b.png"), folder.join("b.png")).unwrap();
        }
        let (train, held) = open_pair(outer.path(), [2, 2], Colours::Grey).unwrap();
        assert_eq!(
            (train.len(), held.len(), held.classes()),
            (1, 1, ["only".to_owned()].as_slice())
        );
        fs::create_dir(outer.path().join("val/other")).unwrap();
        assert!(open_pair(outer.path(), [2, 2], Colours::Grey).is_err());
    }

    #[test]
    fn errors_name_the_file() {
        let root = example();
        let path = root.path().join("cats/b.png");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let set = Folder::open(root.path(), [2, 2], Colours::Rgb).unwrap();
        let message = set.get(2).unwrap_err().to_string();
        assert!(
            message.contains("b.png: ") && !message.contains('\n'),
            "{message}"
        );
        fs::create_dir(root.path().join("empty")).unwrap();
        let message = Folder::open(root.path(), [2, 2], Colours::Rgb)
            .unwrap_err()
            .to_string();
        assert!(message.contains("empty: no pictures in it"), "{message}");
        let flat = Folder::open(&root.path().join("empty"), [2, 2], Colours::Rgb).unwrap_err();
        assert!(flat.to_string().contains("no subfolders in it"), "{flat}");
        assert!(Folder::open(root.path(), [0, 2], Colours::Rgb).is_err());
        assert!(Folder::open(Path::new("no/such"), [2, 2], Colours::Rgb).is_err());
    }
}
