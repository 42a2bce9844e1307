//! What a block access list (EIP-7928) that came with a block says each transaction finds.
//!
//! Role: answer a speculative read with the value that the list claims for it, so that no worker
//! waits for, or guesses, what an earlier transaction writes. Actors: the calling thread takes the
//! list in before the workers start; from then on nothing here changes, but that the first reader
//! of an account, who has its base value, puts the account's versions together.
//!
//! Protocol. The list stands beside the tables and not in them: no claimed value is ever a
//! version, pending or committed. A speculative run that begins when `c` is the last committed
//! position sees, of each location, the newest of its versions and of the claims above `c`; of one
//! position the version. Of the beneficiary it sees claims below `c` too, because its cell may lack
//! rewards that are committed ([`super::reward`]). In-order runs and block-level rules see no claim
//! at all.
//!
//! Why a wrong list cannot change a result: what it misleads is a speculative run, whose reads are
//! all compared by value with committed state before anything of it is used; the stamp of a claim
//! is that of no version, so the comparison is never skipped. What an in-order run sees, and what
//! is committed, is what it would be without a list. The one thing that is not compared is what a
//! code hash stands for: see [`decode`].
//!
//! Why a wrong list cannot mislead for long: a claim counts only until its transaction is
//! committed; one about the beneficiary until the cell is settled, which the first comparison with
//! it does.
//!
//! Why a right list leaves nothing to repeat: the claims below a position are then the
//! transaction's very pre-state. What the list cannot say is put together by the rules of
//! [`super::record`]: an account that has become empty is gone, and its storage with it. One thing
//! is left: that an account without anything exists (before EIP-161), or is deleted because it was
//! touched, no list tells.

use super::{
    cells::AccountValue,
    prefetch::Prefetch,
    tables::{Position, Stamp, Tables},
};
use crate::{block::Block, sync::OnceLock};
use alloy_eip7928::{AccountChanges, BlockAccessIndex, ITEM_COST};
use alloy_evm::EvmEnv;
use alloy_primitives::{B256, Bytes, KECCAK256_EMPTY, U256};
use revm::{bytecode::Bytecode, primitives::hardfork::SpecId};
use std::collections::HashMap;

/// The incarnation of a claim: no version has it.
const CLAIMED: u8 = 0;
/// A block changes one location at most for so much gas that it may use, and a few for nothing.
const LOCATION_COST: u64 = ITEM_COST as u64;
const FREE_LOCATIONS: u64 = 64;

/// A claimed change of one field of an account.
#[derive(Debug, Clone, Copy)]
enum Field {
    Balance(U256),
    Nonce(u64),
    Code(B256),
}

/// Which claims count: those below `below` that are newer than what is committed and than the
/// version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) below: Position,
    pub(crate) committed: Position,
    /// The newest version below `below`.
    pub(crate) version: Option<Stamp>,
}

/// Claims of one location, ascending by position.
type Claims<T> = Box<[(Position, T)]>;

#[derive(Default)]
struct ListedAccount {
    changes: Claims<Field>,
    /// The account after each position that changes it, once somebody knew its base value.
    versions: OnceLock<Claims<AccountValue>>,
}

/// A block's access list in the form of the tables. Empty where the list is too long to be true.
#[derive(Default)]
pub(crate) struct Listed {
    /// By the account's index in the tables.
    accounts: Vec<ListedAccount>,
    /// By the slot's index in the tables.
    slots: Vec<Claims<U256>>,
    /// The beneficiary's index in the tables.
    beneficiary: u32,
    /// What is read ahead, where that is wanted.
    prefetch: Option<Prefetch>,
    /// By their true hashes.
    codes: HashMap<B256, Bytecode, foldhash::fast::RandomState>,
}

