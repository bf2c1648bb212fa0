//! Random conversations on both stacks: the kernel holds them, the simulated stack repeats them. One that the
//! kernel itself cannot repeat, because a timer and a packet met, says nothing and is counted apart.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, thread};

use clap::Args;
use scenarios::script::run::{Failure, Variant};
use scenarios::script::{Definitions, Script};
use sim_core::Duration;

use crate::conversation::{self, Choice};
use crate::runner;
use crate::theme::Theme;

/// What may be chosen about random conversations.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Number of the first conversation.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// MPTCP instead of TCP.
    #[arg(long)]
    mptcp: bool,
    /// What the conversations are about.
    #[arg(long, value_enum, default_value_t)]
    theme: Theme,
    /// Compare the windows that are offered too.
    #[arg(long)]
    windows: bool,
    /// Compare what the kernel tells of a connection of TCP after every packet.
    #[arg(long)]
    info: bool,
    /// Conversations at a time.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// Where to put the scripts of conversations that the simulator holds otherwise.
    #[arg(long, value_name = "DIRECTORY")]
    keep: Option<PathBuf>,
    /// Put the scripts of the others there too.
    #[arg(long, requires = "keep")]
    keep_all: bool,
}

impl Options {
    fn keep(&self, seed: u64, script: &str) {
        let Some(directory) = &self.keep else { return };
        let file = directory.join(format!("random-{seed}.pkt"));
        if let Err(error) = fs::write(&file, script) {
            eprintln!("{}: {error}", file.display());
        }
    }
}

/// Where between its ticks the clock of the kernel stood is not known; timers of up to two seconds expire on every
/// eighth, every 32 ms.
const PHASES: [Duration; 32] = {
    let mut phases = [Duration::ZERO; 32];
    let mut tick = 0;
    while tick < phases.len() {
        phases[tick] = Duration::from_micros(1000 * tick as u64 + 700);
        tick += 1;
    }
    phases
};

/// How a conversation ended.
enum Outcome {
    /// The script.
    Same(String),
    /// The script, and what differs.
    Different(String, String),
    /// The kernel does not repeat it either: what it does instead.
    Unstable(String),
    Failed(String),
}

/// What differs in the simulator, wherever its ticks lie.
fn repeat(script: &Script) -> Option<Failure> {
    let mut difference = None;
    for phase in PHASES {
        match script.run_from(runner::START + phase, Variant::Ipv4, false, 1) {
            Ok(()) => return None,
            Err(wrong) => {
                // The one that got furthest says most.
                let further = |before: &Failure| before.position < wrong.position;
                if difference.as_ref().is_none_or(further) {
                    difference = Some(wrong);
                }
            }
        }
    }
    difference
}

/// Repeats conversations that were kept, in the simulator alone.
pub(crate) fn again(scripts: &[(String, Script)]) -> ExitCode {
    let mut different = 0;
    for (name, script) in scripts {
        if let Some(difference) = repeat(script) {
            different += 1;
            println!("DIFFERS  {name}: {difference}");
        }
    }
    println!("{} of {} conversations are the same", scripts.len() - different, scripts.len());
    if different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn hold(seed: u64, choice: Choice) -> Outcome {
    let record = || conversation::record(seed, choice);
    let text = match thread::scope(|scope| scope.spawn(record).join()) {
        Ok(Ok(text)) => text,
        Ok(Err(message)) => return Outcome::Failed(message),
        Err(_) => return Outcome::Failed("the harness failed".to_owned()),
    };
    let script = match Script::parse(&format!("random-{seed}"), &text, &Definitions::default()) {
        Ok(script) => script,
        Err(wrong) => return Outcome::Failed(wrong.to_string()),
    };
    let difference = match thread::scope(|scope| scope.spawn(|| repeat(&script)).join()) {
        Ok(None) => return Outcome::Same(text),
        Ok(Some(difference)) => difference.to_string(),
        Err(_) => return Outcome::Different(text, format!("random-{seed}: the simulator panics")),
    };
    let again = thread::scope(|scope| scope.spawn(|| runner::run(&script, Variant::Ipv4)).join());
    match again {
        Ok(Ok(())) => Outcome::Different(text, difference),
        Ok(Err((line, message))) => Outcome::Unstable(format!("random-{seed}:{line}: {message}")),
        Err(_) => Outcome::Failed("the harness failed".to_owned()),
    }
}

/// Holds conversations and tells which of them the simulator holds otherwise.
pub(crate) fn run(count: u64, options: &Options) -> ExitCode {
    let choice = Choice {
        multipath: options.mptcp,
        windows: options.windows,
        info: options.info,
        theme: options.theme,
    };
    let next = AtomicU64::new(options.first);
    let tally = Mutex::new([0_u64; 4]);
    let worker = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= options.first.saturating_add(count) {
                return;
            }
            let outcome = hold(seed, choice);
            let Ok(mut tally) = tally.lock() else { return };
            match outcome {
                Outcome::Same(script) => {
                    tally[0] += 1;
                    if options.keep_all {
                        options.keep(seed, &script);
                    }
                }
                Outcome::Different(script, difference) => {
                    tally[1] += 1;
                    println!("DIFFERS  {difference}");
                    options.keep(seed, &script);
                }
                Outcome::Unstable(message) => {
                    tally[2] += 1;
                    println!("UNSTABLE {message}");
                }
                Outcome::Failed(message) => {
                    tally[3] += 1;
                    println!("FAILED   random-{seed}: {message}");
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(worker);
        }
    });
    let [same, different, unstable, failed] = tally.into_inner().unwrap_or_default();
    println!(
        "{same} of {} conversations are the same; {different} differ, {unstable} the kernel does not repeat, \
         {failed} could not be held",
        same + different + unstable + failed
    );
    if different + failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
