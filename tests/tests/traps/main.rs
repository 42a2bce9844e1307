//! Every trap of optimistic parallel execution, each as a named test.
//!
//! `tNN` is trap NN of the project's list; `docs/traps.md` is the list, with the test of each trap
//! and the faults that other parallel executors shipped. Each test states the expected outcome
//! itself, beside the comparison of all executors (`common::scene`).

#[path = "../common/mod.rs"]
mod common;

mod accounting;
mod accounts;
mod beneficiary;
mod code;
mod deletion;
mod rivals;
mod senders;
mod speculation;
mod system;

use alloy_primitives::Address;

/// Contracts and other accounts of the scenes.
const A: Address = Address::repeat_byte(0xa1);
const B: Address = Address::repeat_byte(0xb2);
const C: Address = Address::repeat_byte(0xc3);
/// An account that does not exist at first.
const X: Address = Address::repeat_byte(0xe5);

/// The list of traps, held against the tests that it names.
#[test]
fn the_list_names_every_trap_and_only_tests_that_exist() {
    let list = include_str!("../../../docs/traps.md");
    let sources = [
        include_str!("accounting.rs"),
        include_str!("accounts.rs"),
        include_str!("beneficiary.rs"),
        include_str!("code.rs"),
        include_str!("deletion.rs"),
        include_str!("rivals.rs"),
        include_str!("senders.rs"),
        include_str!("speculation.rs"),
        include_str!("system.rs"),
        include_str!("../../../exex/cli/tests/bad_input.rs"),
    ]
    .concat();
    for trap in 1..=61 {
        let row = list.lines().find(|line| line.starts_with(&format!("| {trap} |")));
        let row = row.unwrap_or_else(|| panic!("trap {trap} is not in the list"));
        let tested = sources.contains(&format!("\nfn t{trap:02}_"));
        assert!(tested != row.contains("cannot apply"), "trap {trap}: {row}");
    }
    let quoted = list.split('`').skip(1).step_by(2);
    let prefixes: Vec<_> = quoted.filter_map(|name| name.strip_suffix('…')).collect();
    assert!(prefixes.len() > 80, "{}", prefixes.len());
    for prefix in prefixes {
        assert!(sources.contains(&format!("\nfn {prefix}")), "no test begins with {prefix}");
    }
}
