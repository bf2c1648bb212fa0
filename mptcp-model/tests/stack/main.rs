//! The stack as two hosts without an engine: handshakes, joins, signalling, fallback, closing, windows.

mod close;
mod echo_v0;
mod fallback;
mod handshake;
mod join;
mod pair;
mod tcp;
mod version0;
