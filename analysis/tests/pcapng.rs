//! Captures as written are read back, by this crate, by etherparse and by tshark.

use std::io::Cursor;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;

use analysis::capture::{CaptureError, CaptureReader, Direction, LinkType};
use analysis::pcapng::{
    CaptureObserver, Interface, LinkLayer, MacAddr, NameRecord, PacketRecord, PcapngFile, PcapngWriter,
    Section,
};
use analysis::trace::{TraceObserver, analyse_capture};
use mptcp_model::wire::{Body, Ecn, IpHeader, Packet, Payload, Seq, TcpFlags, TcpOptions, TcpSegment};
use proptest::prelude::*;
use sim_core::{Instant, NodeId, Observer, PortId};

fn segment(from_client: bool, seq: u32, flags: TcpFlags, options: &[u8], payload: Payload) -> Packet {
    let client = (IpAddr::from(Ipv4Addr::new(10, 0, 1, 2)), 40_000);
    let server = (IpAddr::from(Ipv4Addr::new(10, 0, 9, 2)), 5_001);
    let ((src, src_port), (dst, dst_port)) = if from_client { (client, server) } else { (server, client) };
    Packet {
        ip: IpHeader {
            src,
            dst,
            ttl: 64,
            dscp: 0,
            ecn: Ecn::NotEct,
            dont_fragment: true,
            id: 7,
            flow_label: 0,
        },
        body: Body::Tcp(TcpSegment {
            src_port,
            dst_port,
            seq: Seq(seq),
            ack: Seq(if from_client {
                901
            } else if seq == 900 {
                101
            } else {
                1_501
            }),
            flags,
            window: 500,
            urgent: 0,
            options: TcpOptions::from_bytes(options).unwrap(),
            payload,
        }),
    }
}

/// A handshake with MP_CAPABLE, one segment of data, one ACK.
fn packets() -> Vec<(Direction, Packet)> {
    const SYN: [u8; 24] = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7, 30, 4, 0x01, 0x01];
    let mut syn_ack = SYN.to_vec();
    syn_ack.splice(20.., [30, 12, 0x01, 0x01, 1, 2, 3, 4, 5, 6, 7, 8]);
    let mut ack = vec![1, 1, 8, 10, 0, 0, 0, 2, 0, 0, 0, 1];
    ack.extend([30, 20, 0x01, 0x01, 8, 7, 6, 5, 4, 3, 2, 1, 1, 2, 3, 4, 5, 6, 7, 8]);
    let dss_ack = [1, 1, 8, 10, 0, 0, 0, 3, 0, 0, 0, 2, 30, 8, 0x20, 0x01, 0, 0, 0, 9];
    let bulk = Payload::Pattern { seed: 0, len: 1400, offset: 0 };
    let (syn, ack_flag) = (TcpFlags::SYN, TcpFlags::ACK);
    vec![
        (Direction::Outbound, segment(true, 100, syn, &SYN, Payload::Empty)),
        (Direction::Inbound, segment(false, 900, syn.with(ack_flag), &syn_ack, Payload::Empty)),
        (Direction::Outbound, segment(true, 101, ack_flag, &ack, Payload::Empty)),
        (Direction::Outbound, segment(true, 101, ack_flag, &dss_ack, bulk)),
        (Direction::Inbound, segment(false, 901, ack_flag, &dss_ack, Payload::Empty)),
    ]
}

fn ethernet(name: &str) -> Interface {
    let link = LinkLayer::Ethernet { local: MacAddr::derived(1), neighbour: MacAddr::derived(2) };
    Interface { name: name.into(), description: "wifi".into(), link }
}

fn at(index: usize) -> Instant {
    Instant::from_nanos(5_000_000_001 * index as u64)
}

fn capture(interface: &Interface, snap_len: u32) -> Vec<u8> {
    let section = Section { application: "mptcp-sim".into(), comment: "seed 7".into(), ..Section::default() };
    let mut observer = CaptureObserver::new(PcapngWriter::new(Vec::new(), &section, snap_len).unwrap());
    observer.capture(NodeId(3), PortId(1), interface).unwrap();
    for (index, (direction, packet)) in packets().iter().enumerate() {
        match direction {
            Direction::Outbound => observer.sent(at(index), NodeId(3), PortId(1), packet),
            Direction::Inbound => observer.received(at(index), NodeId(3), PortId(1), packet),
        }
        observer.sent(at(index), NodeId(3), PortId(0), packet);
        observer.sent(at(index), NodeId(4), PortId(1), packet);
    }
    observer.finish().unwrap()
}

