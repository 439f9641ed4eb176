//! trackway-crds
