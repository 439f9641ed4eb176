//! trackway-worker
