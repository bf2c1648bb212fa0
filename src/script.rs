//! `mptcp-sim script`: packet scripts against the simulated stack.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use scenarios::script::run::Variant;
use scenarios::script::{Definitions, Script};

use crate::failure::Failure;
use crate::{print, report, source, tell};

/// Scripts to run.
#[derive(Debug)]
pub(crate) struct Suite {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) variants: Vec<Variant>,
    pub(crate) definitions: Definitions,
    pub(crate) check_data_len: bool,
    pub(crate) seed: u64,
    pub(crate) junit: Option<PathBuf>,
}

/// What became of one script with one kind of addresses.
struct Outcome {
    file: String,
    variant: Option<Variant>,
    verdict: Verdict,
}

enum Verdict {
    Passed,
    /// The addresses in the script are of another family.
    Skipped,
    Failed(String),
    /// Not of the language.
    Wrong(String),
}

/// The files, and those ending in `.pkt` of each directory and those below it, in alphabetical order.
///
/// # Errors
/// If one cannot be read, or a directory holds none.
pub(crate) fn scripts_below(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = files.len();
            collect(path, &mut files)?;
            if files.len() == before {
                return Err(Failure::message(format!("{} holds no .pkt file", path.display()), None));
            }
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(|error| Failure::io("read", directory, &error))?;
    let mut paths: Vec<_> = entries.iter().map(fs::DirEntry::path).collect();
    paths.sort_unstable();
    for path in paths {
        // Links to directories could lead back here.
        if path.is_dir() && !path.is_symlink() {
            collect(&path, files)?;
        } else if path.is_file() && path.extension().is_some_and(|ending| ending == "pkt") {
            files.push(path);
        }
    }
    Ok(())
}

impl Suite {
    /// Runs all scripts and tells what became of each.
    ///
    /// # Errors
    /// [`Failure::Check`] if a script failed, an error if one is not of the language or cannot be read.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        // With a file to write, a reader who has gone ends nothing.
        let say = if self.junit.is_some() { tell } else { print };
        let mut outcomes = Vec::new();
        for path in &self.files {
            let text = source::read(path)?;
            let found = self.run_one(&path.display().to_string(), &text);
            say(&lines(&found))?;
            outcomes.extend(found);
        }
        say(&overview(&outcomes))?;
        if let Some(path) = &self.junit {
            crate::output::write_file(path, junit(&outcomes))?;
        }
        let wrong: Vec<_> = outcomes
            .iter()
            .filter_map(|outcome| match &outcome.verdict {
                Verdict::Wrong(message) => Some(format!("{message}\n")),
                _ => None,
            })
            .collect();
        if !wrong.is_empty() {
            report(&wrong);
            return Err(Failure::Errors(Vec::new()));
        }
        let failed = outcomes.iter().any(|outcome| matches!(outcome.verdict, Verdict::Failed(_)));
        if failed { Err(Failure::Check) } else { Ok(()) }
    }

    fn run_one(&self, file: &str, text: &str) -> Vec<Outcome> {
        let script = match Script::parse(file, text, &self.definitions) {
            Ok(script) if script.events.is_empty() => Err(format!("{file}: there is no event in it")),
            Ok(script) => Ok(script),
            Err(error) => Err(error.to_string()),
        };
        let script = match script {
            Ok(script) => script,
            Err(message) => {
                let verdict = Verdict::Wrong(message);
                return vec![Outcome { file: file.to_owned(), variant: None, verdict }];
            }
        };
        let run = |&variant: &Variant| {
            let verdict = if !variant.suits(&script) {
                Verdict::Skipped
            } else {
                match script.run(variant, self.check_data_len, self.seed) {
                    Ok(()) => Verdict::Passed,
                    Err(failure) => Verdict::Failed(failure.to_string()),
                }
            };
            Outcome { file: file.to_owned(), variant: Some(variant), verdict }
        };
        self.variants.iter().map(run).collect()
    }
}

fn lines(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for Outcome { file, variant, verdict } in outcomes {
        let variant = variant.map_or("", Variant::name);
        let _ = match verdict {
            Verdict::Passed => writeln!(text, "pass  {file}  {variant}"),
            Verdict::Skipped => writeln!(text, "skip  {file}  {variant}: addresses of the other family"),
            Verdict::Failed(message) => writeln!(text, "FAIL  {file}  {variant}\n  {message}"),
            Verdict::Wrong(_) => writeln!(text, "ERROR {file}"),
        };
    }
    text
}

/// A script passes if no kind of addresses fails and at least one passes.
fn overview(outcomes: &[Outcome]) -> String {
    let mut files: Vec<&str> = outcomes.iter().map(|outcome| outcome.file.as_str()).collect();
    files.dedup();
    let passes = |file: &&&str| {
        let mut of = outcomes.iter().filter(|outcome| outcome.file == ***file);
        of.clone().all(|outcome| matches!(outcome.verdict, Verdict::Passed | Verdict::Skipped))
            && of.any(|outcome| matches!(outcome.verdict, Verdict::Passed))
    };
    format!("{} of {} scripts pass\n", files.iter().filter(passes).count(), files.len())
}

fn junit(outcomes: &[Outcome]) -> String {
    let count = |of: fn(&Verdict) -> bool| outcomes.iter().filter(|outcome| of(&outcome.verdict)).count();
    let failures = count(|verdict| matches!(verdict, Verdict::Failed(_)));
    let errors = count(|verdict| matches!(verdict, Verdict::Wrong(_)));
    let skipped = count(|verdict| matches!(verdict, Verdict::Skipped));
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        text,
        "<testsuite name=\"packet scripts\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" \
         skipped=\"{skipped}\">",
        outcomes.len()
    );
    for Outcome { file, variant, verdict } in outcomes {
        let variant = variant.map_or("parse", Variant::name);
        let _ = write!(text, "  <testcase classname=\"{}\" name=\"{variant}\"", escaped(file));
        let _ = match verdict {
            Verdict::Passed => writeln!(text, "/>"),
            Verdict::Skipped => writeln!(text, "><skipped/></testcase>"),
            Verdict::Failed(message) => writeln!(text, "><failure>{}</failure></testcase>", escaped(message)),
            Verdict::Wrong(message) => writeln!(text, "><error>{}</error></testcase>", escaped(message)),
        };
    }
    text.push_str("</testsuite>\n");
    text
}

/// Text as it stands in XML 1.0, which has no place for most control characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junit_counts_and_escapes() {
        let outcome = |verdict| Outcome { file: "a&b.pkt".to_owned(), variant: Some(Variant::Ipv4), verdict };
        let text =
            junit(&[outcome(Verdict::Passed), outcome(Verdict::Failed("expected > . 1\u{1}".to_owned()))]);
        assert!(text.contains("tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\""), "{text}");
        assert!(text.contains("<failure>expected &gt; . 1\u{fffd}</failure>"), "{text}");
        assert!(text.contains("classname=\"a&amp;b.pkt\""), "{text}");
    }

    #[test]
    fn a_script_that_was_only_skipped_has_not_passed() {
        let outcome = |verdict| Outcome { file: "a.pkt".to_owned(), variant: Some(Variant::Ipv6), verdict };
        assert_eq!(overview(&[outcome(Verdict::Skipped)]), "0 of 1 scripts pass\n");
        assert_eq!(overview(&[outcome(Verdict::Skipped), outcome(Verdict::Passed)]), "1 of 1 scripts pass\n");
    }
}
