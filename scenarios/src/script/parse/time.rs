//! Times of events.

use sim_core::Duration;

use super::cursor::{Cursor, Result};
use crate::script::ast::Time;

const FORMS: &str = "write a time: `0.1`, `+0.1`, `+0~+1.0`, `+0...0.6` or `*`";

pub(super) fn time(cursor: &mut Cursor<'_>) -> Result<Time> {
    if cursor.eat("*") {
        return Ok(Time::Any);
    }
    let relative = cursor.eat("+");
    let start = cursor.offset();
    let from = span(cursor)?;
    if cursor.rest().starts_with("...") {
        cursor.advance(3);
        let until = span(cursor)?;
        ordered(cursor, start, from, until)?;
        return Ok(if relative {
            Time::RelativeBlocking(from, until)
        } else {
            Time::AbsoluteBlocking(from, until)
        });
    }
    if cursor.rest().starts_with('~') {
        cursor.advance(1);
        if relative && !cursor.eat("+") {
            return Err(cursor.found("both ends of a span are relative: write `+0~+1.0`"));
        }
        let until = span(cursor)?;
        ordered(cursor, start, from, until)?;
        return Ok(if relative {
            Time::RelativeRange(from, until)
        } else {
            Time::AbsoluteRange(from, until)
        });
    }
    Ok(if relative { Time::Relative(from) } else { Time::Absolute(from) })
}

fn ordered(cursor: &Cursor<'_>, at: usize, from: Duration, until: Duration) -> Result<()> {
    if from <= until {
        return Ok(());
    }
    Err(cursor.error_at(at, "the span ends before it begins", "write the earlier time first"))
}

/// Seconds with up to nine decimals.
fn span(cursor: &mut Cursor<'_>) -> Result<Duration> {
    cursor.skip();
    let start = cursor.offset();
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let whole_len = digits(cursor.rest());
    let whole = &cursor.rest()[..whole_len];
    cursor.advance(whole_len);
    let mut decimals = "";
    if let Some(after) = cursor.rest().strip_prefix('.') {
        let len = digits(after);
        if len > 0 {
            decimals = &after[..len];
            cursor.advance(1 + len);
        }
    }
    let nanos = (decimals.len() <= 9 && !(whole.is_empty() && decimals.is_empty()))
        .then(|| {
            let seconds: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
            let fraction: u64 = format!("{decimals:0<9}").parse().ok()?;
            // Ten years: sums of times stay far from the end of the clock.
            (seconds <= 315_360_000).then(|| seconds * 1_000_000_000 + fraction)
        })
        .flatten();
    match nanos {
        Some(nanos) => Ok(Duration::from_nanos(nanos)),
        None => {
            cursor.rewind(start);
            Err(cursor.found(FORMS))
        }
    }
}
