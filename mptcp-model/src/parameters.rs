//! Named parameters: what can be set of a congestion control or a middlebox, with ranges and defaults, what a
//! user wrote, and the check of one against the other. How values are written in files is the business of
//! whoever reads them.

use std::collections::BTreeMap;
use std::fmt;

use crate::suggest::closest;

/// Something that can be set.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Name.
    pub name: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// Unit, empty if it has none.
    pub unit: &'static str,
    /// Range and default.
    pub kind: Kind,
}

/// The values a [`Parameter`] may take.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// One of these words; the first is the default.
    Choice(&'static [&'static str]),
    /// A number from `min` to `max`.
    Number {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
        /// Value if not given.
        default: f64,
    },
    /// A whole number from `min` to `max`.
    Integer {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
        /// Value if not given.
        default: i64,
    },
    /// On or off.
    Switch {
        /// Value if not given.
        default: bool,
    },
    /// A text of a certain form, empty if not given.
    Text(Form),
}

/// A form of texts; the empty text is of every form.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// What the text must be, with an example.
    pub expected: &'static str,
    /// Whether a text is of this form.
    pub accepts: fn(&str) -> bool,
}

impl fmt::Display for Kind {
    /// What may be written, as the end of the sentence "the value must be ...".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Choice(words) => {
                let words: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
                write!(f, "one of {}", words.join(", "))
            }
            Self::Number { min, max, .. } => write!(f, "a number from {min} to {max}"),
            Self::Integer { min, max, .. } => write!(f, "a whole number from {min} to {max}"),
            Self::Switch { .. } => write!(f, "true or false"),
            Self::Text(form) => write!(f, "{}", form.expected),
        }
    }
}

impl Kind {
    /// The value of a parameter that is not given, as it would be written.
    #[must_use]
    pub fn default_value(&self) -> Value {
        match *self {
            Self::Choice(words) => words.first().copied().unwrap_or_default().into(),
            Self::Number { default, .. } => default.into(),
            Self::Integer { default, .. } => (default as f64).into(),
            Self::Switch { default } => default.into(),
            Self::Text(_) => "".into(),
        }
    }

    fn default(self) -> Setting {
        match self {
            Self::Choice(words) => Setting::Choice(words.first().copied().unwrap_or_default()),
            Self::Number { default, .. } => Setting::Number(default),
            Self::Integer { default, .. } => Setting::Integer(default),
            Self::Switch { default } => Setting::Switch(default),
            Self::Text(_) => Setting::Text(String::new()),
        }
    }

    /// The setting `value` stands for, if it is in range.
    fn accept(self, value: &Value) -> Option<Setting> {
        match (self, value) {
            (Self::Choice(words), Value::Text(text)) => {
                words.iter().find(|word| *word == text).map(|word| Setting::Choice(word))
            }
            (Self::Number { min, max, .. }, &Value::Number(number)) => {
                (min..=max).contains(&number).then_some(Setting::Number(number))
            }
            (Self::Integer { min, max, .. }, &Value::Number(number)) => {
                let whole = number as i64;
                (whole as f64 == number && (min..=max).contains(&whole)).then_some(Setting::Integer(whole))
            }
            (Self::Switch { .. }, &Value::Switch(switch)) => Some(Setting::Switch(switch)),
            (Self::Text(form), Value::Text(text)) => {
                (text.is_empty() || (form.accepts)(text)).then(|| Setting::Text(text.clone()))
            }
            _ => None,
        }
    }
}

/// The value of a parameter as written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A word.
    Text(String),
    /// A number.
    Number(f64),
    /// True or false.
    Switch(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(switch: bool) -> Self {
        Self::Switch(switch)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "\"{text}\""),
            Self::Number(number) => write!(f, "{number}"),
            Self::Switch(switch) => write!(f, "{switch}"),
        }
    }
}

/// Parameters as written, by name; what is absent has its default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(BTreeMap<String, Value>);

