//! How an engine works, and the switches of what it does to be fast.
//!
//! Role: plain values that the caller sets once. Invariant: none of them changes a result.

use super::precompiles::Assistance;
use crate::{
    OutputKind,
    pool::{Helpers, Pool},
};

/// How an [`Engine`](super::Engine) works. None of it changes a result.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many threads execute a block, the calling one included. At least one. More of them than
    /// there are cores pay only where reads are slow ([`is_slow`]); else they cost.
    ///
    /// [`is_slow`]: crate::StateSource::is_slow
    pub threads: usize,
    /// The form of the changed state.
    pub output: OutputKind,
    /// No sequential short cut of any kind: every transaction is speculated, recorded, validated.
    pub forced: bool,
    /// What the engine does to be fast.
    pub optimisations: Optimisations,
}

/// Switches of single optimisations: all on unless a test or a measurement turns one off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Optimisations {
    /// Balances that an execution does not look at commute, and a sender's nonce is taken from its
    /// transaction instead of waited for.
    pub commutative_balances: bool,
    /// An account that many payments share is looked at as the parent state has it, and what each
    /// of them makes of it is seen by nobody until it is committed. Only where balances commute.
    pub hot_accounts: bool,
    /// The few transactions that promise, by their gas limit or by signatures and proofs in their
    /// data, to take a large part of the block start first.
    pub long_first: bool,
    /// A sender's call of a contract waits for the same sender's previous call of it, or for what
    /// stands between the two; such chains start first as a whole where they promise to be long.
    pub sender_chains: bool,
    /// Payments are handed out several at once.
    pub payment_runs: bool,
    /// A block whose transactions are likely to form one chain runs on the calling thread.
    pub chain_prediction: bool,
    /// Where reads of the parent state are slow ([`is_slow`]), what an access list
    /// names is read ahead.
    ///
    /// [`is_slow`]: crate::StateSource::is_slow
    pub prefetch: bool,
    /// Where reads are slow, an execution that has to wait for many goes on without, to learn what
    /// it will read, and that is read by all threads at once.
    pub run_ahead: bool,
    /// Workers that find nothing to execute take what waits for a call that it may conflict with,
    /// compare what waits for its turn with what has been written since, and execute it once more
    /// where it is stale.
    pub revalidate: bool,
    /// What calls of a contract took, and whether they conflicted, is remembered from block to
    /// block.
    pub learning: bool,
    /// A bundle is made from the block's net changes, by all threads, instead of by revm's `State`
    /// with each transaction. Not where an access list is produced: revm's `State` does both.
    pub direct_bundle: bool,
    /// In a range of blocks, workers that find nothing to do go ahead with the next block.
    pub pipelining: bool,
    /// Threads that find nothing to do take part in what takes longest within a transaction: checks
    /// of pairings, multiplications (EIP-197, EIP-196) and point evaluations (EIP-4844).
    pub shared_checks: bool,
    /// Points of alt_bn128 are multiplied (EIP-196) with the curve's endomorphism, as arkworks does
    /// by itself, instead of bit by bit, as revm does.
    pub endomorphism: bool,
    /// Each EVM remembers the last hashes of two words, of which contracts make the places of what
    /// mappings hold.
    pub hashes: bool,
}

impl Optimisations {
    /// All of them.
    pub const ALL: Self = Self {
        commutative_balances: true,
        hot_accounts: true,
        long_first: true,
        sender_chains: true,
        payment_runs: true,
        chain_prediction: true,
        prefetch: true,
        run_ahead: true,
        revalidate: true,
        learning: true,
        direct_bundle: true,
        pipelining: true,
        shared_checks: true,
        endomorphism: true,
        hashes: true,
    };
    /// None of them.
    pub const NONE: Self = Self {
        commutative_balances: false,
        hot_accounts: false,
        long_first: false,
        sender_chains: false,
        payment_runs: false,
        chain_prediction: false,
        prefetch: false,
        run_ahead: false,
        revalidate: false,
        learning: false,
        direct_bundle: false,
        pipelining: false,
        shared_checks: false,
        endomorphism: false,
        hashes: false,
    };

    /// The threads that help with single transactions.
    pub(super) fn helpers(&self, pool: &Pool) -> Option<Helpers> {
        pool.helpers().filter(|_| self.shared_checks)
    }

    /// What helps an EVM with single transactions: these threads, and what one thread does faster.
    pub(super) const fn assistance(&self, helpers: Option<Helpers>) -> Assistance {
        Assistance { helpers, beside: true, endomorphism: self.endomorphism, hashes: self.hashes }
    }
}

impl Default for Optimisations {
    fn default() -> Self {
        Self::ALL
    }
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads,
            output: OutputKind::default(),
            forced: false,
            optimisations: Optimisations::ALL,
        }
    }
}
