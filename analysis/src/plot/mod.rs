//! Plots of time series as SVG and PNG: goodput, congestion windows, bytes and round-trip times, one
//! line per subflow.
//!
//! Equal samples give equal octets: the font (DejaVu Sans) is part of the program, nothing depends on
//! fonts of the machine, and all positions are computed here. Subflows differ by colour (the palette
//! of Okabe and Ito, safe for colour-blind readers), by the shape of their marks and by the dashes of
//! their line, so that a grey print can be read too.

mod chart;
pub(crate) mod picture;
mod views;

pub use chart::{Chart, Line};
pub use picture::PlotError;
pub use views::{cumulative_bytes, goodput, in_flight, round_trip_times, windows};
