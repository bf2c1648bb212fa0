//! The shell commands of scripts, recognised by their text: nothing is ever executed.
//!
//! Known are the helper scripts of the public suites by the name of their file (`defaults.sh`,
//! `client.sh`, `server.sh`, `multi-ep.sh`, `set_sysctls.py` and the script that undoes it), `sysctl`,
//! `ip mptcp`, and the questions about counters with `nstat`. Any other command is an error.

use core::str::FromStr;

use super::sysctl::Sysctl;
use crate::units::Complaint;
use crate::words;
use mptcp_model::suggest;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `defaults.sh`: the settings every script starts from ([`super::sysctl::defaults`]).
    Defaults,
    /// `sysctl -q name=value ...`, and the same by `set_sysctls.py /proc/sys/name=value ...`.
    Sysctl(Vec<Sysctl>),
    /// The script that undoes `set_sysctls.py`; a simulation has nothing to undo.
    RestoreSysctls,
    /// `ip mptcp endpoint ...` and `ip mptcp limits ...`.
    Mptcp(words::Command),
    /// `client.sh`: no endpoints; limits of 8 accepted addresses and 8 subflows.
    Client,
    /// `server.sh`: as `client.sh`, and the address after the local one is an endpoint that is announced.
    Server,
    /// `multi-ep.sh -e N [-m signal|subflow] [-b]`: as `client.sh`, and N addresses after the local one
    /// are endpoints.
    MultiEndpoint {
        /// How many.
        count: u8,
        /// What they are for.
        mode: EndpointMode,
        /// Whether they are backups.
        backup: bool,
    },
    /// `nstat -n`: counters start from 0.
    ResetCounters,
    /// `test $(nstat -zjs | jq '.kernel.NAME') -eq N`
    CheckCounter {
        /// Name of the counter, as nstat has it.
        counter: String,
        /// Its value since the last `nstat -n`.
        value: u64,
    },
}

/// What the endpoints of `multi-ep.sh` are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndpointMode {
    /// Announced to the peer.
    #[default]
    Signal,
    /// Subflows are opened from them.
    Subflow,
}

/// The commands in `text`; on error the offset of the command that is wrong.
pub(super) fn parse(text: &str) -> Result<Vec<Command>, (usize, Complaint)> {
    let mut commands = Vec::new();
    for (offset, line) in split(text) {
        commands.push(command(line).map_err(|wrong| (offset, wrong))?);
    }
    Ok(commands)
}

/// The commands of a shell text, with their offsets: separated by line ends, `;` and `&&`, which may also
/// stand in quotes; a backslash at the end of a line joins it with the next; `#` begins a comment.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut quote = None;
    let mut characters = text.char_indices().peekable();
    let mut blank = true;
    let mut push = |start: usize, end: usize| {
        let piece = &text[start..end];
        let trimmed = piece.trim_start_matches(|c: char| c.is_whitespace() || c == '\\');
        let offset = start + piece.len() - trimmed.len();
        if !trimmed.trim_end().is_empty() {
            out.push((offset, trimmed.trim_end()));
        }
    };
    while let Some((at, c)) = characters.next() {
        let was_blank = core::mem::replace(&mut blank, c.is_whitespace() || c == ';');
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '\\') => {
                characters.next();
            }
            (None, '\n' | ';') => {
                push(start, at);
                start = at + 1;
            }
            (None, '&') if characters.peek().is_some_and(|(_, next)| *next == '&') => {
                characters.next();
                push(start, at);
                start = at + 2;
            }
            (None, '#') if was_blank || at == start => {
                push(start, at);
                start = text.len();
                for (at, c) in characters.by_ref() {
                    if c == '\n' {
                        start = at + 1;
                        break;
                    }
                }
                blank = true;
            }
            _ => {}
        }
    }
    push(start, text.len());
    out
}

const KNOWN: [&str; 9] = [
    "defaults.sh",
    "client.sh",
    "server.sh",
    "multi-ep.sh",
    "set_sysctls.py",
    "sysctl",
    "ip",
    "nstat",
    "test",
];

fn command(line: &str) -> Result<Command, Complaint> {
    let joined = line.replace("\\\n", " ");
    let words: Vec<&str> = joined.split_whitespace().collect();
    let [first, arguments @ ..] = &words[..] else {
        return Err(Complaint::new("an empty command", "write a command or nothing"));
    };
    let program = first.rsplit('/').next().unwrap_or(first);
    let alone = |command: Command| match arguments {
        [] => Ok(command),
        [extra, ..] => Err(Complaint::new(
            format!("`{program}` with `{extra}`"),
            format!("`{program}` takes no arguments"),
        )),
    };
    match program {
        "defaults.sh" => alone(Command::Defaults),
        "client.sh" => alone(Command::Client),
        "server.sh" => alone(Command::Server),
        "multi-ep.sh" => multi_endpoint(arguments),
        "sysctl" => sysctl(&joined, first),
        "set_sysctls.py" => set_sysctls(arguments),
        "ip" => ip(arguments),
        "nstat" if arguments == ["-n"] => Ok(Command::ResetCounters),
        "test" => check_counter(&joined),
        // The name has the number of the process in it.
        restore if restore.contains("sysctl_restore") && restore.ends_with(".sh") => {
            alone(Command::RestoreSysctls)
        }
        "nstat" => Err(Complaint::new(format!("`{joined}`"), "of nstat alone, only `nstat -n` is known")),
        other => {
            let help = match suggest::closest(other, KNOWN) {
                Some(near) => {
                    format!("did you mean `{near}`? Nothing is executed, known commands are simulated")
                }
                None => format!("nothing is executed; simulated are {}", KNOWN.join(", ")),
            };
            Err(Complaint::new(format!("unknown command `{first}`"), help))
        }
    }
}

