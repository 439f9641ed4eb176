//! trackway-resolve
