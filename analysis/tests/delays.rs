//! One-way delays of pairs of real captures, whose links and losses are known packet by packet.

mod common;

use std::path::{Path, PathBuf};

use analysis::delays::{Delays, Point, Recorder, delays};
use analysis::vantage;
use serde_json::Value;

use common::reference;

fn between(paths: &[PathBuf]) -> Vec<Delays> {
    let read: Vec<_> = paths
        .iter()
        .map(|path| {
            let mut recorder = Recorder::default();
            let (views, warnings) = vantage::read(path, &mut recorder).unwrap();
            assert!(warnings.is_empty(), "{}: {warnings:?}", path.display());
            (views, recorder)
        })
        .collect();
    let points: Vec<_> = read
        .iter()
        .flat_map(|(views, recorder)| {
            views.iter().enumerate().map(move |(index, view)| Point { view, index, recorder })
        })
        .collect();
    delays(&points)
}

fn pair(folder: &Path, name: &str) -> Vec<PathBuf> {
    ["client", "server"].iter().map(|host| folder.join(format!("{name}.{host}.pcapng.gz"))).collect()
}

/// Address of the client, delay of the path in milliseconds.
const PATHS: [(&str, f64); 2] = [("10.0.1.2", 10.0), ("10.0.2.2", 30.0)];

#[test]
fn delays_and_losses_are_those_of_the_links() {
    let Some(folder) = reference() else { return };
    for name in [
        "c-wifilte-cubic-q1",
        "c-wifilte-reno-q1-loss1",
        "c-wifilte-cubic-q1-loss2",
        "c-wifilte-download-cubic",
    ] {
        for swapped in [false, true] {
            let mut files = pair(&folder, name);
            if swapped {
                files.reverse();
            }
            let [found] = &between(&files)[..] else { panic!("{name}: not one pair") };
            assert!(found.near.contains("client") && found.far.contains("server"), "{found}");
            // One clock took both captures.
            assert!(!found.corrected && found.clock_offset_ms.abs() < 0.05, "{name}: {found}");
            assert_eq!(found.flows.len(), 2, "{found}");
            let mut lost = 0;
            for (flow, (address, delay)) in found.flows.iter().zip(PATHS) {
                assert!(flow.client.starts_with(address), "{found}");
                for way in &flow.directions {
                    let delays = way.delay_ms.as_ref().unwrap();
                    // A frame without data takes 0.03 to 0.08 ms to transmit, the host some hundredths.
                    assert!(delays.min > delay && delays.min < delay + 0.3, "{name}: {found}");
                    assert_eq!((way.ambiguous, way.unsent), (0, 0), "{name}: {found}");
                    lost += way.lost;
                }
            }
            let case: Value =
                serde_json::from_slice(&std::fs::read(folder.join(format!("{name}.json"))).unwrap()).unwrap();
            let dropped = case["results"]["link_drops"].as_array().unwrap().len() as u64;
            assert!(dropped > 0);
            assert_eq!(lost, dropped, "{name}: {found}");
        }
    }
}

#[test]
fn flows_are_found_again_behind_address_translation() {
    let Some(folder) = reference() else { return };
    let [found] = &between(&pair(&folder, "e1-nat-checksum"))[..] else { panic!("not one pair") };
    assert_eq!(found.flows.len(), 2, "{found}");
    for (flow, delay) in found.flows.iter().zip([10.0, 20.0]) {
        for way in &flow.directions {
            let delays = way.delay_ms.as_ref().unwrap();
            assert!(delays.min > delay && delays.min < delay + 0.3, "{found}");
        }
    }
}

/// A clock that is wrong by a second is noticed, and its offset found, as the paths are symmetric.
#[test]
fn a_wrong_clock_is_corrected() {
    let Some(folder) = reference() else { return };
    let files = pair(&folder, "c-wifilte-cubic-q1");
    let honest = between(&files).remove(0);
    let shifted = tempfile::tempdir().unwrap();
    let late = shifted.path().join("late.pcapng");
    let status = std::process::Command::new("editcap").args(["-t", "1.0"]).arg(&files[1]).arg(&late).status();
    if !status.is_ok_and(|status| status.success()) {
        println!("SKIPPED: no editcap");
        return;
    }
    let wrong = between(&[files[0].clone(), late]).remove(0);
    assert!(wrong.corrected && (wrong.clock_offset_ms - 1000.0).abs() < 0.05, "{wrong}");
    for (a, b) in honest.flows.iter().zip(&wrong.flows) {
        for (a, b) in a.directions.iter().zip(&b.directions) {
            assert_eq!((a.matched, a.lost), (b.matched, b.lost));
            let medians = [a, b].map(|way| way.delay_ms.as_ref().unwrap().median);
            assert!((medians[0] - medians[1]).abs() < 0.15, "{medians:?}");
        }
    }
}
