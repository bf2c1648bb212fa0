//! The list of behaviours: groups of ids, each with one line of text and, if no test covers it, the reason.

use std::collections::BTreeMap;

/// The list, as text.
const TEXT: &str = include_str!("behaviours.txt");

/// A group of behaviours, such as `JOIN`.
pub(crate) struct Group {
    pub(crate) prefix: &'static str,
    pub(crate) title: &'static str,
    pub(crate) behaviours: Vec<Behaviour>,
}

/// One behaviour.
pub(crate) struct Behaviour {
    pub(crate) id: &'static str,
    pub(crate) text: &'static str,
    /// Why no test covers it.
    pub(crate) left_out: Option<&'static str>,
}

/// All groups, in the order of the list.
pub(crate) fn groups() -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for line in TEXT.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        if let Some(heading) = line.strip_prefix("## ") {
            let (prefix, title) = heading.split_once(' ').expect("a prefix and a title");
            groups.push(Group { prefix, title, behaviours: Vec::new() });
            continue;
        }
        let group = groups.last_mut().expect("a heading before the first behaviour");
        if let Some(reason) = line.trim_start().strip_prefix("out: ") {
            let behaviour = group.behaviours.last_mut().expect("a behaviour before its reason");
            assert!(behaviour.left_out.replace(reason).is_none(), "{} has two reasons", behaviour.id);
            continue;
        }
        let (id, text) = line.split_once(' ').unwrap_or_else(|| panic!("no text: {line}"));
        assert_eq!(id.split('-').next(), Some(group.prefix), "{id} stands in the wrong group");
        group.behaviours.push(Behaviour { id, text, left_out: None });
    }
    let mut seen = BTreeMap::new();
    for behaviour in groups.iter().flat_map(|group| &group.behaviours) {
        assert!(seen.insert(behaviour.id, ()).is_none(), "{} stands twice", behaviour.id);
    }
    groups
}
