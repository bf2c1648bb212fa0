//! Packet scripts: the language in which kernel developers state protocol tests, with its MPTCP words.
//!
//! [`Script::parse`] makes a tree of a text, in which every shell command, setting and option is one that
//! is known; anything else is a [`ScriptError`] that names it. Trees print in the same notation.
//! [`PacketSpec::build`] makes the packet that a `<` line injects, [`PacketSpec::check`] compares a packet
//! that the stack sent with a `>` line, [`describe`] writes a packet as a script would, and [`record`] makes lines of a
//! capture. The variables of
//! a script (keys, addresses, random numbers, timestamps, initial sequence numbers) live in an
//! [`Environment`]; [`Timeline`] says when an event is due and how late it may be.
//!
//! Nothing here knows of hosts: carrying out a script is left to its caller. Left out of the language:
//! `md5` digests that are computed, and Python other than assertions on integers. The manual is
//! `docs/packet-scripts.md`.

pub mod ast;
mod build;
pub mod code;
pub mod command;
mod describe;
mod environment;
mod error;
mod flow;
mod matching;
pub mod option;
mod option_match;
mod parse;
mod print;
mod record;
pub mod run;
pub mod sysctl;
mod timeline;
mod view;

pub use ast::{Direction, PacketSpec, Script};
pub use describe::describe;
pub use environment::{Environment, Setup};
pub use error::{Position, ScriptError};
pub use matching::Mismatch;
pub use option::OptionSpec;
pub use parse::Definitions;
pub use record::record;
pub use timeline::{Due, Timeline};
