//! Traps 37 to 46, 54 to 58 and 60: what only speculation can get wrong.

use super::{
    A, B, C, X,
    accounts::made,
    common::{
        self,
        asm::{asm, factory, init_code, part},
        late::{Trouble, Troubled},
        scene::{Scene, THREADS},
        tx::{Tx, sender},
    },
};
use alloy_hardforks::EthereumHardfork as Fork;
use alloy_primitives::{Address, B256, U256};
use braid_core::{
    Engine, Optimisations, Options, OutputKind, SourceError, StateOutput, StateReader, StateSource,
    engine::{Limits, Step},
    source::{Location, MemoryState},
};
use revm::{bytecode::Bytecode, bytecode::opcode as op, state::AccountInfo};
use std::sync::Mutex;

const SWITCHES: [Optimisations; 2] = [Optimisations::ALL, Optimisations::NONE];

/// `A`: with data it looks at `X` while slot 0 is zero; `B` sets slot 0 of `A`, and is late. An `A`
/// ahead of its turn sees a state that never is, and goes where nobody goes in order.
fn wrong_path() -> Scene {
    let set = part(|code| code.count(0));
    let look = part(|code| {
        code.load(0).op(op::ISZERO).address(X).op(op::MUL).op(op::BALANCE).op(op::POP);
        code.count(1)
    });
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, asm(|code| code.if_data(&set, &look)), 0);
    scene.contract(B, asm(|code| code.call(A, 0)), 0);
    scene.send(0, Tx::to(B));
    for from in 1..4 {
        scene.send(from, Tx::to(A).arg(1));
    }
    scene
}

/// Runs the scene with trouble at `X` until a speculative run met it, a few times at least.
fn trouble_is_met(scene: &Scene, trouble: Trouble) {
    let stock = scene.stock(OutputKind::Flat);
    let mut met = 0;
    for round in 0..200 {
        for threads in THREADS {
            for switches in SWITCHES {
                let places =
                    vec![(Location::Account(B), Trouble::Delay), (Location::Account(X), trouble)];
                let source = Troubled::new(&scene.state, places);
                let outcome = scene.engine(threads, switches, &source);
                let what = format!("{trouble:?}, {threads} threads, {switches:?}");
                common::scene::assert_same(&what, &stock, &outcome);
                met += source.met();
            }
        }
        if round >= 3 && met > 0 {
            return;
        }
    }
    panic!("no speculative run took the wrong path in 200 rounds");
}

#[test]
fn t37_a_loop_that_only_ends_on_a_consistent_state_ends() {
    // With data: sets both slots. Without: loops while they differ.
    let wait = part(|code| {
        let start = 4;
        code.op(op::JUMPDEST).load(0).load(1).op(op::EQ).op(op::ISZERO).push(start).op(op::JUMPI);
        code.count(2)
    });
    let set = part(|code| code.arg(0).store(0).arg(0).store(1));
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, asm(|code| code.if_data(&wait, &set)), 0);
    for round in 0..8 {
        scene.send(round % 4, Tx::to(A).arg(1 + u64::from(round)));
        scene.send(4 + round % 4, Tx::to(A));
    }
    let post = scene.run();
    assert_eq!(post.successes(), [true; 16], "a run that never ends would be out of gas");
    assert_eq!([0, 1, 2].map(|slot| post.slot(A, slot)), [U256::from(8); 3]);
}

#[test]
fn t38_a_panic_ahead_of_its_turn_is_a_lost_run_and_nothing_else() {
    trouble_is_met(&wrong_path(), Trouble::Panic);
}

#[test]
fn t39_a_failed_read_ahead_of_its_turn_fails_nothing() {
    trouble_is_met(&wrong_path(), Trouble::Error);
}

#[test]
fn t39_a_failed_read_is_not_kept_as_a_value() {
    let mut scene = wrong_path();
    // In order, X is read last; its first read, whoever does it, fails.
    scene.contract(C, asm(|code| code.address(X).op(op::BALANCE).store(0)), 0).fund(X, 5);
    scene.send(5, Tx::to(C));
    assert_eq!(scene.run().slot(C, 0), U256::from(5));
    trouble_is_met(&scene, Trouble::ErrorOnce);
}

