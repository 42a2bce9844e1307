//! What an engine has learned, rightly or wrongly, decides when something runs and never what it
//! gives.

mod common;

use braid_core::{
    Engine, Optimisations, Options, OutputKind, engine::PredictionsError, sequential::execute_stock,
};
use braid_workload::Settings;
use common::line::Line;
use rand::{Rng, SeedableRng, rngs::SmallRng};

/// Forced, since a fallback would hide faults; engines that learn and one that does not.
fn engines() -> Vec<Engine> {
    let without = Optimisations { learning: false, ..Optimisations::ALL };
    let only = Optimisations { learning: true, ..Optimisations::NONE };
    [(2, Optimisations::ALL), (2, only), (3, Optimisations::ALL), (8, only), (2, without)]
        .map(|(threads, optimisations)| {
            Engine::new(Options { threads, optimisations, forced: true, ..Options::default() })
        })
        .into()
}

fn line(contention: f64, seed: u64) -> Line {
    Line::generated(&Settings {
        blocks: 6,
        transactions: 60,
        contention,
        seed,
        ..Settings::default()
    })
}

/// Executes the blocks one after the other, each on what those before it left, and compares.
fn compare(engine: &Engine, line: &Line, what: &str) {
    let mut state = line.state.clone();
    for (index, block) in line.blocks.iter().enumerate() {
        let stock = execute_stock(&line.chain, block, &state, OutputKind::Flat).unwrap();
        for run in 0..2 {
            let outcome = engine.execute(&line.chain, block, &state).unwrap();
            let what = format!("{what}, block {index}, run {run}, {:?}", engine.options());
            common::assert_same(&what, &stock, &outcome);
        }
        state.apply(&stock.state.to_flat());
    }
}

#[test]
fn learning_over_many_blocks_changes_nothing() {
    for engine in engines() {
        for (seed, contention) in [(1, 0.0), (2, 0.3), (3, 0.8), (4, 1.0)] {
            compare(&engine, &line(contention, seed), &format!("contention {contention}"));
        }
    }
}

#[test]
fn any_predictions_change_nothing() {
    let blocks = line(0.5, 5);
    for engine in engines().into_iter().filter(|engine| engine.options().optimisations.learning) {
        compare(&engine, &blocks, "untaught");
        let learned = engine.save_predictions();
        assert!(learned.len() > 100, "the engine has learned something");
        let mut rng = SmallRng::seed_from_u64(6);
        for round in 0..4 {
            // The keys stay what they are, costs, scores and uses become anything.
            let mut wrong = learned.clone();
            let entries = wrong.len() % 16;
            for value in wrong[entries..].chunks_exact_mut(16) {
                rng.fill(&mut value[8..]);
            }
            engine.load_predictions(&wrong).unwrap();
            compare(&engine, &blocks, &format!("wrong predictions {round}"));
        }
        engine.forget_predictions();
        assert!(engine.save_predictions().len() < 100);
    }
}

#[test]
fn ranges_learn_too() {
    let blocks = line(0.5, 7);
    for engine in engines() {
        for _run in 0..2 {
            blocks.compare("as a range", &engine, &blocks.state);
        }
        let learned = engine.save_predictions().len() > 100;
        assert_eq!(learned, engine.options().optimisations.learning);
    }
}

#[test]
fn an_engine_goes_on_from_what_another_one_saved() {
    let blocks = line(0.3, 8);
    let all = engines();
    compare(&all[0], &blocks, "the first engine");
    let saved = all[0].save_predictions();
    all[1].load_predictions(&saved).unwrap();
    assert_eq!(all[1].save_predictions().len(), saved.len());
    compare(&all[1], &blocks, "the second engine");
    for damaged in [&b""[..], b"braid predictions 0\n", &saved[..saved.len() - 3]] {
        let error = all[1].load_predictions(damaged).unwrap_err();
        assert!(matches!(error, PredictionsError::Format | PredictionsError::Length(_)));
    }
    compare(&all[1], &blocks, "after damaged predictions");
}
