//! Properties of the language of packet scripts.

use proptest::prelude::*;
use scenarios::script::{Definitions, Environment, OptionSpec, PacketSpec, Script, Setup};
use sim_core::random::Streams;

/// Pieces that scripts are made of, so that damage reaches all parts of the reader.
const PIECES: [&str; 45] = [
    "+0",
    "0.1",
    "+0~+1",
    "99999999999999999",
    "+0...1",
    "*",
    "<",
    ">",
    "S.",
    ".",
    "0:0(0)",
    "1:11(10)",
    "ack 1",
    "win 5",
    "<...>",
    "<",
    ",",
    "nop",
    "TS val 1 ecr 2",
    "mpcapable v1 flags[flag_h] key[a=1,b]",
    "dss dack8=1 dsn4",
    "nocs",
    "mp_join_syn token=auto",
    "mp_join_syn_ack sender_hmac=auto",
    "mp_join_ack sender_hmac=auto",
    "add_address addr[a] hmac=auto",
    "addr[a]",
    "addr[b=inet_addr(\"1.2.3.4\")]",
    "mp_fastclose a",
    "`",
    "nstat -n",
    "sysctl -q",
    "net.ipv4.tcp_sack=1",
    "%{",
    "}%",
    "assert tcpi_rtt <",
    "socket(",
    "{a=1,",
    "[",
    "\"x\"",
    "...)",
    "= -1 EAGAIN (",
    ")",
    "icmp unreachable",
    "// x\n",
];

fn all(text: &str) {
    let definitions = Definitions::new();
    let mut environment = Environment::new(Setup::default(), Streams::new(1));
    if let Ok(script) = Script::parse("any", text, &definitions) {
        let printed = script.to_string();
        let again = Script::parse("any", &printed, &definitions).map(|script| script.to_string());
        assert_eq!(again.as_ref(), Ok(&printed));
    }
    if let Ok(spec) = PacketSpec::parse(text) {
        assert_eq!(PacketSpec::parse(&spec.to_string()).as_ref(), Ok(&spec));
        if let Ok(packet) = spec.build(&mut environment) {
            let _ = spec.check(&packet, &mut environment).is_ok();
        }
    }
    if let Ok(spec) = OptionSpec::parse(text) {
        assert_eq!(OptionSpec::parse(&spec.to_string()), Ok(spec));
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*") {
        all(&text);
    }

    #[test]
    fn arbitrary_pieces_of_scripts_never_panic(
        pieces in prop::collection::vec((prop::sample::select(PIECES.to_vec()), "[ \\n\u{e4}]?"), 0..40),
    ) {
        let text: String = pieces.iter().flat_map(|(piece, blank)| [*piece, blank.as_str(), " "]).collect();
        all(&text);
    }

    #[test]
    fn packets_survive_printing(
        seq in any::<u32>(), len in 0..70_000_u32, ack in any::<u32>(), window in any::<u16>(),
        dack in any::<u64>(), dsn in any::<u32>(), data_len in any::<u16>(), key in any::<u64>(),
    ) {
        let text = format!(
            "< P. {seq}:{}({len}) ack {ack} win {window} <nop,nop,TS val {dsn} ecr {ack},\
             mpcapable v1 flags[flag_h] key[a={key}],dss dack8={dack} dsn4={dsn} ssn={seq} dll={data_len} nocs>",
            seq.wrapping_add(len),
        );
        match PacketSpec::parse(&text) {
            Ok(spec) => {
                prop_assert!(len <= 65_535);
                prop_assert_eq!(spec.to_string(), text);
            }
            Err(_) => prop_assert!(len > 65_535),
        }
    }
}
