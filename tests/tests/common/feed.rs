//! Feeds for the shadow: generated blocks with their reference, and sources that go wrong.

use braid_core::{
    OutputKind, SourceError, StateReader, StateSource,
    sequential::execute_stock,
    source::{HookedReader, Location},
};
use braid_shadow::{
    Event, Job, ParentState, Reference, Settings, Shadow, Work, recorded::RecordedBlock,
};
use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Longer than any of these blocks takes on any machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Generated blocks, each with the receipts and state of stock execution as its reference.
pub fn generated(blocks: usize, transactions: usize, seed: u64) -> Vec<Arc<RecordedBlock>> {
    let settings = braid_workload::Settings {
        blocks,
        transactions,
        seed,
        ..braid_workload::Settings::default()
    };
    let records = braid_workload::generate(&settings, &mut |_, _| {}).expect("a workload");
    records.into_iter().map(|record| Arc::new(with_reference(record))).collect()
}

/// The record with the reference of stock execution.
pub fn with_reference(mut record: RecordedBlock) -> RecordedBlock {
    let source = record.state.source();
    let outcome = execute_stock(&record.chain, &record.block, source, OutputKind::Flat)
        .expect("a valid block");
    record.reference = Some(Reference {
        receipts: Some(outcome.receipts.clone()),
        state: Some(outcome.state.to_flat()),
        note: None,
    });
    record
}

/// A shadow whose events are kept.
pub struct Watched {
    pub shadow: Shadow,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Watched {
    pub fn start(settings: Settings) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let listener = {
            let events = events.clone();
            Arc::new(move |event: &Event| events.lock().unwrap().push(event.clone()))
        };
        let settings = Settings { listener: Some(listener), ..settings };
        Self { shadow: Shadow::start(settings).expect("a thread"), events }
    }

    /// Waits until everything is dealt with; the events since the last call.
    pub fn events(&self) -> Vec<Event> {
        assert!(self.shadow.wait_idle(PATIENCE), "the shadow hangs");
        std::mem::take(&mut *self.events.lock().unwrap())
    }
}

/// Settings for tests: nothing is too slow, nothing disables itself.
pub fn patient() -> Settings {
    Settings {
        threads: 2,
        nice: None,
        deadline: PATIENCE,
        max_lag: 1_000,
        max_batch: 1_000,
        sample_every: 0,
        max_failures: 0,
        forced: true,
        ..Settings::default()
    }
}

/// What a read does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Error,
    Panic,
}

/// A record's state whose k-th read, counted over all readers, goes wrong.
pub struct Faulty {
    record: Arc<RecordedBlock>,
    fault: Fault,
    at: usize,
    reads: Arc<AtomicUsize>,
}

impl Faulty {
    /// The job, and the counter of its reads.
    pub fn job(record: &Arc<RecordedBlock>, fault: Fault, at: usize) -> (Job, Arc<AtomicUsize>) {
        let reads = Arc::new(AtomicUsize::new(0));
        let source = Self { record: record.clone(), fault, at, reads: reads.clone() };
        (job_on(record, source), reads)
    }
}

/// The job of a record on another source.
pub fn job_on(record: &Arc<RecordedBlock>, source: impl StateSource + Send + 'static) -> Job {
    let record = record.clone();
    Job::new(record.number(), record.block.header.hash_slow(), move || {
        let mut work = Work::from_record(record);
        work.state = ParentState::Source(Box::new(source));
        Ok(work)
    })
}

impl StateSource for Faulty {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        let inner = self.record.state.source().reader()?;
        Ok(Box::new(HookedReader::new(inner, |location| self.read(location))))
    }
}

impl Faulty {
    fn read(&self, location: Location) -> Result<(), SourceError> {
        // From the k-th read on, so that the engine's second try fails as well.
        if self.reads.fetch_add(1, Ordering::Relaxed) < self.at {
            return Ok(());
        }
        match self.fault {
            Fault::Error => Err(SourceError::new(location, "the disk is gone")),
            Fault::Panic => panic!("planted panic"),
        }
    }
}

/// A gate that is closed until it is opened.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub fn pass(&self) {
        let mut open = self.0.0.lock().unwrap();
        while !*open {
            open = self.0.1.wait(open).unwrap();
        }
    }
}

/// A source that gives no reader until its gate opens: a provider that hangs.
pub struct Stalled {
    pub record: Arc<RecordedBlock>,
    pub gate: Gate,
}

impl StateSource for Stalled {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        self.gate.pass();
        self.record.state.source().reader()
    }
}
