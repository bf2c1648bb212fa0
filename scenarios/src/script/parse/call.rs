//! System calls and their expressions.

use super::cursor::{Cursor, Definitions, Result};
use crate::script::ast::{Call, Expression, Field};

/// The calls of the language: name, least and most arguments.
const CALLS: [(&str, usize, usize); 29] = [
    ("socket", 3, 3),
    ("bind", 3, 3),
    ("listen", 2, 2),
    ("accept", 3, 3),
    ("connect", 3, 3),
    ("close", 1, 1),
    ("shutdown", 2, 2),
    ("read", 3, 3),
    ("readv", 3, 3),
    ("recv", 4, 4),
    ("recvfrom", 6, 6),
    ("recvmsg", 3, 3),
    ("write", 3, 3),
    ("writev", 3, 3),
    ("send", 4, 4),
    ("sendto", 6, 6),
    ("sendmsg", 3, 3),
    ("sendfile", 4, 4),
    ("splice", 6, 6),
    ("pipe", 1, 1),
    ("open", 2, 3),
    ("ioctl", 2, 3),
    ("fcntl", 2, 3),
    ("poll", 3, 3),
    ("setsockopt", 5, 5),
    ("getsockopt", 5, 5),
    ("epoll_create", 1, 1),
    ("epoll_ctl", 4, 4),
    ("epoll_wait", 4, 4),
];

/// Error numbers by name.
const ERRNOS: [&str; 37] = [
    "EPERM",
    "ENOENT",
    "EINTR",
    "EIO",
    "EBADF",
    "EAGAIN",
    "EWOULDBLOCK",
    "ENOMEM",
    "EACCES",
    "EFAULT",
    "EINVAL",
    "EMFILE",
    "EPIPE",
    "EDOM",
    "ENOSYS",
    "ENOTSOCK",
    "EDESTADDRREQ",
    "EMSGSIZE",
    "ENOPROTOOPT",
    "EPROTONOSUPPORT",
    "EOPNOTSUPP",
    "ENOTSUPP",
    "EAFNOSUPPORT",
    "EADDRINUSE",
    "EADDRNOTAVAIL",
    "ENETDOWN",
    "ENETUNREACH",
    "ECONNABORTED",
    "ECONNRESET",
    "ENOBUFS",
    "EISCONN",
    "ENOTCONN",
    "ETIMEDOUT",
    "ECONNREFUSED",
    "EHOSTUNREACH",
    "EALREADY",
    "EINPROGRESS",
];

pub(super) fn call(cursor: &mut Cursor<'_>) -> Result<Call> {
    let start = cursor.offset();
    let name = cursor.word().unwrap_or_default();
    let Some(&(_, least, most)) = CALLS.iter().find(|(known, ..)| *known == name) else {
        let known: Vec<_> = CALLS.iter().map(|(known, ..)| *known).collect();
        return Err(cursor.unknown(start, "system call", name, &known));
    };
    cursor.expect("(", "arguments stand in parentheses")?;
    let arguments = list(cursor, ")")?;
    if !(least..=most).contains(&arguments.len()) {
        let count = if least == most { least.to_string() } else { format!("{least} to {most}") };
        return Err(cursor.error_at(
            start,
            format!("`{name}` with {} arguments", arguments.len()),
            format!("it has {count}"),
        ));
    }
    cursor.expect("=", "every call states its result, as in `= 0` or `= -1 EAGAIN (...)`")?;
    let result = expression(cursor)?;
    let mut errno = None;
    cursor.skip();
    let at = cursor.offset();
    if let Some(word) = cursor.word() {
        if !ERRNOS.contains(&word) {
            return Err(cursor.unknown(at, "error number", word, &ERRNOS));
        }
        if !matches!(result, Expression::Integer { value: -1, .. }) {
            return Err(cursor.error_at(at, "an error number after a result other than -1", "write `= -1`"));
        }
        errno = Some(word.to_owned());
    }
    let note = if cursor.eat("(") { Some(note(cursor)?) } else { None };
    Ok(Call { name: name.to_owned(), arguments, result, errno, note })
}

/// The text up to the parenthesis that closes the one before.
fn note(cursor: &mut Cursor<'_>) -> Result<String> {
    let mut depth = 0;
    for (at, c) in cursor.rest().char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => {
                let text = cursor.rest()[..at].to_owned();
                cursor.advance(at + 1);
                return Ok(text);
            }
            ')' => depth -= 1,
            '\n' => break,
            _ => {}
        }
    }
    Err(cursor.error("a remark without an end", "close it with `)` on the same line"))
}

/// Expressions separated by commas up to `end`.
fn list(cursor: &mut Cursor<'_>, end: &str) -> Result<Vec<Expression>> {
    let mut list = Vec::new();
    if cursor.eat(end) {
        return Ok(list);
    }
    loop {
        list.push(expression(cursor)?);
        if cursor.eat(end) {
            return Ok(list);
        }
        cursor.expect(",", &format!("a list ends with `{end}`"))?;
    }
}