#[test]
fn t41_writes_of_one_execution_are_seen_together_or_not_at_all() {
    // With data: writes four slots alike. Without: counts where one differs.
    let check = part(|code| {
        for slot in 1..4 {
            code.load(0).load(slot).op(op::EQ).op(op::ISZERO).load(9).op(op::ADD).store(9);
        }
        code.count(8)
    });
    let set = part(|code| {
        for slot in 0..4 {
            code.arg(0).store(slot);
        }
        code
    });
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, asm(|code| code.if_data(&check, &set)), 0);
    for round in 0..10 {
        scene.send(round % 3, Tx::to(A).arg(1 + u64::from(round)));
        scene.send(3 + round % 5, Tx::to(A));
    }
    let post = scene.run();
    assert_eq!((post.slot(A, 8), post.slot(A, 9)), (U256::from(10), U256::ZERO));
}

/// Six transactions that all depend on each other; the one at `index` has a wrong nonce.
fn contended_with_error(index: usize) -> Scene {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, asm(|code| code.count(0)), 0);
    for at in 0..6 {
        let tx = Tx::to(A);
        scene.send(at as u8, if at == index { tx.nonce(5) } else { tx });
    }
    scene
}

#[test]
fn t42_an_invalid_block_full_of_conflicts_ends_at_every_index() {
    for at in 0..6 {
        let (index, error) = contended_with_error(at).refused();
        assert_eq!(index, Some(at));
        assert!(error.contains("nonce 5 too high, expected 0"), "{error}");
    }
}

#[test]
fn t43_of_two_errors_the_first_one_is_the_blocks() {
    let mut scene = contended_with_error(2);
    // Known to be wrong long before the first error's turn.
    scene.send(7, Tx::to(X).nonce(9)).send(6, Tx::to(X).gas(1));
    let (index, error) = scene.refused();
    assert_eq!(index, Some(2));
    assert!(error.contains("nonce 5 too high"), "{error}");
}

#[test]
fn t43_an_invalid_block_leaves_the_engine_as_it_was() {
    let (valid, invalid) = (wrong_path(), contended_with_error(3));
    for _ in 0..3 {
        assert_eq!(invalid.refused().0, Some(3));
        assert_eq!(valid.run().slot(A, 1), U256::from(3));
    }
}

#[test]
fn t44_places_that_differ_in_a_few_bits_are_different_places() {
    let mut scene = Scene::new(Fork::Shanghai);
    let write = asm(|code| code.arg(32).store_at_arg());
    let mut contracts = Vec::new();
    // Alike in all bytes but one, the first, a middle or the last.
    for (place, byte) in [(0, 1), (0, 2), (10, 1), (10, 2), (19, 1), (19, 2)] {
        let mut address = Address::repeat_byte(0x77);
        address[place] = byte;
        scene.contract(address, write.clone(), 0);
        contracts.push(address);
    }
    let slots: [U256; 5] = [0, 64, 128, 192, 255].map(|shift| U256::ONE << shift);
    for (at, address) in contracts.iter().enumerate() {
        for (number, slot) in slots.iter().enumerate() {
            let value = U256::from(100 * at + number + 1);
            let data = [slot.to_be_bytes::<32>(), value.to_be_bytes::<32>()].concat();
            scene.send(((at + number) % 8) as u8, Tx::to(*address).data(data));
        }
    }
    let post = scene.run();
    for (at, address) in contracts.iter().enumerate() {
        for (number, slot) in slots.iter().enumerate() {
            let expected = U256::from(100 * at + number + 1);
            assert_eq!(post.word(*address, *slot), expected, "{address} {slot}");
        }
    }
}

#[test]
fn t45_the_output_is_sorted_and_the_same_in_every_run() {
    let mut scene = Scene::new(Fork::Amsterdam);
    scene.contract(A, asm(|code| code.push(1).store_at_arg()), 0);
    for index in 0..24 {
        let address = Address::repeat_byte(201 - index * 3);
        scene.send(index % 8, Tx::to(address).value(1));
        scene.send(index % 8, Tx::to(A).arg(1000 - 7 * u64::from(index)).gas(2_000_000));
    }
    scene.run();
    let texts = THREADS.map(|threads| {
        let outcome = scene.overtaken(threads);
        let StateOutput::Flat(changes) = &outcome.state else { panic!("flat was asked for") };
        let addresses = changes.accounts.iter().map(|change| change.address);
        assert!(addresses.is_sorted_by(|one, other| one < other));
        let slots = changes.accounts.iter().map(|change| &change.storage);
        assert!(slots.clone().any(|slots| slots.len() == 24));
        assert!(slots.into_iter().all(|slots| slots.is_sorted_by(|one, other| one.0 < other.0)));
        format!("{:?} {:?} {:?}", outcome.receipts, outcome.state, outcome.access_list)
    });
    assert!(texts.iter().all(|text| *text == texts[0]));
}

