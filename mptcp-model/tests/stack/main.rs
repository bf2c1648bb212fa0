//! The stack as two hosts without an engine: handshakes, joins, signalling, fallback, closing, windows.

mod capable;
mod close;
mod closing;
mod drive;
mod dss;
mod echo_v0;
mod fallback;
mod handshake;
mod hostile;
mod join;
mod joining;
mod out_of_tree;
mod pair;
mod peer;
mod signals;
mod tcp;
mod version0;
mod windows;
