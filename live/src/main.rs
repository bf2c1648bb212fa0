//! Packet scripts on the kernel of this machine: the files that `mptcp-sim script` runs against the simulated
//! stack, with real sockets, a TUN device for the packets and a network namespace for each run. What passes here
//! and there is behaviour that the simulator shares with this kernel. Needs Linux with MPTCP, root and `ip`.
//!
//! With `--random` the scripts are conversations that the kernel has just held with a random peer, and the
//! simulated stack is to repeat them.
//!
//! Left out: `MPTCP_INFO` and what else the kernel returns in structures, but for `TCP_INFO`.

mod calls;
mod circumstances;
mod conversation;
mod network;
mod peer;
mod random;
mod runner;
mod sys;
mod tcp_info;
mod theme;
mod values;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use clap::Parser;
use scenarios::script::run::Variant;
use scenarios::script::{Definitions, Script};

/// Run packet scripts on the kernel of this machine.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Exit codes: 0 all pass, 1 a script failed, 2 wrong usage or no script."
)]
struct Arguments {
    /// Scripts, or directories with files that end in .pkt.
    #[arg(required_unless_present = "random")]
    paths: Vec<PathBuf>,
    /// Hold this many random conversations with the kernel and repeat them in the simulator.
    #[arg(long, value_name = "COUNT", conflicts_with = "paths")]
    random: Option<u64>,
    /// The scripts are conversations that were kept: repeat them in the simulator, not on the kernel.
    #[arg(long, requires = "paths")]
    again: bool,
    #[command(flatten)]
    conversations: random::Options,
    /// Kinds of addresses; by default those of IPv4 and IPv6 that a script suits.
    #[arg(long, value_name = "KIND", value_parser = variant)]
    ip: Vec<Variant>,
}

fn variant(name: &str) -> Result<Variant, String> {
    let known = Variant::ALL.iter().find(|variant| variant.name() == name);
    known.copied().ok_or_else(|| format!("known are {}", Variant::ALL.map(Variant::name).join(", ")))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let entries: Result<Vec<_>, _> =
        fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut entries = entries?;
    entries.sort_unstable();
    for entry in entries {
        if entry.is_dir() || entry.extension().is_some_and(|ending| ending == "pkt") {
            collect(&entry, files)?;
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(count) = arguments.random {
        return random::run(count, &arguments.conversations);
    }
    let mut files = Vec::new();
    for path in &arguments.paths {
        if let Err(error) = collect(path, &mut files) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::from(2);
        }
    }
    let wanted = if arguments.ip.is_empty() { Variant::ALL.to_vec() } else { arguments.ip };
    let (mut passed, mut failed) = (0, 0);
    let mut kept = Vec::new();
    for file in &files {
        let name = file.display().to_string();
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                eprintln!("{name}: {error}");
                return ExitCode::from(2);
            }
        };
        let script = match Script::parse(&name, &text, &Definitions::default()) {
            Ok(script) => script,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        };
        if arguments.again {
            kept.push((name, script));
            continue;
        }
        for variant in wanted.iter().filter(|variant| variant.suits(&script)) {
            // A thread has a network of its own and takes it along when it ends.
            let result = thread::scope(|scope| scope.spawn(|| runner::run(&script, *variant)).join());
            match result.unwrap_or_else(|_| Err((1, "the harness failed".to_owned()))) {
                Ok(()) => {
                    passed += 1;
                    println!("pass  {name}  {}", variant.name());
                }
                Err((line, message)) => {
                    failed += 1;
                    println!("FAIL  {name}  {}\n  {name}:{line}: {message}", variant.name());
                }
            }
        }
    }
    if arguments.again {
        return random::again(&kept);
    }
    println!("{passed} of {} runs pass", passed + failed);
    match (passed, failed) {
        (0, 0) => ExitCode::from(2),
        (_, 0) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
