//! Whole-process scenarios live in `scenarios/`; this library is empty.
