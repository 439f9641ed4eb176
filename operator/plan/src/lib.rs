//! trackway-plan
