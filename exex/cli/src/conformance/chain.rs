//! One case: its blocks in the order of arrival, on every branch.
//!
//! Role: what a client does with arriving blocks: find the parent, check the header, execute on the
//! parent's post-state, compare with the header, keep the post-state, choose the head. Actors: a
//! `BlockTree` holds every accepted block; an `Executor` executes.
//!
//! Invariant: a rejected block leaves no trace; a failure of the host is never a rejection.

use super::{
    case::{self, Case},
    header,
    network::Network,
};
use alloy_consensus::Header;
use alloy_primitives::{B256, U256};
use alloy_rlp::Decodable;
use braid_core::{
    Block, Engine, ExecuteError, Outcome, OutputKind, block::SignedBlock,
    sequential::execute_stock, source::MemoryState,
};
use std::{collections::HashMap, rc::Rc};

/// Ommers may be this many generations older than the block that names them (Yellow Paper, 11.1).
const OMMER_GENERATIONS: u64 = 6;
/// Ommers a block may name (Yellow Paper, 11.1).
const MAX_OMMERS: usize = 2;

/// Who executes.
#[derive(Debug, Clone, Copy)]
pub enum Executor<'e> {
    /// The engine under test.
    Engine(&'e Engine),
    /// Sequential revm: alloy-evm's block executor.
    Stock,
}

impl Executor<'_> {
    fn execute(
        self,
        network: &Network,
        block: &Block,
        state: &MemoryState,
    ) -> Result<Outcome, ExecuteError> {
        match self {
            Self::Engine(engine) => engine.execute(&network.chain, block, state),
            Self::Stock => execute_stock(&network.chain, block, state, OutputKind::Flat),
        }
    }
}

/// An accepted block.
struct Accepted {
    header: Header,
    state: Rc<MemoryState>,
    total_difficulty: U256,
    /// Hashes of the ommers it names.
    ommers: Vec<B256>,
}

struct BlockTree {
    network: Network,
    blocks: HashMap<B256, Accepted>,
    head: B256,
}

/// Why a block was not accepted.
enum Refusal {
    Invalid(String),
    Host(String),
}

impl From<header::HeaderError> for Refusal {
    fn from(error: header::HeaderError) -> Self {
        Self::Invalid(error.to_string())
    }
}

fn invalid(reason: impl Into<String>) -> Refusal {
    Refusal::Invalid(reason.into())
}

/// Runs a case. The error says in words what differs from what the case expects.
///
/// # Errors
/// The first difference.
pub fn run(case: &Case, executor: Executor<'_>) -> Result<(), String> {
    let network =
        Network::new(&case.network, case.config.as_ref()).map_err(|error| error.to_string())?;
    let mut tree = BlockTree::new(network, case)?;
    for (index, arrival) in case.blocks.iter().enumerate() {
        match (tree.import(&arrival.rlp, executor), &arrival.expect_exception) {
            (Ok(()), None) | (Err(Refusal::Invalid(_)), Some(_)) => {}
            (Ok(()), Some(exception)) => {
                return Err(format!("block {index}: accepted, expected {exception}"));
            }
            (Err(Refusal::Invalid(reason)), None) => {
                return Err(format!("block {index}: rejected: {reason}"));
            }
            (Err(Refusal::Host(reason)), _) => {
                return Err(format!("block {index}: host failure: {reason}"));
            }
        }
    }
    tree.check_end(case)
}

impl BlockTree {
    fn new(network: Network, case: &Case) -> Result<Self, String> {
        let genesis = SignedBlock::decode(&mut &case.genesis_rlp[..])
            .map_err(|error| format!("genesisRLP: {error}"))?;
        let header = genesis.header;
        let mut state = case::state(&case.pre);
        if state.state_root() != header.state_root {
            return Err("pre: its root is not the genesis header's".to_owned());
        }
        let head = header.hash_slow();
        state.insert_block_hash(header.number, head);
        let total_difficulty = header.difficulty;
        let accepted =
            Accepted { header, state: Rc::new(state), total_difficulty, ommers: Vec::new() };
        Ok(Self { network, blocks: HashMap::from([(head, accepted)]), head })
    }

