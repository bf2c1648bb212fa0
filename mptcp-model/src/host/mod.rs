//! What a host adds to the transport: routing.

pub mod routing;
