//! For who reads the records: decode them, and know whether any is missing.
