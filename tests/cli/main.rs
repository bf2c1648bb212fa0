//! The program as its users meet it: arguments in, exit codes, messages and files out.

mod analysis;
mod builtins;
mod captures;
mod chromium;
mod datagrams;
mod fairness;
mod harness;
mod lists;
mod replicate;
mod results;
mod scripts;
mod usage;
