//! The scenario language of mptcp-sim, its validation, built-in scenarios and applications.
//!
//! A scenario file is TOML ([`Scenario::from_toml`]); quantities carry units ([`units`]), hosts are
//! configured in the words of `ip` and `sysctl` ([`words`], [`settings`]). What comes out is a [`Scenario`]
//! in which nothing can be wrong any more, or a list of errors that each name file, line, column, key,
//! what is wrong and what would be right ([`ScenarioErrors`]). [`library`] holds the built-in scenarios,
//! [`published`] those of the literature, with parameters,
//! [`groundtruth`] reads the descriptions of reference captures. [`build`] makes a network of a scenario,
//! [`run`] runs it.
//!
//! Left out: files including other files, templates.

pub mod application;
mod boxes;
pub mod build;
pub mod datagram;
mod error;
pub mod groundtruth;
mod language;
pub mod layout;
pub mod library;
mod names;
pub mod process;
pub mod program;
pub mod published;
pub mod run;
pub mod scenario;
pub mod script;
pub mod settings;
#[cfg(feature = "testing")]
pub mod testing;
pub mod units;
pub mod words;

pub use error::{Place, ScenarioError, ScenarioErrors};
pub use language::{OverrideError, apply_override, schema, with_overrides};
pub use names::KnownNames;
pub use scenario::Scenario;
