//! Command line of mptcp-sim, in three layers: what was typed ([`args`]), what it means ([`intent`]), and
//! what is done ([`run`], [`replicate`], [`list`]). Results go to standard output, progress and errors to
//! standard error.

mod analyze;
mod args;
mod calls;
mod capture;
mod compare;
mod diagnostics;
mod dump;
mod failure;
mod fairness;
mod figures;
mod fluid;
mod intent;
mod ladder;
mod list;
mod measure;
mod output;
mod progress;
mod replicate;
mod results;
mod run;
mod samples;
mod script;
mod shell;
mod simulate;
mod source;
mod suite;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use args::Arguments;
use failure::Failure;
use intent::Intent;

/// A check or a comparison failed.
const CHECK_FAILED: u8 = 1;
/// Wrong usage, or an error.
const ERROR: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match Intent::new(arguments).and_then(Intent::act) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Check) => ExitCode::from(CHECK_FAILED),
        // Whoever read the output has seen enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(error)) => {
            report(&[format!("cannot write to standard output: {error}\n")]);
            ExitCode::from(ERROR)
        }
        Err(Failure::Errors(errors)) => {
            report(&errors.iter().map(|error| format!("{error:?}")).collect::<Vec<_>>());
            ExitCode::from(ERROR)
        }
    }
}

/// Tells errors; if even that fails, the exit code is all there is.
fn report(errors: &[String]) {
    let mut out = io::stderr().lock();
    for error in errors {
        let _ = out.write_all(error.as_bytes());
    }
}

/// Prints results of a command that has more to do, which is done even if whoever read the output has gone.
fn tell(text: &str) -> Result<(), Failure> {
    match print(text) {
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Prints results.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
}
