//! Stories of the gateway with a real NATS server.

mod accepted;
mod client;
mod drained;
mod hostile;
mod questionnaires;
mod refused;
mod signed;
mod world;
