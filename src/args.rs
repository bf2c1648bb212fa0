//! What was typed: the arguments, before anything is read or checked.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// A deterministic simulator of Multipath TCP.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "mptcp-sim",
    version,
    about,
    long_about = "A deterministic simulator of Multipath TCP (RFC 8684, RFC 6824). A scenario and a seed give one \
                  run: packets, figures and files are the same on every machine.\n\nWithout a command, the built-in \
                  scenario `two-path` runs.",
    after_long_help = EXAMPLES,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXAMPLES: &str = "Examples:
  mptcp-sim                                    run the built-in scenario `two-path`
  mptcp-sim run wifi-lte --seed 7              another one, with another seed
  mptcp-sim run my.toml --set \"links.p1.rate=5 Mbit/s\"
  mptcp-sim show two-path > my.toml            start a scenario of your own from a built-in one
  mptcp-sim check my.toml                      is it right?
  mptcp-sim list congestion                    what there is to choose from
  mptcp-sim fluid torus --set parameters.algorithm=olia
                                               packets and fluid side by side
  mptcp-sim replicate case.json                repeat a measured run and compare
  mptcp-sim script tests/ --junit out.xml      run packet scripts
  mptcp-sim analyze capture.pcapng             what is in a capture?

Exit codes:
  0  done
  1  a check or a comparison failed
  2  wrong usage, or an error";

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a scenario and write one directory of results.
    Run(RunArguments),
    /// Repeat measured runs of real kernels (ground truth, JSON) and compare.
    ///
    /// For each case: topology, configuration and application steps become a scenario, the simulated run is
    /// measured as the real one was, and each aspect is compared. Exits with 1 if an aspect is outside its
    /// tolerance.
    Replicate(ReplicateArguments),
    /// Run packet scripts against the simulated stack.
    ///
    /// The notation is that of packetdrill with its MPTCP words; docs/packet-scripts.md describes it. Each script
    /// runs with IPv4, with IPv4 through IPv6 sockets, and with IPv6. Exits with 1 if a script fails, with 2 if
    /// one is not of the language.
    Script(ScriptArguments),
    /// Analyse captures of MPTCP and TCP, real or simulated: connections, subflows, figures.
    Analyze(crate::analyze::AnalyzeArguments),
    /// Print the packets of a capture, in the manner of tcpdump or as a packet script.
    Dump(crate::dump::DumpArguments),
    /// Draw the sequence of set-up, signalling and close in a capture, as text or SVG.
    Ladder(crate::ladder::LadderArguments),
    /// Compare two runs, captures or measurements, aspect by aspect. Exits with 1 if an aspect is outside its
    /// tolerance.
    Compare(crate::compare::CompareArguments),
    /// Run a scenario and solve for the rates at which its congestion controls would rest, side by side.
    ///
    /// The fluid knows rates, delays and random losses of links and the paths of subflows; it leaves out queues, timeouts
    /// and everything that changes during the run.
    Fluid(FluidArguments),
    /// Run the fairness suite with several seeds and judge: the gate for changes of congestion control.
    ///
    /// Each value is a mean with Student's interval. It must be within the bounds of the suite and, with a
    /// baseline, must not differ from it by more than luck and the suite allow. Exits with 1 otherwise.
    Fairness(FairnessArguments),
    /// Run the cases of the literature and print a table of published and own values.
    Published(PublishedArguments),
    /// List what there is to choose from.
    List(ListArguments),
    /// Print the file of a built-in scenario.
    Show(ShowArguments),
    /// Check scenario files without running them.
    Check(CheckArguments),
    /// Print the JSON schema of scenario files, for completion in editors.
    Schema,
    /// Print completions for a shell.
    Completions(CompletionsArguments),
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RunArguments {
    /// A scenario file, or the name of a built-in scenario [default: two-path]
    #[arg(value_name = "SCENARIO.toml|NAME")]
    pub(crate) scenario: Option<String>,
    /// Master seed of all random streams, instead of the scenario's
    #[arg(long, value_name = "N", value_parser = seed())]
    pub(crate) seed: Option<u64>,
    /// Change one value of the scenario, such as links.p1.rate="5 Mbit/s"; may be repeated
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Directory to write, which must be new, empty or of an earlier run [default: out/NAME-seedN]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Write no packet capture
    #[arg(long)]
    pub(crate) no_capture: bool,
    /// Draw no plots
    #[arg(long)]
    pub(crate) no_plots: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ReplicateArguments {
    /// Ground-truth files of schema mptcp-reference/1, or directories of them
    #[arg(value_name = "FILE.json|DIR", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Directory for the results of each case, one directory each [default: none are written]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Master seed of all random streams
    #[arg(long, value_name = "N", value_parser = seed())]
    pub(crate) seed: Option<u64>,
    /// Simulated runs of each case: the first over ideal links, each further one with a seed of its own and the
    /// timing noise that was measured on the links
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) seeds: u32,
    /// Print the comparisons as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Write a report of all cases, one file that needs nothing else
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Write a table of all cases as Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// How far repetitions of the measured run spread, in percent of the median; where it is above 2, tolerances
    /// double. Or a TOML file with a line a case: NAME = PERCENT, or by figure, NAME = { goodput = PERCENT,
    /// retransmissions = PERCENT }. Of cases with several measured runs the spread is known
    #[arg(long, value_name = "PERCENT|FILE", default_value = "0")]
    pub(crate) spread: String,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ScriptArguments {
    /// Packet scripts, or directories with files ending in .pkt
    #[arg(value_name = "FILE.pkt|DIR", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Write the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Only these addresses; may be repeated [default: all]
    #[arg(long = "ip", value_name = "KIND")]
    pub(crate) variants: Vec<IpVariant>,
    /// Let a word of the scripts stand for a value; may be repeated
    #[arg(short = 'D', value_name = "NAME=VALUE", value_parser = definition)]
    pub(crate) definitions: Vec<(String, String)>,
    /// Compare the length of 64-bit mappings too, which the established tool does not
    #[arg(long)]
    pub(crate) check_dll: bool,
    /// Seed of keys, ports and sequence numbers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = seed())]
    pub(crate) seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum IpVariant {
    /// IPv4.
    Ipv4,
    /// IPv4 packets through IPv6 sockets.
    Mapped,
    /// IPv6.
    Ipv6,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct FluidArguments {
    /// A scenario file, or the name of a built-in scenario
    #[arg(value_name = "SCENARIO.toml|NAME")]
    pub(crate) scenario: String,
    /// Master seed of all random streams, instead of the scenario's
    #[arg(long, value_name = "N", value_parser = seed())]
    pub(crate) seed: Option<u64>,
    /// Change one value of the scenario; may be repeated
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Where the packet-level rates begin to count, in seconds [default: a quarter of --to]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) from: Option<f64>,
    /// Where they end [default: where the first flow with a fixed time stops sending, else the duration]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) to: Option<f64>,
    /// Round-trip times of the fluid: those of the empty network, or the means that packets saw
    #[arg(long, value_enum, default_value_t = RttSource::Base)]
    pub(crate) rtt: RttSource,
    /// Smallest window of a subflow in the fluid, in packets: what the literature calls probing
    #[arg(long, value_name = "PACKETS", default_value_t = 0.0, value_parser = seconds)]
    pub(crate) floor: f64,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which round-trip times the fluid has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RttSource {
    /// Without queues.
    Base,
    /// As packets saw them.
    Measured,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct FairnessArguments {
    /// A suite [default: the built-in one]
    #[arg(value_name = "SUITE.toml")]
    pub(crate) suite: Option<PathBuf>,
    /// Compare with this file
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// Write the baseline instead of comparing with it
    #[arg(long, requires = "baseline")]
    pub(crate) update: bool,
    /// Seed of the first replication [default: that of the suite]
    #[arg(long, value_name = "N", value_parser = seed())]
    pub(crate) seed: Option<u64>,
    /// Write all figures as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the verdicts as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct PublishedArguments {
    /// Only cases with one of these words in their names
    #[arg(value_name = "WORD")]
    pub(crate) words: Vec<String>,
    /// Replications of each case [default: those of the suite]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub(crate) seeds: Option<u32>,
    /// Print JSON instead of Markdown
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ListArguments {
    /// Only one kind
    pub(crate) kind: Option<ListKind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListKind {
    /// Built-in scenarios.
    Scenarios,
    /// Congestion controls with their parameters.
    Congestion,
    /// Packet schedulers.
    Schedulers,
    /// Path managers.
    PathManagers,
    /// Middleboxes with their parameters.
    Boxes,
    /// State machines of connections and subflows.
    States,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ShowArguments {
    /// Name of a built-in scenario
    pub(crate) name: String,
    /// Change one value, or a parameter such as parameters.c=500; may be repeated. Comments are lost
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    pub(crate) overrides: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CheckArguments {
    /// Scenario files
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell
    pub(crate) shell: Shell,
}

/// Seeds fit a TOML integer, so that the resolved scenario can hold them.
fn seed() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(..=i64::MAX.unsigned_abs())
}

fn definition(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1e9).contains(&value) => Ok(value),
        _ => Err("write a number from 0".to_owned()),
    }
}

/// The length of an interval, in seconds.
pub(crate) fn interval(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (1e-6..=1e9).contains(&value) => Ok(value),
        _ => Err("write a number of seconds from 0.000001".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_of_the_arguments_is_consistent() {
        Arguments::command().debug_assert();
    }
}
