//! Turns events into vectors and finds the nearest past ones of a tenant.
