//! From events to bytes.

use std::sync::Arc;

use arrow_array::builder::{MapBuilder, MapFieldNames, StringBuilder, TimestampMicrosecondBuilder, UInt64Builder};
use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{ArrayRef, RecordBatch};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use crate::parquet::schema::{LABELS_ENTRY, LABELS_KEY, LABELS_VALUE, labels_key, labels_value, schema};
use crate::partitions::Sequenced;

/// Written into each file. Constant: a version would make a file repeated by the next release another file.
const CREATED_BY: &str = "trackway";
const ZSTD_LEVEL: i32 = 3;
/// Every value of these is another: a dictionary of them costs and saves nothing.
const DISTINCT: [&str; 4] = ["id", "ce_id", "data", "body_sha256"];

/// Events that cannot become a file, or a file that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EncodeError(String);

impl EncodeError {
    fn new(error: impl ToString) -> Self {
        Self(error.to_string())
    }
}

/// The file of `events`, a row each, in their order.
///
/// # Errors
/// When the columns do not fit the schema or grow over two gigabytes.
pub fn encode(events: &[&Sequenced]) -> Result<Bytes, EncodeError> {
    let rows = rows(events)?;
    let mut writer = ArrowWriter::try_new(Vec::new(), schema(), Some(properties()?)).map_err(EncodeError::new)?;
    writer.write(&rows).map_err(EncodeError::new)?;
    writer.into_inner().map(Bytes::from).map_err(EncodeError::new)
}

/// Whether `file` holds exactly the events of `events`. Two releases may write the same rows as other bytes.
///
/// # Errors
/// When `file` is no such file.
pub fn same_rows(file: Bytes, events: &[&Sequenced]) -> Result<bool, EncodeError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(EncodeError::new)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["sequence", "id"]);
    let reader = builder.with_projection(mask).build().map_err(EncodeError::new)?;
    let mut expected = events.iter();
    for batch in reader {
        let batch = batch.map_err(EncodeError::new)?;
        let missing = || EncodeError::new("it has no columns sequence and id");
        let sequences = batch.column_by_name("sequence").and_then(|column| column.as_primitive_opt::<UInt64Type>());
        let ids = batch.column_by_name("id").and_then(|column| column.as_string_opt::<i32>());
        let (sequences, ids) = (sequences.ok_or_else(missing)?, ids.ok_or_else(missing)?);
        for row in sequences.iter().zip(ids.iter()) {
            let wanted = expected.next().map(|one| (Some(one.sequence), Some(one.event.id.as_str())));
            if wanted != Some(row) {
                return Ok(false);
            }
        }
    }
    Ok(expected.next().is_none())
}

fn properties() -> Result<WriterProperties, EncodeError> {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).map_err(EncodeError::new)?;
    let base = WriterProperties::builder().set_created_by(CREATED_BY.to_owned()).set_compression(Compression::ZSTD(level));
    let plain = |builder: parquet::file::properties::WriterPropertiesBuilder, name: &&str| {
        builder.set_column_dictionary_enabled(ColumnPath::from(*name), false)
    };
    Ok(DISTINCT.iter().fold(base, plain).build())
}

fn rows(events: &[&Sequenced]) -> Result<RecordBatch, EncodeError> {
    let text = |value: fn(&Sequenced) -> &str| -> ArrayRef {
        let mut column = StringBuilder::new();
        events.iter().for_each(|row| column.append_value(value(row)));
        Arc::new(column.finish())
    };
    let text_or_null = |value: fn(&Sequenced) -> Option<&str>| -> ArrayRef {
        let mut column = StringBuilder::new();
        events.iter().for_each(|row| column.append_option(value(row)));
        Arc::new(column.finish())
    };
    let moment = |value: fn(&Sequenced) -> i64| -> ArrayRef {
        let mut column = TimestampMicrosecondBuilder::new().with_timezone("UTC");
        events.iter().for_each(|row| column.append_value(value(row)));
        Arc::new(column.finish())
    };
    let mut sequences = UInt64Builder::new();
    events.iter().for_each(|row| sequences.append_value(row.sequence));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(sequences.finish()),
        text(|row| &row.event.id),
        text(|row| &row.event.tenant),
        text_or_null(|row| row.event.user.as_deref()),
        text(|row| &row.event.origin),
        text(|row| &row.event.source),
        text(|row| &row.event.ce_id),
        text(|row| &row.event.type_),
        moment(|row| row.event.time.as_microsecond()),
        moment(|row| row.event.received_at.as_microsecond()),
        text_or_null(|row| row.event.subject.as_deref()),
        text(|row| row.event.priority.as_str()),
        labels(events)?,
        data(events)?,
        text(|row| &row.event.body_sha256),
    ];
    RecordBatch::try_new(schema(), columns).map_err(EncodeError::new)
}

fn labels(events: &[&Sequenced]) -> Result<ArrayRef, EncodeError> {
    let names = MapFieldNames { entry: LABELS_ENTRY.to_owned(), key: LABELS_KEY.to_owned(), value: LABELS_VALUE.to_owned() };
    let mut column = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
        .with_keys_field(labels_key())
        .with_values_field(labels_value());
    for row in events {
        for (key, value) in &row.event.labels {
            column.keys().append_value(key);
            column.values().append_value(value);
        }
        column.append(true).map_err(EncodeError::new)?;
    }
    Ok(Arc::new(column.finish()))
}

fn data(events: &[&Sequenced]) -> Result<ArrayRef, EncodeError> {
    let mut column = StringBuilder::new();
    for row in events {
        column.append_value(serde_json::to_string(&row.event.data).map_err(EncodeError::new)?);
    }
    Ok(Arc::new(column.finish()))
}
