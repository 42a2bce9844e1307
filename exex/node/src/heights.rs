//! Which height is reported to the node as finished.
//!
//! Role: follow the canonical chain by the notifications and name the block that may be pruned.
//!
//! Why it lags: reth's ExEx manager does not send a commit whose tip is not above the height last
//! reported (paradigmxyz/reth issue 19755). Reported at the tip, a reorg to a lower or equal tip
//! would lose its blocks. Reported [`DEPTH`] blocks behind, no reorg of at most that depth can.
//!
//! Invariants: the reported height never falls and never comes closer to the tip than [`DEPTH`];
//! what is kept does not grow with the chain.

use alloy_eips::BlockNumHash;
use alloy_primitives::B256;
use std::collections::VecDeque;

/// How far the reported height stays behind the tip. Two epochs: what is deeper is finalized. Stays
/// under the 128 blocks from which reth warns of a growing write-ahead log.
pub(crate) const DEPTH: u64 = 64;

/// The newest canonical blocks, as the notifications told them.
#[derive(Debug, Default)]
pub(crate) struct Heights {
    /// Ascending and contiguous by number, at most `DEPTH + 1`.
    recent: VecDeque<BlockNumHash>,
    reported: Option<BlockNumHash>,
}

/// How a committed block stands to what was known before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// It extends the newest block, or is the first one heard of.
    Next,
    /// Blocks in between were never announced.
    Gap,
}

impl Heights {
    /// Starts with a block that may be reported before anything has been heard of.
    pub(crate) fn new(finished: Option<BlockNumHash>) -> Self {
        Self { recent: VecDeque::new(), reported: finished }
    }

    /// The block that was reported last.
    pub(crate) const fn reported(&self) -> Option<BlockNumHash> {
        self.reported
    }

    /// A block became canonical.
    pub(crate) fn commit(&mut self, block: BlockNumHash, parent: B256) -> Link {
        let link = match self.recent.back() {
            Some(tip) if tip.hash != parent => Link::Gap,
            _ => Link::Next,
        };
        if link == Link::Gap {
            self.recent.clear();
        }
        self.recent.push_back(block);
        if self.recent.len() as u64 > DEPTH + 1 {
            self.recent.pop_front();
        }
        link
    }

    /// The blocks from this number on are no longer canonical.
    pub(crate) fn revert(&mut self, first: u64) {
        while self.recent.back().is_some_and(|block| block.number >= first) {
            self.recent.pop_back();
        }
    }

    /// The height to report now, if it rose.
    pub(crate) fn due(&mut self) -> Option<BlockNumHash> {
        let tip = self.recent.back()?;
        let at = tip.number.checked_sub(DEPTH)?;
        let block = *self.recent.front().filter(|block| block.number == at)?;
        if self.reported.is_some_and(|reported| reported.number >= block.number) {
            return None;
        }
        self.reported = Some(block);
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The block with this number on one of several branches.
    fn block(number: u64, branch: u8) -> BlockNumHash {
        let mut hash = B256::with_last_byte(branch);
        hash[..8].copy_from_slice(&number.to_be_bytes());
        BlockNumHash::new(number, hash)
    }

    fn extend(heights: &mut Heights, number: u64, branch: u8) -> Link {
        let parent = heights.recent.back().map_or(B256::ZERO, |tip| tip.hash);
        heights.commit(block(number, branch), parent)
    }

    #[test]
    fn the_reported_height_is_64_behind_and_never_falls() {
        let mut heights = Heights::default();
        for number in 100..164 {
            extend(&mut heights, number, 0);
            assert_eq!(heights.due(), None, "block {number}");
        }
        extend(&mut heights, 164, 0);
        assert_eq!(heights.due(), Some(block(100, 0)));
        assert_eq!(heights.due(), None, "nothing new");
        heights.revert(150);
        for number in 150..165 {
            extend(&mut heights, number, 1);
            assert_eq!(heights.due(), None, "block {number} of the new branch");
        }
        // What the reverted blocks pushed out is known again after as many new ones.
        for number in 165..230 {
            extend(&mut heights, number, 1);
            if let Some(due) = heights.due() {
                assert_eq!(due, block(number - DEPTH, u8::from(number - DEPTH >= 150)));
            }
        }
        assert_eq!(heights.reported().map(|block| block.number), Some(229 - DEPTH));
    }

    #[test]
    fn what_it_starts_with_is_reported_until_a_higher_block_is_due() {
        let mut heights = Heights::new(Some(block(40, 0)));
        assert_eq!(heights.reported(), Some(block(40, 0)));
        for number in 104..168 {
            extend(&mut heights, number, 0);
            assert_eq!(heights.due(), None, "block {number}");
        }
        extend(&mut heights, 168, 0);
        assert_eq!(heights.due(), Some(block(104, 0)));
        assert_eq!(heights.reported(), Some(block(104, 0)));
    }

    #[test]
    fn a_reorg_to_a_lower_tip_is_above_what_was_reported() {
        let mut heights = Heights::default();
        for number in 1..=200 {
            extend(&mut heights, number, 0);
            heights.due();
        }
        let reported = heights.reported().expect("blocks enough").number;
        // The deepest reorg that is covered: one that leaves a tip just above.
        heights.revert(200 - DEPTH + 1);
        extend(&mut heights, 200 - DEPTH + 1, 1);
        assert!(heights.recent.back().is_some_and(|tip| tip.number > reported));
    }

    #[test]
    fn a_gap_is_told_and_starts_anew() {
        let mut heights = Heights::default();
        extend(&mut heights, 1, 0);
        assert_eq!(heights.commit(block(5, 0), block(4, 0).hash), Link::Gap);
        assert_eq!(heights.recent.len(), 1);
        assert_eq!(heights.commit(block(6, 0), block(5, 0).hash), Link::Next);
    }

    #[test]
    fn memory_does_not_grow_with_the_chain() {
        let mut heights = Heights::default();
        for number in 0..10_000 {
            extend(&mut heights, number, 0);
        }
        assert_eq!(heights.recent.len() as u64, DEPTH + 1);
    }
}