fn expression(cursor: &mut Cursor<'_>) -> Result<Expression> {
    cursor.enter()?;
    let first = primary(cursor)?;
    let expression = if cursor.looking_at("|") {
        let mut parts = vec![first];
        while cursor.eat("|") {
            parts.push(primary(cursor)?);
        }
        Expression::Or(parts)
    } else {
        first
    };
    cursor.leave();
    Ok(expression)
}

fn primary(cursor: &mut Cursor<'_>) -> Result<Expression> {
    if cursor.eat("...") {
        return Ok(Expression::Ellipsis);
    }
    match cursor.peek() {
        Some('[') => {
            cursor.eat("[");
            Ok(Expression::Array(list(cursor, "]")?))
        }
        Some('{') => {
            cursor.eat("{");
            structure(cursor)
        }
        Some('"') => text(cursor),
        Some('-') => {
            cursor.eat("-");
            integer(cursor, true)
        }
        Some(c) if c.is_ascii_digit() => integer(cursor, false),
        Some(c) if super::cursor::is_word_start(c) => name(cursor),
        _ => Err(cursor.found("write a number, a constant, \"text\", `[...]`, `{...}` or `...`")),
    }
}

fn name(cursor: &mut Cursor<'_>) -> Result<Expression> {
    let position = cursor.position();
    let word = cursor.word().unwrap_or_default();
    if let Some(value) = cursor.definitions.get(word) {
        let none = Definitions::new();
        let mut inner = cursor.within(value, position, &none);
        let expression = expression(&mut inner)?;
        super::at_end(&mut inner)?;
        return Ok(expression);
    }
    if cursor.rest().starts_with('(') {
        cursor.eat("(");
        return Ok(Expression::Macro(word.to_owned(), list(cursor, ")")?));
    }
    Ok(Expression::Name(word.to_owned()))
}

/// After `{`.
fn structure(cursor: &mut Cursor<'_>) -> Result<Expression> {
    let mut fields = Vec::new();
    if cursor.eat("}") {
        return Ok(Expression::Struct(fields));
    }
    loop {
        fields.push(field(cursor)?);
        if cursor.eat("}") {
            return Ok(Expression::Struct(fields));
        }
        cursor.expect(",", "members are separated by `,` and end with `}`")?;
    }
}

/// `name=value`, `name(count)=value` or a value.
fn field(cursor: &mut Cursor<'_>) -> Result<Field> {
    cursor.skip();
    let start = cursor.offset();
    if let Some(name) = cursor.word() {
        let mut count = None;
        if cursor.eat("(") {
            // Anything else in parentheses is a macro.
            if cursor.eat("...") {
                count = Some(Expression::Ellipsis);
            } else if cursor.peek().is_some_and(|c| c.is_ascii_digit()) {
                count = Some(integer(cursor, false)?);
            }
            if !(count.is_some() && cursor.eat(")")) {
                cursor.rewind(start);
                return Ok(Field { name: None, count: None, value: expression(cursor)? });
            }
        }
        if cursor.eat("=") {
            return Ok(Field { name: Some(name.to_owned()), count, value: expression(cursor)? });
        }
        cursor.rewind(start);
    }
    Ok(Field { name: None, count: None, value: expression(cursor)? })
}

/// Decimal, hexadecimal after `0x`, octal after `0`.
fn integer(cursor: &mut Cursor<'_>, negative: bool) -> Result<Expression> {
    let start = cursor.offset();
    let run = cursor.alphanumeric();
    let hex = run.strip_prefix("0x").or_else(|| run.strip_prefix("0X"));
    let value = match (hex, run.strip_prefix('0')) {
        (Some(digits), _) => u64::from_str_radix(digits, 16).ok(),
        (None, Some(octal)) if !octal.is_empty() => u64::from_str_radix(octal, 8).ok(),
        _ => run.parse::<u64>().ok(),
    };
    let Some(value) = value else {
        cursor.rewind(start);
        return Err(cursor.found("write a number of at most 64 bits"));
    };
    let value = i128::from(value);
    Ok(Expression::Integer { value: if negative { -value } else { value }, hex: hex.is_some() })
}

fn text(cursor: &mut Cursor<'_>) -> Result<Expression> {
    let start = cursor.offset();
    let mut out = String::new();
    let mut characters = cursor.rest().char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => {
                cursor.advance(at + 1);
                return Ok(Expression::Text(out));
            }
            '\n' => break,
            '\\' => match characters.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, 't')) => out.push('\t'),
                Some((_, 'r')) => out.push('\r'),
                Some((_, '0')) => out.push('\0'),
                Some((_, c @ ('"' | '\\'))) => out.push(c),
                other => {
                    let shown = other.map(|(_, c)| c).unwrap_or_default();
                    let known = "known: \\n \\t \\r \\0 \\\" \\\\";
                    return Err(cursor.error_at(start + at, format!("unknown escape `\\{shown}`"), known));
                }
            },
            c => out.push(c),
        }
    }
    Err(cursor.error_at(start, "text without an end", "close it with `\"` on the same line"))
}
