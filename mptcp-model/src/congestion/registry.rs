//! The table of congestion controls: what can be named in a scenario, a sweep or on the command line, with
//! which parameters. A new algorithm is a file and an entry of the table (`registry/table.rs`).

mod table;

use std::collections::BTreeMap;
use std::fmt;

use self::table::{ALGORITHMS, ARITHMETIC};
use super::{Arithmetic, CongestionControl};
use crate::suggest::closest;

/// One entry of the table.
#[derive(Debug)]
pub struct Algorithm {
    /// Name, as in `net.ipv4.tcp_congestion_control` where Linux has it.
    pub name: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// RFC or paper that defines it.
    pub reference: &'static str,
    /// Whether the subflows of a connection influence each other. Linux refuses to mix coupled
    /// algorithms with others in one connection.
    pub coupled: bool,
    /// What can be set.
    pub parameters: &'static [Parameter],
    build: fn(&Resolved) -> Box<dyn CongestionControl>,
}

/// One parameter of an algorithm.
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// One of these words; the first is the default.
    Choice(&'static [&'static str]),
    /// A number.
    Number {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
        /// Value if not given.
        default: f64,
    },
    /// A whole number.
    Integer {
        /// Smallest value.
        min: u32,
        /// Largest value.
        max: u32,
        /// Value if not given.
        default: u32,
    },
    /// On or off.
    Switch {
        /// Value if not given.
        default: bool,
    },
}

impl fmt::Display for Kind {
    /// What may be written, as the end of the sentence "the value must be ...".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Choice(words) => {
                write!(f, "one of")?;
                for (index, word) in words.iter().enumerate() {
                    write!(f, "{} \"{word}\"", if index == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Self::Number { min, max, .. } => write!(f, "a number from {min} to {max}"),
            Self::Integer { min, max, .. } => write!(f, "a whole number from {min} to {max}"),
            Self::Switch { .. } => write!(f, "true or false"),
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
            Self::Integer { default, .. } => f64::from(default).into(),
            Self::Switch { default } => default.into(),
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

/// No algorithm has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown congestion control \"{name}\"{}; known: {}", hint(*suggestion), known.join(", "))]
pub struct UnknownAlgorithm {
    /// The name asked for.
    pub name: String,
    /// A known name that looks like it.
    pub suggestion: Option<&'static str>,
    /// All known names.
    pub known: Vec<&'static str>,
}

/// Why [`create`] refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// No algorithm has this name.
    #[error(transparent)]
    UnknownAlgorithm(#[from] UnknownAlgorithm),
    /// The algorithm has no such parameter.
    #[error("{algorithm} has no parameter \"{name}\"{}; it has: {}", hint(*suggestion), join_or_none(known))]
    UnknownParameter {
        /// The algorithm.
        algorithm: &'static str,
        /// The parameter asked for.
        name: String,
        /// A known name that looks like it.
        suggestion: Option<&'static str>,
        /// The parameters it has.
        known: Vec<&'static str>,
    },
    /// The value is not in the range of the parameter.
    #[error("{algorithm}: {parameter} = {value} is not possible; it must be {expected}")]
    BadValue {
        /// The algorithm.
        algorithm: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// The value given.
        value: Value,
        /// The values it may have.
        expected: Kind,
    },
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!(" (did you mean \"{name}\"?)"))
}

fn join_or_none(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// All algorithms.
#[must_use]
pub fn list() -> &'static [Algorithm] {
    ALGORITHMS
}

/// The names of all algorithms, in the order of [`list`].
#[must_use]
pub fn names() -> &'static [&'static str] {
    const NAMES: [&str; ALGORITHMS.len()] = {
        let mut names = [""; ALGORITHMS.len()];
        let mut index = 0;
        while index < names.len() {
            names[index] = ALGORITHMS[index].name;
            index += 1;
        }
        names
    };
    &NAMES
}

/// The entry with this name.
///
/// # Errors
///
/// If there is none, with the known names and the closest of them.
pub fn find(name: &str) -> Result<&'static Algorithm, UnknownAlgorithm> {
    ALGORITHMS.iter().find(|algorithm| algorithm.name == name).ok_or_else(|| {
        let known = names().to_vec();
        UnknownAlgorithm { name: name.to_owned(), suggestion: closest(name, known.iter().copied()), known }
    })
}

