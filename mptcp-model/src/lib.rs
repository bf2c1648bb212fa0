//! TCP and Multipath TCP as plain state machines: wire formats, hosts, routers, congestion control,
//! packet schedulers and path managers. Nothing here knows files, scenarios or the command line.

pub mod config;
pub mod congestion;
pub mod crypto;
pub mod host;
pub mod mptcp;
pub mod net;
pub mod parameters;
pub mod path_manager;
pub mod scheduler;
pub mod socket;
pub mod suggest;
pub mod tcp;
pub mod wire;