#[test]
fn t46_no_account_index_of_the_engine_leaves_it() {
    let mut scene = wrong_path();
    scene.chain = common::chains::chain(Fork::Amsterdam);
    let amsterdam = Scene::new(Fork::Amsterdam);
    scene.block.header = amsterdam.block.header;
    scene.state = {
        let mut state = amsterdam.state;
        for address in [A, B] {
            let info = scene.state.account(&address).expect("a contract").clone();
            let code = scene.state.code(&info.code_hash).expect("its code").clone();
            state.insert_account(address, AccountInfo { code: Some(code), ..info });
        }
        state
    };
    scene.run();
    for threads in THREADS {
        let bundle = scene.bundle(threads);
        let infos = bundle.state.values();
        let infos = infos.flat_map(|account| [&account.info, &account.original_info]);
        assert!(infos.flatten().all(|info| info.account_id.is_none()), "{threads} threads");
    }
}

#[test]
fn t54_storage_of_a_changed_account_without_code_or_nonce_counts_as_known() {
    // revm's State takes such an account's storage for empty once a block changes it.
    let slot_after = |pay: bool| {
        let mut scene = Scene::new(Fork::Prague);
        scene.contract(A, asm(|code| code.count(0)), 0);
        scene.fund(sender(8), 5).slot(sender(8), 0, 7);
        scene.send(0, Tx::to(if pay { sender(8) } else { X }).value(1));
        scene.send(1, Tx::to(sender(8)).authorize(8, A, 0));
        scene.run().slot(sender(8), 0)
    };
    assert_eq!(slot_after(false), U256::from(8), "read in the transaction that changes it first");
    assert_eq!(slot_after(true), U256::ONE, "read after another one changed it");
}

#[test]
fn t54_what_such_a_slot_was_before_does_not_depend_on_who_read_it_in_vain() {
    // The write takes the slot for zero. A speculative run may have read its value all the same,
    // and for the output that value is none of the block's business.
    for value in [0, 1, 7] {
        let mut scene = Scene::new(Fork::Prague);
        scene.contract(A, asm(|code| code.count(0).push(value).store(0)), 0);
        scene.fund(sender(8), 5).slot(sender(8), 0, 7);
        scene.send(0, Tx::to(sender(8)).value(1));
        scene.send(1, Tx::to(sender(8)).authorize(8, A, 0));
        scene.send(2, Tx::to(sender(8)));
        let expected = [7, 1, 7][usize::from(value.min(2))];
        assert_eq!(scene.run().slot(sender(8), 0), U256::from(expected), "{value}");
    }
}

#[test]
fn t55_creation_over_a_balance_is_no_destruction_in_the_bundle() {
    let init = init_code(&[op::STOP]);
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, factory(), 0).fund(made(&init), 4);
    scene.send(0, Tx::to(X)).send(1, Tx::to(A).data(init.clone()));
    scene.run();
    for threads in THREADS {
        let bundle = scene.bundle(threads);
        let account = &bundle.state[&made(&init)];
        assert!(!account.was_destroyed(), "{:?}", account.status);
        assert!(account.original_info.is_some());
    }
}

/// As reth's provider: unknown codes are empty, unknown block hashes zero. Notes the codes that it
/// was asked for.
struct Lenient<'a> {
    state: &'a MemoryState,
    codes: Mutex<Vec<B256>>,
}

struct LenientReader<'a> {
    inner: Box<dyn StateReader + 'a>,
    source: &'a Lenient<'a>,
}

impl StateSource for Lenient<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        Ok(Box::new(LenientReader { inner: self.state.reader()?, source: self }))
    }
}

