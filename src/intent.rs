//! What the arguments mean. Everything named has been found, read and validated once; nothing here can be
//! wrong any more.

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use scenarios::script::run::Variant;

use crate::analyze::{self, AnalyzeArguments};
use crate::args::{
    Arguments, CheckArguments, Command, FairnessArguments, FluidArguments, IpVariant, PublishedArguments,
    RttSource, RunArguments, ScriptArguments, ShowArguments,
};
use crate::compare::{self, CompareArguments};
use crate::dump::{self, DumpArguments};
use crate::failure::Failure;
use crate::fairness::{self, Gate};
use crate::fluid::{self, Comparison};
use crate::ladder::{self, LadderArguments};
use crate::output::{Contents, Destination};
use crate::replicate::{self, Replication};
use crate::run::{self, Plan};
use crate::script;
use crate::shell::quoted;
use crate::suite::Suite;
use crate::{list, print, report, source};

/// What to do.
#[derive(Debug)]
pub(crate) enum Intent {
    /// Run one scenario.
    Run(Box<Plan>),
    /// Repeat measured runs.
    Replicate(Replication),
    /// Run packet scripts.
    Script(script::Suite),
    /// Analyse captures.
    Analyze(AnalyzeArguments),
    /// Compare two sides.
    Compare(CompareArguments),
    /// Print packets.
    Dump(DumpArguments),
    /// Draw signalling.
    Ladder(LadderArguments),
    /// Simulate and solve side by side.
    Fluid(Box<Comparison>),
    /// Run a suite and judge.
    Fairness(Box<Gate>),
    /// Run the cases of the literature; whether as JSON.
    Published(Suite, bool),
    /// Validate files and say which are right.
    Check(Vec<PathBuf>),
    /// Print a text.
    Print(String),
}

impl Intent {
    /// Finds out what the arguments mean.
    ///
    /// # Errors
    /// If a file or a name does not exist, or what a file says is wrong.
    pub(crate) fn new(arguments: Arguments) -> Result<Self, Failure> {
        Ok(match arguments.command.unwrap_or_else(|| Command::Run(RunArguments::default())) {
            Command::Run(arguments) => Self::Run(Box::new(plan(arguments)?)),
            Command::Replicate(arguments) => {
                let files = cases_below(&arguments.files)?;
                Self::Replicate(Replication::new(arguments, files)?)
            }
            Command::Script(arguments) => Self::Script(scripts(arguments)?),
            Command::Analyze(arguments) => Self::Analyze(arguments),
            Command::Compare(arguments) => Self::Compare(arguments),
            Command::Dump(arguments) => Self::Dump(arguments),
            Command::Ladder(arguments) => Self::Ladder(arguments),
            Command::Fluid(arguments) => Self::Fluid(Box::new(comparison(arguments)?)),
            Command::Fairness(arguments) => Self::Fairness(Box::new(gate(arguments)?)),
            Command::Published(PublishedArguments { words, seeds, json }) => {
                Self::Published(fairness::published_suite(&words, seeds)?, json)
            }
            Command::List(arguments) => Self::Print(list::text(arguments.kind)?),
            Command::Show(ShowArguments { name, overrides }) => {
                Self::Print(source::shown(&name, &overrides)?)
            }
            Command::Check(CheckArguments { files }) => Self::Check(files),
            Command::Schema => Self::Print(format!("{:#}\n", scenarios::schema())),
            Command::Completions(arguments) => {
                let mut script = Vec::new();
                clap_complete::generate(arguments.shell, &mut Arguments::command(), "mptcp-sim", &mut script);
                Self::Print(String::from_utf8_lossy(&script).into_owned())
            }
        })
    }

    /// Does it.
    ///
    /// # Errors
    /// If it fails, or a check or comparison says no.
    pub(crate) fn act(self) -> Result<(), Failure> {
        match self {
            Self::Run(plan) => run::run(&plan),
            Self::Replicate(replication) => replicate::replicate(&replication),
            Self::Script(suite) => suite.run(),
            Self::Analyze(arguments) => analyze::analyze(&arguments),
            Self::Compare(arguments) => compare::compare(&arguments),
            Self::Dump(arguments) => dump::dump(&arguments),
            Self::Ladder(arguments) => ladder::ladder(&arguments),
            Self::Fluid(comparison) => fluid::fluid(&comparison),
            Self::Fairness(gate) => fairness::fairness(&gate),
            Self::Published(suite, json) => fairness::published(&suite, json),
            Self::Check(files) => check(&files),
            Self::Print(text) => print(&text),
        }
    }
}

