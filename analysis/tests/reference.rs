//! The analysis of captures of real kernels must give the figures published with them.

use std::path::{Path, PathBuf};

use analysis::capture::CaptureReader;
use analysis::trace::{HostAnalysis, analyse_capture};
use serde_json::Value;

/// Compares the analysis of every capture of a case with the published one; returns the differences.
fn differences(json: &Path) -> Vec<String> {
    let case: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let mut differences = Vec::new();
    for capture in case["captures"].as_array().unwrap() {
        if capture.get("stored_until_s").is_some() {
            continue; // The figures are of the whole run, the file holds its beginning.
        }
        let file = json.with_file_name(capture["file"].as_str().unwrap());
        let host = capture["host"].as_str().unwrap();
        let mut reader = CaptureReader::open(&file).unwrap();
        let analysis = analyse_capture(&mut reader, 0).unwrap();
        assert!(!reader.truncated(), "{}", file.display());
        let published = &case["results"]["analysis"][host];
        let name = format!("{} {host}", case["name"].as_str().unwrap());
        compare(&name, &serde_json::to_value(&analysis).unwrap(), published, &mut differences);
        order(&name, &analysis, published, &mut differences);
    }
    differences
}

/// Every value, exactly.
fn compare(at: &str, ours: &Value, published: &Value, differences: &mut Vec<String>) {
    match (ours, published) {
        (Value::Object(a), Value::Object(b)) => {
            // The tool behind some version 1 captures leaves the reserved bits of the third ACK out.
            if a.get("len") == Some(&Value::from(24)) && b.len() == 1 && a.contains_key("backup") {
                return;
            }
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                let (ours, published) = (a.get(key), b.get(key));
                match (ours, published) {
                    (Some(ours), Some(published)) => {
                        compare(&format!("{at}.{key}"), ours, published, differences);
                    }
                    _ => differences.push(format!("{at}.{key}: {ours:?} instead of {published:?}")),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (ours, published)) in a.iter().zip(b).enumerate() {
                compare(&format!("{at}[{index}]"), ours, published, differences);
            }
        }
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => {}
        _ if ours == published => {}
        _ => differences.push(format!("{at}: {ours} instead of {published}")),
    }
}

/// The most frequent layouts and forms in the published order.
fn order(at: &str, ours: &HostAnalysis, published: &Value, differences: &mut Vec<String>) {
    let published: HostAnalysis = serde_json::from_value(published.clone()).unwrap();
    for (a, b) in ours.subflows.iter().zip(&published.subflows) {
        let mut expected = b.option_layouts.0.clone();
        expected.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), name.clone()));
        let mut got = a.option_layouts.0.clone();
        got.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), name.clone()));
        if got != expected {
            differences.push(format!("{at}: option layouts of {}", a.client));
        }
    }
}

fn cases(folder: &Path) -> Vec<PathBuf> {
    let mut cases: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    cases.sort();
    cases
}

#[test]
fn small_captures_give_the_published_figures() {
    let cases = cases(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"));
    assert_eq!(cases.len(), 3);
    for case in cases {
        assert_eq!(differences(&case), [] as [String; 0]);
    }
}

/// All cases, if they are there: `MPTCP_REFERENCE` or `../shared/reference` beside the workspace.
#[test]
fn every_reference_capture_gives_the_published_figures() {
    let folder = std::env::var_os("MPTCP_REFERENCE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference"), PathBuf::from);
    if !folder.is_dir() {
        println!("SKIPPED: no reference captures in {}", folder.display());
        return;
    }
    let mut wrong = Vec::new();
    let mut count = 0;
    for folder in [folder.clone(), folder.join("oot")] {
        if folder.is_dir() {
            for case in cases(&folder) {
                count += 1;
                wrong.extend(differences(&case));
            }
        }
    }
    println!("{count} cases");
    assert!(
        wrong.is_empty(),
        "{} differences:\n{}",
        wrong.len(),
        wrong.iter().map(|w| &w[..w.len().min(90)]).collect::<Vec<_>>().join("\n")
    );
}
