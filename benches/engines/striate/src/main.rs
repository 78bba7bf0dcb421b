//! striate as an application uses it: layers that keep their weights, functions, modules and networks, called on tensors.
//!
//! `--peak` measures the machine instead: see [`peak`].

mod convolution;
mod network;
mod operation;
mod peak;
mod plugin;
mod run;

use protocol::{Result, Work};

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some("--peak") {
        return peak::serve();
    }
    striate::kernels::parallel::set_threads(protocol::threads())?;
    Ok(protocol::serve_all(|work, mode| match work {
        Work::Convolution(case) => convolution::load(case, mode),
        Work::Operation(case) => operation::load(case, mode),
        Work::Plugin(case) => plugin::load(case, mode),
        Work::Network(case) => network::load(case, mode),
    })?)
}
