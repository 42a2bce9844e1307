//! What the engine reads of the parent state, against sequential execution.
//!
//! The engine promises to read each location once. What a stale run asks for may be more than what
//! the transaction needs in the end, which is the price of a wrong guess.

use super::{Failure, forced};
use braid_core::{
    OutputKind, SourceError, StateReader, StateSource,
    sequential::execute_bare,
    source::{HookedReader, Location},
};
use braid_shadow::recorded::RecordedBlock;
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Mutex};

const ROUNDS: usize = 5;

/// For one and for several threads: reads of the engine over the locations that sequential
/// execution needs, and the most reads of one location in one block.
pub(crate) fn samples(
    name: &str,
    records: &[RecordedBlock],
) -> Result<Vec<(String, Value)>, Failure> {
    let mut needed = 0;
    for record in records {
        let source = Counting::new(record.state.source());
        execute_bare(&record.chain, &record.block, &source, OutputKind::Flat)?;
        needed += source.reads().len();
    }
    let mut found = Vec::new();
    for threads in [1, 4] {
        let engine = forced(threads);
        let (mut ratios, mut most) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (mut all, mut repeated) = (0, 0);
            for record in records {
                let source = Counting::new(record.state.source());
                engine.execute(&record.chain, &record.block, &source)?;
                let reads = source.reads();
                all += reads.values().sum::<usize>();
                repeated = reads.into_values().max().unwrap_or_default().max(repeated);
            }
            ratios.push(all as f64 / needed as f64);
            most.push(repeated);
        }
        let name = format!("{name}, threads {threads}");
        found.push((format!("reads: {name}"), json!(ratios)));
        found.push((format!("repeated reads: {name}"), json!(most)));
    }
    Ok(found)
}

/// Counts the reads of each location.
struct Counting<'a> {
    inner: &'a dyn StateSource,
    reads: Mutex<HashMap<Location, usize>>,
}

impl<'a> Counting<'a> {
    fn new(inner: &'a dyn StateSource) -> Self {
        Self { inner, reads: Mutex::default() }
    }

    fn reads(self) -> HashMap<Location, usize> {
        self.reads.into_inner().unwrap_or_default()
    }
}

impl StateSource for Counting<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        let inner = self.inner.reader()?;
        Ok(Box::new(HookedReader::new(inner, |location| {
            if let Ok(mut reads) = self.reads.lock() {
                *reads.entry(location).or_default() += 1;
            }
            Ok(())
        })))
    }
}
