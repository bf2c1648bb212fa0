//! The language of packet scripts: every construct is read, printed and read again.

use std::net::IpAddr;

use mptcp_model::wire::{Ecn, TcpFlags};
use scenarios::script::ast::{
    Action, BodySpec, Call, Expression, IcmpKind, OptionsSpec, Quoted, Setting, TcpSpec, Time,
};
use scenarios::script::command::{Command, EndpointMode};
use scenarios::script::option::{DataNumberSpec, DssSpec, HmacSpec, TokenSpec, Width};
use scenarios::script::sysctl::SysctlValue;
use scenarios::script::{Definitions, Direction, OptionSpec, PacketSpec, Script, ScriptError};
use scenarios::words;
use sim_core::Duration;

fn read(text: &str) -> Result<Script, ScriptError> {
    Script::parse("own.pkt", text, &Definitions::new())
}

/// The script, which prints to a text that means the same.
#[track_caller]
fn script(text: &str) -> Script {
    let script = read(text).unwrap_or_else(|error| panic!("{error}"));
    let printed = script.to_string();
    let again = read(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
    assert_eq!(again.settings, script.settings);
    assert_eq!(again.to_string(), printed);
    for (first, second) in script.events.iter().zip(&again.events) {
        assert_eq!(first.time, second.time);
        match (&first.action, &second.action) {
            (Action::Shell(first), Action::Shell(second)) => assert_eq!(first.commands, second.commands),
            (first, second) => assert_eq!(first, second),
        }
    }
    script
}

#[track_caller]
fn action(text: &str) -> Action {
    script(&format!("+0 {text}")).events.remove(0).action
}

#[track_caller]
fn call(text: &str) -> Call {
    let Action::Call(call) = action(text) else { panic!("not a call: {text}") };
    assert_eq!(call.to_string(), text);
    call
}

/// A packet that prints as it was written.
#[track_caller]
fn packet(text: &str) -> PacketSpec {
    let packet = PacketSpec::parse(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(packet.to_string(), text);
    packet
}

#[track_caller]
fn tcp(text: &str) -> TcpSpec {
    match packet(text).body {
        BodySpec::Tcp(tcp) => tcp,
        other => panic!("not TCP: {other:?}"),
    }
}

/// An option that prints as it was written.
#[track_caller]
fn option(text: &str) -> OptionSpec {
    let option = OptionSpec::parse(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(option.to_string(), text);
    option
}

/// Line, column, message and help of the first mistake.
#[track_caller]
fn mistake(text: &str, place: (usize, usize), message: &str, help: &str) {
    let error = read(text).expect_err("a mistake");
    assert_eq!((error.position.line, error.position.column), place, "{error}");
    assert!(error.message.contains(message), "{error}");
    assert!(error.help.contains(help), "{error}");
    assert!(error.to_string().starts_with(&format!("own.pkt:{}:{}: ", place.0, place.1)));
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn settings_stand_at_the_top() {
    let text = "--tolerance_usecs=100000\n--local_ip=10.0.0.1\n--remote_ip=fd00::2\n--strict_segments\n\
                --tcp_ts_tick_usecs=1000\n--tcp_ts_ecr_scaled\n0 close(3) = 0\n";
    let script = script(text);
    assert_eq!(script.to_string(), text);
    assert_eq!(
        script.settings,
        [
            Setting::Tolerance(ms(100)),
            Setting::LocalIp(IpAddr::from([10, 0, 0, 1])),
            Setting::RemoteIp("fd00::2".parse().unwrap()),
            Setting::StrictSegments,
            Setting::TimestampTick(ms(1)),
            Setting::TimestampEchoScaled,
        ]
    );
    assert_eq!(script.tolerance(), ms(100));
    assert_eq!(script.setup().local, IpAddr::from([10, 0, 0, 1]));
    assert_eq!(read("0 close(3) = 0").unwrap().tolerance(), Duration::from_micros(4000));
}

#[test]
fn comments_are_passed_over() {
    let text =
        "// one\n/* two\nlines */ # three\n0 close(3) = 0 // four\n# five\n+1 > . /* six */ 1:1(0) ack 1";
    let script = script(text);
    assert_eq!(script.to_string(), "0 close(3) = 0\n+1 > . 1:1(0) ack 1\n");
    assert_eq!(script.events[1].position.line, 6);
}

#[test]
fn times_have_seven_forms() {
    for (text, time) in [
        ("0.1", Time::Absolute(ms(100))),
        ("+0.25", Time::Relative(ms(250))),
        ("0.1~0.2", Time::AbsoluteRange(ms(100), ms(200))),
        ("+0~+1", Time::RelativeRange(ms(0), ms(1000))),
        ("0.1...0.5", Time::AbsoluteBlocking(ms(100), ms(500))),
        ("+0...0.6", Time::RelativeBlocking(ms(0), ms(600))),
        ("*", Time::Any),
    ] {
        let script = script(&format!("{text} close(3) = 0"));
        assert_eq!(script.events[0].time, time);
        assert_eq!(script.to_string(), format!("{text} close(3) = 0\n"));
    }
    assert_eq!(script("+.1 close(3) = 0").events[0].time, Time::Relative(ms(100)));
    for too_long in ["315360001", "99999999999999999", "99999999999999999999999"] {
        assert!(Script::parse("t", &format!("{too_long} close(3) = 0"), &Definitions::new()).is_err());
    }
    assert_eq!(script("+0.000000001 close(3) = 0").to_string(), "+0.000000001 close(3) = 0\n");
}

#[test]
fn calls_have_numbers_names_texts_and_macros() {
    let bind =
        call("bind(3, {sa_family=AF_INET, sin_port=htons(8080), sin_addr=inet_addr(\"10.0.0.1\")}, ...) = 0");
    assert_eq!(bind.name, "bind");
    let Expression::Struct(fields) = &bind.arguments[1] else { panic!("{bind:?}") };
    assert_eq!(fields[1].name.as_deref(), Some("sin_port"));
    let eight = Expression::Integer { value: 8080, hex: false };
    assert_eq!(fields[1].value, Expression::Macro("htons".to_owned(), vec![eight]));
    assert_eq!(bind.arguments[2], Expression::Ellipsis);
    call("socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_MPTCP) = 3");
    call("write(4, \"a \\\"text\\\"\\n\", 8) = 8");
    call("open(\"/dev/null\", O_RDONLY) = 5");
    call("getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0");
    call("setsockopt(3, SOL_SOCKET, SO_SNDTIMEO, {tv_sec=1, tv_usec=-5}, 16) = 0");
    call("poll([{fd=4, events=POLLIN|POLLOUT, revents=POLLOUT}], 1, 0) = 1");
    call("recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 0}], msg_flags=0}, 0) = 0");
    call("sendto(3, ..., 500, MSG_FASTOPEN, ..., ...) = 500");
    call("epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLOUT, fd=4}) = 0");
    assert_eq!(
        action("fcntl(3, F_SETFL, 010) = 0").to_string(),
        "fcntl(3, F_SETFL, 8) = 0",
        "octal numbers are numbers"
    );
}

#[test]
fn results_have_error_numbers_and_remarks() {
    let connect = call("connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)");
    assert_eq!(connect.errno.as_deref(), Some("EINPROGRESS"));
    assert_eq!(connect.note.as_deref(), Some("Operation now in progress"));
    assert_eq!(call("connect(3, ..., ...) = -1 (it (really) fails)").errno, None);
    let flags = call("fcntl(3, F_GETFL) = 0x2 (flags O_RDWR)");
    assert_eq!(flags.result, Expression::Integer { value: 2, hex: true });
    assert_eq!(flags.note.as_deref(), Some("flags O_RDWR"));
}

#[test]
fn definitions_stand_for_values() {
    let definitions: Definitions =
        [("LEVEL", "SOL_SOCKET"), ("COOKIE", "a1b2"), ("SIZE", "7"), ("CODE", "frag_needed")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    let text = "0 setsockopt(3, LEVEL, SO_MARK, [SIZE], 4) = 0\n+0 < S 0:0(0) win SIZE <FO COOKIE>\n\
                +0 < [1:1(0)] icmp unreachable CODE mtu 1200\n";
    let script = Script::parse("own.pkt", text, &definitions).unwrap();
    assert_eq!(
        script.to_string(),
        "0 setsockopt(3, SOL_SOCKET, SO_MARK, [7], 4) = 0\n+0 < S 0:0(0) win 7 <FO a1b2>\n\
         +0 < [1:1(0)] icmp unreachable frag_needed mtu 1200\n"
    );
    let definitions: Definitions = [("N".to_owned(), "1 2".to_owned())].into();
    let error = Script::parse("own.pkt", "0 close(N) = 0", &definitions).unwrap_err();
    assert_eq!((error.position.line, error.position.column), (1, 9), "{error}");
}

#[test]
fn segments_have_flags_numbers_window_and_urgent_pointer() {
    let segment = tcp("< SFPRUEWA. 5:15(10) ack 7 win 65535 urg 3");
    assert_eq!(segment.flags, TcpFlags(TcpFlags::MASK));
    assert_eq!((segment.range.first, segment.range.len), (5, 10));
    assert_eq!((segment.ack, segment.window, segment.urgent), (Some(7), Some(65535), Some(3)));
    assert_eq!(tcp("> - 1:1(0)").flags, TcpFlags::default());
    let reset = tcp("> R 1:1(0) win 0");
    assert_eq!((reset.flags, reset.ack), (TcpFlags::RST, None));
    assert_eq!(tcp("> P. 4294967295:4(5) ack 1").range.len, 5, "sequence numbers wrap");
    assert_eq!(tcp("> . 1:1(0) ack 1 <...>").options, OptionsSpec::Any);
    assert_eq!(tcp("> . 1:1(0) ack 1").options, OptionsSpec::List(Vec::new()));
}

#[test]
fn ip_headers_have_ecn_and_type_of_service() {
    for (word, ecn) in [("ect0", Ecn::Ect0), ("ect1", Ecn::Ect1), ("ce", Ecn::Ce), ("noecn", Ecn::NotEct)] {
        let ip = packet(&format!("> [{word}] . 1:1(0) ack 1")).ip;
        assert_eq!((ip.ecn, ip.tos), (Some(ecn), None));
    }
    assert_eq!(packet("> [tos 0x10] . 1:1(0) ack 1").ip.tos, Some(0x10));
}

#[test]
fn endpoints_have_names_on_either_side_or_both() {
    let both = packet("< addr[caddr1] > addr[saddr0] S 0:0(0) win 1000").endpoints.unwrap();
    assert_eq!(both.source.unwrap().name, "caddr1");
    assert_eq!(both.destination.unwrap().name, "saddr0");
    let destination = packet("> > addr[saddr1] . 1:1(0) ack 1").endpoints.unwrap();
    assert!(destination.source.is_none());
    let source = packet("> addr[saddr1] > . 1:1(0) ack 1").endpoints.unwrap();
    assert!(source.destination.is_none());
    let fixed = packet("> addr[a=inet6_addr(\"2001:db8::c1a0\")] > . 1:1(0) ack 1").endpoints.unwrap();
    assert_eq!(fixed.source.unwrap().value, Some("2001:db8::c1a0".parse().unwrap()));
}

#[test]
fn icmp_and_udp_have_short_forms() {
    let too_big = packet("< [1:1001(1000)] icmp unreachable frag_needed mtu 1200");
    let BodySpec::Icmp(icmp) = too_big.body else { panic!("{too_big:?}") };
    assert!(matches!(icmp.quoted, Some(Quoted::Tcp(range)) if range.len == 1000));
    assert_eq!((icmp.kind, icmp.mtu), (IcmpKind::FragmentationNeeded, Some(1200)));
    packet("< [udp (100)] icmp unreachable port_unreachable");
    packet("< icmp time_exceeded");
    packet("< icmp unreachable host_unreachable");
    assert_eq!(packet("> udp (100)").body, BodySpec::Udp { len: 100 });
}

#[test]
fn tcp_options_read_as_they_print() {
    assert_eq!(option("mss 1460"), OptionSpec::Mss(1460));
    assert_eq!(option("wscale 8"), OptionSpec::WindowScale(8));
    assert_eq!(option("sackOK"), OptionSpec::SackOk);
    assert_eq!(option("nop"), OptionSpec::Nop);
    assert_eq!(option("eol"), OptionSpec::EndOfList);
    assert_eq!(option("TS val 100 ecr 700"), OptionSpec::Timestamps { val: 100, ecr: 700 });
    assert_eq!(option("sack 1:11 21:31"), OptionSpec::Sack(vec![(1, 11), (21, 31)]));
    assert_eq!(option("FO"), OptionSpec::FastOpen { experimental: false, cookie: Vec::new() });
    assert_eq!(option("FO 00ff"), OptionSpec::FastOpen { experimental: false, cookie: vec![0, 255] });
    assert_eq!(option("FOEXP 12"), OptionSpec::FastOpen { experimental: true, cookie: vec![0x12] });
    assert_eq!(option("md5"), OptionSpec::Md5(None));
    assert_eq!(
        option("md5 000102030405060708090a0b0c0d0e0f"),
        OptionSpec::Md5(Some(std::array::from_fn(|i| i as u8)))
    );
    assert_eq!(option("kind 77 0102"), OptionSpec::Other { kind: 77, body: vec![1, 2] });
}

#[test]
fn mpcapable_has_version_flags_keys_and_a_length() {
    for text in [
        "mpcapable v1 flags[flag_h] nokey",
        "mpcapable v1 flags[flag_b, flag_h] nokey",
        "mpcapable v0 flags 0x0 key[ckey=2]",
        "mpcapable v1 flags[flag_a, flag_h] key[skey]",
        "mpcapable v1 flags[flag_h] key[ckey=2, skey]",
        "mpcapable v1 flags[flag_h] key[skey, ckey] mpcdatalen 1000",
        "mpcapable v1 flags[flag_h] key[skey, ckey] mpcdatalen 1000 csum",
    ] {
        option(text);
    }
    let OptionSpec::Capable(capable) = OptionSpec::parse("mpcapable v1 flags 0x41 key[a=0x10, b]").unwrap()
    else {
        panic!("not mpcapable")
    };
    assert_eq!((capable.version, capable.flags), (1, 0x41));
    assert_eq!((capable.keys[0].name.as_str(), capable.keys[0].value), ("a", Some(16)));
    assert_eq!((capable.keys[1].name.as_str(), capable.keys[1].value), ("b", None));
}

#[test]
fn dss_has_its_parts_in_one_order() {
    let all = option("dss dack8=1001 dsn4=1 ssn=1 dll=500 nocs fin");
    let number = |width, value| Some(DataNumberSpec { width, value });
    assert_eq!(
        all,
        OptionSpec::Dss(DssSpec {
            data_ack: number(Width::Eight, Some(1001)),
            dsn: number(Width::Four, Some(1)),
            ssn: Some(1),
            data_len: Some(500),
            no_checksum: true,
            fin: true,
        })
    );
    let OptionSpec::Dss(bare) = option("dss dack4 dsn8 nocs") else { panic!("not dss") };
    assert_eq!((bare.data_ack, bare.dsn), (number(Width::Four, None), number(Width::Eight, None)));
    option("dss dack8=1001 ssn=1 dll=0 nocs");
    option("dss dsn8=18446744073709551615 ssn=0 dll=1 nocs fin");
    option("dss");
}

#[test]
fn joins_have_three_forms() {
    let OptionSpec::JoinSyn { backup, address_id, nonce, token } =
        option("mp_join_syn backup=1 address_id=2 rand=7 token=sha256_32(skey)")
    else {
        panic!("not a join")
    };
    assert_eq!(
        (backup, address_id, nonce, token),
        (true, Some(2), Some(7), TokenSpec::Hash("skey".to_owned()))
    );
    option("mp_join_syn backup=0 address_id=1 token=auto");
    option("mp_join_syn backup=0 token=1");
    option("mp_join_syn_ack backup=0 address_id=0 sender_hmac=auto");
    option("mp_join_syn_ack backup=1 address_id=0 sender_hmac=0x1234");
    option("mp_join_ack sender_hmac=auto");
    option("mp_join_ack sender_hmac=000102030405060708090a0b0c0d0e0f10111213");
    let without = OptionSpec::parse("mp_join_syn address_id=1 token=auto").unwrap();
    assert!(matches!(without, OptionSpec::JoinSyn { backup: false, .. }));
}

#[test]
fn add_address_has_id_address_port_and_hmac_or_echo() {
    let OptionSpec::AddAddress { address_id, address, port, hmac } =
        option("add_address address_id=1 addr[saddr1] port=8081 hmac=auto")
    else {
        panic!("not add_address")
    };
    assert_eq!((address_id, port, hmac), (Some(1), Some(8081), Some(HmacSpec::Auto)));
    assert_eq!((address.name.as_str(), address.value), ("saddr1", None));
    option("add_address addr[ep=inet_addr(\"198.51.100.2\")] hmac=0x7");
    option("add_address address_id=1 addr[ep=inet6_addr(\"2001:db8::c1a0\")] addr_echo");
}

#[test]
fn the_remaining_mptcp_options_read_as_they_print() {
    assert_eq!(option("mp_reset 1"), OptionSpec::Reset { reason: 1, flags: 0 });
    assert_eq!(option("mp_reset 0 flags[flag_t]"), OptionSpec::Reset { reason: 0, flags: 1 });
    assert_eq!(option("mp_fastclose"), OptionSpec::FastClose(None));
    option("mp_fastclose ckey=42");
    option("mp_fastclose skey");
    assert_eq!(option("mp_prio backup=1"), OptionSpec::Prio { backup: true, address_id: None });
    assert_eq!(
        option("mp_prio backup=0 address_id=3"),
        OptionSpec::Prio { backup: false, address_id: Some(3) }
    );
    assert_eq!(option("mp_fail dsn8=1001"), OptionSpec::Fail { dsn: 1001 });
    assert_eq!(option("remove_address address_id=[1,2]"), OptionSpec::RemoveAddress(vec![1, 2]));
}

#[track_caller]
fn commands(text: &str) -> Vec<Command> {
    match action(&format!("`{text}`")) {
        Action::Shell(shell) => shell.commands,
        other => panic!("not a command: {other:?}"),
    }
}

#[test]
fn the_first_shell_block_has_no_time() {
    let script = script("`../common/defaults.sh\nsysctl -q net.ipv4.tcp_syn_retries=1`\n0 close(3) = 0");
    let init = script.init.unwrap();
    assert_eq!(init.position.column, 1);
    let [Command::Defaults, Command::Sysctl(settings)] = &init.commands[..] else { panic!("{init:?}") };
    assert_eq!(settings[0].to_string(), "net.ipv4.tcp_syn_retries=1");
    assert_eq!(script.events.len(), 1);
}

#[test]
fn helper_commands_are_known_by_their_names() {
    assert_eq!(
        commands("../common/client.sh; ./server.sh && multi-ep.sh -e 2 -m subflow -b"),
        [
            Command::Client,
            Command::Server,
            Command::MultiEndpoint { count: 2, mode: EndpointMode::Subflow, backup: true },
        ]
    );
    assert_eq!(
        commands("multi-ep.sh -e 0 # limits only"),
        [Command::MultiEndpoint { count: 0, mode: EndpointMode::Signal, backup: false }]
    );
    assert_eq!(commands("nstat -n"), [Command::ResetCounters]);
    assert_eq!(
        commands("test $(nstat -zjs | jq '.kernel.MPTcpExtMPCapableSYNRX') -eq 1"),
        [Command::CheckCounter { counter: "MPTcpExtMPCapableSYNRX".to_owned(), value: 1 }]
    );
    assert_eq!(commands("/tmp/sysctl_restore_${PPID}.sh"), [Command::RestoreSysctls]);
}

#[test]
fn settings_of_the_stack_have_typed_values() {
    let [Command::Sysctl(settings)] = &commands(
        "sysctl -q -w net.ipv4.tcp_fastopen=0x602 net.ipv4.tcp_rmem=\"4096 1 2\" net.mptcp.scheduler=default",
    )[..] else {
        panic!("not sysctl")
    };
    let values: Vec<_> = settings.iter().map(|setting| setting.value.clone()).collect();
    assert_eq!(
        values,
        [
            SysctlValue::Number(0x602),
            SysctlValue::Triple([4096, 1, 2]),
            SysctlValue::Text("default".to_owned())
        ]
    );
    let [Command::Sysctl(settings)] = &commands("../set_sysctls.py /proc/sys/net/ipv4/tcp_timestamps=0")[..]
    else {
        panic!("not sysctl")
    };
    assert_eq!((settings[0].name, &settings[0].value), ("net.ipv4.tcp_timestamps", &SysctlValue::Number(0)));
    for setting in scenarios::script::sysctl::defaults() {
        assert_eq!(setting.to_string().parse(), Ok(setting));
    }
}

#[test]
fn endpoint_commands_are_those_of_ip_mptcp() {
    let all = commands("ip mptcp endpoint flush; ip -6 mptcp endpoint add 2001:db8::2 id 5 signal");
    assert_eq!(all[0], Command::Mptcp(words::Command::EndpointFlush));
    let Command::Mptcp(words::Command::EndpointAdd(endpoint)) = &all[1] else { panic!("{all:?}") };
    assert_eq!((endpoint.id, endpoint.address), (Some(5), "2001:db8::2".parse().unwrap()));
}

#[test]
fn code_is_kept_and_its_assertions_are_evaluated() {
    let text = "%{\nassert tcpi_snd_cwnd == 10, tcpi_snd_cwnd\nassert 5 <= tcpi_unacked < 2 * 4 and not tcpi_lost; \
                assert (tcpi_options & 0x20) != 0, 'no; \\'SYN data\\''\nassert tcpi_rtt > 1 \\\n  or tcpi_rtt == -1 }%";
    let Action::Code(code) = action(text) else { panic!("not code") };
    assert_eq!(code.to_string(), text);
    assert_eq!(code.assertions.len(), 4);
    assert_eq!(code.assertions[0].text, "tcpi_snd_cwnd == 10");
    assert_eq!(code.assertions[0].message.as_deref(), Some("tcpi_snd_cwnd"));
    assert_eq!(code.assertions[2].message.as_deref(), Some("'no; \\'SYN data\\''"));
    let values = |cwnd: i64, unacked: i64| {
        move |name: &str| match name {
            "tcpi_snd_cwnd" => Some(cwnd),
            "tcpi_unacked" => Some(unacked),
            "tcpi_lost" => Some(0),
            "tcpi_options" => Some(0x27),
            "tcpi_rtt" => Some(-1),
            _ => None,
        }
    };
    let truths = |cwnd, unacked| -> Vec<i64> {
        let lookup = values(cwnd, unacked);
        code.assertions.iter().map(|assertion| assertion.condition.evaluate(&lookup).unwrap()).collect()
    };
    assert_eq!(truths(10, 7), [1, 1, 1, 1]);
    assert_eq!(truths(9, 8), [0, 0, 1, 1]);
    assert_eq!(code.assertions[1].condition.names(), ["tcpi_unacked", "tcpi_lost"]);
}

#[test]
fn arithmetic_is_that_of_python() {
    let value = |expression: &str| {
        let Action::Code(code) = action(&format!("%{{ assert {expression} }}%")) else { panic!("not code") };
        code.assertions[0].condition.evaluate(&|_| None)
    };
    for (expression, expected) in [
        ("-7 // 2", -4),
        ("-7 % 3", 2),
        ("7 % -3", -2),
        ("1 + 2 * 3", 7),
        ("1 << 4 >> 1", 8),
        ("1 | 2 == 3", 1),
        ("2 or 1 // 0", 2),
        ("0 and 1 // 0", 0),
        ("not 0 == 1", 1),
        ("3 > 2 > 1", 1),
        ("3 > 2 == 1", 0),
    ] {
        assert_eq!(value(expression), Ok(expected), "{expression}");
    }
    for wrong in ["1 // 0", "tcpi_nothing", "9223372036854775807 + 1", "1 << 64"] {
        assert!(value(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn directions_are_arrows() {
    assert_eq!(packet("< S 0:0(0) win 1").direction, Direction::Inbound);
    assert_eq!(packet("> S 0:0(0)").direction, Direction::Outbound);
}

#[test]
fn unknown_words_are_named_with_the_word_meant() {
    mistake(
        "--tolerance_usec=1",
        (1, 3),
        "unknown option `tolerance_usec`",
        "did you mean `tolerance_usecs`?",
    );
    mistake("0 acept(3, ..., ...) = 4", (1, 3), "unknown system call `acept`", "did you mean `accept`?");
    mistake("0 > . 1:1(0) ack 1 <nop, tss 1>", (1, 26), "unknown TCP option `tss`", "did you mean `mss`?");
    mistake(
        "0 > . 1:1(0) ack 1\n+0 > S. 0:0(0) ack 1 <mp_capable>",
        (2, 23),
        "`mp_capable`",
        "did you mean `mpcapable`?",
    );
    mistake("0 close(3) = -1 EINPROGRES", (1, 17), "`EINPROGRES`", "did you mean `EINPROGRESS`?");
    mistake(
        "0 > . 1:1(0) ack 1 <mpcapable v1 flags[flag_x] nokey>",
        (1, 40),
        "unknown flag `flag_x`",
        "flag_",
    );
    mistake("0 > [ec] . 1:1(0) ack 1", (1, 6), "`ec`", "");
    mistake("0 < icmp unreachable host mtu 1", (1, 22), "`host`", "host_unreachable");
    mistake(
        "0 `defaults.sh`\n+0 `sysctl -q net.ipv4.tcp_sac=0`",
        (2, 5),
        "unknown sysctl `net.ipv4.tcp_sac`",
        "tcp_sack",
    );
    mistake("0 `nstat -n\n  iptables -F`", (2, 3), "unknown command `iptables`", "nothing is executed");
    mistake("0 `nstat -z`", (1, 4), "`nstat -z`", "nstat -n");
    mistake("0 `ip route add default dev x`", (1, 4), "unknown command `ip route", "ip mptcp endpoint");
    mistake("0 %{ print(tcpi_rtt) }%", (1, 6), "`print` is not supported here", "assert CONDITION");
    mistake(
        "0 > . 1:1(0) ack 1 <mp_join_syn id=1 token=auto>",
        (1, 33),
        "unknown field of mp_join_syn `id`",
        "",
    );
}

#[test]
fn malformed_lines_say_what_would_be_right() {
    mistake("close(3) = 0", (1, 1), "found `close`", "write a time");
    mistake("0 ", (1, 3), "the script ends here", "write a packet");
    mistake("+0~1 close(3) = 0", (1, 4), "found `1`", "+0~+1.0");
    mistake("+1...0.5 close(3) = 0", (1, 2), "ends before it begins", "earlier time first");
    mistake(
        "+0...0.5 > . 1:1(0) ack 1",
        (1, 1),
        "before something other than a system call",
        "only calls block",
    );
    mistake("0 > . 1:5(3) ack 1", (1, 7), "`1:5(3)` does not add up", "write `1:4(3)`");
    mistake("0 > . 1:1(0)", (1, 13), "the script ends here", "add `ack N`");
    mistake("0 < S 0:0(0)", (1, 5), "without a window", "add `win N`");
    mistake("0 > SX 0:0(0)", (1, 6), "unknown flag `X`", "S F P R");
    mistake("0 > SS 0:0(0)", (1, 6), "flag `S` twice", "once");
    mistake("0 > S 0:0(0) <mss 70000>", (1, 19), "found `70000`", "from 0 to 65535");
    mistake("0 > S 0:0(0) <mss 1460", (1, 23), "the script ends here", "`,`");
    mistake("0 > S 0:0(0) <sack>", (1, 19), "found `>`", "one to four blocks");
    mistake("0 > . 1:1(0) ack 1 <dss dsn8=1 dack8=1>", (1, 32), "found `dack8`", "in this order");
    mistake("0 > . 1:1(0) ack 1 <dss dack8=1 fin>", (1, 25), "without a mapping", "dsn8");
    mistake(
        "0 > . 1:1(0) ack 1 <mpcapable v1 flags[flag_h] nokey mpcdatalen 5>",
        (1, 53),
        "without two keys",
        "key[ckey, skey]",
    );
    mistake("0 > . 1:1(0) ack 1 <mp_join_syn address_id=1>", (1, 33), "not complete", "token=");
    mistake("0 > . 1:1(0) ack 1 <add_address addr[x]>", (1, 40), "found `>`", "addr_echo");
    mistake("0 > addr[a=inet_addr(\"fd00::1\")] > . 1:1(0) ack 1", (1, 23), "found `fd00`", "IPv4");
    mistake("0 close(3, 4) = 0", (1, 3), "`close` with 2 arguments", "it has 1");
    mistake("0 close(3)", (1, 11), "the script ends here", "states its result");
    mistake("0 close(3) = 0 EAGAIN", (1, 16), "other than -1", "= -1");
    mistake("0 write(3, \"abc, 3) = 3", (1, 12), "text without an end", "close it");
    mistake("0 write(3, \"\\q\", 3) = 3", (1, 13), "unknown escape `\\q`", "known");
    mistake("0 close(3) = -1 (open", (1, 18), "a remark without an end", "close it");
    mistake("0 `nstat -n", (1, 3), "a backquote without another", "close");
    mistake("0 %{ assert 1", (1, 3), "a `%{` without a `}%`", "close");
    mistake("0 %{ assert 1 1 }%", (1, 15), "`1` after a condition", "end a statement");
    mistake("0 %{ assert (1 }%", (1, 16), "the code ends here", "`)`");
    mistake("/* no end", (1, 1), "found `/`", "write a time");
    mistake(&format!("0 close({}", "[".repeat(100)), (1, 41), "too many brackets", "nest");
}