impl Parameters {
    /// No parameter set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one parameter, replacing an earlier value.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.0.insert(name.into(), value.into());
    }

    /// [`set`](Self::set) in a chain.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Names and values in order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl<N: Into<String>, V: Into<Value>> FromIterator<(N, V)> for Parameters {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Why parameters were refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParameterError {
    /// Their owner has no such parameter.
    #[error("{owner} has no parameter \"{name}\"{}; it has: {}", hint(*suggestion), join_or_none(known))]
    Unknown {
        /// What was to be set.
        owner: &'static str,
        /// The parameter asked for.
        name: String,
        /// A known name that looks like it.
        suggestion: Option<&'static str>,
        /// The parameters it has.
        known: Vec<&'static str>,
    },
    /// The value is not in the range of the parameter.
    #[error("{owner}: {name} = {value} is not possible; it must be {expected}")]
    OutOfRange {
        /// What was to be set.
        owner: &'static str,
        /// The parameter.
        name: &'static str,
        /// The value given.
        value: Value,
        /// The values it may have.
        expected: String,
    },
}

/// The end of "unknown ..." where a known name looks like the one asked for.
pub(crate) fn hint(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!(" (did you mean \"{name}\"?)"))
}

fn join_or_none(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Parameters that were checked: a value of the right kind for each one that the owner has.
pub(crate) struct Resolved {
    values: Vec<(&'static str, Setting)>,
}

enum Setting {
    Choice(&'static str),
    Number(f64),
    Integer(i64),
    Switch(bool),
    Text(String),
}

impl Resolved {
    /// Checks `given` against the parameters that `owner` has.
    pub(crate) fn new(
        owner: &'static str,
        known: impl Iterator<Item = &'static Parameter> + Clone,
        given: &Parameters,
    ) -> Result<Self, ParameterError> {
        for (name, _) in given.iter() {
            if !known.clone().any(|parameter| parameter.name == name) {
                let known: Vec<_> = known.map(|parameter| parameter.name).collect();
                let suggestion = closest(name, known.iter().copied());
                return Err(ParameterError::Unknown { owner, name: name.to_owned(), suggestion, known });
            }
        }
        let setting = |parameter: &'static Parameter| {
            let setting = match given.0.get(parameter.name) {
                None => parameter.kind.default(),
                Some(value) => parameter.kind.accept(value).ok_or_else(|| ParameterError::OutOfRange {
                    owner,
                    name: parameter.name,
                    value: value.clone(),
                    expected: parameter.kind.to_string(),
                })?,
            };
            Ok((parameter.name, setting))
        };
        Ok(Self { values: known.map(setting).collect::<Result<_, _>>()? })
    }

    /// The setting of a parameter; that table and use agree is what tests of every entry show.
    fn setting(&self, name: &str) -> &Setting {
        let found = self.values.iter().find(|(known, _)| *known == name);
        &found.unwrap_or_else(|| panic!("parameter {name} is missing in its table")).1
    }

    pub(crate) fn choice(&self, name: &str) -> &'static str {
        match self.setting(name) {
            Setting::Choice(word) => word,
            _ => panic!("parameter {name} is not a choice in its table"),
        }
    }

    pub(crate) fn number(&self, name: &str) -> f64 {
        match self.setting(name) {
            Setting::Number(number) => *number,
            _ => panic!("parameter {name} is not a number in its table"),
        }
    }

    pub(crate) fn integer(&self, name: &str) -> i64 {
        match self.setting(name) {
            Setting::Integer(number) => *number,
            _ => panic!("parameter {name} is not an integer in its table"),
        }
    }

    /// An integer whose range lies within 32 bits without sign.
    pub(crate) fn count(&self, name: &str) -> u32 {
        u32::try_from(self.integer(name))
            .unwrap_or_else(|_| panic!("parameter {name} exceeds 32 bits in its table"))
    }

    pub(crate) fn switch(&self, name: &str) -> bool {
        match self.setting(name) {
            Setting::Switch(switch) => *switch,
            _ => panic!("parameter {name} is not a switch in its table"),
        }
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        match self.setting(name) {
            Setting::Text(text) => text,
            _ => panic!("parameter {name} is not a text in its table"),
        }
    }
}
