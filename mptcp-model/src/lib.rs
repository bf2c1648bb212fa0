//! TCP and Multipath TCP as plain state machines: wire formats, hosts, routers, congestion control,
//! packet schedulers and path managers. Nothing here knows files, scenarios or the command line.

pub mod congestion;
pub mod crypto;
pub mod path_manager;
pub mod wire;
