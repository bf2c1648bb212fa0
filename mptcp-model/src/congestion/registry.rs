//! The table of congestion controls: what can be named in a scenario, a sweep or on the command line, with
//! which parameters. A new algorithm is a file and an entry of the table (`registry/table.rs`).

mod table;

use self::table::{ALGORITHMS, ARITHMETIC};
use super::{Arithmetic, CongestionControl};
use crate::parameters::{Parameter, ParameterError, Parameters, Resolved, hint};
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
    /// A parameter is not known or a value out of range.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
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
    let resolved = Resolved::new(algorithm.name, algorithm.parameters.iter(), parameters)?;
    Ok((algorithm.build)(&resolved))
}

/// The arithmetic that parameters choose.
fn arithmetic(given: &Resolved) -> Arithmetic {
    match given.choice(ARITHMETIC.name) {
        "linux" => Arithmetic::Linux,
        _ => Arithmetic::Exact,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{cubic::Cubic, lia::Lia, vegas::Vegas, wvegas::WVegas};
    use super::*;
    use crate::parameters::{Kind, Value};

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
                    Kind::Integer { min, max, .. } => vec![(min as f64).into(), (max as f64).into()],
                    Kind::Switch { .. } => vec![true.into(), false.into()],
                    Kind::Text(_) => vec!["".into()],
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
             known: reno, cubic, vegas, bbr, dctcp, lia, olia, balia, wvegas, ewtcp, coupled"
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