fn reader(file: &[u8]) -> CaptureReader {
    CaptureReader::new(Cursor::new(file.to_vec())).unwrap()
}

// TRACE-01, TRACE-02
#[test]
fn what_was_written_is_read_back_with_time_direction_and_name() {
    for interface in [ethernet("c0"), Interface { link: LinkLayer::RawIp, ..ethernet("c0") }] {
        let file = capture(&interface, 65_535);
        let mut reader = reader(&file);
        for (index, (direction, packet)) in packets().iter().enumerate() {
            let frame = reader.next_frame().unwrap().unwrap();
            assert_eq!((frame.number, frame.nanos), (index as u64 + 1, at(index).as_nanos()));
            assert_eq!((frame.interface_name, frame.direction), ("c0", Some(*direction)));
            let (octets, wire_len, _) = frame.ip().unwrap();
            assert_eq!(wire_len as usize, packet.wire_len());
            let mut expected = Vec::new();
            packet.emit(&mut expected);
            assert_eq!(octets, expected);
        }
        assert!(reader.next_frame().unwrap().is_none());
        assert!(!reader.truncated());
    }
}

// TRACE-06
#[test]
fn snap_length_cuts_frames_and_keeps_their_length() {
    let file = capture(&ethernet("c0"), 94);
    let whole = capture(&ethernet("c0"), 65_535);
    assert!(file.len() < whole.len());
    let (mut cut, mut whole) = (reader(&file), reader(&whole));
    while let Some(frame) = cut.next_frame().unwrap() {
        let full = whole.next_frame().unwrap().unwrap();
        assert_eq!(frame.original_len as usize, full.data.len());
        assert_eq!(frame.data, &full.data[..full.data.len().min(94)]);
    }
}

// TRACE-01
#[test]
fn etherparse_finds_the_same_headers_and_valid_checksums() {
    let file = capture(&ethernet("c0"), 65_535);
    let mut reader = reader(&file);
    let mut count = 0;
    while let Some(frame) = reader.next_frame().unwrap() {
        let sliced = etherparse::SlicedPacket::from_ethernet(frame.data).unwrap();
        let Some(etherparse::LinkSlice::Ethernet2(link)) = &sliced.link else { panic!("no Ethernet header") };
        let outbound = frame.direction == Some(Direction::Outbound);
        let own = MacAddr::derived(1).0;
        assert_eq!(if outbound { link.source() } else { link.destination() }, own);
        let Some(etherparse::NetSlice::Ipv4(ip)) = &sliced.net else { panic!("no IPv4 header") };
        let header = ip.header().to_header();
        assert_eq!(header.calc_header_checksum(), header.header_checksum);
        let Some(etherparse::TransportSlice::Tcp(tcp)) = &sliced.transport else { panic!("no TCP header") };
        let checksum = tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination()).unwrap();
        assert_eq!(checksum, tcp.checksum());
        count += 1;
    }
    assert_eq!(count, 5);
}

// TRACE-04
#[test]
fn two_captures_of_one_run_are_the_same_octets() {
    assert_eq!(capture(&ethernet("c0"), 200), capture(&ethernet("c0"), 200));
}

#[test]
fn analysis_of_packets_equals_analysis_of_their_capture() {
    let mut observer = TraceObserver::new();
    observer.observe(NodeId(3), PortId(1), "client", "c0");
    for (index, (direction, packet)) in packets().iter().enumerate() {
        match direction {
            Direction::Outbound => observer.sent(at(index), NodeId(3), PortId(1), packet),
            Direction::Inbound => observer.received(at(index), NodeId(3), PortId(1), packet),
        }
        observer.sent(at(index), NodeId(3), PortId(0), packet);
        observer.received(at(index), NodeId(2), PortId(1), packet);
    }
    let direct = observer.finish().remove("client").unwrap();
    for snap_len in [94, 65_535] {
        let captured = analyse_capture(&mut reader(&capture(&ethernet("c0"), snap_len)), 0).unwrap();
        assert_eq!(captured, direct);
    }
    assert_eq!(direct.subflows[0].c2s.payload_bytes, 1400);
    assert_eq!(direct.subflows[0].c2s.rtt_ms.unwrap().min, 5000.0);
    assert_eq!(direct.events.len(), 3);
}

