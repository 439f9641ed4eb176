//! Gathers events into batches and seals them.
