//! JSON lines on standard output, with a local checkpoint.
