//! Where events enter: HTTP in, a durable stream out.
