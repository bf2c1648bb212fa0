//! Packet scripts: verdicts, exit codes, JUnit.

use std::fs;

use crate::harness::{mptcp_sim_at, scratch};

const OPENING: &str = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 1000 <mss 1000>
+0 > S. 0:0(0) ack 1 <mss MSS>
";

#[test]
fn scripts_pass_or_fail_with_their_lines() {
    let directory = scratch();
    let at = directory.path();
    fs::create_dir(at.join("below")).unwrap();
    fs::write(at.join("below/right.pkt"), OPENING.replace("MSS", "1460")).unwrap();
    let passed = mptcp_sim_at(at, &["script", "below"]).succeeded();
    assert_eq!(
        passed.stdout,
        "pass  below/right.pkt  ipv4\npass  below/right.pkt  ipv4-mapped-ipv6\npass  below/right.pkt  ipv6\n\
         1 of 1 scripts pass\n"
    );

    fs::write(at.join("wrong.pkt"), OPENING.replace("MSS", "1461")).unwrap();
    let failed = mptcp_sim_at(at, &["script", "wrong.pkt", "--ip", "ipv4", "--junit", "out.xml"]);
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.stdout.contains("wrong.pkt:5: expected > S. 0:0(0) ack 1 <mss 1461>"), "{failed:?}");
    let junit = fs::read_to_string(at.join("out.xml")).unwrap();
    assert!(junit.contains("tests=\"1\" failures=\"1\""), "{junit}");
}

#[test]
fn what_is_not_of_the_language_is_an_error() {
    let directory = scratch();
    let at = directory.path();
    fs::write(at.join("odd.pkt"), "0 telepathy(3) = 0\n").unwrap();
    mptcp_sim_at(at, &["script", "odd.pkt"]).failed_with(&["odd.pkt:1:3", "telepathy"]);
    fs::create_dir(at.join("empty")).unwrap();
    mptcp_sim_at(at, &["script", "empty"]).failed_with(&["holds no .pkt file"]);
}

#[test]
fn a_script_without_events_has_not_passed() {
    let directory = scratch();
    let at = directory.path();
    for text in ["", "--tolerance_usecs=9\n// nothing else\n"] {
        fs::write(at.join("empty.pkt"), text).unwrap();
        mptcp_sim_at(at, &["script", "empty.pkt"]).failed_with(&["empty.pkt: there is no event in it"]);
    }
}
