//! Work inside one transaction that a pool's threads share.
//!
//! Role: let a thread that has work of many numbers, within something that only it can do, have
//! part of them done by others. Actors: the owner, who offers the work, takes part in it, and waits
//! for those who do; helpers, who look whether anything is offered where they would otherwise wait,
//! inside a block or between two, and, for what takes long, before they begin with something else.
//!
//! Invariants:
//! 1. Each number is taken once, by the owner or by one helper ([`Task::next`] only grows).
//! 2. The owner waits for helpers that have taken a number, and for nobody else. Those are in the
//!    middle of [`Work::part`], which waits for nobody: so the owner comes to an end, alone if
//!    nobody comes, and neither holds a lock meanwhile that the other one needs.
//! 3. What one participant made is merged before its numbers count as done, both under the lock: an
//!    owner that finds all of them done has everything.
//! 4. A participant that panics makes the whole work fail; its numbers count as done.
//!
//! Work owns what it needs, since a helper may hold it for a moment longer than the owner waits.

use crate::sync::{
    Line, Mutex,
    atomic::{AtomicUsize, Ordering},
    spin_while,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

/// How long the owner looks for the last helper's end before it looks at the time again.
const LOOK: Duration = Duration::from_micros(100);

/// Something that is done number by number.
pub(crate) trait Work: Send + Sync + 'static {
    /// What one participant makes of the numbers that it took.
    type Part: Send;

    /// How many numbers there are.
    fn len(&self) -> usize;

    /// Does what belongs to these numbers, as many as there are when it asks for the next one.
    fn part(&self, numbers: &mut dyn Iterator<Item = usize>) -> Self::Part;

    /// Both parts together, in any order.
    fn merge(&self, one: Self::Part, other: Self::Part) -> Self::Part;
}

/// What the participants have made.
struct Made<P> {
    part: Option<P>,
    /// Numbers that are done, and by how many.
    done: usize,
    participants: usize,
    failed: bool,
}

struct Task<W: Work> {
    work: W,
    next: AtomicUsize,
    made: Mutex<Made<W::Part>>,
}

/// The numbers that one participant takes.
struct Numbers<'t> {
    next: &'t AtomicUsize,
    len: usize,
    taken: usize,
}

impl Iterator for Numbers<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.len).then(|| {
            self.taken += 1;
            number
        })
    }
}

/// What a helper sees of work, whatever its kind.
trait Offer: Send + Sync {
    /// Takes part until no number is left; false where none was.
    fn take_part(&self) -> bool;
}

impl<W: Work> Task<W> {
    fn new(work: W) -> Self {
        let made = Mutex::new(Made { part: None, done: 0, participants: 0, failed: false });
        Self { work, next: AtomicUsize::new(0), made }
    }

    fn is_done(&self) -> bool {
        self.made.lock().done >= self.work.len()
    }
}

impl<W: Work> Offer for Task<W> {
    fn take_part(&self) -> bool {
        let mut numbers = Numbers { next: &self.next, len: self.work.len(), taken: 0 };
        let Some(first) = numbers.next() else { return false };
        let mut all = std::iter::once(first).chain(&mut numbers);
        let part = catch_unwind(AssertUnwindSafe(|| self.work.part(&mut all)));
        // What it has left over is done by nobody.
        let complete = all.next().is_none();
        let mut made = self.made.lock();
        let before = made.part.take();
        let merged = part.and_then(|part| {
            catch_unwind(AssertUnwindSafe(|| match before {
                Some(before) => self.work.merge(before, part),
                None => part,
            }))
        });
        made.failed |= merged.is_err() || !complete;
        made.part = merged.ok();
        made.done += numbers.taken;
        made.participants += 1;
        true
    }
}

/// Where work is offered.
#[derive(Default)]
pub(crate) struct Tasks {
    /// How many stand in the list: what everybody looks at who has nothing to do.
    offered: Line<AtomicUsize>,
    list: Mutex<Vec<Arc<dyn Offer>>>,
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tasks").field("offered", &self.offered.0).finish_non_exhaustive()
    }
}

impl Tasks {
    /// Whether there may be something to help with.
    pub(crate) fn any(&self) -> bool {
        self.offered.load(Ordering::Relaxed) > 0
    }

    fn newest(&self) -> Option<Arc<dyn Offer>> {
        self.list.lock().last().cloned()
    }

    /// Nobody has to look any more at what has no numbers left.
    fn remove(&self, offer: &Arc<dyn Offer>) {
        let mut list = self.list.lock();
        list.retain(|other| !std::ptr::addr_eq(Arc::as_ptr(other), Arc::as_ptr(offer)));
        self.offered.store(list.len(), Ordering::Relaxed);
    }

    /// Helps with everything that is offered; false where there was nothing to do.
    pub(crate) fn help(&self) -> bool {
        if !self.any() {
            return false;
        }
        let mut helped = false;
        while let Some(offer) = self.newest() {
            helped |= offer.take_part();
            self.remove(&offer);
        }
        helped
    }