impl Listed {
    /// Takes a list in.
    pub(crate) fn new(
        list: &[AccountChanges],
        block: &Block,
        env: &EvmEnv,
        tables: &Tables,
    ) -> Self {
        let beneficiary = tables.account_id(&env.block_env.beneficiary);
        let mut listed = Self { beneficiary, ..Self::default() };
        if locations(list) > block.header.gas_limit / LOCATION_COST + FREE_LOCATIONS {
            return listed;
        }
        // The last transaction's writes are not read by any other.
        let end = Position::try_from(block.transactions.len()).unwrap_or(Position::MAX);
        for account in list.iter().filter(|account| changes(account)) {
            let id = tables.account_id(&account.address);
            let changes = listed.fields(account, end, env.cfg_env.spec);
            // An honest list has each location once.
            put(&mut listed.accounts, id).changes = changes;
            for slot in &account.storage_changes {
                let claims = slot.changes.iter();
                let claims = claims.map(|change| (change.block_access_index, change.new_value));
                *put(&mut listed.slots, tables.slot_id(id, &slot.slot)) = ordered(claims, end);
            }
        }
        listed
    }

    /// The same; what the list names is read ahead, unless it is more than the block can access.
    pub(crate) fn prefetching(
        mut self,
        list: &[AccountChanges],
        block: &Block,
        tables: &Tables,
    ) -> Self {
        if accesses(list) <= block.header.gas_limit / LOCATION_COST + FREE_LOCATIONS {
            self.prefetch = Some(Prefetch::new(list, tables));
        }
        self
    }

    /// What is to be read ahead, if anything.
    pub(crate) const fn prefetch(&self) -> Option<&Prefetch> {
        self.prefetch.as_ref()
    }

    /// The claimed changes of an account's fields.
    fn fields(&mut self, account: &AccountChanges, end: Position, spec: SpecId) -> Claims<Field> {
        let balances = account.balance_changes.iter();
        let balances =
            balances.map(|change| (change.block_access_index, Field::Balance(change.post_balance)));
        let nonces = account.nonce_changes.iter();
        let nonces =
            nonces.map(|change| (change.block_access_index, Field::Nonce(change.new_nonce)));
        let mut known = end;
        let mut codes = Vec::new();
        for change in &account.code_changes {
            let at = change.block_access_index;
            match decode(&change.new_code, spec) {
                Some((hash, code)) => {
                    self.codes.insert(hash, code);
                    codes.push((at, Field::Code(hash)));
                }
                None => known = known.min(Position::try_from(at.get()).unwrap_or(known)),
            }
        }
        ordered(balances.chain(nonces).chain(codes), known)
    }

    /// The account's claim that counts in this span. `base` tells the account's base value; it is
    /// asked at most once for each account that has such a claim.
    pub(crate) fn account<E>(
        &self,
        id: u32,
        span: Span,
        base: impl FnOnce() -> Result<AccountValue, E>,
    ) -> Result<Option<(Stamp, AccountValue)>, E> {
        let Some(account) = self.accounts.get(id as usize) else { return Ok(None) };
        let committed = if id == self.beneficiary { 0 } else { span.committed };
        let span = Span { committed, ..span };
        if newest(&account.changes, span).is_none() {
            return Ok(None);
        }
        let versions = match account.versions.get() {
            Some(versions) => versions,
            None => {
                let base = base()?;
                account.versions.get_or_init(|| versions(base, &account.changes))
            }
        };
        Ok(newest(versions, span))
    }

    /// The slot's claim that counts in this span.
    pub(crate) fn slot(&self, id: u32, span: Span) -> Option<(Stamp, U256)> {
        newest(self.slots.get(id as usize)?, span)
    }

    /// The code with this hash, where the list has it.
    pub(crate) fn code(&self, hash: &B256) -> Option<Bytecode> {
        self.codes.get(hash).cloned()
    }
}

