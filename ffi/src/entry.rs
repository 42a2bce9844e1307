//! The boundary that every call crosses: panics end here, and pointers are looked at before use.
//!
//! Invariants: no panic leaves the library; an out-parameter is written only on success, except the
//! error, which is NULL on success; a struct from the caller is copied before it is looked at.

#[cfg(test)]
mod tests;

use crate::error::{BraidError, Failure};
use crate::status::{BRAID_OK, BRAID_PANIC, BRAID_REENTRANT, BRAID_STRUCT_SIZE};
use crate::types::BraidBytes;
use std::{
    any::Any,
    cell::Cell,
    mem::MaybeUninit,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr, slice,
    sync::Once,
};

/// A `struct_size` beyond this is a mistake, not a later version.
const MAX_STRUCT: usize = 4096;

thread_local! {
    /// How many of the library's functions this thread is in. Needs no destructor.
    static INSIDE: Cell<u32> = const { Cell::new(0) };
    /// Whether this thread is in a callback of the host.
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// A struct of the caller's that opens with its size, `struct_size`, as a `u32`.
///
/// # Safety
/// The type is `repr(C)`, its first field is a `u32`, every bit pattern is a value of it, and
/// it has no padding.
pub(crate) unsafe trait SizedStruct: Copy {
    /// The size that the struct had in the first version of this major ABI version. Fields beyond
    /// it are 8 bytes each, and all zeros means that they are not given.
    const FIRST: usize = size_of::<Self>();
}

/// Runs the body of a function: turns a failure or a panic into a status and an error object.
///
/// # Safety
/// `error` is NULL or may be written.
pub(crate) unsafe fn run(
    error: *mut *mut BraidError,
    body: impl FnOnce() -> Result<(), Failure>,
) -> i32 {
    let inside = INSIDE.get();
    INSIDE.set(inside.saturating_add(1));
    let done = catch_unwind(AssertUnwindSafe(body));
    INSIDE.set(inside);
    let failure = match done {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some(failure),
        Err(panic) => Some(Failure::new(BRAID_PANIC, panic_text(&*panic))),
    };
    let status = failure.as_ref().map_or(BRAID_OK, |failure| failure.status);
    if !error.is_null() && error.is_aligned() {
        let object = failure
            .map_or(ptr::null_mut(), |failure| Box::into_raw(Box::new(BraidError::from(failure))));
        // SAFETY: not NULL, aligned, and by contract writable.
        unsafe { error.write(object) };
    }
    status
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("no message"))
}

/// Keeps the library's own panics, which are caught, off the host's standard error.
pub(crate) fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !is_ours() {
                previous(panic);
            }
        }));
    });
}

/// Whether this thread works for the library: it is in one of its functions, or is a worker of an
/// executor or of the pool that recovers senders.
fn is_ours() -> bool {
    let named = || std::thread::current().name().is_some_and(|name| name.starts_with("braid-"));
    INSIDE.get() > 0 || rayon::current_thread_index().is_some() || named()
}

/// Calls the host, and remembers that the thread is there.
pub(crate) fn callback<T>(call: impl FnOnce() -> T) -> T {
    let before = IN_CALLBACK.replace(true);
    let result = call();
    IN_CALLBACK.set(before);
    result
}

/// Refuses to go on inside a callback: the executor is busy with the block that called back.
pub(crate) fn refuse_in_callback() -> Result<(), Failure> {
    if IN_CALLBACK.get() {
        let message = "a reader's callback must not execute a block: the executor is busy";
        return Err(Failure::new(BRAID_REENTRANT, message));
    }
    Ok(())
}

/// Gives an object to the caller.
///
/// # Safety
/// As for [`out`].
pub(crate) unsafe fn give<T>(to: *mut *mut T, name: &str, object: T) -> Result<(), Failure> {
    // SAFETY: passed on.
    let to = unsafe { out(to, name) }?;
    *to = Box::into_raw(Box::new(object));
    Ok(())
}

/// Takes an object back and drops it. A panic of its destructor ends here.
///
/// # Safety
/// `object` is NULL or came from [`give`] and was not freed.
pub(crate) unsafe fn free<T>(object: *mut T) {
    if object.is_null() {
        return;
    }
    // SAFETY: by contract a live object that came from `Box::into_raw`.
    let object = unsafe { Box::from_raw(object) };
    // Nobody can be told of a panic here.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(object)));
}

