//! Runs the program, and every built-in scenario once for all tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, OnceLock};

use analysis::summary::{FlowSummary, Summary};
use tempfile::TempDir;

/// What one call of the program did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Calls the program in the directory `at`.
pub(crate) fn mptcp_sim_at(at: &Path, arguments: &[&str]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_mptcp-sim"))
        .args(arguments)
        .current_dir(at)
        .stdin(Stdio::null())
        .env("NO_COLOR", "1")
        .output()
        .expect("the program starts");
    let Output { status, stdout, stderr } = output;
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Outcome { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// Calls the program in a directory of its own.
pub(crate) fn mptcp_sim(arguments: &[&str]) -> Outcome {
    mptcp_sim_at(scratch().path(), arguments)
}

pub(crate) fn scratch() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

impl Outcome {
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Exit code 2 and a message that holds all of `words`.
    #[track_caller]
    pub(crate) fn failed_with(self, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(2), "{self:?}");
        // miette breaks lines at the width of the terminal.
        let message =
            self.stderr.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        for words in words {
            assert!(message.contains(words), "no \"{words}\" in:\n{}", self.stderr);
        }
        self
    }
}

/// The results of one run.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) path: PathBuf,
    pub(crate) summary: Summary,
}

impl Results {
    pub(crate) fn read(path: PathBuf) -> Self {
        let json = fs::read(path.join("summary.json")).expect("summary.json");
        Self { summary: serde_json::from_slice(&json).expect("a summary"), path }
    }

    #[track_caller]
    pub(crate) fn flow(&self, name: &str) -> &FlowSummary {
        self.summary.flows.iter().find(|flow| flow.name == name).expect("a flow of this name")
    }

    pub(crate) fn capture(&self) -> PathBuf {
        self.path.join("capture.pcapng")
    }
}

type Runs = Mutex<BTreeMap<String, &'static OnceLock<Results>>>;

/// The results of a built-in scenario, run once with its own seed.
pub(crate) fn builtin(name: &str) -> &'static Results {
    static RUNS: OnceLock<(TempDir, Runs)> = OnceLock::new();
    let (directory, runs) = RUNS.get_or_init(|| (scratch(), Mutex::default()));
    let run = {
        let mut runs = runs.lock().expect("no test panics with the lock");
        *runs.entry(name.to_owned()).or_insert_with(|| Box::leak(Box::default()))
    };
    run.get_or_init(|| {
        mptcp_sim_at(directory.path(), &["run", name, "--out", name]).succeeded();
        Results::read(directory.path().join(name))
    })
}

pub(crate) fn builtin_names() -> impl Iterator<Item = &'static str> {
    scenarios::library::list().iter().map(|builtin| builtin.name)
}
