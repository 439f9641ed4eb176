//! trackway-e2e
