//! trackway-kubernetes