/// A place to write a result to.
///
/// # Safety
/// `ptr` is NULL or may be written during the call, by nobody else.
pub(crate) unsafe fn out<'a, T>(ptr: *mut T, name: &str) -> Result<&'a mut T, Failure> {
    check(ptr, name)?;
    // SAFETY: not NULL, aligned, and by contract writable by us alone.
    Ok(unsafe { &mut *ptr })
}

/// A value or handle of the caller's.
///
/// # Safety
/// `ptr` is NULL or points to a live value that nobody changes during the call.
pub(crate) unsafe fn reference<'a, T>(ptr: *const T, name: &str) -> Result<&'a T, Failure> {
    check(ptr, name)?;
    // SAFETY: not NULL, aligned, and by contract live and unchanged.
    Ok(unsafe { &*ptr })
}

/// As [`reference`], `None` for NULL.
///
/// # Safety
/// As for [`reference`].
pub(crate) unsafe fn optional<'a, T>(ptr: *const T, name: &str) -> Result<Option<&'a T>, Failure> {
    if ptr.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on.
    unsafe { reference(ptr, name) }.map(Some)
}

fn check<T>(ptr: *const T, name: &str) -> Result<(), Failure> {
    if ptr.is_null() {
        return Err(Failure::null(name));
    }
    if !ptr.is_aligned() {
        return Err(Failure::argument(format!("`{name}` is not aligned")));
    }
    Ok(())
}

/// Copies a struct that opens with its size. What one of an earlier version lacks is all zeros; one
/// of a later version is taken where what this version does not know is all zeros.
///
/// # Safety
/// `ptr` is NULL or points to as many readable bytes as its first field says.
pub(crate) unsafe fn sized<T: SizedStruct>(ptr: *const T, name: &str) -> Result<T, Failure> {
    check(ptr, name)?;
    // SAFETY: not NULL and aligned; the first field is a readable `u32`.
    let size = unsafe { ptr.cast::<u32>().read() } as usize;
    let known = size_of::<T>();
    let refuse = |reason: &str| {
        let message = format!("`{name}.struct_size` is {size}, {reason}; this version's: {known}");
        Err(Failure::new(BRAID_STRUCT_SIZE, message))
    };
    if size < T::FIRST {
        return refuse("too small");
    }
    if size > MAX_STRUCT {
        return refuse("too large");
    }
    if size < known && !size.is_multiple_of(8) {
        return refuse("which cuts a field");
    }
    // SAFETY: by contract `size` bytes are readable.
    let bytes = unsafe { slice::from_raw_parts(ptr.cast::<u8>(), size) };
    if bytes.iter().skip(known).any(|byte| *byte != 0) {
        return refuse("with fields set that this version does not know");
    }
    let mut copy = MaybeUninit::<T>::zeroed();
    // SAFETY: both are at least as long, and do not overlap; by its trait any bytes are a `T`.
    unsafe {
        ptr::copy_nonoverlapping(bytes.as_ptr(), copy.as_mut_ptr().cast::<u8>(), size.min(known));
        Ok(copy.assume_init())
    }
}

/// The bytes that the caller means.
///
/// # Safety
/// `bytes` describes readable bytes that nobody changes during the call.
pub(crate) unsafe fn bytes<'a>(bytes: BraidBytes, name: &str) -> Result<&'a [u8], Failure> {
    // SAFETY: passed on.
    unsafe { array(bytes.ptr, bytes.len, name) }
}

/// The array that the caller means.
///
/// # Safety
/// `ptr` points to `count` live values that nobody changes during the call, or `count` is 0.
pub(crate) unsafe fn array<'a, T>(
    ptr: *const T,
    count: u64,
    name: &str,
) -> Result<&'a [T], Failure> {
    if count == 0 {
        return Ok(&[]);
    }
    check(ptr, name)?;
    let limit = isize::MAX as usize / size_of::<T>();
    match usize::try_from(count) {
        // SAFETY: not NULL, aligned, short enough for a slice, and by contract live.
        Ok(count) if count <= limit => Ok(unsafe { slice::from_raw_parts(ptr, count) }),
        _ => Err(Failure::argument(format!("`{name}`: no memory holds {count} elements"))),
    }
}
