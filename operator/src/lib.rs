//! trackway-operator
