//! Each box on a few segments.

use sim_core::random::{Stream, Streams};
use sim_core::{Duration, Instant};

use super::registry::{create, list};
use super::*;
use crate::parameters::{Kind, Parameters, Value};
use crate::wire::{
    Body, DataNumber, Dss, DssMapping, IpHeader, MpOption, Payload, SackBlocks, Seq, TcpFlags, TcpOption,
    TcpOptions, TcpSegment, verify_checksums,
};

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const SYN_ACK: TcpFlags = TcpFlags::SYN.with(TcpFlags::ACK);

fn stream() -> Stream {
    Streams::new(1).stream("box")
}

fn at_ms(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

/// A segment between 10.0.0.1:1000 (near) and 192.0.2.9:80 (far).
fn packet(direction: Direction, flags: TcpFlags, seq: u32, ack: u32, len: u32) -> Packet {
    let (near, far) = (("10.0.0.1", 1000), ("192.0.2.9", 80));
    let (src, dst) = if direction == Direction::Forward { (near, far) } else { (far, near) };
    Packet {
        ip: IpHeader::new(src.0.parse().unwrap(), dst.0.parse().unwrap()),
        body: Body::Tcp(TcpSegment {
            src_port: src.1,
            dst_port: dst.1,
            seq: Seq(seq),
            ack: Seq(ack),
            flags,
            window: 1000,
            urgent: 0,
            options: TcpOptions::EMPTY,
            payload: Payload::pattern(5, u64::from(seq), len),
        }),
    }
}

fn forward(flags: TcpFlags, seq: u32, ack: u32, len: u32) -> Packet {
    packet(Direction::Forward, flags, seq, ack, len)
}

fn backward(flags: TcpFlags, seq: u32, ack: u32, len: u32) -> Packet {
    packet(Direction::Backward, flags, seq, ack, len)
}

fn with_options(mut packet: Packet, options: &[TcpOption]) -> Packet {
    let Body::Tcp(segment) = &mut packet.body else { unreachable!("made here") };
    for option in options {
        assert!(segment.options.push(option));
    }
    packet
}

fn dss(dsn: u32, len: u16) -> TcpOption {
    TcpOption::Mptcp(MpOption::Dss(Dss {
        data_fin: false,
        data_ack: Some(DataNumber::Short(77)),
        mapping: Some(DssMapping { dsn: DataNumber::Short(dsn), ssn: 1, len, checksum: None }),
    }))
}

fn timestamps() -> TcpOption {
    TcpOption::Timestamps { val: 7, ecr: 8 }
}

fn tcp(packet: &Packet) -> &TcpSegment {
    flow::segment(packet).expect("TCP")
}

fn kinds(packet: &Packet) -> Vec<u8> {
    tcp(packet).options.positions().map(|span| span.kind).collect()
}

/// A chain of one box by name, whose outputs have right checksums.
struct One(Chain);

impl One {
    fn new(name: &str, parameters: &[(&str, Value)]) -> Self {
        let parameters: Parameters = parameters.iter().map(|(name, value)| (*name, value.clone())).collect();
        let mut chain = Chain::new();
        chain.push(name, create(name, &parameters, stream()).unwrap_or_else(|error| panic!("{error}")));
        Self(chain)
    }

    fn send(&mut self, now: Instant, direction: Direction, packet: Packet) -> Vec<(Direction, Packet)> {
        let mut out = Vec::new();
        self.0.handle(now, direction, packet, &mut out);
        check(&out);
        out
    }

    fn forward(&mut self, packet: Packet) -> Vec<Packet> {
        self.send(Instant::ZERO, Direction::Forward, packet).into_iter().map(|(_, packet)| packet).collect()
    }

    fn backward(&mut self, packet: Packet) -> Vec<Packet> {
        self.send(Instant::ZERO, Direction::Backward, packet).into_iter().map(|(_, packet)| packet).collect()
    }

    fn wait(&mut self, now: Instant) -> Vec<(Direction, Packet)> {
        let mut out = Vec::new();
        self.0.handle_timeout(now, &mut out);
        check(&out);
        out
    }

    fn counters(&self) -> Counters {
        *self.0.counters().next().expect("one box").1
    }
}

fn check(out: &[(Direction, Packet)]) {
    for (_, packet) in out {
        let mut octets = Vec::new();
        packet.emit(&mut octets);
        assert_eq!(verify_checksums(&octets), Ok(()));
    }
}

fn text(word: &str) -> Value {
    word.into()
}

#[test]
fn blanking_keeps_the_length_and_removing_packs_the_rest() {
    // MBOX-21
    let syn =
        with_options(forward(ACK, 1, 1, 10), &[TcpOption::Nop, TcpOption::Nop, timestamps(), dss(9, 10)]);
    let before = tcp(&syn).options.len();
    let blanked = One::new("options", &[]).forward(syn.clone()).remove(0);
    assert_eq!(tcp(&blanked).options.len(), before);
    assert_eq!(tcp(&blanked).options.mptcp().count(), 0);
    assert!(tcp(&blanked).options.parse_all().timestamps.is_some());
    let removed = One::new("options", &[("action", text("remove"))]).forward(syn).remove(0);
    assert_eq!(kinds(&removed), [8, 1, 1]);
}

#[test]
fn zeroed_options_are_still_what_they_were() {
    // MBOX-22
    let join = MpOption::JoinSyn { backup: true, address_id: 3, token: 0x1234_5678, nonce: 9 };
    let syn = with_options(forward(SYN, 0, 0, 0), &[TcpOption::Mptcp(join)]);
    let zeroed = One::new("options", &[("action", text("zero"))]).forward(syn).remove(0);
    let expected = MpOption::JoinSyn { backup: true, address_id: 0, token: 0, nonce: 0 };
    assert_eq!(tcp(&zeroed).options.mptcp().collect::<Vec<_>>(), [expected]);
    let data = with_options(forward(ACK, 0, 0, 9), &[dss(44, 9)]);
    let zeroed = One::new("options", &[("action", text("zero"))]).forward(data).remove(0);
    let parsed = tcp(&zeroed).options.parse_all().dss.expect("still a DSS");
    assert_eq!(parsed.mapping.map(|mapping| (mapping.dsn, mapping.len)), Some((DataNumber::Short(0), 0)));
}

#[test]
fn repeated_options_appear_on_the_next_segment_without_one() {
    // MBOX-20
    let mut one = One::new("options", &[("action", text("repeat"))]);
    let first = with_options(forward(ACK, 0, 0, 9), &[dss(44, 9)]);
    assert_eq!(one.forward(first.clone())[0], first);
    let second = one.forward(with_options(forward(ACK, 9, 0, 0), &[timestamps()])).remove(0);
    assert_eq!(tcp(&second).options.parse_all().dss, tcp(&first).options.parse_all().dss);
    assert!(tcp(&second).options.parse_all().timestamps.is_some());
    assert_eq!(tcp(&one.forward(forward(ACK, 9, 0, 0))[0]).options, TcpOptions::EMPTY);
}

#[test]
fn each_packet_has_one_kind() {
    let mut matcher = |kinds: &str| {
        let mut one = One::new("drop", &[("packets", text(kinds))]);
        let dropped: Vec<bool> = [
            (Direction::Forward, forward(SYN, 0, 0, 0)),
            (Direction::Backward, backward(SYN_ACK, 0, 1, 0)),
            (Direction::Forward, forward(ACK, 1, 1, 5)),
            (Direction::Forward, forward(ACK, 6, 1, 5)),
            (Direction::Backward, backward(ACK, 1, 11, 0)),
            (Direction::Forward, forward(ACK.with(TcpFlags::FIN), 11, 1, 0)),
            (Direction::Backward, backward(TcpFlags::RST, 1, 0, 0)),
        ]
        .into_iter()
        .map(|(direction, packet)| one.send(Instant::ZERO, direction, packet).is_empty())
        .collect();
        dropped.iter().position(|dropped| *dropped).filter(|_| dropped.iter().filter(|d| **d).count() == 1)
    };
    let each: Vec<_> =
        ["syn", "syn-ack", "first-ack", "data", "ack", "fin", "rst"].map(&mut matcher).into_iter().collect();
    assert_eq!(each, (0..7).map(Some).collect::<Vec<_>>());
}

#[test]
fn turns_limits_times_and_ends_select_packets() {
    let survivors = |parameters: &[(&str, Value)]| -> Vec<u32> {
        let mut one = One::new("drop", parameters);
        (0..10)
            .filter(|n| {
                !one.send(at_ms(u64::from(*n) * 100), Direction::Forward, forward(ACK, *n, 0, 1)).is_empty()
            })
            .collect()
    };
    assert_eq!(survivors(&[("every", 4.0.into())]), [0, 1, 2, 4, 5, 6, 8, 9]);
    assert_eq!(survivors(&[("skip", 2.0.into()), ("limit", 1.0.into())]), [0, 1, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(survivors(&[("start", 0.2.into()), ("end", 0.9.into())]), [0, 1, 9]);
    assert_eq!(survivors(&[("near", text("10.0.0.0/8:1000"))]).len(), 0);
    assert_eq!(survivors(&[("far", text(":81"))]).len(), 10);
    assert_eq!(survivors(&[("direction", text("backward"))]).len(), 10);
    assert_eq!(survivors(&[("min_payload", 2.0.into())]).len(), 10);
    let lucky = survivors(&[("probability", 0.5.into())]).len();
    assert!((1..10).contains(&lucky), "{lucky}");
}

#[test]
fn mangling_is_that_of_the_reference_emulator() {
    // MBOX-11, MBOX-18
    let mut one = One::new("payload", &[("min_payload", 900.0.into()), ("every", 3.0.into())]);
    for (number, len) in [(1, 900), (2, 899), (3, 1400), (4, 1400)] {
        let sent = forward(ACK, 1, 1, len);
        let got = one.forward(sent.clone()).remove(0);
        let differs = !tcp(&got).payload.same_octets(&tcp(&sent).payload);
        assert_eq!(differs, number == 4);
        let last = tcp(&sent).payload.byte_at(len - 1).unwrap();
        let expected = if number == 4 { last ^ 0x41 } else { last };
        assert_eq!(tcp(&got).payload.byte_at(len - 1), Some(expected));
    }
    assert_eq!((one.counters().passed, one.counters().changed), (3, 1));
}

#[test]
fn pieces_cover_the_segment_and_keep_options_as_told() {
    // MBOX-13
    for (keep, with_dss) in
        [("all", [true; 3]), ("first", [true, false, false]), ("last", [false, false, true])]
    {
        let mut one = One::new("split", &[("size", 400.0.into()), ("options", text(keep))]);
        let flags = ACK.with(TcpFlags::PSH).with(TcpFlags::FIN);
        let whole = with_options(forward(flags, 100, 1, 1000), &[timestamps(), dss(9, 1000)]);
        let pieces = one.forward(whole.clone());
        let ranges: Vec<_> = pieces.iter().map(|p| (tcp(p).seq.0, tcp(p).payload.len())).collect();
        assert_eq!(ranges, [(100, 400), (500, 400), (900, 200)]);
        assert_eq!(tcp(&pieces[1]).payload, Payload::pattern(5, 500, 400));
        assert_eq!(pieces.iter().map(|p| tcp(p).flags.fin()).collect::<Vec<_>>(), [false, false, true]);
        let found = pieces.iter().map(|p| tcp(p).options.parse_all().dss.is_some());
        assert_eq!(found.collect::<Vec<_>>(), with_dss);
        assert!(pieces.iter().all(|p| tcp(p).options.parse_all().timestamps.is_some()));
        assert_eq!((one.counters().changed, one.counters().released), (1, 2));
    }
}

#[test]
fn adjacent_segments_merge_and_lose_the_options_of_one() {
    // MBOX-14
    for (keep, dsn) in [("first", 10), ("last", 20)] {
        let mut one = One::new("coalesce", &[("options", text(keep)), ("wait", 0.01.into())]);
        assert!(one.forward(with_options(forward(ACK, 100, 1, 50), &[dss(10, 50)])).is_empty());
        assert!(one.forward(with_options(forward(ACK, 150, 2, 50), &[dss(20, 50)])).is_empty());
        assert_eq!(one.0.poll_timeout(), Some(at_ms(10)));
        let merged = one.wait(at_ms(10)).remove(0).1;
        assert_eq!((tcp(&merged).seq, tcp(&merged).ack), (Seq(100), Seq(2)));
        assert_eq!(tcp(&merged).payload, Payload::pattern(5, 100, 100));
        let mapping = tcp(&merged).options.parse_all().dss.and_then(|dss| dss.mapping);
        assert_eq!(mapping.map(|mapping| mapping.dsn), Some(DataNumber::Short(dsn)));
        assert_eq!(one.0.poll_timeout(), None);
    }
}

#[test]
fn a_gap_or_another_packet_ends_a_merge_in_order() {
    let mut one = One::new("coalesce", &[]);
    assert!(one.forward(forward(ACK, 100, 1, 50)).is_empty());
    let out = one.forward(forward(ACK, 200, 1, 50));
    assert_eq!(out.iter().map(|p| tcp(p).seq.0).collect::<Vec<_>>(), [100]);
    let out = one.forward(forward(ACK, 250, 1, 0));
    assert_eq!(out.iter().map(|p| tcp(p).seq.0).collect::<Vec<_>>(), [200, 250]);
}

#[test]
fn both_ends_see_consistent_numbers_behind_an_isn_rewriter() {
    // MBOX-10
    for rewrites_sack in [true, false] {
        let mut one = One::new("isn-rewriter", &[("sack", rewrites_sack.into())]);
        let syn = one.forward(forward(SYN, 100, 0, 0)).remove(0);
        let near = tcp(&syn).seq.0.wrapping_sub(100);
        assert_ne!(near, 0);
        let syn_ack = one.backward(backward(SYN_ACK, 900, tcp(&syn).seq.0.wrapping_add(1), 0)).remove(0);
        assert_eq!(tcp(&syn_ack).ack, Seq(101));
        let far = tcp(&syn_ack).seq.0.wrapping_sub(900);
        let ack = one.forward(forward(ACK, 101, tcp(&syn_ack).seq.0.wrapping_add(1), 0)).remove(0);
        assert_eq!((tcp(&ack).seq.0.wrapping_sub(near), tcp(&ack).ack), (101, Seq(901)));
        let mut blocks = SackBlocks::new();
        assert!(blocks.push(Seq(near.wrapping_add(200)), Seq(near.wrapping_add(300))));
        let sack = with_options(backward(ACK, 901, near.wrapping_add(101), 0), &[TcpOption::Sack(blocks)]);
        let seen = one.backward(sack).remove(0);
        assert_eq!(tcp(&seen).seq.0.wrapping_sub(far), 901);
        let edges = tcp(&seen).options.parse_all().sack.as_slice()[0];
        assert_eq!(edges == (Seq(200), Seq(300)), rewrites_sack);
    }
}

#[test]
fn a_gateway_keeps_both_sides_consistent_when_payload_grows_or_shrinks() {
    // MBOX-12
    for growth in [3_i32, -4] {
        let mut one = One::new(
            "gateway",
            &[("growth", f64::from(growth).into()), ("limit", 1.0.into()), ("direction", text("forward"))],
        );
        let grown = |seq: u32| seq.wrapping_add(growth.cast_unsigned());
        let changed = one.forward(forward(ACK, 100, 1, 50)).remove(0);
        assert_eq!(tcp(&changed).seq, Seq(100));
        assert_eq!(tcp(&changed).payload.len(), grown(50));
        let next = one.forward(forward(ACK, 150, 1, 50)).remove(0);
        assert_eq!((tcp(&next).seq, tcp(&next).payload.len()), (Seq(grown(150)), 50));
        let again = one.forward(forward(ACK, 100, 1, 50)).remove(0);
        assert_eq!(again, changed, "a retransmission is changed alike");
        let acked = |one: &mut One, ack: u32| tcp(&one.backward(backward(ACK, 1, ack, 0))[0]).ack.0;
        assert_eq!(acked(&mut one, grown(200)), 200);
        assert_eq!(acked(&mut one, grown(150)), 150);
        assert_eq!(acked(&mut one, 120), 120);
        if growth > 0 {
            assert_eq!(acked(&mut one, 151), 149, "half of what was added is not enough");
        }
    }
}

#[test]
fn forged_resets_have_the_numbers_told() {
    // MBOX-19
    let mut one = One::new("reset", &[("copy_options", true.into())]);
    let data = with_options(forward(ACK, 100, 500, 50), &[dss(1, 50)]);
    let out = one.send(Instant::ZERO, Direction::Forward, data.clone());
    assert_eq!(out[0], (Direction::Forward, data.clone()));
    let (way, for_receiver) = &out[1];
    assert_eq!(
        (*way, tcp(for_receiver).seq, tcp(for_receiver).flags.rst()),
        (Direction::Forward, Seq(150), true)
    );
    assert_eq!(tcp(for_receiver).options, tcp(&data).options);
    let (way, for_sender) = &out[2];
    assert_eq!((*way, tcp(for_sender).seq, for_sender.ip.dst), (Direction::Backward, Seq(500), data.ip.src));
    assert_eq!(one.forward(for_receiver.clone()).len(), 1, "resets are not answered");
    let guess = [("offset", 200.0.into()), ("victim", text("receiver")), ("swallow", true.into())];
    let out = One::new("reset", &guess).forward(data);
    assert_eq!(out.iter().map(|p| tcp(p).seq.0).collect::<Vec<_>>(), [300]);
}

#[test]
fn handshakes_lose_what_a_box_takes_out() {
    // MBOX-23
    let offered = [
        TcpOption::Mss(1460),
        TcpOption::SackPermitted,
        timestamps(),
        TcpOption::WindowScale(7),
        TcpOption::Mptcp(MpOption::Prio { backup: false, address_id: None }),
    ];
    let syn = with_options(forward(SYN, 1, 0, 0), &offered);
    let everything = [
        ("mss", 1200.0.into()),
        ("no_window_scale", true.into()),
        ("no_timestamps", true.into()),
        ("no_sack", true.into()),
    ];
    let out = One::new("handshake", &everything).forward(syn.clone()).remove(0);
    let parsed = tcp(&out).options.parse_all();
    assert_eq!((parsed.mss, parsed.window_scale, parsed.timestamps), (Some(1200), None, None));
    assert!(!parsed.sack_permitted && parsed.mptcp_other);
    assert_eq!(One::new("handshake", &[("mss", 1460.0.into())]).forward(syn.clone()), [syn]);
}

#[test]
fn windows_shrink_in_units_of_their_scale() {
    // MBOX-24
    let mut one = One::new("window", &[("largest", 1024.0.into())]);
    let scaled = |flags, shift| with_options(forward(flags, 1, 0, 0), &[TcpOption::WindowScale(shift)]);
    assert_eq!(tcp(&one.forward(scaled(SYN, 7))[0]).window, 1000);
    let answer = with_options(backward(SYN_ACK, 1, 2, 0), &[TcpOption::WindowScale(2)]);
    assert_eq!(tcp(&one.backward(answer)[0]).window, 1000);
    assert_eq!(tcp(&one.forward(forward(ACK, 2, 2, 0))[0]).window, 1024 >> 7);
    assert_eq!(tcp(&one.backward(backward(ACK, 2, 2, 0))[0]).window, 1024 >> 2);
}

#[test]
fn an_announced_address_is_replaced_and_its_hmac_kept() {
    // MBOX-33
    let announcement = |address: &str| MpOption::AddAddr {
        nibble: 0,
        address_id: 4,
        address: address.parse().unwrap(),
        port: Some(99),
        hmac: Some(0x0102_0304_0506_0708),
    };
    let mut one = One::new("add-addr-rewriter", &[("address", text("203.0.113.7"))]);
    let sent = with_options(backward(ACK, 1, 1, 0), &[TcpOption::Mptcp(announcement("10.0.0.2"))]);
    let got = one.backward(sent).remove(0);
    assert_eq!(tcp(&got).options.mptcp().collect::<Vec<_>>(), [announcement("203.0.113.7")]);
}

#[test]
fn a_proxy_acknowledges_at_once_and_delivers_later() {
    // MBOX-16
    let mut one = One::new("proactive-ack", &[("delay", 0.02.into()), ("direction", text("forward"))]);
    one.forward(forward(SYN, 0, 0, 0));
    one.backward(backward(SYN_ACK, 500, 1, 0));
    assert_eq!(one.forward(forward(ACK, 1, 501, 10)), [], "the window is not known yet");
    assert_eq!(one.wait(at_ms(20)).len(), 1);
    one.backward(with_options(backward(ACK, 501, 11, 0), &[TcpOption::Nop, TcpOption::Nop, timestamps()]));
    let data = with_options(forward(ACK, 11, 501, 10), &[timestamps()]);
    let out = one.send(at_ms(30), Direction::Forward, data.clone());
    let (way, ack) = &out[0];
    assert_eq!(
        (*way, tcp(ack).seq, tcp(ack).ack, tcp(ack).window),
        (Direction::Backward, Seq(501), Seq(21), 1000)
    );
    assert_eq!(tcp(ack).options.parse_all().timestamps, Some((7, 7)));
    assert_eq!(one.wait(at_ms(49)), []);
    assert_eq!(one.wait(at_ms(50)), [(Direction::Forward, data)]);
    let beyond_a_hole = one.send(at_ms(60), Direction::Forward, forward(ACK, 99, 501, 10));
    assert_eq!(beyond_a_hole, [], "only what is in order is acknowledged");
}

#[test]
fn data_waits_until_the_hole_is_filled_or_patience_ends() {
    // MBOX-31
    let mut one = One::new("resequence", &[("wait", 0.1.into())]);
    let seqs = |out: &[Packet]| out.iter().map(|p| tcp(p).seq.0).collect::<Vec<_>>();
    assert_eq!(seqs(&one.forward(forward(ACK, 100, 1, 10))), [100]);
    assert_eq!(seqs(&one.forward(forward(ACK, 130, 1, 10))), []);
    assert_eq!(seqs(&one.forward(forward(ACK, 120, 1, 10))), []);
    assert_eq!(seqs(&one.forward(forward(ACK, 110, 1, 10))), [110, 120, 130]);
    assert_eq!(seqs(&one.forward(forward(ACK, 160, 1, 10))), []);
    assert_eq!(one.0.poll_timeout(), Some(at_ms(100)));
    assert_eq!(one.wait(at_ms(100)).len(), 1);
    assert_eq!(seqs(&one.forward(forward(ACK, 140, 1, 10))), [140], "old bytes pass");
    assert_eq!(seqs(&one.forward(forward(ACK, 170, 1, 10))), [170]);
}

#[test]
fn bleaching_clears_only_what_it_should() {
    // MBOX-29
    let mut sent = forward(ACK.with(TcpFlags::URG), 1, 1, 5);
    sent.ip.ecn = crate::wire::Ecn::Ce;
    sent.ip.dscp = 10;
    let mut one = One::new("bleach", &[("dscp", 0.0.into()), ("urgent", true.into())]);
    let got = one.forward(sent).remove(0);
    assert_eq!((got.ip.ecn, got.ip.dscp, tcp(&got).flags), (crate::wire::Ecn::NotEct, 0, ACK));
}

#[test]
fn a_syn_proxy_joins_two_connections() {
    // MBOX-28
    let mut one = One::new("syn-proxy", &[]);
    let mp = TcpOption::Mptcp(MpOption::Prio { backup: false, address_id: None });
    let out = one.send(Instant::ZERO, Direction::Forward, with_options(forward(SYN, 100, 0, 0), &[mp]));
    let (way, welcome) = &out[0];
    assert_eq!(
        (*way, out.len(), tcp(welcome).flags, tcp(welcome).ack),
        (Direction::Backward, 1, SYN_ACK, Seq(101))
    );
    assert_eq!(kinds(welcome), [2]);
    let own = tcp(welcome).seq.0;
    let call = one.forward(forward(ACK, 101, own.wrapping_add(1), 0)).remove(0);
    assert_eq!((tcp(&call).flags, tcp(&call).seq), (SYN, Seq(100)));
    assert!(one.forward(forward(ACK, 101, own.wrapping_add(1), 10)).is_empty(), "data waits");
    let out = one.send(Instant::ZERO, Direction::Backward, backward(SYN_ACK, 7000, 101, 0));
    let seen: Vec<_> = out.iter().map(|(way, p)| (*way, tcp(p).ack.0, tcp(p).payload.len())).collect();
    assert_eq!(seen, [(Direction::Forward, 7001, 0), (Direction::Forward, 7001, 10)]);
    let answer = one.backward(backward(ACK, 7001, 111, 20)).remove(0);
    assert_eq!(tcp(&answer).seq.0, own.wrapping_add(1));
    let last = one.forward(forward(ACK, 111, own.wrapping_add(21), 0)).remove(0);
    assert_eq!(tcp(&last).ack, Seq(7021));
}

fn open(one: &mut One) {
    assert_eq!(one.forward(forward(SYN, 100, 0, 0)).len(), 1);
    assert_eq!(one.backward(backward(SYN_ACK, 900, 101, 0)).len(), 1);
    assert_eq!(one.forward(forward(ACK, 101, 901, 0)).len(), 1);
}

#[test]
fn a_firewall_lets_in_only_what_belongs_to_a_connection_from_inside() {
    // NET-19
    let mut one = One::new("firewall", &[]);
    assert!(one.backward(backward(SYN, 1, 0, 0)).is_empty());
    assert!(one.backward(backward(ACK, 1, 1, 10)).is_empty());
    open(&mut one);
    assert_eq!(one.backward(backward(ACK, 901, 101, 10)).len(), 1);
    assert!(one.backward(backward(ACK, 901 + 1_000_000, 101, 10)).is_empty(), "outside the window");
    assert!(one.backward(backward(TcpFlags::RST, 901 + 5000, 0, 0)).is_empty(), "a guessed reset");
    let (_, element) = one.0.elements().next().unwrap();
    let expected = [("unsolicited", 1), ("unknown", 1), ("out_of_window", 2), ("options", 0), ("expired", 0)];
    assert_eq!(element.details(), expected);
    let mut open_port = One::new("firewall", &[("open_ports", text("999, 1000"))]);
    assert_eq!(open_port.backward(backward(SYN, 1, 0, 0)).len(), 1);
}

#[test]
fn an_idle_connection_is_forgotten_by_the_firewall() {
    // MBOX-26, NET-19
    for (refusal, answers) in [("drop", 0), ("reset", 1)] {
        let mut one = One::new("firewall", &[("idle_timeout", 30.0.into()), ("refusal", text(refusal))]);
        open(&mut one);
        let at = |secs| Instant::ZERO + Duration::from_secs(secs);
        assert_eq!(one.send(at(29), Direction::Forward, forward(ACK, 101, 901, 10)).len(), 1);
        let late = one.send(at(59), Direction::Forward, forward(ACK, 111, 901, 10));
        assert_eq!(late.len(), answers);
        assert!(late.iter().all(|(way, p)| *way == Direction::Backward && tcp(p).flags.rst()));
        let mut loose = One::new("firewall", &[("idle_timeout", 30.0.into()), ("pick_up", true.into())]);
        open(&mut loose);
        assert_eq!(loose.send(at(59), Direction::Forward, forward(ACK, 111, 901, 10)).len(), 1);
    }
}

#[test]
fn a_firewall_knows_only_classic_options() {
    // MBOX-08, NET-19
    let capable = MpOption::Prio { backup: false, address_id: None };
    let syn = with_options(forward(SYN, 1, 0, 0), &[TcpOption::Mss(1460), TcpOption::Mptcp(capable)]);
    assert!(One::new("firewall", &[("options", text("drop"))]).forward(syn.clone()).is_empty());
    let out = One::new("firewall", &[("options", text("blank"))]).forward(syn).remove(0);
    assert_eq!(kinds(&out), [2, 1, 1, 1]);
}

#[test]
fn boxes_in_a_row_are_met_in_the_order_of_the_path() {
    let mut chain = Chain::new();
    let limit = |size: f64| Parameters::new().with("size", size);
    chain.push("coarse", create("split", &limit(60.0), stream()).unwrap());
    chain.push("fine", create("split", &limit(25.0), stream()).unwrap());
    let mut run = |direction, packet: Packet| {
        let mut out = Vec::new();
        chain.handle(Instant::ZERO, direction, packet, &mut out);
        out.iter().map(|(_, p)| tcp(p).payload.len()).collect::<Vec<_>>()
    };
    assert_eq!(run(Direction::Forward, forward(ACK, 1, 1, 100)), [25, 25, 10, 25, 15]);
    assert_eq!(run(Direction::Backward, backward(ACK, 1, 1, 100)), [25, 25, 25, 25]);
    let counters: Vec<_> = chain.counters().map(|(name, counters)| (name, counters.seen)).collect();
    assert_eq!(counters, [("coarse", 5), ("fine", 3)]);
}

#[test]
fn every_entry_builds_and_accepts_its_whole_range() {
    assert!(list().is_sorted_by_key(|entry| entry.name));
    for entry in list() {
        let needed = match entry.name {
            "nat" => Parameters::new().with("pool", "192.0.2.1"),
            "add-addr-rewriter" => Parameters::new().with("address", "192.0.2.1"),
            _ => Parameters::new(),
        };
        create(entry.name, &needed, stream()).unwrap_or_else(|error| panic!("{error}"));
        for (index, parameter) in entry.all_parameters().enumerate() {
            let earlier = entry.all_parameters().take(index).find(|other| other.name == parameter.name);
            assert!(earlier.is_none(), "{} has {} twice", entry.name, parameter.name);
            let values: Vec<Value> = match parameter.kind {
                Kind::Choice(words) => words.iter().map(|word| text(word)).collect(),
                Kind::Number { min, max, .. } => vec![min.into(), max.into()],
                Kind::Integer { min, max, .. } => vec![(min as f64).into(), (max as f64).into()],
                Kind::Switch { .. } => vec![true.into(), false.into()],
                Kind::Text(_) => continue,
            };
            for value in values {
                // The two ends of the port range of a NAT must not cross.
                let given = needed.clone().with(parameter.name, value).with_range_for(parameter.name);
                let made = create(entry.name, &given, stream());
                assert!(made.is_ok(), "{} {}: {made:?}", entry.name, parameter.name);
            }
        }
    }
}

trait WithRange {
    fn with_range_for(self, name: &str) -> Self;
}

impl WithRange for Parameters {
    fn with_range_for(self, name: &str) -> Self {
        if name == "last_port" { self.with("first_port", 1.0) } else { self }
    }
}

#[test]
fn wrong_names_and_values_say_what_would_be_right() {
    let message = |name: &str, parameters: Parameters| {
        create(name, &parameters, stream()).map_or_else(|error| error.to_string(), |made| format!("{made:?}"))
    };
    let given = Parameters::new;
    assert!(message("spilt", given()).contains("(did you mean \"split\"?)"));
    assert!(message("split", given().with("sizes", 1.0)).contains("(did you mean \"size\"?)"));
    assert_eq!(
        message("split", given().with("size", 0.0)),
        "split: size = 0 is not possible; it must be a whole number from 1 to 65535"
    );
    assert_eq!(
        message("drop", given().with("packets", "sin")),
        "drop: packets = \"sin\" is not possible; it must be a list of rst, syn, syn-ack, first-ack, data, fin, \
         ack, other"
    );
    assert_eq!(message("nat", given()), "nat: a NAT needs at least one external address");
    assert_eq!(message("add-addr-rewriter", given()), "add-addr-rewriter: address is required");
}
