//! The built-in workload: a seeded generator of blocks.
