//! The exit codes of every command.

use std::process::ExitCode;

/// What the help says about them.
pub const EXIT_CODES: &str = "Exit codes: 0 fine, 1 a mismatch was found, 2 wrong usage, \
    3 an input could not be read (the others still run)";

/// How a command ended. The order is that of precedence: the greater one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Exit {
    /// 0: everything matched.
    #[default]
    Fine,
    /// 3: an input could not be read.
    Unreadable,
    /// 1: a mismatch was found.
    Mismatch,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Fine => Self::SUCCESS,
            Exit::Mismatch => Self::from(1),
            Exit::Unreadable => Self::from(3),
        }
    }
}
