//! Captures of real stacks, whole and mutilated: what was seen decides what can be told.

use std::path::Path;

use analysis::capture::CaptureReader;
use analysis::metrics::{Report, report};
use analysis::reconstruct::{Captured, Fallback, Protocol, Reconstruction};
use analysis::trace::PacketView;
use analysis::vantage::{Taken, Watch, read};

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The packets of a capture that `keep` chooses by number, source and interface.
fn rebuilt(name: &str, keep: impl Fn(u64, &str, &str) -> bool) -> Reconstruction {
    let mut reader = CaptureReader::open(&fixture(name)).unwrap();
    let mut seen = Reconstruction::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        let (octets, wire_len, _) = frame.ip().unwrap();
        let packet = PacketView::parse(octets, wire_len).unwrap();
        if keep(frame.number, &packet.src.to_string(), frame.interface_name) {
            let (number, nanos, interface) = (frame.number, frame.nanos, frame.interface);
            seen.push(&Captured { number, nanos, interface, wire_len, packet });
        }
    }
    seen.finish();
    seen
}

/// Number of subflows of each connection, those without any left out.
fn connections(seen: &Reconstruction) -> Vec<usize> {
    seen.connections().iter().map(|connection| connection.flows.len()).filter(|&flows| flows > 0).collect()
}

const ECHO: &str = "g3-echo-immediate-two-subflows.client.pcapng";

fn whole(name: &str) -> Report {
    struct Numbers(u64);
    impl Watch for Numbers {
        fn packet(&mut self, taken: &Taken<'_>) {
            assert_eq!((taken.view, taken.packet.number), (0, self.0 + 1));
            self.0 += 1;
        }
    }
    let (views, warnings) = read(&fixture(name), &mut Numbers(0)).unwrap();
    assert_eq!((views.len(), warnings.len()), (1, 0));
    report(name, &views[0], &warnings)
}

#[test]
fn a_whole_capture_tells_everything() {
    let report = whole(ECHO);
    assert_eq!((report.packets, report.connections.len()), (37, 1));
    let connection = &report.connections[0];
    assert_eq!((connection.protocol.as_str(), connection.version), ("mptcp", Some(1)));
    assert_eq!(connection.close, "data_fin");
    // Both keys are in the capture: the token of the join is that of the responder.
    assert_eq!(connection.tokens[1].as_deref(), Some("46e8a2d4"));
    assert_eq!([0, 1].map(|side| connection.data[side].octets), [10, 10]);
    assert_eq!([0, 1].map(|side| connection.data[side].acknowledged), [10, 10]);
    assert_eq!([0, 1].map(|side| connection.data[side].data_fin), [(true, true), (true, true)]);
    let join = &connection.subflows[1];
    assert!(join.join && join.established && !join.opened_by_responder);
    assert_eq!(join.authentic, [Some(true), Some(true)]);
    assert_eq!(join.address_ids, [Some(1), Some(0)]);
    assert!((join.join_after_ms.unwrap() - 41.017).abs() < 1e-9);
}

#[test]
fn mp_fastclose_ends_a_connection() {
    let report = whole("g5-fastclose-server.client.pcapng");
    assert_eq!(report.connections[0].close, "fast_close");
    assert_eq!(report.connections[0].subflows.len(), 2);
}

#[test]
fn a_capture_that_begins_after_the_handshakes_is_matched_by_data_numbers() {
    // Of both subflows only packets with DSS are left.
    let seen = rebuilt(ECHO, |number, _, _| number >= 11);
    assert_eq!(connections(&seen), [2]);
    assert_eq!(seen.connections().iter().find(|c| !c.flows.is_empty()).unwrap().protocol, Protocol::Mptcp);
}

#[test]
fn one_direction_is_enough_for_the_structure() {
    let from_client = rebuilt(ECHO, |_, source, _| source != "10.0.9.2");
    assert_eq!(connections(&from_client), [2]);
    assert_eq!(from_client.connections()[0].tokens[1], Some(0x46e8_a2d4));
    let from_server = rebuilt(ECHO, |_, source, _| source == "10.0.9.2");
    assert_eq!(connections(&from_server), [2]);
    // The SYN/ACK tells who began.
    assert_eq!(from_server.flows()[0].client.ip().to_string(), "10.0.1.2");
}

#[test]
fn one_interface_shows_one_subflow() {
    let first = rebuilt(ECHO, |_, _, interface| interface == "c0");
    assert_eq!(connections(&first), [1]);
    assert_eq!(first.connections()[0].protocol, Protocol::Mptcp);
    let second = rebuilt(ECHO, |_, _, interface| interface == "c1");
    assert_eq!(connections(&second), [1]);
    // The token is all that is known of the connection.
    assert_eq!(second.connections()[0].tokens, [None, Some(0x46e8_a2d4)]);
    assert_eq!(second.connections()[0].keys, [None, None]);
}

#[test]
fn a_syn_ack_without_the_option_is_a_fallback() {
    let mut reader = CaptureReader::open(&fixture(ECHO)).unwrap();
    let mut seen = Reconstruction::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        let (octets, wire_len, _) = frame.ip().unwrap();
        let mut octets = octets.to_vec();
        if frame.number == 2 {
            // Kind 30 becomes an unknown kind, as after a box that does not know it.
            let at = octets.windows(3).position(|option| option == [30, 12, 1]).unwrap();
            octets[at] = 253;
        }
        let packet = PacketView::parse(&octets, wire_len).unwrap();
        seen.push(&Captured { number: frame.number, nanos: frame.nanos, interface: 0, wire_len, packet });
        if frame.number == 2 {
            break;
        }
    }
    assert_eq!(seen.connections()[0].protocol, Protocol::Fallback(Fallback::SynAck, 2));
}
