//! When a batch is sealed: a pure function of the open batch, an event and a moment. No IO, no clock.
