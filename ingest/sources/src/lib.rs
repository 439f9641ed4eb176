//! Which sources may send events, whose they are, and how a request becomes an event; when batches are sealed. Pure: no IO, no clock.