#[test]
fn a_file_cut_anywhere_is_read_up_to_there() {
    let file = capture(&ethernet("c0"), 120);
    let mut most = 0;
    for len in 28..file.len() {
        let Ok(mut reader) = CaptureReader::new(Cursor::new(file[..len].to_vec())) else { continue };
        let mut count = 0;
        while reader.next_frame().unwrap().is_some() {
            count += 1;
        }
        assert!(count >= most, "{len}");
        most = count;
    }
    assert_eq!(most, 4);
    let mut cut = reader(&file[..file.len() - 1]);
    while cut.next_frame().unwrap().is_some() {}
    assert!(cut.truncated());
}

#[test]
fn gzipped_files_are_read_and_may_be_cut() {
    use std::io::Write;
    let file = capture(&ethernet("c0"), 120);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&file).unwrap();
    let zipped = encoder.finish().unwrap();
    assert_eq!(analyse_capture(&mut reader(&zipped), 0).unwrap().packets, 5);
    let mut cut = reader(&zipped[..zipped.len() - 12]);
    assert!(analyse_capture(&mut cut, 0).unwrap().packets <= 5);
    assert!(cut.truncated());
}

/// A pcap file with one record of a raw IPv4 header, in either byte order.
fn pcap(magic: u32, big: bool, link: u32) -> Vec<u8> {
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let half = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut file = word(magic).to_vec();
    file.extend([half(2), half(4)].concat());
    file.extend([word(0), word(0), word(65_535), word(link), word(3), word(5), word(20), word(60)].concat());
    file.extend([0x45; 20]);
    file
}

#[test]
fn pcap_in_both_byte_orders_and_resolutions() {
    for big in [false, true] {
        for (magic, nanos) in [(0xa1b2_c3d4, 3_000_005_000), (0xa1b2_3c4d, 3_000_000_005)] {
            // The upper bits hold the length of a frame check sequence.
            let file = pcap(magic, big, 101 | 0x5400_0000);
            let mut reader = reader(&file);
            let frame = reader.next_frame().unwrap().unwrap();
            assert_eq!((frame.nanos, frame.original_len, frame.link), (nanos, 60, LinkType::RAW));
            assert_eq!(frame.data, [0x45; 20]);
            assert!(reader.next_frame().unwrap().is_none());
        }
    }
}

