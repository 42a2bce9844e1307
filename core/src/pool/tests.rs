//! Who comes to a block, stays awake for the next one, and takes part in pieces of work.

use super::*;
use std::time::Instant;

#[test]
fn threads_stay_awake_while_small_blocks_go_by_but_not_for_ever() {
    let soon = Duration::ZERO;
    assert!(lingers([4, 4], [5, 4], soon), "one is under way");
    assert!(lingers([5, 4], [5, 5], soon), "one has just ended");
    assert!(!lingers([5, 5], [5, 5], soon));
    assert!(!lingers([5, 4], [5, 4], LINGER));
    let mut pool = Pool::new(1);
    pool.run(&|_worker| thread::yield_now());
    let under_way = pool.bystanders();
    under_way.alone(|| {
        while pool.is_awake() {
            thread::yield_now();
        }
    });
    assert_eq!(under_way.0.done_alone(), [1, 1]);
}

#[test]
fn a_vector_is_filled_in_parts_by_any_number_of_threads() {
    for helpers in [0, 1, 3] {
        let mut pool = Pool::new(helpers);
        for lengths in [&[][..], &[0], &[3], &[2, 0, 5, 1]] {
            let first = |part: usize| lengths[..part].iter().sum::<usize>();
            // Boxed, so that a place without a value would be found out.
            let all = in_parts(lengths, &mut pool.sharer(true), |part, room| {
                (first(part)..first(part + 1)).for_each(|value| room.push(Box::new(value)));
            });
            assert!(all.into_iter().map(|value| *value).eq(0..first(lengths.len())));
        }
    }
}

#[test]
fn a_part_that_is_not_full_or_too_full_gives_no_vector() {
    for pushed in [1, 3] {
        let fill = |_part, room: &mut Room<'_, Box<u8>>| {
            (0..pushed).for_each(|value| room.push(Box::new(value)));
        };
        let made = catch_unwind(|| in_parts(&[2, 2], &mut alone, fill));
        assert!(made.is_err(), "{pushed} of 2");
    }
}

#[test]
fn threads_that_sleep_are_woken_for_work_that_is_shared() {
    let mut pool = Pool::new(3);
    while pool.is_awake() {
        thread::yield_now();
    }
    // Each piece ends when there is somebody for each of the others.
    let come = AtomicUsize::new(0);
    let start = Instant::now();
    pool.share(true, 4, &|_piece| {
        come.fetch_add(1, Ordering::Relaxed);
        while come.load(Ordering::Relaxed) < 4 {
            assert!(start.elapsed() < Duration::from_secs(60), "a thread sleeps on");
            thread::yield_now();
        }
    });
}

#[test]
fn both_of_two_functions_are_called_once() {
    for helpers in [0, 1, 3] {
        let mut pool = Pool::new(helpers);
        for round in 0..200 {
            assert_eq!(pool.join(|| round, || 2 * round), (round, 2 * round));
            let lost = |here: bool| {
                let fail = |fails: bool| assert!(!fails, "lost");
                catch_unwind(AssertUnwindSafe(|| pool.join(|| fail(here), || fail(!here))))
            };
            assert!([true, false].map(lost).iter().all(Result::is_err));
        }
    }
}
