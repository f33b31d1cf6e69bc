//! Faults of viewers.
