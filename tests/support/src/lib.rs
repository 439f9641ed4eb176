//! trackway-test-support