/// A code that is put down in a block of this fork, with its hash; `None` where the bytes do not
/// tell what kind of code it is. For a validated run the hash stands for the code, so what is
/// returned here must be the very code that its deployment would make of these bytes: from Prague
/// on a well-formed delegation (EIP-7702) is always one, because London forbids to deploy anything
/// that begins with its first byte (EIP-3541); before, nothing that begins with it is taken.
fn decode(bytes: &Bytes, spec: SpecId) -> Option<(B256, Bytecode)> {
    if bytes.is_empty() {
        return Some((KECCAK256_EMPTY, Bytecode::default()));
    }
    let code = if bytes[0] == 0xef {
        let code = Bytecode::new_raw_checked(bytes.clone()).ok()?;
        if !spec.is_enabled_in(SpecId::PRAGUE) || !code.is_eip7702() {
            return None;
        }
        code
    } else {
        Bytecode::new_legacy(bytes.clone())
    };
    Some((code.hash_slow(), code))
}

/// How many locations the list says are changed.
fn locations(list: &[AccountChanges]) -> u64 {
    let changed = list.iter().filter(|account| changes(account));
    changed.map(|account| 1 + account.storage_changes.len() as u64).sum()
}

/// How many places the list says are accessed.
fn accesses(list: &[AccountChanges]) -> u64 {
    let slots = |entry: &AccountChanges| entry.storage_changes.len() + entry.storage_reads.len();
    list.iter().map(|entry| 1 + slots(entry) as u64).sum()
}

fn changes(account: &AccountChanges) -> bool {
    !(account.storage_changes.is_empty()
        && account.balance_changes.is_empty()
        && account.nonce_changes.is_empty()
        && account.code_changes.is_empty())
}

/// The place with this index, made where there is none yet.
fn put<T: Default>(places: &mut Vec<T>, id: u32) -> &mut T {
    let id = id as usize;
    if places.len() <= id {
        places.resize_with(id + 1, T::default);
    }
    &mut places[id]
}

/// The claims below `end`, by position; later ones of one position stand behind earlier ones.
fn ordered<T>(claims: impl Iterator<Item = (BlockAccessIndex, T)>, end: Position) -> Claims<T> {
    let mut ordered: Vec<_> = claims
        .filter(|(index, _)| index.get() < u64::from(end))
        .map(|(index, value)| (index.get() as Position, value))
        .collect();
    ordered.sort_by_key(|(position, _)| *position);
    ordered.into()
}

fn newest<T: Copy>(claims: &[(Position, T)], span: Span) -> Option<(Stamp, T)> {
    let next = claims.partition_point(|(position, _)| *position < span.below);
    let (position, value) = *claims.get(next.checked_sub(1)?)?;
    let version = span.version.map_or(0, Stamp::position);
    (position > span.committed.max(version)).then(|| (Stamp::new(position, CLAIMED), value))
}

