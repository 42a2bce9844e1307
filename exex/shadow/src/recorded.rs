//! The recorded block: one file per block.
