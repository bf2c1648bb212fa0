//! The table of protocol behaviours and the tests that cover them, `docs/conformance.md`: made from the list
//! in `behaviours.txt` and from the comments of the tests.

mod behaviours;
mod sources;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use behaviours::{Behaviour, Group, groups};
use sources::Source;

/// Set to write the table of this state of the tests instead of comparing it.
const WRITE_TABLE: &str = "MPTCP_SIM_WRITE_CONFORMANCE";

/// Tests by the behaviour they cover.
type Coverage<'a> = BTreeMap<&'a str, Vec<&'a Source>>;

fn coverage(sources: &[Source]) -> Coverage<'_> {
    let mut coverage = Coverage::new();
    for source in sources {
        for id in &source.ids {
            let tests = coverage.entry(id.as_str()).or_default();
            if !tests.last().is_some_and(|last| std::ptr::eq(*last, source)) {
                tests.push(source);
            }
        }
    }
    coverage
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn table(groups: &[Group], coverage: &Coverage) -> String {
    let all: Vec<&Behaviour> = groups.iter().flat_map(|group| &group.behaviours).collect();
    let covered = all.iter().filter(|behaviour| coverage.contains_key(behaviour.id)).count();
    let reasons = all.iter().filter(|behaviour| behaviour.left_out.is_some()).count();
    let mut text = format!(
        "# Conformance\n\n\
         What the stack must do, and the tests that hold it to it. `cargo test --test conformance` compares this\n\
         file with the tests and with `tests/conformance/behaviours.txt`; `{WRITE_TABLE}=1` makes it\n\
         write the file. A test covers a behaviour if a comment in or above it names the id and it fails when the\n\
         behaviour is broken. Scripts run under `mptcp-sim script` and in `scenarios/tests/packet_scripts.rs`.\n\n\
         {covered} of {} behaviours are covered by a test, {reasons} are left out for the reason given.\n",
        all.len()
    );
    for group in groups {
        let done = group.behaviours.iter().filter(|behaviour| coverage.contains_key(behaviour.id)).count();
        let (title, count) = (group.title, group.behaviours.len());
        writeln!(text, "\n## {title}\n\n{done} of {count}.\n").unwrap();
        text += "| id | behaviour | tests |\n|---|---|---|\n";
        for behaviour in &group.behaviours {
            let tests = match (coverage.get(behaviour.id), behaviour.left_out) {
                (Some(tests), _) => tests.iter().map(|test| link(test)).collect::<Vec<_>>().join(", "),
                (None, Some(reason)) => format!("left out: {reason}"),
                (None, None) => "none yet".to_owned(),
            };
            writeln!(text, "| {} | {} | {tests} |", behaviour.id, behaviour.text).unwrap();
        }
    }
    text
}

fn link(source: &Source) -> String {
    format!("[`{}`](../{})", source.name, source.file)
}

#[test]
fn the_committed_table_is_that_of_the_tests() {
    let sources = sources::scan(root());
    let text = table(&groups(), &coverage(&sources));
    let path = root().join("docs/conformance.md");
    if std::env::var_os(WRITE_TABLE).is_some() {
        let partial = path.with_extension("md.part");
        fs::write(&partial, &text).unwrap();
        fs::rename(&partial, &path).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    assert!(text == committed, "tests or behaviours changed: set {WRITE_TABLE}=1 and commit {path:?}");
}

#[test]
fn comments_name_behaviours_of_the_list() {
    let sources = sources::scan(root());
    let groups = groups();
    for source in &sources {
        for id in &source.ids {
            let group = groups.iter().find(|group| id.split('-').next() == Some(group.prefix));
            let known = group.is_none_or(|group| group.behaviours.iter().any(|known| known.id == id));
            assert!(known, "{} in {}: there is no {id}", source.name, source.file);
        }
    }
}

#[test]
fn nearly_all_behaviours_are_covered_and_none_is_both_covered_and_left_out() {
    let sources = sources::scan(root());
    let coverage = coverage(&sources);
    let groups = groups();
    let all: Vec<&Behaviour> = groups.iter().flat_map(|group| &group.behaviours).collect();
    for behaviour in &all {
        let both = behaviour.left_out.is_some() && coverage.contains_key(behaviour.id);
        assert!(!both, "{} has a test: take its reason out", behaviour.id);
    }
    let open: Vec<&str> =
        all.iter().map(|behaviour| behaviour.id).filter(|id| !coverage.contains_key(id)).collect();
    assert!(open.len() * 20 <= all.len(), "{} of {} are not covered: {open:?}", open.len(), all.len());
}

#[test]
fn ids_are_found_above_and_in_tests_and_nowhere_else() {
    let text = "\
// JOIN-01
fn helper() {}

// DSS-01 to DSS-03, DSS-07
#[test]
fn one() {
    // FB-01: as in the kernel
    assert!(true);
}

#[test]
#[ignore = \"slow\"]
fn two() {
    // FB-02
}

mod inner {
    #[test]
    fn three() {
        if true {
            // TCP-01; RFC-9293, A-1
        }
    }
    // FB-03
}
";
    let found: Vec<_> =
        sources::tests_of("x.rs", text).into_iter().map(|test| (test.name, test.ids.join(" "))).collect();
    let expected = [("one", "DSS-01 DSS-02 DSS-03 DSS-07 FB-01"), ("three", "TCP-01")];
    assert_eq!(found, expected.map(|(name, ids)| (name.to_owned(), ids.to_owned())));
}