/// An algorithm for one flow.
///
/// # Errors
///
/// If the name or a parameter is not known or a value is out of range.
pub fn create(name: &str, parameters: &Parameters) -> Result<Box<dyn CongestionControl>, CreateError> {
    let algorithm = find(name)?;
    let resolved = Resolved::new(algorithm, parameters)?;
    Ok((algorithm.build)(&resolved))
}

/// Validated parameters: a value of the right kind for each one the algorithm has.
struct Resolved {
    values: Vec<(&'static str, Setting)>,
}

#[derive(Clone, Copy)]
enum Setting {
    Choice(&'static str),
    Number(f64),
    Integer(u32),
    Switch(bool),
}

impl Resolved {
    fn new(algorithm: &Algorithm, given: &Parameters) -> Result<Self, CreateError> {
        for (name, _) in given.iter() {
            if !algorithm.parameters.iter().any(|parameter| parameter.name == name) {
                let known: Vec<_> = algorithm.parameters.iter().map(|parameter| parameter.name).collect();
                return Err(CreateError::UnknownParameter {
                    algorithm: algorithm.name,
                    name: name.to_owned(),
                    suggestion: closest(name, known.iter().copied()),
                    known,
                });
            }
        }
        let values = algorithm
            .parameters
            .iter()
            .map(|parameter| {
                let setting = match given.0.get(parameter.name) {
                    None => parameter.kind.default(),
                    Some(value) => parameter.kind.accept(value).ok_or_else(|| CreateError::BadValue {
                        algorithm: algorithm.name,
                        parameter: parameter.name,
                        value: value.clone(),
                        expected: parameter.kind,
                    })?,
                };
                Ok((parameter.name, setting))
            })
            .collect::<Result<_, CreateError>>()?;
        Ok(Self { values })
    }

    fn setting(&self, name: &str) -> Setting {
        let found = self.values.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("parameter {name} is missing in the table of algorithms")).1
    }

    fn choice(&self, name: &str) -> &'static str {
        match self.setting(name) {
            Setting::Choice(word) => word,
            _ => panic!("parameter {name} is not a choice in the table of algorithms"),
        }
    }

    fn number(&self, name: &str) -> f64 {
        match self.setting(name) {
            Setting::Number(number) => number,
            _ => panic!("parameter {name} is not a number in the table of algorithms"),
        }
    }

    fn integer(&self, name: &str) -> u32 {
        match self.setting(name) {
            Setting::Integer(number) => number,
            _ => panic!("parameter {name} is not an integer in the table of algorithms"),
        }
    }

    fn switch(&self, name: &str) -> bool {
        match self.setting(name) {
            Setting::Switch(switch) => switch,
            _ => panic!("parameter {name} is not a switch in the table of algorithms"),
        }
    }

    fn arithmetic(&self) -> Arithmetic {
        match self.choice(ARITHMETIC.name) {
            "linux" => Arithmetic::Linux,
            _ => Arithmetic::Exact,
        }
    }
}

