//! `striate doctor`: what this machine offers.

use clap::Args;
use serde::Serialize;
use striate::kernels::parallel;

use crate::failure::Failure;
use crate::machine::{self, Cache};
use crate::output::{Output, bytes};

/// Tell what this machine offers: CPU, SIMD levels, caches, threads, huge pages
#[derive(Args, Debug)]
#[command(after_help = "Example: striate doctor")]
pub(crate) struct Doctor {}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    cpu: String,
    architecture: &'static str,
    system: &'static str,
    threads: usize,
    caches: Vec<Cache>,
    huge_pages: Option<String>,
}

impl Doctor {
    pub(crate) fn run(&self, out: &mut Output) -> Result<(), Failure> {
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            cpu: machine::cpu_name(),
            architecture: std::env::consts::ARCH,
            system: std::env::consts::OS,
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
        vec![
            ("version", format!("striate {}", self.version)),
            (
                "cpu",
                format!("{} ({}, {})", self.cpu, self.architecture, self.system),
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