fn multi_endpoint(arguments: &[&str]) -> Result<Command, Complaint> {
    let form = "write `multi-ep.sh -e N [-m signal|subflow] [-b]`";
    let (mut count, mut mode, mut backup) = (None, EndpointMode::default(), false);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match *argument {
            "-b" => backup = true,
            "-e" => {
                let number =
                    arguments.next().and_then(|number| number.parse().ok()).filter(|number| *number <= 8);
                count =
                    Some(number.ok_or_else(|| Complaint::new("`-e` without a number from 0 to 8", form))?);
            }
            "-m" => {
                mode = match arguments.next() {
                    Some(&"signal") => EndpointMode::Signal,
                    Some(&"subflow") => EndpointMode::Subflow,
                    _ => return Err(Complaint::new("`-m` without `signal` or `subflow`", form)),
                }
            }
            other => return Err(Complaint::new(format!("unknown argument `{other}`"), form)),
        }
    }
    match count {
        Some(count) => Ok(Command::MultiEndpoint { count, mode, backup }),
        None => Err(Complaint::new("the number of endpoints is missing", form)),
    }
}

/// Values may stand in quotes and contain blanks, so the words are cut again.
fn sysctl(line: &str, program: &str) -> Result<Command, Complaint> {
    let mut settings = Vec::new();
    for word in quoted_words(&line[program.len()..])? {
        match word.as_str() {
            "-q" | "-w" | "-qw" | "-wq" => {}
            option if option.starts_with('-') => {
                return Err(Complaint::new(format!("unknown argument `{option}`"), "sysctl takes -q and -w"));
            }
            assignment => settings.push(Sysctl::from_str(assignment)?),
        }
    }
    if settings.is_empty() {
        return Err(Complaint::new("sysctl without a setting", "write `sysctl -q name=value`"));
    }
    Ok(Command::Sysctl(settings))
}

fn quoted_words(text: &str) -> Result<Vec<String>, Complaint> {
    let mut out = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, c) if c.is_whitespace() => {
                if !word.is_empty() {
                    out.push(core::mem::take(&mut word));
                }
            }
            _ => word.push(c),
        }
    }
    if quote.is_some() {
        return Err(Complaint::new("a quote without an end", "close the quote"));
    }
    if !word.is_empty() {
        out.push(word);
    }
    Ok(out)
}

fn set_sysctls(arguments: &[&str]) -> Result<Command, Complaint> {
    let form = "write `set_sysctls.py /proc/sys/net/ipv4/tcp_timestamps=0`";
    let mut settings = Vec::new();
    for argument in arguments {
        let Some((path, value)) =
            argument.strip_prefix("/proc/sys/").and_then(|argument| argument.split_once('='))
        else {
            return Err(Complaint::new(format!("`{argument}` is not a setting"), form));
        };
        settings.push(Sysctl::new(&path.replace('/', "."), value)?);
    }
    if settings.is_empty() {
        return Err(Complaint::new("set_sysctls.py without a setting", form));
    }
    Ok(Command::Sysctl(settings))
}

fn ip(arguments: &[&str]) -> Result<Command, Complaint> {
    let arguments = match arguments {
        ["-4" | "-6", rest @ ..] => rest,
        all => all,
    };
    match arguments {
        ["mptcp", object @ ("endpoint" | "limits"), rest @ ..] => {
            format!("{object} {}", rest.join(" ")).parse().map(Command::Mptcp)
        }
        _ => Err(Complaint::new(
            format!("unknown command `ip {}`", arguments.join(" ")),
            "write `ip mptcp endpoint ...` or `ip mptcp limits ...`",
        )),
    }
}

fn check_counter(line: &str) -> Result<Command, Complaint> {
    let words: String = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let parsed = words
        .strip_prefix("test $(nstat -zjs | jq '.kernel.")
        .or_else(|| words.strip_prefix("test $(nstat -zjs | jq .kernel."))
        .and_then(|rest| rest.split_once(") -eq "))
        .and_then(|(counter, value)| {
            let counter = counter.trim_end_matches('\'');
            let named = !counter.is_empty() && counter.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            named.then_some(())?;
            Some(Command::CheckCounter { counter: counter.to_owned(), value: value.parse().ok()? })
        });
    parsed.ok_or_else(|| {
        Complaint::new(
            format!("unknown test `{words}`"),
            "write `test $(nstat -zjs | jq '.kernel.NAME') -eq N`",
        )
    })
}