impl StateReader for LenientReader<'_> {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError> {
        self.inner.account(address)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, SourceError> {
        self.inner.storage(address, slot)
    }

    fn code(&mut self, hash: B256) -> Result<Bytecode, SourceError> {
        self.source.codes.lock().expect("no reader panics").push(hash);
        Ok(self.inner.code(hash).unwrap_or_default())
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, SourceError> {
        Ok(self.inner.block_hash(number).unwrap_or_default())
    }
}

#[test]
fn t56_code_of_the_block_is_never_asked_of_the_source() {
    let runtime = asm(|code| code.count(0));
    let init = init_code(&runtime);
    let mut scene = Scene::new(Fork::Prague);
    scene.contract(A, factory(), 0);
    scene.send(0, Tx::to(A).data(init.clone())).send(1, Tx::to(X).authorize(2, made(&init), 0));
    for from in 3..8 {
        scene.send(from, Tx::to(if from % 2 == 0 { made(&init) } else { sender(2) }));
    }
    let post = scene.run();
    assert_eq!(post.slot(made(&init), 0) + post.slot(sender(2), 0), U256::from(5));
    let stock = scene.stock(OutputKind::Flat);
    let known: Vec<B256> = scene.state.accounts().map(|(_, info, _)| info.code_hash).collect();
    for threads in THREADS {
        for switches in SWITCHES {
            let lenient = Lenient { state: &scene.state, codes: Mutex::default() };
            let outcome = scene.engine(threads, switches, &lenient);
            common::scene::assert_same(&format!("{threads} threads"), &stock, &outcome);
            let asked = lenient.codes.into_inner().expect("no reader panics");
            assert!(asked.iter().all(|hash| known.contains(hash)), "{asked:?}");
        }
    }
}

#[test]
fn t57_contracts_that_were_only_touched_are_in_neither_output() {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, asm(|code| code.load(0).op(op::POP)), 0);
    scene.send(0, Tx::to(A)).send(1, Tx::to(A));
    let post = scene.run();
    let flat = post.outcome.state.to_flat();
    assert!(flat.accounts.iter().all(|change| change.address != A), "nothing changed");
    assert!(!post.bundle.state.contains_key(&A), "revm's State drops it too");
    assert!(THREADS.iter().all(|threads| !scene.bundle(*threads).state.contains_key(&A)));
}

#[test]
fn t58_what_an_account_was_before_is_told_right_where_its_balance_was_guessed() {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(B, asm(|code| code.call(C, 3)), 10).fund(C, 5);
    scene.send(0, Tx::to(B));
    for from in 1..6 {
        scene.send(from, Tx::to(C).value(from.into()));
    }
    scene.run();
    for threads in THREADS {
        let bundle = scene.bundle(threads);
        let original = bundle.state[&C].original_info.as_ref().expect("it existed");
        assert_eq!(original.balance, U256::from(5));
        let mut seen: Vec<[u64; 2]> = Vec::new();
        let options = Options { threads, forced: true, ..Options::default() };
        let places = vec![(Location::Account(B), Trouble::Delay)];
        let late = Troubled::new(&scene.state, places);
        let mut hook = |commit: braid_core::engine::Commit<'_>| {
            if let (Step::Transaction(_), Some(account)) = (commit.step, commit.state.get(&C)) {
                let before = account.original_info().balance;
                seen.push([before.to(), account.info.balance.to()]);
            }
        };
        Engine::new(options)
            .execute_streaming(&scene.chain, &scene.block, &late, &Limits::default(), &mut hook)
            .expect("a valid block");
        let expected: [[u64; 2]; 6] = [[5, 8], [8, 9], [9, 11], [11, 14], [14, 18], [18, 23]];
        assert_eq!(seen, expected, "{threads} threads");
    }
}

#[test]
fn t60_rewards_make_no_conflicts() {
    // Were rewards paid inside the execution, each of these would depend on the one before.
    let mut scene = Scene::new(Fork::Shanghai);
    for from in 0..8 {
        scene.send(from, Tx::to(Address::repeat_byte(0x90 + from)).value(1));
    }
    scene.run();
    for threads in THREADS {
        for switches in SWITCHES {
            let outcome = scene.engine(threads, switches, &scene.state).expect("a valid block");
            let statistics = outcome.statistics;
            assert_eq!((statistics.executions, statistics.reexecutions), (8, 0), "{statistics:?}");
        }
    }
}
