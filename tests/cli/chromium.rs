//! Reports in a browser: headless Chromium must show them whole, without an error and without the network.
//!
//! Without Chromium these tests say so and pass, unless the variable `MPTCP_SIM_REQUIRE_CHROMIUM` is set.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{builtin, mptcp_sim_at, scratch};

/// Runs the browser on a page; `None` if there is none.
fn chromium(at: &Path, page: &str, options: &[&str]) -> Option<Output> {
    let url = format!("file://{}", at.join(page).display());
    for program in ["chromium", "chromium-browser", "google-chrome"] {
        let output = Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
            .args(["--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND"])
            .arg(format!("--user-data-dir={}", at.join("profile").display()))
            .args(options)
            .arg(&url)
            .output();
        if let Ok(output) = output {
            return Some(output);
        }
    }
    assert!(std::env::var_os("MPTCP_SIM_REQUIRE_CHROMIUM").is_none(), "no Chromium can be run");
    println!("SKIPPED: Chromium is not installed");
    None
}

/// Different colours of a picture, at most `enough`.
fn colours(png: &Path, enough: usize) -> usize {
    let decoder = png::Decoder::new(std::fs::File::open(png).unwrap());
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    let mut seen = BTreeSet::new();
    for pixel in pixels[..frame.buffer_size()].chunks(frame.color_type.samples()) {
        seen.insert(pixel.to_vec());
        if seen.len() >= enough {
            break;
        }
    }
    seen.len()
}

/// Shows a page: as many figures and tables as the file has, no error, and something to be seen.
fn shows(at: &Path, page: &str, words: &[&str]) {
    let html = std::fs::read_to_string(at.join(page)).unwrap();
    let Some(output) = chromium(at, page, &["--dump-dom"]) else { return };
    let shown = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    assert!(!complaints.contains("CONSOLE"), "{complaints}");
    for tag in ["<svg", "<table", "<h2"] {
        assert_eq!(shown.matches(tag).count(), html.matches(tag).count(), "{tag}");
    }
    for word in words {
        assert!(shown.contains(word), "no {word}");
    }
    let picture = at.join("shot.png");
    let option = format!("--screenshot={}", picture.display());
    chromium(at, page, &[&option, "--window-size=1100,1600"]).unwrap();
    // Text, grid, and the colours of the subflows.
    assert!(colours(&picture, 16) >= 16, "an empty page");
}

#[test]
fn the_report_of_a_capture_is_shown() {
    let at = scratch();
    let capture = builtin("two-path").capture();
    mptcp_sim_at(at.path(), &["analyze", capture.to_str().unwrap(), "--delays", "--html", "report.html"])
        .succeeded();
    shows(at.path(), "report.html", &["Connection 0", "One-way delays", "How to make this report again"]);
}

#[test]
fn the_report_of_measured_cases_is_shown() {
    let at = scratch();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    mptcp_sim_at(
        at.path(),
        &["replicate", fixtures.to_str().unwrap(), "--seeds", "9", "--html", "report.html"],
    )
    .succeeded();
    shows(at.path(), "report.html", &["f4-strip-join-path2", "congestion window", "all "]);
}
