//! The packet scripts of this project run as their lines say, with every kind of addresses.

use std::path::{Path, PathBuf};

use scenarios::script::run::Variant;
use scenarios::script::{Definitions, Script};

fn scripts(directory: &Path, found: &mut Vec<PathBuf>) {
    let mut paths: Vec<_> = std::fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort_unstable();
    for path in paths {
        if path.is_dir() {
            scripts(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "pkt") {
            found.push(path);
        }
    }
}

fn parse(text: &str) -> Script {
    Script::parse("own.pkt", text, &Definitions::new()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn our_scripts_pass() {
    let mut files = Vec::new();
    scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../mptcp-model/scripts"), &mut files);
    assert!(files.len() >= 15, "only {} scripts", files.len());
    let mut failures = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy();
        let script = match Script::parse(&name, &text, &Definitions::new()) {
            Ok(script) => script,
            Err(error) => {
                failures.push(error.to_string());
                continue;
            }
        };
        for variant in Variant::ALL.into_iter().filter(|variant| variant.suits(&script)) {
            if let Err(failure) = script.run(variant, true, 1) {
                failures.push(format!("{}: {failure}", variant.name()));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

const OPENING: &str = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 1000 <mss 1000>
";

fn fails(lines: &str) -> String {
    let failure = parse(&format!("{OPENING}{lines}")).run(Variant::Ipv4, false, 1).unwrap_err();
    failure.to_string()
}

#[test]
fn what_differs_is_told_with_its_line() {
    let wrong_packet = fails("+0 > S. 0:0(0) ack 1 <mss 1450>");
    assert!(wrong_packet.starts_with("own.pkt:5: expected > S. 0:0(0) ack 1 <mss 1450>"), "{wrong_packet}");
    assert!(wrong_packet.contains("seen > S. 0:0(0) ack 1 win"), "{wrong_packet}");
    let too_late = fails("+0.5 > S. 0:0(0) ack 1 <mss 1460>");
    assert!(too_late.contains("at 0.500001 s\n    seen"), "{too_late}");
    let nothing = fails("+0 > S. 0:0(0) ack 1 <mss 1460>\n+0 > . 1:1(0) ack 1");
    assert!(nothing.contains("seen nothing until"), "{nothing}");
    let wrong_result = fails("+0 close(3) = -1 EBADF");
    assert!(wrong_result.contains("returned 0; expected -1 EBADF"), "{wrong_result}");
    let blocked = fails("+0 accept(3, ..., ...) = 4");
    assert!(blocked.contains("has not returned"), "{blocked}");
    let code = fails("+0 > S. 0:0(0) ack 1 <mss 1460>\n+0 %{ assert tcpi_snd_cwnd == 3 }%");
    assert!(code.contains("seen tcpi_snd_cwnd = 10"), "{code}");
}

#[test]
fn what_is_not_simulated_is_an_error() {
    assert!(fails("+0 `sysctl -q net.ipv4.tcp_tso_win_divisor=4`").contains("is not simulated"));
    assert!(fails("+0 setsockopt(3, SOL_TCP, TCP_MD5SIG, [1], 4) = 0").contains("is not simulated"));
    let statistics = "[SOF_TIMESTAMPING_OPT_STATS|SOF_TIMESTAMPING_OPT_TSONLY]";
    let statistics = format!("+0 setsockopt(3, SOL_SOCKET, SO_TIMESTAMPING, {statistics}, 4) = 0");
    assert!(fails(&statistics).contains("not simulated"));
    assert!(fails("+0 send(3, ..., 10, MSG_TRUNC) = 10").contains("not simulated"));
    assert!(
        fails("+0 %{ assert tcpi_accecn_fail_mode == 0 }%").contains("unknown name `tcpi_accecn_fail_mode`")
    );
    assert!(fails("+0 `test $(nstat -zjs | jq '.kernel.TcpExtFoo') -eq 0`").contains("is not counted"));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let script = parse(&format!("{OPENING}+0 > S. 0:0(0) ack 1 <mss 1450>"));
    let run = || script.run(Variant::Ipv4, false, 7).unwrap_err();
    assert_eq!(run(), run());
}

#[test]
fn dctcp_tells_of_each_run_of_marks_when_it_ends() {
    // RFC 8257, section 3.2; all packets are ECN-capable.
    let script = "`sysctl -q net.ipv4.tcp_congestion_control=dctcp`
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < [ect0] SEW 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
+0 > [ect0] SE. 0:0(0) ack 1 <...>
+0.1 < [ect0] . 1:1(0) ack 1 win 257
+0 accept(3, ..., ...) = 4
+0.01 < [ect0] . 1:1001(1000) ack 1 win 257
+0 > [ect0] . 1:1(0) ack 1001
+0.01 < [ce] . 1001:2001(1000) ack 1 win 257
+0 > [ect0] E. 1:1(0) ack 2001
+0.01 < [ce] . 2001:3001(1000) ack 1 win 257
+0 > [ect0] E. 1:1(0) ack 3001
+0.01 < [ect0] . 3001:4001(1000) ack 1 win 257
+0 > [ect0] . 1:1(0) ack 4001
+0 read(4, ..., 4000) = 4000
+0 write(4, ..., 1000) = 1000
+0 > [ect0] P. 1:1001(1000) ack 4001
+0.01 < [ect0] . 4001:4001(0) ack 1001 win 257
// From now on ACKs wait; what came unmarked is acknowledged before what came marked.
+0.001 < [ect0] . 4001:4501(500) ack 1001 win 257
+0.001 < [ce] . 4501:5001(500) ack 1001 win 257
+0 > [ect0] . 1001:1001(0) ack 4501
+0 > [ect0] E. 1001:1001(0) ack 5001
// After a window of one segment without marks the average is 15/16; after one of ten with nothing but marks 964/1024, half of
// which is taken from ten segments.
+0 write(4, ..., 10000) = 10000
+0 > [ect0] PE. 1001:3001(2000) ack 5001
+0 > [ect0] PE. 3001:5001(2000) ack 5001
+0 > [ect0] PE. 5001:7001(2000) ack 5001
+0 > [ect0] PE. 7001:9001(2000) ack 5001
+0 > [ect0] PE. 9001:11001(2000) ack 5001
+0.01 < [ect0] E. 5001:5001(0) ack 11001 win 257
+0 %{ assert tcpi_snd_ssthresh == 6; assert tcpi_ca_state == 2 }%
+0 write(4, ..., 1000) = 1000
+0 > [ect0] PEW. 11001:12001(1000) ack 5001
";
    if let Err(failure) = parse(script).run(Variant::Ipv4, false, 1) {
        panic!("{failure}");
    }
}
