//! `striate doctor`: what this machine offers.

use clap::Args;
use serde::Serialize;
use striate::kernels::{parallel, peak};
use striate::simd::Level;

use crate::failure::Failure;
use crate::machine::{self, Cache};
use crate::output::{Output, bytes};

/// Tell what this machine offers: CPU, SIMD levels, caches, threads, huge pages
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  striate doctor
  STRIATE_SIMD=avx2 striate doctor --json
  for level in $(striate doctor --levels); do STRIATE_SIMD=$level striate doctor; done")]
pub(crate) struct Doctor {
    /// Print the SIMD levels this machine can run, worst first, and nothing else
    #[arg(long)]
    levels: bool,
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    cpu: String,
    architecture: &'static str,
    system: &'static str,
    level: &'static str,
    levels: Vec<&'static str>,
    lanes: usize,
    /// Of one core at the selected level.
    gflops: f64,
    threads: usize,
    caches: Vec<Cache>,
    huge_pages: Option<String>,
}

#[derive(Serialize)]
struct Available {
    level: &'static str,
}

impl Doctor {
    pub(crate) fn run(&self, out: &mut Output) -> Result<(), Failure> {
        if self.levels {
            return list_levels(out);
        }
        let level = Level::selected().map_err(Failure::usage)?;
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            cpu: machine::cpu_name(),
            architecture: std::env::consts::ARCH,
            system: std::env::consts::OS,
            level: level.name(),
            levels: Level::available().into_iter().map(Level::name).collect(),
            lanes: level.lanes(),
            gflops: peak::gflops(level),
            threads: parallel::threads(),
            caches: machine::caches(),
            huge_pages: machine::huge_pages(),
        };
        out.object(&report)?;
        for (name, value) in report.lines() {
            out.text(format!("{name:<12}{value}"))?;
        }
        Ok(())
    }
}

fn list_levels(out: &mut Output) -> Result<(), Failure> {
    for level in Level::available() {
        out.object(&Available {
            level: level.name(),
        })?;
        out.text(level.name())?;
    }
    Ok(())
}

impl Report {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let caches = self.caches.iter().map(|c| {
            let kind = if c.kind == "unified" {
                String::new()
            } else {
                format!(" {}", c.kind)
            };
            format!("L{}{kind} {}", c.level, bytes(c.bytes))
        });
        let caches: Vec<String> = caches.collect();
        let unknown = || "not told by this system".to_owned();
        let Self {
            cpu,
            architecture,
            system,
            level,
            lanes,
            gflops,
            ..
        } = self;
        vec![
            ("version", format!("striate {}", self.version)),
            ("cpu", format!("{cpu} ({architecture}, {system})")),
            (
                "level",
                format!("{level}, {lanes} lanes, of {}", self.levels.join(", ")),
            ),
            (
                "peak",
                format!("{gflops:.0} GFLOP/s on one core at this level"),
            ),
            ("threads", self.threads.to_string()),
            (
                "caches",
                if caches.is_empty() {
                    unknown()
                } else {
                    caches.join(", ")
                },
            ),
            (
                "huge pages",
                self.huge_pages.clone().unwrap_or_else(unknown),
            ),
        ]
    }
}
