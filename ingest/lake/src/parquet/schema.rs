//! The columns, as docs/lake.md describes them.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

/// Names within the map of labels, as Parquet wants them.
pub(crate) const LABELS_ENTRY: &str = "key_value";
pub(crate) const LABELS_KEY: &str = "key";
pub(crate) const LABELS_VALUE: &str = "value";

/// One row an event.
#[must_use]
pub fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let text_or_null = |name: &str| Field::new(name, DataType::Utf8, true);
    let moment = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false);
    Arc::new(Schema::new(vec![
        Field::new("sequence", DataType::UInt64, false),
        text("id"),
        text("tenant"),
        text_or_null("user"),
        text("origin"),
        text("source"),
        text("ce_id"),
        text("type"),
        moment("time"),
        moment("received_at"),
        text_or_null("subject"),
        text("priority"),
        labels(),
        text("data"),
        text("body_sha256"),
    ]))
}

fn labels() -> Field {
    let entry = Fields::from(vec![labels_key(), labels_value()]);
    let entries = Field::new(LABELS_ENTRY, DataType::Struct(entry), false);
    Field::new("labels", DataType::Map(Arc::new(entries), false), false)
}

pub(crate) fn labels_key() -> Field {
    Field::new(LABELS_KEY, DataType::Utf8, false)
}

pub(crate) fn labels_value() -> Field {
    Field::new(LABELS_VALUE, DataType::Utf8, false)
}
