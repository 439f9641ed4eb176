//! trackway-collector
