//! Makes the shadow's threads step back behind the host's.
//!
//! On Linux the nice value belongs to a thread, and threads that it starts inherit it: the worker
//! lowers itself before it starts the engine, so every thread of the engine is lowered too.

/// Lowers the calling thread. Does nothing where the system has no such value for threads.
///
/// # Errors
/// The system's refusal, in words.
#[cfg(target_os = "linux")]
pub(crate) fn lower(nice: u8) -> Result<(), String> {
    let thread = rustix::thread::gettid();
    rustix::process::setpriority_process(Some(thread), i32::from(nice.min(19)))
        .map_err(|error| error.to_string())
}

/// Lowers the calling thread. Does nothing where the system has no such value for threads.
///
/// # Errors
/// None on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn lower(_nice: u8) -> Result<(), String> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_this_thread_and_those_that_it_starts_are_lowered() {
        let nice = || rustix::process::getpriority_process(Some(rustix::thread::gettid()));
        let before = nice().unwrap();
        let inherited = std::thread::spawn(move || {
            lower(15).unwrap();
            std::thread::spawn(nice).join().unwrap().unwrap()
        });
        assert_eq!(inherited.join().unwrap(), 15);
        assert_eq!(nice().unwrap(), before);
    }
}
