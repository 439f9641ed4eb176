//! trackway-store
