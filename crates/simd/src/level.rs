//! Which SIMD levels exist, which this machine can run, and which one is used.

use crate::Portable;
#[cfg(feature = "scalar")]
use crate::Scalar;
use crate::Simd;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// The environment variable that lowers the level.
pub const LEVEL_VARIABLE: &str = "STRIATE_SIMD";

/// Every level of every target, worst first.
const NAMES: [&str; 5] = ["scalar", "portable", "neon", "avx2", "avx512"];

/// A SIMD level this machine can run: each variant carries the token that proves it. Ordered worst
/// to best.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// One lane.
    #[cfg(feature = "scalar")]
    Scalar(Scalar),
    /// Eight lanes of the baseline of the compilation target.
    Portable(Portable),
    /// NEON, four lanes.
    #[cfg(target_arch = "aarch64")]
    Neon(crate::Neon),
    /// AVX2 and FMA, eight lanes.
    #[cfg(target_arch = "x86_64")]
    Avx2(crate::Avx2),
    /// AVX-512 F, VL, BW and DQ, sixteen lanes.
    #[cfg(target_arch = "x86_64")]
    Avx512(crate::Avx512),
}

impl Level {
    /// The best level of this machine.
    pub fn detect() -> Self {
        let levels = Self::available();
        levels
            .last()
            .copied()
            .unwrap_or(Self::Portable(Portable::new()))
    }

    /// The levels this machine can run, worst first.
    pub fn available() -> Vec<Self> {
        let mut levels = Vec::new();
        #[cfg(feature = "scalar")]
        levels.push(Self::Scalar(Scalar::new()));
        levels.push(Self::Portable(Portable::new()));
        #[cfg(target_arch = "aarch64")]
        levels.extend(crate::Neon::detect().map(Self::Neon));
        #[cfg(target_arch = "x86_64")]
        levels.extend(crate::Avx2::detect().map(Self::Avx2));
        #[cfg(target_arch = "x86_64")]
        levels.extend(crate::Avx512::detect().map(Self::Avx512));
        levels
    }

    /// The level in use: the best one, or the one `STRIATE_SIMD` names. Read once per process.
    ///
    /// # Errors
    /// If the variable names no level, or one this machine cannot run.
    pub fn selected() -> Result<Self, LevelError> {
        static SELECTED: OnceLock<Result<Level, LevelError>> = OnceLock::new();
        SELECTED
            .get_or_init(|| {
                let value = std::env::var_os(LEVEL_VARIABLE);
                Self::select(value.as_ref().map(|v| v.to_string_lossy()).as_deref())
            })
            .clone()
    }

    /// The level for a value of `STRIATE_SIMD`: the best one if it is absent or empty, else the one
    /// it names.
    ///
    /// # Errors
    /// If the value names no level, or one this machine cannot run.
    pub fn select(value: Option<&str>) -> Result<Self, LevelError> {
        match value {
            None | Some("") => Ok(Self::detect()),
            Some(name) => Self::parse(name),
        }
    }

    /// The level called `name`.
    ///
    /// # Errors
    /// If there is no such level, or this machine cannot run it.
    pub fn parse(name: &str) -> Result<Self, LevelError> {
        let levels = Self::available();
        if let Some(level) = levels.iter().find(|level| level.name() == name) {
            return Ok(*level);
        }
        let name = name.to_owned();
        let available = levels
            .iter()
            .map(|level| level.name())
            .collect::<Vec<_>>()
            .join(", ");
        if NAMES.contains(&name.as_str()) {
            Err(LevelError::Unavailable { name, available })
        } else {
            Err(LevelError::Unknown { name, available })
        }
    }

    /// The name of the level, as in `STRIATE_SIMD`.
    pub fn name(self) -> &'static str {
        self.describe().0
    }

    /// Number of `f32` lanes of a vector.
    pub fn lanes(self) -> usize {
        self.describe().1
    }

    /// The level with vectors of `lanes` lanes that this machine can run because it can run this one: this one, or a
    /// lower one that it includes.
    pub fn with_lanes(self, lanes: usize) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if let Self::Avx512(token) = self
            && lanes == crate::Avx2::LANES
        {
            return Some(Self::Avx2(token.into()));
        }
        (self.lanes() == lanes).then_some(self)
    }

    /// Name and lanes, without entering the level.
    fn describe(self) -> (&'static str, usize) {
        fn of<S: Simd>(_: S) -> (&'static str, usize) {
            (S::NAME, S::LANES)
        }
        match self {
            #[cfg(feature = "scalar")]
            Self::Scalar(t) => of(t),
            Self::Portable(t) => of(t),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(t) => of(t),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(t) => of(t),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(t) => of(t),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Level {
    type Err = LevelError;

    fn from_str(name: &str) -> Result<Self, LevelError> {
        Self::parse(name)
    }
}

/// A SIMD level that was asked for and cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LevelError {
    /// No level has this name.
    #[error("no SIMD level is called {name:?}; {LEVEL_VARIABLE} can be one of: {available}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The levels this machine can run.
        available: String,
    },
    /// The CPU, the compilation target or the build lacks this level.
    #[error("SIMD level {name:?} cannot run here; {LEVEL_VARIABLE} can be one of: {available}")]
    Unavailable {
        /// The name asked for.
        name: String,
        /// The levels this machine can run.
        available: String,
    },
}
