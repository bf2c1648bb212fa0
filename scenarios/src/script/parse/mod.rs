//! From text to tree.

mod call;
mod cursor;
mod options;
mod packet;
mod time;

use std::net::IpAddr;

use sim_core::Duration;

use self::cursor::{Cursor, Result};
use super::ast::{Action, Code, Event, PacketSpec, Script, Setting, Shell, Time};
use super::error::ScriptError;
use super::option::OptionSpec;
use super::{code, command};
pub use cursor::Definitions;
pub(super) use options::{CAPABLE_FLAGS, RESET_FLAGS};
pub(super) use packet::{ICMP, flag_letters};

impl Script {
    /// Reads the script `text`, called `name` in complaints. Words that `definitions` has stand for their
    /// values.
    ///
    /// # Errors
    /// The first thing that is not of the language.
    pub fn parse(
        name: &str,
        text: &str,
        definitions: &Definitions,
    ) -> core::result::Result<Self, ScriptError> {
        let mut cursor = Cursor::new(name, text, definitions);
        let mut settings = Vec::new();
        while cursor.eat("--") {
            settings.push(setting(&mut cursor)?);
        }
        let init = if cursor.looking_at("`") { Some(shell(&mut cursor)?) } else { None };
        let mut events = Vec::new();
        while cursor.peek().is_some() {
            events.push(event(&mut cursor)?);
        }
        Ok(Self { name: name.to_owned(), settings, init, events })
    }
}

impl PacketSpec {
    /// Reads one packet, such as `> S. 0:0(0) ack 1 <mss 1460>`.
    ///
    /// # Errors
    /// The first thing that is not of the language.
    pub fn parse(text: &str) -> core::result::Result<Self, ScriptError> {
        let definitions = Definitions::new();
        let mut cursor = Cursor::new("packet", text, &definitions);
        let spec = packet::packet(&mut cursor)?;
        at_end(&mut cursor)?;
        Ok(spec)
    }
}

impl OptionSpec {
    /// Reads one TCP option, such as `dss dack8=1 nocs`.
    ///
    /// # Errors
    /// The first thing that is not of the language.
    pub fn parse(text: &str) -> core::result::Result<Self, ScriptError> {
        let definitions = Definitions::new();
        let mut cursor = Cursor::new("option", text, &definitions);
        let spec = options::option(&mut cursor)?;
        at_end(&mut cursor)?;
        Ok(spec)
    }
}

fn at_end(cursor: &mut Cursor<'_>) -> Result<()> {
    match cursor.peek() {
        None => Ok(()),
        Some(_) => Err(cursor.found("nothing may follow")),
    }
}

const SETTINGS: [&str; 6] =
    ["tolerance_usecs", "local_ip", "remote_ip", "strict_segments", "tcp_ts_tick_usecs", "tcp_ts_ecr_scaled"];

/// After `--`.
fn setting(cursor: &mut Cursor<'_>) -> Result<Setting> {
    let start = cursor.offset();
    let Some(word) = cursor.word() else {
        return Err(cursor.found("write an option, such as `--tolerance_usecs=100000`"));
    };
    let setting = match word {
        "strict_segments" => Setting::StrictSegments,
        "tcp_ts_ecr_scaled" => Setting::TimestampEchoScaled,
        "tolerance_usecs" => Setting::Tolerance(micros(cursor)?),
        "tcp_ts_tick_usecs" => Setting::TimestampTick(micros(cursor)?),
        "local_ip" => Setting::LocalIp(address(cursor)?),
        "remote_ip" => Setting::RemoteIp(address(cursor)?),
        other => return Err(cursor.unknown(start, "option", other, &SETTINGS)),
    };
    Ok(setting)
}

fn micros(cursor: &mut Cursor<'_>) -> Result<Duration> {
    cursor.expect("=", "this option has a value")?;
    cursor.number("microseconds", u64::from(u32::MAX)).map(Duration::from_micros)
}

fn address(cursor: &mut Cursor<'_>) -> Result<IpAddr> {
    cursor.expect("=", "this option has a value")?;
    cursor.skip();
    let rest = cursor.rest();
    let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':')).unwrap_or(rest.len());
    match rest[..end].parse() {
        Ok(address) => {
            cursor.advance(end);
            Ok(address)
        }
        Err(_) => Err(cursor.found("write an IPv4 or IPv6 address")),
    }
}

fn event(cursor: &mut Cursor<'_>) -> Result<Event> {
    let position = cursor.position();
    let time = time::time(cursor)?;
    let action = match cursor.peek() {
        Some('<' | '>') => Action::Packet(packet::packet(cursor)?),
        Some('`') => Action::Shell(shell(cursor)?),
        Some('%') => Action::Code(code_block(cursor)?),
        Some(c) if cursor::is_word_start(c) => Action::Call(call::call(cursor)?),
        _ => {
            return Err(cursor.found(
                "write a packet (`<` or `>`), a system call, a command in backquotes or code in `%{ }%`",
            ));
        }
    };
    let blocking = matches!(time, Time::AbsoluteBlocking(..) | Time::RelativeBlocking(..));
    if blocking && !matches!(action, Action::Call(_)) {
        return Err(ScriptError {
            file: cursor.error("", "").file,
            position,
            message: "a time with `...` before something other than a system call".to_owned(),
            help: "only calls block; write `+0~+1` for a span in which a packet may come".to_owned(),
        });
    }
    Ok(Event { position, time, action })
}

fn shell(cursor: &mut Cursor<'_>) -> Result<Shell> {
    cursor.expect("`", "commands stand in backquotes")?;
    let start = cursor.offset();
    let Some(len) = cursor.rest().find('`') else {
        return Err(cursor.error_at(
            start - 1,
            "a backquote without another",
            "close the commands with a backquote",
        ));
    };
    let text = &cursor.rest()[..len];
    let commands = command::parse(text)
        .map_err(|(offset, wrong)| cursor.error_at(start + offset, wrong.message, wrong.help))?;
    cursor.advance(len + 1);
    Ok(Shell { position: cursor.position_of(start - 1), text: text.to_owned(), commands })
}

fn code_block(cursor: &mut Cursor<'_>) -> Result<Code> {
    cursor.expect("%{", "code stands in `%{ }%`")?;
    let start = cursor.offset();
    let Some(len) = cursor.rest().find("}%") else {
        return Err(cursor.error_at(start - 2, "a `%{` without a `}%`", "close the code with `}%`"));
    };
    let text = &cursor.rest()[..len];
    let assertions = code::parse(text)
        .map_err(|(offset, wrong)| cursor.error_at(start + offset, wrong.message, wrong.help))?;
    cursor.advance(len + 2);
    Ok(Code { text: text.to_owned(), assertions })
}
