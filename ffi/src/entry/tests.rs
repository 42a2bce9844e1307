//! The boundary itself: panics, pointers, sizes.

use super::*;
use crate::{BraidErrorView, braid_error_free, braid_error_get, status::*};
use std::ffi::CStr;

#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Sized4 {
    struct_size: u32,
    value: u32,
}

// SAFETY: `repr(C)`, two `u32`, the first one the size.
unsafe impl SizedStruct for Sized4 {}

/// Runs a body and gives its status, the error's view and its message.
fn outcome(body: impl FnOnce() -> Result<(), Failure>) -> (i32, Option<(BraidErrorView, String)>) {
    let mut error = ptr::null_mut();
    // SAFETY: `error` is a local; the view and its message are copied before they are freed.
    unsafe {
        let status = run(&mut error, body);
        let view = braid_error_get(error)
            .as_ref()
            .map(|view| (*view, CStr::from_ptr(view.message).to_str().expect("UTF-8").to_owned()));
        braid_error_free(error);
        (status, view)
    }
}

#[test]
fn a_panic_becomes_a_status() {
    silence_panics();
    let (status, view) = outcome(|| panic!("told {}", "so"));
    assert_eq!(status, BRAID_PANIC);
    assert_eq!(view.expect("an error").1, "panic: told so");
    let (status, view) = outcome(|| std::panic::panic_any(7));
    assert_eq!((status, view.expect("an error").1.as_str()), (BRAID_PANIC, "panic: no message"));
    assert_eq!(INSIDE.get(), 0, "the thread has left the library");
}

#[test]
fn the_library_knows_its_threads() {
    assert!(!is_ours(), "a host's thread");
    assert_eq!(outcome(|| if is_ours() { Ok(()) } else { Err(Failure::null("it")) }).0, BRAID_OK);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    assert!(pool.install(is_ours), "a thread that recovers senders");
    let worker = std::thread::Builder::new().name("braid-1".into()).spawn(is_ours);
    assert!(worker.expect("a thread").join().expect("no panic"), "a worker");
}

#[test]
fn an_error_is_null_on_success() {
    let mut error = ptr::dangling_mut();
    // SAFETY: `error` is a local that is only written.
    let status = unsafe { run(&mut error, || Ok(())) };
    assert_eq!(status, BRAID_OK);
    assert!(error.is_null());
}

#[test]
fn messages_are_cut_and_free_of_nul() {
    let (_, view) = outcome(|| Err(Failure::argument("a\0b").at(3)));
    let (view, text) = view.expect("an error");
    assert_eq!((text.as_str(), view.transaction, view.host_code), ("a\u{fffd}b", 3, 0));
    let (_, view) = outcome(|| Err(Failure::argument("é".repeat(10_000))));
    let (view, text) = view.expect("an error");
    assert_eq!((text.len(), view.message_len, view.transaction), (8192, 8192, -1));
}

#[test]
fn misaligned_and_null_pointers_are_refused() {
    let words = [0_u64; 2];
    let misaligned = words.as_ptr().cast::<u8>().wrapping_add(1).cast::<u64>();
    // SAFETY: neither pointer is read.
    let (null, odd) =
        unsafe { (reference::<u64>(ptr::null(), "it"), reference::<u64>(misaligned, "it")) };
    assert_eq!(null.expect_err("NULL").status, BRAID_NULL_ARGUMENT);
    assert_eq!(odd.expect_err("misaligned").status, BRAID_INVALID_ARGUMENT);
}

#[test]
fn sizes_are_checked() {
    let tries = [(0, 0, false), (7, 0, false), (8, 0, true), (16, 0, true), (16, 1, false)];
    for (size, tail, fits) in tries {
        let words: [u32; 4] = [size, 5, 0, tail];
        // SAFETY: 16 bytes are readable, which is the largest size above.
        let read = unsafe { sized::<Sized4>(words.as_ptr().cast(), "it") };
        assert_eq!(read.is_ok(), fits, "size {size}, tail {tail}");
        match read {
            Ok(read) => assert_eq!((read.struct_size, read.value), (size, 5)),
            Err(failure) => assert_eq!(failure.status, BRAID_STRUCT_SIZE),
        }
    }
}

/// A struct that has grown by one field.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Grown {
    struct_size: u32,
    value: u32,
    later: u64,
}

// SAFETY: `repr(C)`, integers without padding, the first one the size.
unsafe impl SizedStruct for Grown {
    const FIRST: usize = 8;
}

#[test]
fn a_struct_of_an_earlier_version_is_filled_with_zeros() {
    for (size, later) in [(4, None), (8, Some(0)), (9, None), (12, None), (16, Some(7))] {
        let words: [u64; 2] = [u64::from_ne_bytes([size, 0, 0, 0, 5, 0, 0, 0]), 7];
        // SAFETY: 16 bytes are readable, which is the largest size above.
        let read = unsafe { sized::<Grown>(words.as_ptr().cast(), "it") };
        match (read, later) {
            (Ok(read), Some(later)) => assert_eq!((read.value, read.later), (5, later)),
            (Err(failure), None) => assert_eq!(failure.status, BRAID_STRUCT_SIZE),
            (read, _) => panic!("size {size}: {read:?}"),
        }
    }
}

#[test]
fn a_callback_is_remembered() {
    assert!(refuse_in_callback().is_ok());
    let inside = callback(|| callback(refuse_in_callback).and(refuse_in_callback()));
    assert_eq!(inside.expect_err("inside").status, BRAID_REENTRANT);
    assert!(refuse_in_callback().is_ok());
}
