//! trackway-cli
