//! The text forms of `ip rule` and `ip route`, read and printed.

use core::fmt;
use core::str::FromStr;

use super::{Route, RouteKind, RoutingError, Rule, TableId};
use crate::net::Prefix;

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::LOCAL => f.write_str("local"),
            Self::MAIN => f.write_str("main"),
            Self::DEFAULT => f.write_str("default"),
            Self(number) => write!(f, "{number}"),
        }
    }
}

impl FromStr for TableId {
    type Err = core::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "local" => Self::LOCAL,
            "main" => Self::MAIN,
            "default" => Self::DEFAULT,
            number => Self(number.parse()?),
        })
    }
}

/// As `ip rule` prints it.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:\tfrom ", self.priority)?;
        match self.from {
            Some(prefix) => write!(f, "{prefix}")?,
            None => f.write_str("all")?,
        }
        write!(f, " lookup {}", self.table)
    }
}

/// A line of `ip rule`.
impl FromStr for Rule {
    type Err = RoutingError;

    fn from_str(line: &str) -> Result<Self, RoutingError> {
        let words = Words { line };
        let (priority, rest) = line.split_once(':').ok_or_else(|| words.missing("priority:"))?;
        let priority = words.value(priority.trim())?;
        let mut rest = rest.split_whitespace();
        let mut from = None;
        let mut table = None;
        while let Some(word) = rest.next() {
            let value = rest.next().ok_or_else(|| words.wrong(word))?;
            match word {
                "from" if value == "all" => {}
                "from" => from = Some(words.prefix(value)?),
                "lookup" | "table" => table = Some(words.value(value)?),
                _ => return Err(words.wrong(word)),
            }
        }
        let table = table.ok_or_else(|| words.missing("lookup"))?;
        Ok(Self { priority, from, table })
    }
}

/// As `ip route` prints it, with the table if it is not the main one.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            RouteKind::Unicast => "",
            RouteKind::Unreachable => "unreachable ",
            RouteKind::Prohibit => "prohibit ",
            RouteKind::Blackhole => "blackhole ",
        })?;
        if self.prefix.is_default() {
            f.write_str("default")?;
        } else {
            write!(f, "{}", self.prefix)?;
        }
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        if let Some(dev) = &self.dev {
            write!(f, " dev {dev}")?;
        }
        if self.table != TableId::MAIN {
            write!(f, " table {}", self.table)?;
        }
        if self.kernel {
            f.write_str(" proto kernel")?;
        }
        if self.scope_link {
            f.write_str(" scope link")?;
        }
        if let Some(src) = self.src {
            write!(f, " src {src}")?;
        }
        if self.metric != 0 {
            write!(f, " metric {}", self.metric)?;
        }
        Ok(())
    }
}

/// A line of `ip route`, or the arguments of `ip route add`. A default route is of the family of its
/// gateway or source, else of IPv4.
impl FromStr for Route {
    type Err = RoutingError;

    fn from_str(line: &str) -> Result<Self, RoutingError> {
        let words = Words { line };
        let mut rest = line.split_whitespace().peekable();
        let kind = match rest.peek() {
            Some(&"unreachable") => RouteKind::Unreachable,
            Some(&"prohibit") => RouteKind::Prohibit,
            Some(&"blackhole") => RouteKind::Blackhole,
            _ => RouteKind::Unicast,
        };
        if kind != RouteKind::Unicast {
            rest.next();
        }
        let destination = rest.next().ok_or_else(|| words.missing("prefix"))?;
        let mut route = Self {
            kind,
            prefix: Prefix::DEFAULT_V4,
            via: None,
            dev: None,
            table: TableId::MAIN,
            kernel: false,
            scope_link: false,
            src: None,
            metric: 0,
        };
        while let Some(word) = rest.next() {
            let value = rest.next().ok_or_else(|| words.wrong(word))?;
            match (word, value) {
                ("via", _) => route.via = Some(words.value(value)?),
                ("dev", _) => route.dev = Some(value.to_owned()),
                ("table", _) => route.table = words.value(value)?,
                ("src", _) => route.src = Some(words.value(value)?),
                ("metric", _) => route.metric = words.value(value)?,
                ("proto", "kernel") => route.kernel = true,
                ("scope", "link") => route.scope_link = true,
                ("proto", "boot" | "static") | ("scope", "global") => {}
                _ => return Err(words.wrong(word)),
            }
        }
        route.prefix = match destination {
            "default" if route.via.or(route.src).is_some_and(|address| address.is_ipv6()) => {
                Prefix::DEFAULT_V6
            }
            "default" => Prefix::DEFAULT_V4,
            text => words.prefix(text)?,
        };
        let is_ipv4 = route.prefix.is_ipv4();
        if let Some(other) = [route.via, route.src].into_iter().flatten().find(|a| a.is_ipv4() != is_ipv4) {
            return Err(words.wrong(&other.to_string()));
        }
        if kind == RouteKind::Unicast && route.via.is_none() && route.dev.is_none() {
            return Err(words.missing("dev"));
        }
        Ok(route)
    }
}

/// Errors that show the line.
struct Words<'a> {
    line: &'a str,
}

impl Words<'_> {
    fn wrong(&self, word: &str) -> RoutingError {
        RoutingError::Word { line: self.line.to_owned(), word: word.to_owned() }
    }

    fn missing(&self, word: &'static str) -> RoutingError {
        RoutingError::Missing { line: self.line.to_owned(), word }
    }

    fn value<T: FromStr>(&self, word: &str) -> Result<T, RoutingError> {
        word.parse().map_err(|_| self.wrong(word))
    }

    fn prefix(&self, word: &str) -> Result<Prefix, RoutingError> {
        word.parse().map_err(|source| RoutingError::Prefix { line: self.line.to_owned(), source })
    }
}
