//! trackway-nats
