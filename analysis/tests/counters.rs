//! Counters derived from packets must be those the kernels counted.

mod common;

use std::path::{Path, PathBuf};

use analysis::compare::counters::{Naming, from_packets, is_derived};
use analysis::groundtruth::GroundTruth;

use common::reference;

/// Counters in which a kernel does not count what its capture shows, case by case: a packet that came for a
/// socket that was gone or not there yet, or was refused; or in which it counts what is not in the capture: segments that
/// did not leave, as the interface was down or the message came from the host itself.
const NOT_COUNTED: [(&str, &str); 17] = [
    ("a7-twopath-listener-bound", "MPTcpExtMPJoinSynRx"),
    ("c-short-100k", "MPTcpExtMPJoinSynAckRx"),
    ("d3-linkdown-path1", "TcpOutSegs"),
    ("f4-strip-join-path2", "TcpPassiveOpens"),
    ("f5-payload-rewrite-one-subflow", "IcmpInDestUnreachs"),
    ("f5-payload-rewrite-one-subflow", "TcpOutSegs"),
    ("o1-echo-version1", "MPTcpOotAddAddrRx"),
    ("o1-half-close", "MPTcpOotMPJoinSynAckRx"),
    ("o4-blest-60k", "MPTcpOotMPJoinAckRx"),
    ("o4-blest-60k", "TcpPassiveOpens"),
    ("o4-default-60k", "MPTcpOotMPJoinAckRx"),
    ("o4-default-60k", "TcpPassiveOpens"),
    ("o4-ecf-60k", "MPTcpOotMPJoinAckRx"),
    ("o4-ecf-60k", "TcpPassiveOpens"),
    ("o4-redundant-3m", "MPTcpOotMPFastcloseTX"),
    ("o4-roundrobin-60k", "MPTcpOotMPJoinAckRx"),
    ("o4-roundrobin-60k", "TcpPassiveOpens"),
];

fn differences(path: &Path) -> (u64, Vec<(String, String)>) {
    let truth = GroundTruth::from_json(&std::fs::read(path).unwrap()).unwrap();
    let mut wrong = Vec::new();
    let mut right = 0;
    for (host, counted) in &truth.results.nstat {
        let Some(seen) = truth.results.analysis.get(host) else { continue };
        let addresses = truth.topology.addresses_of(host);
        assert!(!addresses.is_empty(), "{}: no addresses of {host}", truth.name);
        let derived = from_packets(seen, &addresses, Naming::of(counted));
        for name in derived.keys().chain(counted.keys().filter(|name| is_derived(name))) {
            assert!(is_derived(name), "{name}");
            if derived.get(name) == counted.get(name) {
                right += 1;
            } else if !wrong.contains(&(truth.name.clone(), name.clone())) {
                println!(
                    "{} {host} {name}: {:?} counted {:?}",
                    truth.name,
                    derived.get(name),
                    counted.get(name)
                );
                wrong.push((truth.name.clone(), name.clone()));
            }
        }
    }
    (right, wrong)
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    found.sort();
    found
}

#[test]
fn small_cases_count_what_the_kernel_counted() {
    let mut right = 0;
    for case in below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")) {
        let (counters, wrong) = differences(&case);
        right += counters;
        for (case, name) in &wrong {
            assert!(NOT_COUNTED.contains(&(case, name)), "{case} {name}");
        }
    }
    assert!(right > 60, "{right}");
}

#[test]
fn every_reference_case_counts_what_its_kernel_counted() {
    let Some(folder) = reference() else { return };
    let (mut right, mut wrong) = (0, Vec::new());
    for folder in [folder.clone(), folder.join("oot")] {
        for case in below(&folder) {
            let (counters, differ) = differences(&case);
            right += counters;
            wrong.extend(differ);
        }
    }
    wrong.sort();
    let expected: Vec<_> =
        NOT_COUNTED.iter().map(|&(case, name)| (case.to_owned(), name.to_owned())).collect();
    println!("{right} counters agree");
    assert_eq!(wrong, expected);
    assert!(right > 2000, "{right}");
}
