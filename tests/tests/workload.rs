//! Generated blocks over all knobs of the workload, every kind alone and all together, from no
//! contention to a serial block, with random delays in the source: every execution equals stock.
//!
//! `BRAID_WORKLOAD_TRANSACTIONS` sets the size of each block.

mod common;

use braid_core::{Engine, Optimisations, Options, OutputKind, sequential::execute_stock};
use braid_workload::{Kind, Mix, Settings, generate};
use common::jittery::Jittery;

fn size() -> usize {
    let asked = std::env::var("BRAID_WORKLOAD_TRANSACTIONS").ok();
    asked.and_then(|count| count.parse().ok()).unwrap_or(30)
}

fn engines() -> Vec<Engine> {
    let mut engines = Vec::new();
    for (threads, optimisations) in [
        (1, Optimisations::ALL),
        (2, Optimisations::ALL),
        (4, Optimisations::NONE),
        (8, Optimisations::ALL),
    ] {
        for output in [OutputKind::Flat, OutputKind::Bundle] {
            engines.push(Engine::new(Options { threads, output, forced: true, optimisations }));
        }
    }
    engines
}

fn check(engines: &[Engine], what: &str, settings: &Settings) {
    for record in generate(settings, &mut |_, _| {}).expect("a workload") {
        let source = record.state.source();
        let run = |output| execute_stock(&record.chain, &record.block, source, output);
        let flat = run(OutputKind::Flat).expect("a valid block");
        let bundle = run(OutputKind::Bundle).expect("a valid block");
        assert_eq!(flat.receipts.len(), settings.transactions, "{what}");
        for (seed, engine) in engines.iter().enumerate() {
            let stock = if engine.options().output == OutputKind::Flat { &flat } else { &bundle };
            let jittery = Jittery::new(source, 8, seed as u64);
            let what = format!("{what}, {:?}", engine.options());
            let outcome = engine
                .execute(&record.chain, &record.block, &jittery)
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            common::assert_same(&what, stock, &outcome);
        }
    }
}

#[test]
fn each_kind_alone_with_and_without_contention() {
    let engines = engines();
    for kind in Kind::ALL {
        for contention in [0.0, 1.0] {
            let mix: Mix = format!("{kind}=1").parse().expect("a mix");
            let seed = 5 + kind as u64;
            let settings = Settings { blocks: 1, transactions: size(), contention, seed, mix };
            check(&engines, &format!("{kind}, contention {contention}"), &settings);
        }
    }
}

#[test]
fn all_kinds_together_at_every_contention() {
    let engines = engines();
    for (seed, contention) in [0.0, 0.3, 0.7, 1.0].into_iter().enumerate() {
        let transactions = 4 * size();
        let seed = seed as u64;
        let settings =
            Settings { blocks: 2, transactions, contention, seed, ..Settings::default() };
        check(&engines, &format!("contention {contention}"), &settings);
    }
}