impl Kind {
    fn default(self) -> Setting {
        match self {
            Self::Choice(words) => Setting::Choice(words.first().copied().unwrap_or_default()),
            Self::Number { default, .. } => Setting::Number(default),
            Self::Integer { default, .. } => Setting::Integer(default),
            Self::Switch { default } => Setting::Switch(default),
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
                let whole = number as u32;
                (f64::from(whole) == number && (min..=max).contains(&whole))
                    .then_some(Setting::Integer(whole))
            }
            (Self::Switch { .. }, &Value::Switch(switch)) => Some(Setting::Switch(switch)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{cubic::Cubic, lia::Lia, vegas::Vegas, wvegas::WVegas};
    use super::*;

    fn error(name: &str, parameters: &Parameters) -> String {
        create(name, parameters)
            .map_or_else(|error| error.to_string(), |made| format!("made {}", made.name()))
    }

    // CC-08
    #[test]
    fn every_entry_builds_under_its_name_and_says_whether_it_is_coupled() {
        for algorithm in list() {
            let made =
                create(algorithm.name, &Parameters::new()).map(|made| (made.name(), made.is_coupled()));
            assert_eq!(made, Ok((algorithm.name, algorithm.coupled)));
        }
    }

    #[test]
    fn every_choice_and_limit_of_every_parameter_is_accepted() {
        for algorithm in list() {
            for parameter in algorithm.parameters {
                let values: Vec<Value> = match parameter.kind {
                    Kind::Choice(words) => words.iter().copied().map(Value::from).collect(),
                    Kind::Number { min, max, .. } => vec![min.into(), max.into()],
                    Kind::Integer { min, max, .. } => vec![f64::from(min).into(), f64::from(max).into()],
                    Kind::Switch { .. } => vec![true.into(), false.into()],
                };
                for value in values {
                    let given = Parameters::new().with(parameter.name, value);
                    assert!(create(algorithm.name, &given).is_ok(), "{} {given:?}", algorithm.name);
                }
            }
        }
    }

    #[test]
    fn defaults_of_the_table_are_the_defaults_of_the_types() {
        let table = |name| format!("{:?}", create(name, &Parameters::new()).ok());
        assert_eq!(table("cubic"), format!("{:?}", Some(Cubic::default())));
        assert_eq!(table("wvegas"), format!("{:?}", Some(WVegas::default())));
        assert_eq!(table("lia"), format!("{:?}", Some(Lia::default())));
        assert_eq!(table("vegas"), format!("{:?}", Some(Vegas::default())));
    }

    #[test]
    fn a_parameter_with_its_default_written_out_is_the_algorithm_without_it() {
        for algorithm in list() {
            let bare = format!("{:?}", create(algorithm.name, &Parameters::new()).ok());
            for parameter in algorithm.parameters {
                let given = Parameters::new().with(parameter.name, parameter.kind.default_value());
                assert_eq!(format!("{:?}", create(algorithm.name, &given).ok()), bare, "{given:?}");
            }
        }
        assert_eq!(names().len(), list().len());
        assert!(names().contains(&"lia") && names().iter().all(|name| find(name).is_ok()));
    }

    #[test]
    fn a_misspelt_name_gets_a_suggestion_and_the_list() {
        assert_eq!(
            error("bala", &Parameters::new()),
            "unknown congestion control \"bala\" (did you mean \"balia\"?); \
             known: reno, cubic, vegas, bbr, lia, olia, balia, wvegas, ewtcp, coupled"
        );
        assert!(error("quic", &Parameters::new()).starts_with("unknown congestion control \"quic\""));
    }

    #[test]
    fn bad_parameters_say_what_would_be_right() {
        let cases = [
            (
                "cubic",
                Parameters::new().with("betta", 0.7),
                "cubic has no parameter \"betta\" (did you mean \"beta\"?); \
                 it has: hystart, beta, c, fast_convergence, friendliness",
            ),
            (
                "cubic",
                Parameters::new().with("beta", 1.5),
                "cubic: beta = 1.5 is not possible; it must be a number from 0.1 to 0.95",
            ),
            (
                "lia",
                Parameters::new().with("arithmetic", "fast"),
                "lia: arithmetic = \"fast\" is not possible; it must be one of \"exact\", \"linux\", \"linux-us\"",
            ),
            (
                "wvegas",
                Parameters::new().with("gamma", 1.5),
                "wvegas: gamma = 1.5 is not possible; it must be a whole number from 0 to 1000",
            ),
            ("reno", Parameters::new().with("beta", 0.5), "reno has no parameter \"beta\"; it has: none"),
            (
                "cubic",
                Parameters::new().with("beta", f64::NAN),
                "cubic: beta = NaN is not possible; it must be a number from 0.1 to 0.95",
            ),
        ];
        for (name, parameters, expected) in cases {
            assert_eq!(error(name, &parameters), expected);
        }
    }
}