/// The account after each position that changes it, as [`super::record`] would write it.
fn versions(base: AccountValue, changes: &[(Position, Field)]) -> Claims<AccountValue> {
    let mut now = base;
    let mut versions = Vec::new();
    for group in changes.chunk_by(|one, other| one.0 == other.0) {
        let position = group[0].0;
        let mut next = AccountValue { exists: true, ..now };
        for (_, field) in group {
            match *field {
                Field::Balance(balance) => next.balance = balance,
                Field::Nonce(nonce) => next.nonce = nonce,
                Field::Code(hash) => next.code_hash = hash,
            }
        }
        if next.is_empty() {
            if !now.exists {
                continue;
            }
            let again = now.wiped > 0;
            next = AccountValue {
                wiped: position,
                storage_known: true,
                again,
                ..AccountValue::MISSING
            };
        } else {
            next.storage_known = now.storage_known || now.is_plain();
        }
        if next != now {
            versions.push((position, next));
            now = next;
        }
    }
    versions.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Optimisations,
        engine::{
            ahead::{Ahead, Input},
            limits::Limits,
            parent::Parent,
            precompiles::Assistance,
            schedule::Claim,
            vm::Revm,
            watch::Unwatched,
        },
        source::MemoryState,
        sync::atomic::AtomicBool,
    };
    use alloy_consensus::{SignableTransaction, TxLegacy, transaction::Recovered};
    use alloy_eip7928::{BalanceChange, CodeChange, NonceChange, SlotChanges, StorageChange};
    use alloy_primitives::{Address, Signature};
    use std::sync::Arc;

    const ONE: Address = Address::repeat_byte(1);

    fn at(index: u64) -> BlockAccessIndex {
        BlockAccessIndex::new(index)
    }

    fn span(committed: Position, version: Option<Position>, below: Position) -> Span {
        Span { below, committed, version: version.map(|position| Stamp::new(position, 1)) }
    }

    /// A block of five transactions of one sender.
    fn block(gas_limit: u64) -> Block {
        let mut block = Block::default();
        block.header.gas_limit = gas_limit;
        let signed = TxLegacy::default().into_signed(Signature::test_signature());
        block.transactions = vec![Recovered::new_unchecked(signed.into(), ONE); 5];
        block
    }

    /// A list taken in for such a block, with the indices of its account and slot.
    fn take_in(account: AccountChanges, gas_limit: u64) -> (Listed, u32, u32) {
        let block = block(gas_limit);
        let tables = Tables::new();
        let listed = Listed::new(&[account], &block, &EvmEnv::default(), &tables);
        let id = tables.account_id(&ONE);
        (listed, id, tables.slot_id(id, &U256::from(7)))
    }

    fn slots(changes: &[(u64, u64)]) -> AccountChanges {
        let change = |&(index, value)| StorageChange::new(at(index), U256::from(value));
        let changes = changes.iter().map(change).collect();
        AccountChanges::new(ONE).with_storage_change(SlotChanges::new(U256::from(7), changes))
    }

    #[test]
    fn the_newest_claim_below_counts_where_it_is_newer_than_version_and_head() {
        let list = slots(&[(4, 40), (1, 10), (u64::MAX, 3), (5, 50), (2, 20), (2, 21)]);
        let (listed, _, slot) = take_in(list, 30_000_000);
        let value = |span| listed.slot(slot, span).map(|(stamp, value)| (stamp.position(), value));
        let claim = |position, value| Some((position, U256::from(value)));
        assert_eq!(value(span(0, None, 1)), None);
        assert_eq!(value(span(0, None, 2)), claim(1, 10));
        assert_eq!(value(span(0, None, 4)), claim(2, 21));
        assert_eq!(value(span(0, Some(1), 4)), claim(2, 21));
        assert_eq!(value(span(0, Some(2), 4)), None, "the version itself is there");
        assert_eq!(value(span(2, None, 4)), None, "committed state says what there is");
        assert_eq!(value(span(0, None, 9)), claim(4, 40), "what comes after the last is left out");
        assert_eq!(listed.slot(slot + 1, span(0, None, 9)), None);
    }

    #[test]
    fn an_account_is_put_together_from_its_base_and_the_changes() {
        let code = Bytes::from_static(&[0x60, 0x00]);
        let list = AccountChanges::new(ONE)
            .with_balance_change(BalanceChange::new(at(1), U256::from(5)))
            .with_nonce_change(NonceChange::new(at(2), 1))
            .with_code_change(CodeChange::new(at(2), code.clone()))
            .with_balance_change(BalanceChange::new(at(3), U256::ZERO))
            .with_nonce_change(NonceChange::new(at(3), 0))
            .with_code_change(CodeChange::new(at(3), Bytes::new()))
            .with_balance_change(BalanceChange::new(at(4), U256::from(9)));
        let (listed, id, _) = take_in(list, 30_000_000);
        let value = |below| {
            let base = || Ok::<_, ()>(AccountValue::MISSING);
            listed.account(id, span(0, None, below), base).unwrap().map(|(_, value)| value)
        };
        let paid = AccountValue {
            balance: U256::from(5),
            exists: true,
            storage_known: true,
            ..AccountValue::MISSING
        };
        let code_hash = alloy_primitives::keccak256(&code);
        assert_eq!(value(1), None);
        assert_eq!(value(2), Some(paid));
        assert_eq!(value(3), Some(AccountValue { nonce: 1, code_hash, ..paid }));
        let gone = AccountValue { wiped: 3, storage_known: true, ..AccountValue::MISSING };
        assert_eq!(value(4), Some(gone), "an account that has nothing is gone, with its storage");
        let again = AccountValue { balance: U256::from(9), exists: true, ..gone };
        assert_eq!(value(5), Some(again));
        assert_eq!(listed.code(&code_hash).map(|code| code.original_bytes()), Some(code));
    }

    #[test]
    fn the_base_is_asked_only_where_a_claim_counts_and_once() {
        let list =
            AccountChanges::new(ONE).with_balance_change(BalanceChange::new(at(2), U256::from(5)));
        let (listed, id, _) = take_in(list, 30_000_000);
        let no = || -> Result<AccountValue, &str> { Err("asked") };
        assert_eq!(listed.account(id, span(0, None, 2), no), Ok(None));
        assert_eq!(listed.account(id, span(2, None, 4), no), Ok(None));
        assert_eq!(listed.account(id, span(0, None, 4), no), Err("asked"));
        let base = || Ok::<_, &str>(AccountValue::MISSING);
        assert!(listed.account(id, span(0, None, 4), base).unwrap().is_some());
        assert!(listed.account(id, span(0, None, 4), no).unwrap().is_some());
    }

    #[test]
    fn a_list_too_long_for_the_blocks_gas_is_not_used() {
        let mut list = AccountChanges::new(ONE);
        for slot in 0..100 {
            let change = StorageChange::new(at(1), U256::ONE);
            list.storage_changes.push(SlotChanges::new(U256::from(slot), vec![change]));
        }
        let used = |gas_limit| take_in(list.clone(), gas_limit).0.slots.len();
        assert_eq!(used(30_000_000), 100);
        assert_eq!(used(37 * LOCATION_COST), 100);
        assert_eq!(used(37 * LOCATION_COST - 1), 0);
    }

    #[test]
    fn with_a_list_no_transaction_waits_for_the_same_senders() {
        let (block, env) = (block(0), EvmEnv::default());
        let tables = Arc::new(Tables::new());
        let (source, limits, stop) =
            (MemoryState::default(), Limits::default(), AtomicBool::new(false));
        let first_two = |listed| {
            let input = Input {
                tables: tables.clone(),
                block: &block,
                parent: Parent::Source(&source),
                limits: &limits,
                stop: &stop,
                forced: true,
                optimisations: Optimisations::NONE,
                listed,
                runs_ahead: false,
                forecast: None,
                plan: None,
                helpers: None,
            };
            let vm = Revm::new(&env, &block, false, Assistance::default());
            let ahead = Ahead::new(vm, input, Unwatched);
            [ahead.schedule.claim(None, 0), ahead.schedule.claim(None, 0)]
        };
        assert_eq!(first_two(None), [Claim::Run(0..1), Claim::Wait]);
        let listed = Listed::default();
        assert_eq!(first_two(Some(&listed)), [Claim::Run(0..1), Claim::Run(1..2)]);
    }

    #[test]
    fn only_certain_codes_are_taken() {
        let kind = |bytes: &[u8], spec| {
            decode(&Bytes::copy_from_slice(bytes), spec).map(|(_, code)| code.is_eip7702())
        };
        let delegation = [&[0xef, 0x01, 0x00][..], ONE.as_slice()].concat();
        assert_eq!(kind(&delegation, SpecId::PRAGUE), Some(true));
        assert_eq!(kind(&delegation, SpecId::CANCUN), None);
        assert_eq!(kind(&delegation, SpecId::BERLIN), None);
        assert_eq!(kind(&delegation[..22], SpecId::PRAGUE), None);
        assert_eq!(kind(&[0xef], SpecId::PRAGUE), None);
        assert_eq!(kind(&[0x60, 0xef], SpecId::FRONTIER), Some(false));
        let (hash, code) = decode(&Bytes::new(), SpecId::PRAGUE).unwrap();
        assert_eq!((hash, code), (KECCAK256_EMPTY, Bytecode::default()));
    }
}
