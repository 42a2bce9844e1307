//! Model checks: shuttle drives the whole engine through random schedules, loom explores every
//! schedule of the small protocols. Run by `cargo xtask test models`.

#[cfg(feature = "shuttle")]
mod listed;
#[cfg(all(feature = "loom", not(feature = "shuttle")))]
mod primitives;
#[cfg(feature = "shuttle")]
mod range;
#[cfg(feature = "shuttle")]
mod scheduler;
#[cfg(feature = "shuttle")]
mod scripted;
#[cfg(feature = "shuttle")]
mod steps;
