//! `trackway-ingest`: the gateway, the lake writer, the vectorizer and the batcher, a subcommand each.

fn main() {}
