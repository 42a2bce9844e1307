//! `braid replay`.
