//! Where committed state goes beside the tables: revm's own state, and the caller's hook.
//!
//! Invariant: every step of the block arrives exactly once, in block order, when it can no longer
//! change.

use super::Optimisations;
use crate::{
    block::Receipt,
    outcome::OutputKind,
    tally::{self, CanonicalState},
};
use revm::{DatabaseCommit, state::EvmState};

/// Which part of a block was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// System calls before the transactions.
    PreBlock,
    /// The transaction with this index.
    Transaction(usize),
    /// Requests, withdrawals, rewards, the DAO fork.
    PostBlock,
}

/// A committed step of a block.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// Which one.
    pub step: Step,
    /// The transaction's receipt; `None` for the other steps.
    pub receipt: Option<&'a Receipt>,
    /// The accounts that the step loaded, in the form of revm's journal: those that are marked as
    /// touched may have changed, the beneficiary's reward included.
    pub state: &'a EvmState,
}

/// Called with each committed step, in block order, on the thread that committed it, while later
/// transactions may still run: a slow hook delays the block. A panic in it ends the block with
/// [`crate::HostError::Panic`].
pub type CommitHook<'h> = dyn FnMut(Commit<'_>) + Send + 'h;

/// All sinks of one block.
#[derive(Default)]
pub(crate) struct Sink<'b> {
    pub(crate) canonical: Option<CanonicalState>,
    pub(crate) hook: Option<Box<CommitHook<'b>>>,
}

impl<'b> Sink<'b> {
    /// What a block's outputs ask for; `listing` asks for an access list.
    pub(crate) fn new(
        output: OutputKind,
        optimisations: Optimisations,
        listing: bool,
        hook: Option<Box<CommitHook<'b>>>,
    ) -> Self {
        let bundle = output == OutputKind::Bundle && !optimisations.direct_bundle;
        Self { canonical: tally::canonical(bundle, listing), hook }
    }

    /// Whether anything here wants the journal's accounts.
    pub(crate) const fn wants_state(&self) -> bool {
        self.canonical.is_some() || self.hook.is_some()
    }

    /// Moves the access list on to the next transaction.
    pub(crate) fn next(&mut self) {
        if let Some(canonical) = &mut self.canonical {
            canonical.bump_bal_index();
        }
    }

    pub(crate) fn commit(&mut self, step: Step, receipt: Option<&Receipt>, state: EvmState) {
        if let Some(hook) = &mut self.hook {
            hook(Commit { step, receipt, state: &state });
        }
        if let Some(canonical) = &mut self.canonical {
            canonical.commit(state);
        }
    }
}
