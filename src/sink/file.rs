//! JSON lines in a file, with a local checkpoint.
