//! Assertions in `%{ }%`: the part of Python that scripts use to look at `tcp_info`.
//!
//! Statements are `assert CONDITION` and `assert CONDITION, message`, separated by line ends or `;`. A
//! condition is made of numbers, names such as `tcpi_snd_cwnd`, `+ - * / % & | << >>`, comparisons (which
//! may be chained), `and`, `or`, `not` and parentheses, on integers. The message is not evaluated.

use crate::units::Complaint;

/// One `assert`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// What must hold.
    pub condition: Condition,
    /// The condition as written.
    pub text: String,
    /// The message after the comma, as written.
    pub message: Option<String>,
}

/// An expression of an assertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A number.
    Number(i64),
    /// A field of `tcp_info` or a constant.
    Name(String),
    /// `not a`
    Not(Box<Self>),
    /// `-a`
    Negative(Box<Self>),
    /// Two operands.
    Binary(Box<Self>, Operator, Box<Self>),
    /// `a <= b < c`: every comparison with its right operand.
    Compare(Box<Self>, Vec<(Comparison, Self)>),
}

/// An operator between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `or`
    LogicalOr,
    /// `and`
    LogicalAnd,
    /// `|`
    Or,
    /// `&`
    And,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/` and `//`, rounded down.
    Divide,
    /// `%`
    Remainder,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<=`
    AtMost,
    /// `>=`
    AtLeast,
    /// `<`
    Less,
    /// `>`
    More,
}

/// Binary operators from the loosest to the tightest.
const LEVELS: [&[(&str, Operator)]; 7] = [
    &[("or", Operator::LogicalOr)],
    &[("and", Operator::LogicalAnd)],
    &[("|", Operator::Or)],
    &[("&", Operator::And)],
    &[("<<", Operator::ShiftLeft), (">>", Operator::ShiftRight)],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[
        ("*", Operator::Multiply),
        ("//", Operator::Divide),
        ("/", Operator::Divide),
        ("%", Operator::Remainder),
    ],
];

/// Level of `not` and comparisons: tighter than `and`, looser than `|`.
const COMPARISONS: usize = 2;

const COMPARE: [(&str, Comparison); 6] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("<", Comparison::Less),
    (">", Comparison::More),
];

impl Condition {
    /// The value, with truth as 1 and 0; `lookup` gives the values of names.
    ///
    /// # Errors
    /// A name that `lookup` does not know, a division by zero, or a result beyond 64 bits.
    pub fn evaluate(&self, lookup: &dyn Fn(&str) -> Option<i64>) -> Result<i64, Complaint> {
        let beyond = || Complaint::new("a result beyond 64 bits", "assert something smaller");
        match self {
            Self::Number(value) => Ok(*value),
            Self::Name(name) => lookup(name).ok_or_else(|| {
                Complaint::new(
                    format!("unknown name `{name}`"),
                    "use a field of tcp_info, such as tcpi_snd_cwnd",
                )
            }),
            Self::Not(inner) => Ok(i64::from(inner.evaluate(lookup)? == 0)),
            Self::Negative(inner) => inner.evaluate(lookup)?.checked_neg().ok_or_else(beyond),
            Self::Binary(left, operator, right) => {
                let left = left.evaluate(lookup)?;
                match (operator, left) {
                    (Operator::LogicalOr, 1..) | (Operator::LogicalAnd, 0) => return Ok(left),
                    _ => {}
                }
                let right = right.evaluate(lookup)?;
                let shift = u32::try_from(right).ok();
                match operator {
                    Operator::LogicalOr => Some(if left != 0 { left } else { right }),
                    Operator::LogicalAnd => Some(right),
                    Operator::Or => Some(left | right),
                    Operator::And => Some(left & right),
                    Operator::ShiftLeft => shift
                        .and_then(|shift| 1_i64.checked_shl(shift))
                        .filter(|factor| *factor > 0)
                        .and_then(|factor| left.checked_mul(factor)),
                    Operator::ShiftRight => shift.map(|shift| left >> shift.min(63)),
                    Operator::Add => left.checked_add(right),
                    Operator::Subtract => left.checked_sub(right),
                    Operator::Multiply => left.checked_mul(right),
                    Operator::Divide | Operator::Remainder if right == 0 => {
                        return Err(Complaint::new("a division by zero", "divide by something else"));
                    }
                    // Python rounds down and gives the remainder the sign of the divisor.
                    Operator::Divide => left.checked_rem(right).and_then(|rest| {
                        let down = i64::from(rest != 0 && (rest < 0) != (right < 0));
                        left.checked_div(right)?.checked_sub(down)
                    }),
                    Operator::Remainder => left
                        .checked_rem(right)
                        .map(|rest| if rest != 0 && (rest < 0) != (right < 0) { rest + right } else { rest }),
                }
                .ok_or_else(beyond)
            }
            Self::Compare(first, rest) => {
                let mut left = first.evaluate(lookup)?;
                for (comparison, operand) in rest {
                    let right = operand.evaluate(lookup)?;
                    let holds = match comparison {
                        Comparison::Equal => left == right,
                        Comparison::NotEqual => left != right,
                        Comparison::AtMost => left <= right,
                        Comparison::AtLeast => left >= right,
                        Comparison::Less => left < right,
                        Comparison::More => left > right,
                    };
                    if !holds {
                        return Ok(0);
                    }
                    left = right;
                }
                Ok(1)
            }
        }
    }

    /// The names in the condition with their values, for a report of what was found.
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.collect(&mut names);
        names
    }

    fn collect<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Number(_) => {}
            Self::Name(name) if names.contains(&name.as_str()) => {}
            Self::Name(name) => names.push(name),
            Self::Not(inner) | Self::Negative(inner) => inner.collect(names),
            Self::Binary(left, _, right) => {
                left.collect(names);
                right.collect(names);
            }
            Self::Compare(first, rest) => {
                first.collect(names);
                for (_, operand) in rest {
                    operand.collect(names);
                }
            }
        }
    }
}

/// The assertions of a code block; on error the offset of what is wrong.
pub(super) fn parse(text: &str) -> Result<Vec<Assertion>, (usize, Complaint)> {
    let mut reader = Reader { text, at: 0, brackets: 0, depth: 0 };
    let mut assertions = Vec::new();
    loop {
        reader.skip_separators();
        if reader.rest().is_empty() {
            return Ok(assertions);
        }
        if !reader.eat_word("assert") {
            return Err(reader
                .wrong("is not supported here", "write `assert CONDITION`, with a message after a comma"));
        }
        reader.skip();
        let from = reader.at;
        let condition = reader.level(0)?;
        let condition_text = text[from..reader.at].trim().to_owned();
        reader.skip();
        let message = if reader.eat(",") { Some(reader.message()) } else { None };
        assertions.push(Assertion { condition, text: condition_text, message });
        reader.skip();
        if !(reader.rest().is_empty() || reader.rest().starts_with(['\n', ';'])) {
            return Err(reader.wrong("after a condition", "end a statement with a line end or `;`"));
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Open parentheses: line ends are blanks within.
    brackets: u32,
    depth: u32,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn wrong(&self, message: &str, help: &str) -> (usize, Complaint) {
        let rest = self.rest();
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = match rest.chars().next() {
            None => return (self.at, Complaint::new("the code ends here", help)),
            Some(c) if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            Some(c) => c.len_utf8(),
        };
        let shown: String = rest[..end].chars().take(40).collect();
        (self.at, Complaint::new(format!("`{shown}` {message}"), help))
    }

    /// Passes blanks, joined lines and comments; line ends only within parentheses.
    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            if rest.starts_with("\\\n") {
                self.at += 2;
            } else if rest.starts_with('#') {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else {
                match rest.chars().next() {
                    Some('\n') if self.brackets == 0 => return,
                    Some(c) if c.is_whitespace() => self.at += c.len_utf8(),
                    _ => return,
                }
            }
        }
    }

    fn skip_separators(&mut self) {
        loop {
            self.skip();
            if !self.rest().starts_with(['\n', ';']) {
                return;
            }
            self.at += 1;
        }
    }

    fn eat(&mut self, token: &str) -> bool {
        self.skip();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        self.skip();
        let after = self.rest().strip_prefix(word);
        let found =
            after.is_some_and(|after| !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'));
        if found {
            self.at += word.len();
        }
        found
    }

    fn operator(&mut self, level: usize) -> Option<Operator> {
        self.skip();
        for (token, operator) in LEVELS[level] {
            let found = if token.starts_with(|c: char| c.is_ascii_alphabetic()) {
                self.eat_word(token)
            } else {
                self.eat(token)
            };
            if found {
                return Some(*operator);
            }
        }
        None
    }

    fn level(&mut self, level: usize) -> Result<Condition, (usize, Complaint)> {
        self.depth += 1;
        if self.depth > 200 {
            return Err(self.wrong("is too deep in brackets", "nest less"));
        }
        let condition = if level == COMPARISONS && self.eat_word("not") {
            Condition::Not(Box::new(self.level(COMPARISONS)?))
        } else {
            let mut left = self.tighter(level)?;
            while let Some(operator) = self.operator(level) {
                left = Condition::Binary(Box::new(left), operator, Box::new(self.tighter(level)?));
            }
            if level == COMPARISONS { self.comparisons(left)? } else { left }
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn tighter(&mut self, level: usize) -> Result<Condition, (usize, Complaint)> {
        if level + 1 < LEVELS.len() { self.level(level + 1) } else { self.primary() }
    }

    fn comparisons(&mut self, first: Condition) -> Result<Condition, (usize, Complaint)> {
        let mut rest = Vec::new();
        while let Some((_, comparison)) = COMPARE.iter().find(|(token, _)| self.eat(token)) {
            let mut operand = self.level(COMPARISONS + 1)?;
            while let Some(operator) = self.operator(COMPARISONS) {
                let right = self.level(COMPARISONS + 1)?;
                operand = Condition::Binary(Box::new(operand), operator, Box::new(right));
            }
            rest.push((*comparison, operand));
        }
        Ok(if rest.is_empty() { first } else { Condition::Compare(Box::new(first), rest) })
    }

    fn primary(&mut self) -> Result<Condition, (usize, Complaint)> {
        self.depth += 1;
        if self.depth > 200 {
            return Err(self.wrong("is too deep in brackets", "nest less"));
        }
        let condition = self.operand();
        self.depth -= 1;
        condition
    }

    fn operand(&mut self) -> Result<Condition, (usize, Complaint)> {
        if self.eat("(") {
            self.brackets += 1;
            let inner = self.level(0)?;
            let closed = self.eat(")");
            self.brackets -= 1;
            return if closed { Ok(inner) } else { Err(self.wrong("in parentheses", "close them with `)`")) };
        }
        if self.eat("-") {
            return Ok(Condition::Negative(Box::new(self.primary()?)));
        }
        self.skip();
        let rest = self.rest();
        let run =
            &rest[..rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len())];
        let value = if run.starts_with(|c: char| c.is_ascii_digit()) {
            let number = match run.strip_prefix("0x") {
                Some(digits) => i64::from_str_radix(digits, 16),
                None => run.parse(),
            };
            match number {
                Ok(number) => Condition::Number(number),
                Err(_) => return Err(self.wrong("is not a number", "write an integer of 64 bits")),
            }
        } else if run.is_empty() || matches!(run, "and" | "or" | "not" | "assert") {
            return Err(
                self.wrong("where a value should be", "write a number or a name such as tcpi_snd_cwnd")
            );
        } else {
            Condition::Name(run.to_owned())
        };
        self.at += run.len();
        Ok(value)
    }

    /// The rest of the statement, quotes and brackets respected.
    fn message(&mut self) -> String {
        let rest = self.rest();
        let mut quote = None;
        let mut brackets = 0_u32;
        let mut escaped = false;
        let mut end = rest.len();
        for (at, c) in rest.char_indices() {
            let was_escaped = escaped;
            escaped = c == '\\' && !was_escaped;
            match (quote, c) {
                _ if was_escaped => {}
                (Some(open), c) if open == c => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') => quote = Some(c),
                (None, '(' | '[') => brackets += 1,
                (None, ')' | ']') => brackets = brackets.saturating_sub(1),
                (None, '\n' | ';') if brackets == 0 => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        self.at += end;
        rest[..end].trim().to_owned()
    }
}
