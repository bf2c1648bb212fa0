//! The entries of the registry.

use super::super::balia::Balia;
use super::super::bbr::Bbr;
use super::super::coupled::Coupled;
use super::super::cubic::{self, Cubic};
use super::super::dctcp::{self, Dctcp};
use super::super::ewtcp::Ewtcp;
use super::super::hystart::Mode;
use super::super::lia::{Lia, LiaArithmetic};
use super::super::olia::Olia;
use super::super::reno::Reno;
use super::super::vegas::{self, Vegas};
use super::super::wvegas::{self, WVegas};
use super::{Algorithm, arithmetic};
use crate::parameters::{Kind, Parameter};

pub(super) const ARITHMETIC: Parameter = Parameter {
    name: "arithmetic",
    meaning: "the published equations, or the integers of the out-of-tree Linux kernel, which counts ACKs",
    unit: "",
    kind: Kind::Choice(&["exact", "linux"]),
};

pub(super) const ALGORITHMS: &[Algorithm] = &[
    Algorithm {
        name: "reno",
        title: "NewReno, uncoupled",
        reference: "RFC 5681, RFC 6582",
        coupled: false,
        parameters: &[],
        build: |_| Box::new(Reno),
    },
    Algorithm {
        name: "cubic",
        title: "CUBIC with HyStart, uncoupled",
        reference: "RFC 9438, RFC 9406",
        coupled: false,
        parameters: &[
            Parameter {
                name: "hystart",
                meaning: "how slow start ends before the first loss: HyStart of Linux, that of Linux 5.4, HyStart++ or \
                          not at all",
                unit: "",
                kind: Kind::Choice(&["classic", "linux-5.4", "plusplus", "off"]),
            },
            Parameter {
                name: "beta",
                meaning: "what remains of the window after a loss",
                unit: "",
                kind: Kind::Number { min: 0.1, max: 0.95, default: 0.7 },
            },
            Parameter {
                name: "c",
                meaning: "steepness of the cubic function",
                unit: "segments/s^3",
                kind: Kind::Number { min: 0.01, max: 4.0, default: 0.4 },
            },
            Parameter {
                name: "fast_convergence",
                meaning: "remember a lower maximum when losses come at shrinking windows",
                unit: "",
                kind: Kind::Switch { default: true },
            },
            Parameter {
                name: "friendliness",
                meaning: "grow at least as fast as Reno would with the same decrease",
                unit: "",
                kind: Kind::Switch { default: true },
            },
        ],
        build: |given| {
            let scaled = |name| (given.number(name) * 1024.0 + 0.5) as u32;
            Box::new(Cubic::new(cubic::Config {
                beta: scaled("beta"),
                c: scaled("c"),
                fast_convergence: given.switch("fast_convergence"),
                friendliness: given.switch("friendliness"),
                hystart: match given.choice("hystart") {
                    "linux-5.4" => Mode::Linux54,
                    "plusplus" => Mode::PlusPlus,
                    "off" => Mode::Off,
                    _ => Mode::Classic,
                },
            }))
        },
    },
    Algorithm {
        name: "vegas",
        title: "Vegas, delay based, uncoupled",
        reference: "Brakmo and Peterson, JSAC 1995",
        coupled: false,
        parameters: &[
            Parameter {
                name: "alpha",
                meaning: "fewer segments in queues let the window grow",
                unit: "segments",
                kind: Kind::Integer { min: 1, max: 1000, default: 2 },
            },
            Parameter {
                name: "beta",
                meaning: "more segments in queues make the window shrink; not below alpha",
                unit: "segments",
                kind: Kind::Integer { min: 1, max: 1000, default: 4 },
            },
            Parameter {
                name: "gamma",
                meaning: "queued segments that end slow start",
                unit: "segments",
                kind: Kind::Integer { min: 0, max: 1000, default: 1 },
            },
        ],
        build: |given| {
            Box::new(Vegas::new(vegas::Config {
                alpha: given.count("alpha"),
                beta: given.count("beta"),
                gamma: given.count("gamma"),
            }))
        },
    },
    Algorithm {
        name: "bbr",
        title: "BBR version 1, by a model of rate and delay, uncoupled",
        reference: "Cardwell et al., ACM Queue 2016; draft-cardwell-iccrg-bbr-congestion-control-00",
        coupled: false,
        parameters: &[],
        build: |_| Box::new(Bbr::default()),
    },
    Algorithm {
        name: "dctcp",
        title: "DCTCP, by marks of congestion, uncoupled; asks for ECN whatever the host is set to",
        reference: "RFC 8257; Alizadeh et al., SIGCOMM 2010",
        coupled: false,
        parameters: &[
            Parameter {
                name: "shift_g",
                meaning: "a new window counts with a weight of 2 to the power of minus this",
                unit: "",
                kind: Kind::Integer { min: 1, max: 10, default: 4 },
            },
            Parameter {
                name: "initial_alpha",
                meaning: "marked part assumed at first, in parts of 1024",
                unit: "",
                kind: Kind::Integer { min: 0, max: 1024, default: 1024 },
            },
        ],
        build: |given| {
            Box::new(Dctcp::new(dctcp::Config {
                shift_g: given.count("shift_g"),
                initial_alpha: given.count("initial_alpha"),
            }))
        },
    },
    Algorithm {
        name: "lia",
        title: "Linked increases",
        reference: "RFC 6356",
        coupled: true,
        parameters: &[Parameter {
            meaning: "the equations of the RFC, or the integers of the out-of-tree Linux kernel, which counts \
                      ACKs, with round-trip times in 1/8 ms or, as since v0.90, in 1/8 microsecond",
            kind: Kind::Choice(&["exact", "linux", "linux-us"]),
            ..ARITHMETIC
        }],
        build: |given| {
            Box::new(Lia::new(match given.choice("arithmetic") {
                "linux" => LiaArithmetic::Linux,
                "linux-us" => LiaArithmetic::LinuxMicros,
                _ => LiaArithmetic::Exact,
            }))
        },
    },
    Algorithm {
        name: "olia",
        title: "Opportunistic linked increases",
        reference: "Khalili et al., CoNEXT 2012; draft-khalili-mptcp-congestion-control",
        coupled: true,
        parameters: &[ARITHMETIC],
        build: |given| Box::new(Olia::new(arithmetic(given))),
    },
    Algorithm {
        name: "balia",
        title: "Balanced linked adaptation",
        reference: "Peng et al., ToN 2016; draft-walid-mptcp-congestion-control",
        coupled: true,
        parameters: &[ARITHMETIC],
        build: |given| Box::new(Balia::new(arithmetic(given))),
    },
    Algorithm {
        name: "wvegas",
        title: "Weighted Vegas, delay based",
        reference: "Cao et al., ICNP 2012; draft-xu-mptcp-congestion-control",
        coupled: true,
        parameters: &[
            Parameter {
                meaning: "the published equations, or the integers of the out-of-tree Linux kernel, whose shares \
                          are whole segments and at least the initial one",
                ..ARITHMETIC
            },
            Parameter {
                name: "total_alpha",
                meaning: "what all subflows together keep in queues",
                unit: "segments",
                kind: Kind::Integer { min: 1, max: 1000, default: 10 },
            },
            Parameter {
                name: "initial_alpha",
                meaning: "share of a new subflow; with arithmetic \"linux\" the least share of any",
                unit: "segments",
                kind: Kind::Integer { min: 1, max: 1000, default: 2 },
            },
            Parameter {
                name: "gamma",
                meaning: "queued segments that end slow start",
                unit: "segments",
                kind: Kind::Integer { min: 0, max: 1000, default: 1 },
            },
            Parameter {
                name: "drain",
                meaning: "cut the window when the queueing delay reaches twice its smallest value",
                unit: "",
                kind: Kind::Switch { default: true },
            },
        ],
        build: |given| {
            Box::new(WVegas::new(wvegas::Config {
                arithmetic: arithmetic(given),
                total_alpha: given.count("total_alpha"),
                initial_alpha: given.count("initial_alpha"),
                gamma: given.count("gamma"),
                drain: given.switch("drain"),
            }))
        },
    },
    Algorithm {
        name: "ewtcp",
        title: "Equally weighted TCP: each of n subflows is 1/n of a TCP",
        reference: "Honda et al., PFLDNeT 2009; Wischik et al., NSDI 2011",
        coupled: true,
        parameters: &[],
        build: |_| Box::new(Ewtcp::default()),
    },
    Algorithm {
        name: "coupled",
        title: "Fully coupled windows",
        reference: "Kelly and Voice, CCR 2005; Wischik et al., NSDI 2011",
        coupled: true,
        parameters: &[],
        build: |_| Box::new(Coupled::default()),
    },
];