    /// Offers work to whoever has nothing to do. `call` is called with how many could help.
    pub(super) fn offer<W: Work>(
        self: &Arc<Self>,
        work: W,
        call: impl FnOnce(usize),
    ) -> Offered<W> {
        let (tasks, task) = (self.clone(), Arc::new(Task::new(work)));
        let mut list = self.list.lock();
        list.push(task.clone());
        self.offered.store(list.len(), Ordering::Relaxed);
        drop(list);
        call(task.work.len());
        Offered { tasks, task }
    }
}

/// Work that its owner has offered.
pub(crate) struct Offered<W: Work> {
    tasks: Arc<Tasks>,
    task: Arc<Task<W>>,
}

impl<W: Work> Offered<W> {
    /// Does what nobody else has begun, and waits for the rest; `None` where a participant
    /// panicked, and where there was nothing to do.
    pub(crate) fn finish(self) -> Option<W::Part> {
        self.finish_counting().map(|(part, _)| part)
    }

    /// The same, with how many took part.
    pub(crate) fn finish_counting(self) -> Option<(W::Part, usize)> {
        self.task.take_part();
        while !self.task.is_done() {
            spin_while(LOOK, || !self.task.is_done());
        }
        let mut made = self.task.made.lock();
        let participants = made.participants;
        made.part.take().filter(|_| !made.failed).map(|part| (part, participants))
    }
}

impl<W: Work> Drop for Offered<W> {
    /// Nobody has to begin any more with what nobody waits for.
    fn drop(&mut self) {
        self.tasks.remove(&(self.task.clone() as Arc<dyn Offer>));
    }
}

#[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
mod tests {
    use super::*;
    use crate::sync::thread;

    /// Sums up its numbers; waits for so many participants; panics at one number.
    #[derive(Default)]
    struct Sum {
        len: usize,
        wanted: usize,
        fatal: Option<usize>,
        come: AtomicUsize,
    }

    impl Work for Sum {
        type Part = usize;

        fn len(&self) -> usize {
            self.len
        }

        fn part(&self, numbers: &mut dyn Iterator<Item = usize>) -> usize {
            let first = numbers.next().unwrap();
            self.come.fetch_add(1, Ordering::Relaxed);
            while self.come.load(Ordering::Relaxed) < self.wanted {
                thread::yield_now();
            }
            let add = |number| {
                assert!(self.fatal != Some(number), "fatal");
                number + 1
            };
            add(first) + numbers.map(add).sum::<usize>()
        }

        fn merge(&self, one: usize, other: usize) -> usize {
            one + other
        }
    }

    /// What `work` comes to with two threads that do nothing but help.
    fn with_helpers(work: Sum) -> Option<usize> {
        let tasks = Arc::<Tasks>::default();
        let over = AtomicUsize::new(0);
        let sum = thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while over.load(Ordering::Relaxed) == 0 {
                        tasks.help();
                        thread::yield_now();
                    }
                });
            }
            let sum = tasks.offer(work, |_| {}).finish();
            over.store(1, Ordering::Relaxed);
            sum
        });
        assert!(!tasks.any() && !tasks.help(), "nothing is left behind");
        sum
    }

    #[test]
    fn each_number_is_done_once_by_all_who_come() {
        for len in [3, 4, 50] {
            let expected = Some(len * (len + 1) / 2);
            assert_eq!(with_helpers(Sum { len, wanted: 3, ..Sum::default() }), expected);
            assert_eq!(with_helpers(Sum { len, ..Sum::default() }), expected);
        }
    }

    #[test]
    fn the_owner_alone_does_everything() {
        let tasks = Arc::<Tasks>::default();
        let mut called = None;
        let work = Sum { len: 4, ..Sum::default() };
        assert_eq!(tasks.offer(work, |parts| called = Some(parts)).finish(), Some(10));
        assert_eq!(called, Some(4));
        assert_eq!(tasks.offer(Sum::default(), |_| {}).finish(), None, "no numbers");
        drop(tasks.offer(Sum { len: 4, ..Sum::default() }, |_| {}));
        assert!(!tasks.any(), "what is given up is offered no longer");
    }

    #[test]
    fn a_panic_of_any_participant_leaves_no_result() {
        for number in 0..4 {
            let work = Sum { len: 4, wanted: 3, fatal: Some(number), ..Sum::default() };
            assert_eq!(with_helpers(work), None);
        }
    }
}

#[cfg(all(test, feature = "loom"))]
mod models {
    use super::*;
    use crate::sync::thread;
    use loom::model::Builder;

    struct Numbers(usize);

    impl Work for Numbers {
        type Part = Vec<usize>;

        fn len(&self) -> usize {
            self.0
        }

        fn part(&self, numbers: &mut dyn Iterator<Item = usize>) -> Vec<usize> {
            numbers.collect()
        }

        fn merge(&self, mut one: Vec<usize>, other: Vec<usize>) -> Vec<usize> {
            one.extend(other);
            one
        }
    }

    /// In every schedule the owner gets each number once, and nothing stays offered.
    #[test]
    fn everything_is_done_once_before_the_owner_goes_on() {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let tasks = Arc::<Tasks>::default();
            let helper = {
                let tasks = tasks.clone();
                thread::spawn(move || tasks.help())
            };
            let mut all = tasks.offer(Numbers(3), |_| {}).finish().unwrap();
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2]);
            helper.join().unwrap();
            assert!(!tasks.any());
        });
    }
}
