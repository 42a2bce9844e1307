//! The gate can fail, and does only where it should.

use super::*;

fn committed(figures: &[(&str, f64)]) -> Committed {
    let figures = figures.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    Committed { compiler: "rustc".to_owned(), figures }
}

fn measured(figures: &[(&str, f64)]) -> Measured {
    let figures =
        figures.iter().map(|(name, value)| ((*name).to_owned(), Figure::new(vec![*value])));
    Measured { figures: figures.collect(), skipped: Vec::new() }
}

/// The only figure.
fn one(name: &str, was: Option<f64>, is: Option<f64>) -> Compared {
    let pair = |value: Option<f64>| value.map(|value| (name, value)).into_iter().collect();
    let (was, is): (Vec<_>, Vec<_>) = (pair(was), pair(is));
    compare(&committed(&was), &measured(&is)).remove(0)
}

#[test]
fn what_is_within_the_tolerance_passes_on_both_sides() {
    let name = "instructions: payments, engine";
    for (found, verdict) in [
        (10_000.0, Verdict::Same),
        (10_099.0, Verdict::Same),
        (9_901.0, Verdict::Same),
        (10_101.0, Verdict::Worse),
        (9_899.0, Verdict::Better),
        (f64::NAN, Verdict::Worse),
    ] {
        let compared = one(name, Some(10_000.0), Some(found));
        assert_eq!(compared.verdict, verdict, "{found}");
        assert_eq!(compared.passes(), verdict != Verdict::Worse, "{found}");
        assert_eq!(compared.message().is_none(), verdict == Verdict::Same, "{found}");
    }
}

#[test]
fn each_group_has_its_tolerance() {
    for (name, most) in [
        ("executions: contention 0", 1.005),
        ("executions: contention 0.3", 1.02),
        ("executions: contention 1", 1.04),
        ("executions: mainnet", 1.02),
        ("schedule: contention 1, cores 2", 1.001),
        ("scheduled executions: mainnet, cores 2", 1.001),
        ("instructions: all kinds, bare", 1.02),
        ("instructions: all kinds, engine", 1.01),
        ("instructions: all kinds, engine over bare", 1.02),
    ] {
        assert!(one(name, Some(1.0), Some(most - 1e-4)).passes(), "{name}");
        assert!(!one(name, Some(1.0), Some(most + 1e-4)).passes(), "{name}");
    }
}

#[test]
fn a_promise_does_not_depend_on_what_is_committed() {
    let name = "reads: contention 1, threads 4";
    assert!(one(name, None, Some(1.009)).passes());
    let broken = one(name, Some(2.0), Some(1.02));
    assert!(!broken.passes() && broken.breaks_promise());
    assert_eq!(broken.change(), None, "it is not blessed");
    assert!(!one("repeated reads: contention 1, threads 4", None, Some(2.0)).passes());
    let mut blessed = Committed::default();
    blessed.take(&measured(&[(name, 1.02), ("schedule: a", 0.5)]));
    assert_eq!(blessed.figures, committed(&[("schedule: a", 0.5)]).figures);
}

#[test]
fn a_failure_names_figure_expectation_finding_and_next_step() {
    let message = one("executions: mainnet", Some(1.012), Some(1.4)).message().unwrap();
    for part in ["executions: mainnet", "1.0120", "1.0322", "1.4000", "cargo xtask gate --bless"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let message = one("repeated reads: a", None, Some(2.0)).message().unwrap();
    assert!(message.contains("at most 1.0000, found 2.0000"), "{message}");
}

#[test]
fn what_is_gone_fails_and_what_is_new_does_not() {
    let gone = one("schedule: a", Some(1.0), None);
    assert_eq!((gone.verdict.clone(), gone.passes()), (Verdict::Gone, false));
    assert!(gone.message().unwrap().contains("no longer measured"));
    let new = one("schedule: a", None, Some(1.0));
    assert_eq!((new.verdict.clone(), new.passes()), (Verdict::New, true));
}

#[test]
fn what_is_skipped_passes_and_keeps_its_figure() {
    let mut committed = committed(&[("instructions: a, engine", 5.0), ("schedule: b", 2.0)]);
    let mut measured = measured(&[("instructions: a, engine", 9.0), ("schedule: c", 3.0)]);
    measured.skip_group("instructions", "another compiler");
    let compared = compare(&committed, &measured);
    assert_eq!(compared[0].verdict, Verdict::Skipped("another compiler".to_owned()));
    assert!(compared[0].passes() && compared[0].found().is_none());
    committed.take(&measured);
    let figures: Vec<_> = committed.figures.iter().map(|(name, value)| (&**name, *value)).collect();
    assert_eq!(figures, [("instructions: a, engine", 5.0), ("schedule: c", 3.0)]);
}

#[test]
fn the_committed_file_is_read_or_its_fault_named() {
    let text = r#"{"compiler":"rustc 1","figures":{"schedule: a":0.5}}"#;
    let read = Committed::parse(text).unwrap();
    assert_eq!((read.compiler.as_str(), read.figures["schedule: a"]), ("rustc 1", 0.5));
    for (text, fault) in [
        ("{", "EOF"),
        (r#"{"figures":{}}"#, "compiler"),
        (r#"{"compiler":"rustc 1"}"#, "figures"),
        (r#"{"compiler":"rustc 1","figures":{"schedule: a":"b"}}"#, "schedule: a"),
    ] {
        let error = Committed::parse(text).unwrap_err();
        assert!(error.contains(fault), "{error}");
    }
}

#[test]
fn blessing_shows_old_and_new() {
    let change = one("instructions: a, engine", Some(7000.0), Some(6000.0)).change().unwrap();
    assert_eq!(change, "bless: instructions: a, engine: 7000 -> 6000");
    assert_eq!(one("schedule: a", Some(0.5), Some(0.5)).change(), None);
    let change = one("executions: mainnet", Some(1.2), Some(1.1)).change().unwrap();
    assert!(
        change.starts_with("bless: executions: mainnet: 1.2000 -> 1.1000, but only on an idle")
    );
    let gone = one("schedule: a", Some(0.5), None).change().unwrap();
    assert_eq!(gone, "bless: schedule: a: 0.5000 -> -");
}