    fn import(&mut self, rlp: &[u8], executor: Executor<'_>) -> Result<(), Refusal> {
        let block = Block::decode_for(&self.network.chain, rlp)
            .map_err(|error| invalid(error.to_string()))?;
        let hash = block.header.hash_slow();
        if self.blocks.contains_key(&hash) {
            return Ok(());
        }
        let parent = self
            .blocks
            .get(&block.header.parent_hash)
            .ok_or_else(|| invalid("the parent is not known"))?;
        let merged =
            self.network.terminal.is_some_and(|terminal| parent.total_difficulty >= terminal);
        header::check(&self.network, merged, &parent.header, &block, rlp.len())?;
        self.check_ommers(&block)?;
        let outcome =
            executor.execute(&self.network, &block, &parent.state).map_err(|e| match e {
                ExecuteError::Invalid(error) => Refusal::Invalid(error.to_string()),
                ExecuteError::Host(error) => Refusal::Host(error.to_string()),
            })?;
        let byzantium = self.network.chain.rules(&block.header).has_status_receipts(&block.header);
        outcome.check_header(&block, byzantium).map_err(|error| invalid(error.to_string()))?;
        let mut state = MemoryState::clone(&parent.state);
        state.apply(&outcome.state.to_flat());
        let root = state.state_root();
        if root != block.header.state_root {
            return Err(invalid(format!(
                "stateRoot: the header says {}, execution gives {root}",
                block.header.state_root
            )));
        }
        state.insert_block_hash(block.header.number, hash);
        let accepted = Accepted {
            total_difficulty: parent.total_difficulty + block.header.difficulty,
            state: Rc::new(state),
            ommers: block.ommers.iter().map(Header::hash_slow).collect(),
            header: block.header,
        };
        self.accept(hash, accepted);
        Ok(())
    }

    /// The head is the heaviest chain's last block; after the merge the last block that arrived.
    fn accept(&mut self, hash: B256, accepted: Accepted) {
        let head = self.blocks.get(&self.head).map(|head| head.total_difficulty);
        let merged = accepted.header.difficulty.is_zero();
        if merged || head.is_none_or(|head| accepted.total_difficulty > head) {
            self.head = hash;
        }
        self.blocks.insert(hash, accepted);
    }

    /// Yellow Paper 11.1: at most two ommers, each a valid sibling of an ancestor, named once.
    fn check_ommers(&self, block: &Block) -> Result<(), Refusal> {
        if block.ommers.len() > MAX_OMMERS {
            return Err(invalid(format!("{} ommers, at most {MAX_OMMERS}", block.ommers.len())));
        }
        let mut ancestors = Vec::new();
        let mut named: Vec<B256> = Vec::new();
        let mut next = block.header.parent_hash;
        for _ in 0..=OMMER_GENERATIONS {
            let Some(ancestor) = self.blocks.get(&next) else { break };
            ancestors.push(next);
            named.extend(&ancestor.ommers);
            next = ancestor.header.parent_hash;
        }
        for ommer in &block.ommers {
            let hash = ommer.hash_slow();
            if named.contains(&hash) || ancestors.contains(&hash) {
                return Err(invalid(format!("ommer {hash} is an ancestor or was named before")));
            }
            // The parent itself may not be an ommer's parent: that would make it a sibling.
            let parent = ancestors.iter().skip(1).find(|hash| **hash == ommer.parent_hash);
            let Some(parent) = parent.and_then(|hash| self.blocks.get(hash)) else {
                return Err(invalid(format!("ommer {hash} has no near ancestor as its parent")));
            };
            header::check_ommer(&self.network, &parent.header, ommer)?;
            named.push(hash);
        }
        Ok(())
    }

    fn check_end(&self, case: &Case) -> Result<(), String> {
        if self.head != case.lastblockhash {
            return Err(format!("the head is {}, expected {}", self.head, case.lastblockhash));
        }
        let Some(head) = self.blocks.get(&self.head) else { return Ok(()) };
        let state = &head.state;
        if let Some(difference) =
            case.post_state.as_ref().and_then(|expected| case::difference(state, expected))
        {
            return Err(difference);
        }
        match case.post_state_hash {
            Some(root) if root != state.state_root() => {
                Err(format!("post-state: its root is {}, expected {root}", state.state_root()))
            }
            _ => Ok(()),
        }
    }
}
