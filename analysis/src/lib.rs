//! Captures, time series, plots, summaries, comparisons and statistics for mptcp-sim, and a fluid model of
//! congestion control to hold results against.
//!
//! This crate sees packets and records, never the engine's inner life. A simulated capture and one
//! taken from a real kernel go through the same reader and the same [`trace`] analysis; what
//! is compared was therefore measured by one ruler.

pub mod capture;
pub mod compare;
pub mod conformance;
pub mod delays;
pub mod fluid;
pub mod groundtruth;
pub mod histogram;
pub mod html;
pub mod intervals;
pub mod ladder;
pub mod metrics;
pub mod pcapng;
pub mod plot;
pub mod reconstruct;
pub mod sequence;
pub mod series;
pub mod statistics;
pub mod summary;
mod table;
pub mod trace;
pub mod vantage;
