//! Calls of the application, as the script has them.

use std::ffi::c_int;

use scenarios::script::ast::Action;
use scenarios::script::run::words;
use scenarios::script::{Definitions, Script};

use super::Conversation;
use crate::calls::Caller;
use crate::runner::{IPPROTO_TCP, TCP_CONGESTION};
use crate::sys;

impl Conversation {
    pub(super) fn set_option(&mut self, option: &str) -> Result<(), String> {
        let len = if option.contains("SO_LINGER") { 8 } else { 4 };
        let fd = self.socket;
        self.call(&format!("setsockopt({fd}, {option}, {len})"), None)
    }

    /// A call, whose result the script gets; a socket or what was accepted gets the number `fd`, a `?` what the
    /// kernel wrote.
    pub(super) fn call(&mut self, text: &str, fd: Option<i64>) -> Result<(), String> {
        let asked = text.replace("[?]", "...");
        let script = Script::parse("call", &format!("+0 {asked} = 0"), &Definitions::default());
        let script = script.map_err(|wrong| wrong.to_string())?;
        let Some(Action::Call(call)) = script.events.first().map(|event| &event.action) else {
            return Err(format!("`{text}` is no call"));
        };
        let caller = Caller { fds: &self.fds, ipv6: false, remote: self.remote, port: 8080 };
        let job = caller.prepare(call)?;
        let at = self.now();
        let returned = job();
        let mut result = returned.result.to_string();
        if let Some(number) = fd.filter(|_| returned.result >= 0) {
            self.fds.insert(number, returned.result as c_int);
            if call.name == "socket"
                && let Some(name) = &self.network.congestion
            {
                sys::set_option(returned.result as c_int, IPPROTO_TCP, TCP_CONGESTION, name.as_bytes());
            }
            result = number.to_string();
        } else if returned.result < 0 {
            result = format!(
                "-1 {}",
                error(returned.errno).ok_or_else(|| format!("`{text}`: {}", returned.errno))?
            );
        }
        if call.name == "close" {
            self.fds.remove(&self.socket);
        }
        let written = crate::values::word(&returned.written, 0).unwrap_or(0);
        let written = if written == 0 { Some("0") } else { error(written) };
        let text = text.replace("[?]", &format!("[{}]", written.unwrap_or("...")));
        self.lines.push((at, format!("{text} = {result}")));
        Ok(())
    }
}

/// The name of an error.
fn error(number: c_int) -> Option<&'static str> {
    ERRORS.into_iter().find(|name| words::constant(name) == Some(number.into()))
}

/// Errors that calls of a conversation return.
const ERRORS: [&str; 15] = [
    "EAGAIN",
    "EPIPE",
    "ECONNRESET",
    "ENOTCONN",
    "ETIMEDOUT",
    "EINPROGRESS",
    "ECONNREFUSED",
    "EINVAL",
    "EOPNOTSUPP",
    "ENOPROTOOPT",
    "EISCONN",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "EMSGSIZE",
    "EACCES",
];
