//! A corpus of damaged capture files: each gives the packets before the damage, and says what is wrong where.

#[path = "common/everything.rs"]
mod everything;

use std::fmt::Write as _;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use analysis::capture::{CaptureError, CaptureReader};
use analysis::trace::{PacketView, TraceAnalyser, Transport};
use proptest::prelude::*;

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/damaged");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending != "txt"));
    files.sort();
    files
}

/// What came of reading octets: packets, how many of them are TCP with a whole header, and how it ended.
fn outcome(octets: Vec<u8>) -> String {
    let mut tcp = 0;
    let (packets, end) = match CaptureReader::new(Cursor::new(octets)) {
        Err(error) => (0, error.to_string()),
        Ok(mut reader) => {
            let end = read(&mut reader, &mut tcp).map_or_else(
                |error| error.to_string(),
                |()| if reader.truncated() { "cut".into() } else { "whole".into() },
            );
            (reader.packets(), end)
        }
    };
    format!("{packets} packets, {tcp} TCP; {end}")
}

fn read(reader: &mut CaptureReader, tcp: &mut u64) -> Result<(), CaptureError> {
    let mut analyser = TraceAnalyser::new();
    while let Some(frame) = reader.next_frame()? {
        let packet = frame.ip().and_then(|(octets, wire_len, _)| PacketView::parse(octets, wire_len));
        if let Some(packet) = packet {
            *tcp += u64::from(matches!(packet.transport, Transport::Tcp(_)));
            analyser.push(frame.nanos, frame.interface_name, &packet);
        }
    }
    let _ = analyser.finish();
    Ok(())
}

#[test]
fn every_damaged_file_is_read_up_to_the_damage() {
    let mut table = String::new();
    for file in corpus() {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        writeln!(table, "{name}: {}", outcome(std::fs::read(&file).unwrap())).unwrap();
    }
    let expected = include_str!("damaged/expected.txt");
    assert_eq!(table, expected, "\n{table}");
}

#[test]
fn every_damaged_file_goes_through_everything() {
    for file in corpus() {
        everything::read_everything(std::fs::read(&file).unwrap(), true);
    }
}

#[test]
fn a_false_length_costs_no_memory() {
    // The window grows with what is there: 60 MiB announced, some hundred octets present.
    for name in ["pcap-captured-60MiB.pcap", "ng-block-length-60MiB.pcapng"] {
        let file = corpus().into_iter().find(|file| file.ends_with(name)).unwrap();
        assert!(outcome(std::fs::read(file).unwrap()).ends_with("cut"), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn no_change_to_a_file_makes_the_reader_panic(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..30),
        cut in any::<prop::sample::Index>(),
    ) {
        let files = corpus();
        let mut octets = std::fs::read(which.get(&files)).unwrap();
        if !octets.is_empty() {
            for (position, octet) in changes {
                let position = position.index(octets.len());
                octets[position] = octet;
            }
            octets.truncate(cut.index(octets.len() * 4));
        }
        let _ = outcome(octets.clone());
        everything::read_everything(octets, false);
    }

    /// Real captures with some octets changed: most packets still mean something.
    #[test]
    fn no_change_to_a_real_capture_makes_anything_panic(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|ending| ending == "pcapng"));
        files.sort();
        let mut octets = std::fs::read(which.get(&files)).unwrap();
        for (position, octet) in changes {
            let position = position.index(octets.len());
            octets[position] = octet;
        }
        octets.truncate(cut.index(octets.len() * 4));
        everything::read_everything(octets, false);
    }

    #[test]
    fn no_octets_make_the_reader_panic(octets in prop::collection::vec(any::<u8>(), 0..400), magic in 0usize..6) {
        const STARTS: [&[u8]; 6] = [
            &[],
            &[0xd4, 0xc3, 0xb2, 0xa1],
            &[0xa1, 0xb2, 0x3c, 0x4d],
            &[0x34, 0xcd, 0xb2, 0xa1],
            &[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a],
            &[0x1f, 0x8b, 8, 0],
        ];
        let octets = [STARTS[magic], &octets].concat();
        let _ = outcome(octets.clone());
        everything::read_everything(octets, false);
    }

    #[test]
    fn no_octets_of_a_packet_make_the_parser_panic(
        octets in prop::collection::vec(any::<u8>(), 0..200),
        version in prop::sample::select(vec![0x45u8, 0x46, 0x60]),
        wire_len in any::<u32>(),
    ) {
        let octets = [&[version][..], &octets].concat();
        let mut analyser = TraceAnalyser::new();
        if let Some(packet) = PacketView::parse(&octets, wire_len) {
            analyser.push(0, "", &packet);
        }
        let _ = analyser.finish();
    }
}
