//! What is wrong with a script, and where.

/// A place in a script: line and column from 1, columns count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

/// A text that is not a packet script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{}:{}: {message}; {help}", .position.line, .position.column)]
pub struct ScriptError {
    /// Name of the script.
    pub file: String,
    /// Where.
    pub position: Position,
    /// What was found.
    pub message: String,
    /// What would be right.
    pub help: String,
}