fn plan(arguments: RunArguments) -> Result<Plan, Failure> {
    let RunArguments { scenario: name, seed, overrides, out, no_capture, no_plots } = arguments;
    let name = name.as_deref().unwrap_or(source::DEFAULT_SCENARIO);
    let scenario = source::scenario(name, &overrides, seed)?;
    let mut command = format!("mptcp-sim run {} --seed {}", quoted(name), scenario.seed);
    for text in &overrides {
        command.push_str(&format!(" --set {}", quoted(text)));
    }
    for (set, option) in [(no_capture, " --no-capture"), (no_plots, " --no-plots")] {
        if set {
            command.push_str(option);
        }
    }
    let out =
        out.unwrap_or_else(|| Path::new("out").join(format!("{}-seed{}", scenario.name, scenario.seed)));
    let plots = scenario.output.plots && !no_plots;
    Ok(Plan {
        destination: Destination::new(out, Contents::Run)?,
        capture: !no_capture,
        plots,
        command,
        scenario,
    })
}

fn comparison(arguments: FluidArguments) -> Result<Comparison, Failure> {
    let FluidArguments { scenario, seed, overrides, from, to, rtt, floor, json } = arguments;
    let scenario = source::scenario(&scenario, &overrides, seed)?;
    let window = fluid::window(&scenario, from, to)?;
    Ok(Comparison { scenario, window, measured_rtt: rtt == RttSource::Measured, floor, json })
}

fn gate(arguments: FairnessArguments) -> Result<Gate, Failure> {
    let FairnessArguments { suite, baseline, update, seed, json, junit } = arguments;
    let (mut suite, directory) = fairness::fairness_suite(suite.as_deref())?;
    suite.first_seed = seed.unwrap_or(suite.first_seed);
    Ok(Gate { suite, directory, baseline, update, json, junit })
}

fn scripts(arguments: ScriptArguments) -> Result<script::Suite, Failure> {
    let ScriptArguments { files, junit, variants, definitions, check_dll, seed } = arguments;
    let variants = match &variants[..] {
        [] => Variant::ALL.to_vec(),
        chosen => chosen
            .iter()
            .map(|variant| match variant {
                IpVariant::Ipv4 => Variant::Ipv4,
                IpVariant::Mapped => Variant::Mapped,
                IpVariant::Ipv6 => Variant::Ipv6,
            })
            .collect(),
    };
    Ok(script::Suite {
        files: script::scripts_below(&files)?,
        variants,
        definitions: definitions.into_iter().collect(),
        check_data_len: check_dll,
        seed,
        junit,
    })
}

/// The files, and those ending in `.json` of each directory in alphabetical order.
fn cases_below(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = entries.map_err(|error| Failure::io("read", path, &error))?;
        let mut found: Vec<_> = entries
            .iter()
            .map(fs::DirEntry::path)
            .filter(|path| path.extension().is_some_and(|ending| ending == "json") && path.is_file())
            .collect();
        if found.is_empty() {
            return Err(Failure::message(format!("{} holds no JSON file", path.display()), None));
        }
        found.sort_unstable();
        files.append(&mut found);
    }
    Ok(files)
}

/// A wrong scenario is a failed check, a file that cannot be read an error. All files are looked at.
fn check(files: &[PathBuf]) -> Result<(), Failure> {
    let (mut wrong, mut unreadable) = (false, false);
    let tell_all = |failure: Failure| match failure {
        Failure::Errors(errors) => {
            report(&errors.iter().map(|error| format!("{error:?}")).collect::<Vec<_>>());
            Ok(())
        }
        other => Err(other),
    };
    for path in files {
        let text = match source::read(path) {
            Ok(text) => text,
            Err(failure) => {
                unreadable = true;
                tell_all(failure)?;
                continue;
            }
        };
        let file = path.display();
        match source::checked(text, file.to_string()) {
            Ok((scenario, remarks)) => {
                print(&format!("{file}: ok, scenario {}\n", scenario.name))?;
                report(
                    &remarks.iter().map(|remark| format!("warning: {file}: {remark}\n")).collect::<Vec<_>>(),
                );
            }
            Err(failure) => {
                wrong = true;
                tell_all(failure)?;
            }
        }
    }
    match (unreadable, wrong) {
        (true, _) => Err(Failure::Errors(Vec::new())),
        (false, true) => Err(Failure::Check),
        (false, false) => Ok(()),
    }
}