/// A big-endian section whose interface counts time in units given by `resolution`.
fn foreign_section(resolution: u8, offset: i64, ticks: u64) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let len = (body.len() as u32 + 12).to_be_bytes();
        [&kind.to_be_bytes()[..], &len, body, &len].concat()
    };
    let mut header = 0x1a2b_3c4du32.to_be_bytes().to_vec();
    header.extend([0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    let mut interface = vec![0, 101, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, resolution, 0, 0, 0, 0, 14, 0, 8];
    interface.extend(offset.to_be_bytes());
    interface.extend([0, 0, 0, 0]);
    let mut packet =
        [0u32.to_be_bytes(), ((ticks >> 32) as u32).to_be_bytes(), (ticks as u32).to_be_bytes()].concat();
    packet.extend([4u32.to_be_bytes(), 4u32.to_be_bytes(), [0x45, 0, 0, 4]].concat());
    [block(0x0a0d_0d0a, &header), block(1, &interface), block(0xbad, &[1; 8]), block(6, &packet)].concat()
}

#[test]
fn times_of_any_resolution_become_nanoseconds() {
    for (resolution, offset, ticks, nanos) in [
        (0, 0, 7, 7_000_000_000),
        (3, 0, 7, 7_000_000),
        (9, 2, 7, 2_000_000_007),
        (12, 0, 7_999, 7),
        (0x80 | 10, 0, 1, 976_562),
        (0x80 | 30, 0, 1 << 31, 2_000_000_000),
        (6, -5, 1, 0),
    ] {
        let file = foreign_section(resolution, offset, ticks);
        let mut reader = reader(&file);
        assert_eq!(reader.next_frame().unwrap().unwrap().nanos, nanos, "resolution {resolution}");
    }
    let mut reader = reader(&foreign_section(120, 0, 1));
    assert!(matches!(reader.next_frame(), Err(CaptureError::Malformed { packet: 1, .. })));
    assert!(reader.next_frame().unwrap().is_none());
}

#[test]
fn sections_in_a_row_have_interfaces_of_their_own() {
    let file = [foreign_section(3, 0, 1), capture(&ethernet("c0"), 96)].concat();
    let mut reader = reader(&file);
    let first = reader.next_frame().unwrap().unwrap();
    assert_eq!((first.interface, first.nanos), (0, 1_000_000));
    let second = reader.next_frame().unwrap().unwrap();
    assert_eq!((second.interface, second.interface_name, second.nanos), (1, "c0", 0));
    assert_eq!(reader.interfaces().len(), 2);
}

#[test]
fn errors_name_the_packet() {
    let mut file = capture(&ethernet("c0"), 96);
    let last = file.len() - 4;
    let len = u32::from_le_bytes(file[last..].try_into().unwrap()) as usize;
    let start = file.len() - len;
    file[start + 8] = 9; // interface 9
    let mut reader = reader(&file);
    let error = loop {
        match reader.next_frame() {
            Ok(frame) => assert!(frame.is_some()),
            Err(error) => break error,
        }
    };
    assert_eq!(error.to_string(), "packet 5: packet of an interface that was not described");
    assert!(matches!(
        CaptureReader::new(Cursor::new(b"hello".to_vec())),
        Err(CaptureError::UnknownFormat(_))
    ));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_octets_make_the_reader_or_the_analysis_panic(
        changes in prop::collection::vec((0usize..2000, any::<u8>()), 0..40),
        foreign in any::<bool>(),
    ) {
        let mut file = if foreign {
            foreign_section(6, 0, 1)
        } else {
            std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/g5-fastclose-server.client.pcapng")).unwrap()
        };
        for (position, octet) in changes {
            let len = file.len();
            file[position % len] = octet;
        }
        if let Ok(mut reader) = CaptureReader::new(Cursor::new(file)) {
            let _ = analyse_capture(&mut reader, 0);
        }
    }
}

#[test]
fn a_capture_file_appears_only_when_finished() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.pcapng");
    let file = PcapngFile::create(&path).unwrap();
    let mut writer = PcapngWriter::new(file, &Section::default(), 96).unwrap();
    let interface = writer.add_interface(&ethernet("c0")).unwrap();
    let record = PacketRecord {
        interface,
        at: at(1),
        direction: Direction::Inbound,
        ip_len: 4,
        comment: Some("key 0102"),
    };
    writer.write_packet(&record, |out| out.extend([0x45, 0, 0, 4])).unwrap();
    let unknown = PacketRecord { interface: 7, ..record };
    assert!(writer.write_packet(&unknown, |_| {}).is_err());
    assert_eq!(writer.packets(), 1);
    assert!(!path.exists());
    writer.finish().unwrap().finish().unwrap();
    let mut reader = CaptureReader::open(&path).unwrap();
    assert_eq!(reader.next_frame().unwrap().unwrap().original_len, 18);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

fn tshark(arguments: &[&str]) -> Option<String> {
    let output = Command::new("tshark").args(arguments).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

// TRACE-02, TRACE-08
#[test]
fn tshark_reads_names_comments_and_finds_nothing_malformed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.pcapng");
    let mut writer =
        PcapngWriter::new(PcapngFile::create(&path).unwrap(), &Section::default(), 65_535).unwrap();
    let interface = writer.add_interface(&ethernet("c0")).unwrap();
    writer
        .add_names(&[NameRecord { address: Ipv4Addr::new(10, 0, 1, 2).into(), name: "client".into() }])
        .unwrap();
    for (index, (direction, packet)) in packets().iter().enumerate() {
        let ip_len = packet.wire_len() as u32;
        let record =
            PacketRecord { interface, at: at(index), direction: *direction, ip_len, comment: Some("note") };
        writer.write_packet(&record, |out| packet.emit(out)).unwrap();
    }
    writer.finish().unwrap().finish().unwrap();
    let path = path.to_str().unwrap();
    let fields = [
        "frame.interface_name",
        "frame.comment",
        "frame.time_epoch",
        "ip.checksum.status",
        "tcp.checksum.status",
    ];
    let mut arguments =
        vec!["-r", path, "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-T", "fields"];
    for field in &fields {
        arguments.extend(["-e", field]);
    }
    let Some(text) = tshark(&arguments) else {
        println!("SKIPPED: no tshark");
        return;
    };
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines.iter().all(|line| line.starts_with("c0\tnote\t") && line.ends_with("\t1\t1")), "{text}");
    assert!(lines[1].contains("\t5.000000001\t"), "{text}");
    let malformed = tshark(&["-r", path, "-Y", "_ws.malformed or _ws.expert.severity >= error"]).unwrap();
    assert_eq!(malformed, "");
}
