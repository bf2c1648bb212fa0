//! Which tests name which behaviours: comments directly above `#[test]`, or lines of comment inside the test,
//! and the comments of packet scripts. Tests that are ignored do not count.

use std::fs;
use std::path::{Path, PathBuf};

/// A test and the ids its comments name.
pub(crate) struct Source {
    /// Path from the root of the project, with `/`.
    pub(crate) file: String,
    /// Function, or file name of a script.
    pub(crate) name: String,
    pub(crate) ids: Vec<String>,
}

/// Where tests are.
const PLACES: [&str; 8] = [
    "mptcp-model/scripts",
    "mptcp-model/src",
    "mptcp-model/tests",
    "scenarios/src",
    "scenarios/tests",
    "analysis/src",
    "src",
    "tests/cli",
];

/// All tests that name a behaviour, in the order of their paths.
pub(crate) fn scan(root: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    for place in PLACES {
        let mut files = Vec::new();
        collect(&root.join(place), &mut files);
        files.sort();
        for path in files {
            let text = fs::read_to_string(&path).unwrap();
            let relative = path.strip_prefix(root).unwrap();
            let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
            let file = parts.join("/");
            if file.ends_with(".rs") {
                sources.extend(tests_of(&file, &text));
            } else {
                sources.extend(script(&file, &text));
            }
        }
    }
    sources
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs" || ending == "pkt") {
            files.push(path);
        }
    }
}

fn script(file: &str, text: &str) -> Option<Source> {
    let comments = text.lines().filter_map(|line| line.trim_start().strip_prefix("//"));
    let ids: Vec<_> = comments.flat_map(ids).collect();
    let name = file.rsplit('/').next().unwrap_or(file).to_owned();
    (!ids.is_empty()).then(|| Source { file: file.to_owned(), name, ids })
}

/// The tests of a file formatted by rustfmt: a function ends with a brace below its first line.
pub(crate) fn tests_of(file: &str, text: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut above: Vec<String> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        if let Some(comment) = plain_comment(trimmed) {
            above.extend(ids(comment));
            continue;
        }
        let mut named = std::mem::take(&mut above);
        if trimmed != "#[test]" {
            continue;
        }
        let mut ignored = false;
        let Some(opening) = lines.by_ref().find(|line| {
            ignored |= line.trim_start().starts_with("#[ignore");
            line.trim_start().starts_with("fn ")
        }) else {
            break;
        };
        let indent = opening.len() - opening.trim_start().len();
        let end = format!("{}}}", " ".repeat(indent));
        for line in lines.by_ref().take_while(|line| *line != end) {
            named.extend(plain_comment(line.trim_start()).into_iter().flat_map(ids));
        }
        if !named.is_empty() && !ignored {
            let name = opening.trim_start().trim_start_matches("fn ");
            let name = name.split('(').next().unwrap_or(name).to_owned();
            found.push(Source { file: file.to_owned(), name, ids: named });
        }
    }
    found
}

fn plain_comment(line: &str) -> Option<&str> {
    line.strip_prefix("//").filter(|rest| !rest.starts_with(['/', '!']))
}

/// The ids in a comment; `A-01 to A-03` names all three.
fn ids(comment: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut range = false;
    for word in
        comment.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|word| !word.is_empty())
    {
        let Some((group, number)) = id(word) else {
            range = word == "to";
            continue;
        };
        let first = found.last().and_then(|last| id(last)).filter(|(other, _)| range && *other == group);
        let from = first.map_or(number, |(_, first)| first + 1);
        found.extend((from..=number).map(|number| format!("{group}-{number:02}")));
        range = false;
    }
    found
}

/// Group and number of an id.
fn id(word: &str) -> Option<(String, u32)> {
    let (group, number) = word.split_once('-')?;
    let letters = (2..=5).contains(&group.len()) && group.chars().all(|c| c.is_ascii_uppercase());
    let digits = number.len() == 2 && number.chars().all(|c| c.is_ascii_digit());
    (letters && digits).then(|| Some((group.to_owned(), number.parse().ok()?)))?
}
