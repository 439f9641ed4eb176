//! One tenant's events of one range with their vectors, as a Parquet file.

use std::sync::Arc;

use arrow_array::builder::{StringBuilder, TimestampMicrosecondBuilder, UInt64Builder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, TimestampMicrosecondType, UInt64Type};
use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use trackway_lake::parquet::tenant_folder;

const CREATED_BY: &str = "trackway";
const ZSTD_LEVEL: i32 = 3;
/// Key of the file's metadata that holds the model's name.
const MODEL: &str = "trackway.model";

/// An event and its vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// Its id.
    pub id: String,
    /// When it was received, in microseconds since 1970.
    pub received_at: i64,
    /// As batches show it, a [`trackway_crds::contracts::Event`] as JSON.
    pub event: String,
    /// Its vector, of length 1.
    pub vector: Vec<f32>,
}

/// A file's content.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// The model that made the vectors.
    pub model: String,
    /// Its events in the order of the stream.
    pub rows: Vec<Row>,
}

/// Rows that cannot become a file, or a file that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SegmentError(String);

impl SegmentError {
    fn new(error: impl ToString) -> Self {
        Self(error.to_string())
    }
}

/// The folder of `tenant`'s segments.
#[must_use]
pub fn tenant_prefix(tenant: &str) -> String {
    format!("vectors/tenant={}", tenant_folder(tenant))
}

/// `vectors/tenant=<percent-encoded>/<pp>-<first>.parquet`: `tenant`'s events within the range of `partition` that begins at
/// sequence `first`. Sorts by age.
#[must_use]
pub fn segment_path(tenant: &str, partition: u8, first: u64) -> String {
    format!("{}/{partition:02}-{first:020}.parquet", tenant_prefix(tenant))
}

/// The file of a segment.
///
/// # Errors
/// When its vectors differ in length.
pub fn encode(segment: &Segment) -> Result<Bytes, SegmentError> {
    let dimensions = segment.rows.first().map_or(0, |row| row.vector.len());
    let size = i32::try_from(dimensions).map_err(SegmentError::new)?;
    let schema = schema(size);
    let model = KeyValue::new(MODEL.to_owned(), segment.model.clone());
    let properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).map_err(SegmentError::new)?))
        // No two values of a column are alike.
        .set_dictionary_enabled(false)
        .set_key_value_metadata(Some(vec![model]))
        .build();
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns(&segment.rows, size)?).map_err(SegmentError::new)?;
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map_err(SegmentError::new)?;
    writer.write(&batch).map_err(SegmentError::new)?;
    writer.into_inner().map(Bytes::from).map_err(SegmentError::new)
}

/// What is in a file.
///
/// # Errors
/// When it is no segment.
pub fn decode(file: Bytes) -> Result<Segment, SegmentError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(SegmentError::new)?;
    let metadata = builder.metadata().file_metadata().key_value_metadata();
    let model = metadata.and_then(|pairs| pairs.iter().find(|pair| pair.key == MODEL)?.value.clone()).unwrap_or_default();
    let mut rows = Vec::new();
    for batch in builder.build().map_err(SegmentError::new)? {
        read(&batch.map_err(SegmentError::new)?, &mut rows)?;
    }
    Ok(Segment { model, rows })
}

fn schema(size: i32) -> SchemaRef {
    let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("sequence", DataType::UInt64, false),
        Field::new("id", DataType::Utf8, false),
        Field::new("received_at", moment, false),
        Field::new("event", DataType::Utf8, false),
        Field::new("vector", DataType::FixedSizeList(number(), size), false),
    ]))
}

fn number() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Float32, false))
}

fn columns(rows: &[Row], size: i32) -> Result<Vec<ArrayRef>, SegmentError> {
    let (mut sequences, mut ids, mut events) = (UInt64Builder::new(), StringBuilder::new(), StringBuilder::new());
    let mut times = TimestampMicrosecondBuilder::new().with_timezone("UTC");
    let mut numbers: Vec<f32> = Vec::new();
    for row in rows {
        if i32::try_from(row.vector.len()) != Ok(size) {
            return Err(SegmentError(format!("a vector has {} numbers, the first has {size}", row.vector.len())));
        }
        sequences.append_value(row.sequence);
        ids.append_value(&row.id);
        times.append_value(row.received_at);
        events.append_value(&row.event);
        numbers.extend_from_slice(&row.vector);
    }
    let vectors = FixedSizeListArray::try_new(number(), size, Arc::new(Float32Array::from(numbers)), None);
    Ok(vec![
        Arc::new(sequences.finish()),
        Arc::new(ids.finish()),
        Arc::new(times.finish()),
        Arc::new(events.finish()),
        Arc::new(vectors.map_err(SegmentError::new)?),
    ])
}

fn read(batch: &RecordBatch, rows: &mut Vec<Row>) -> Result<(), SegmentError> {
    let column = |name: &str| batch.column_by_name(name);
    let missing = |name: &str| SegmentError(format!("it has no column {name} of our type"));
    let sequences = column("sequence").and_then(|c| c.as_primitive_opt::<UInt64Type>()).ok_or_else(|| missing("sequence"))?;
    let ids = column("id").and_then(|c| c.as_string_opt::<i32>()).ok_or_else(|| missing("id"))?;
    let times = column("received_at").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let times = times.ok_or_else(|| missing("received_at"))?;
    let events = column("event").and_then(|c| c.as_string_opt::<i32>()).ok_or_else(|| missing("event"))?;
    let vectors = column("vector").and_then(|c| c.as_fixed_size_list_opt()).ok_or_else(|| missing("vector"))?;
    let numbers = vectors.values().as_primitive_opt::<Float32Type>().ok_or_else(|| missing("vector"))?.values();
    let size = usize::try_from(vectors.value_length()).map_err(SegmentError::new)?;
    for index in 0..batch.num_rows() {
        let at = vectors.value_offset_at(index);
        let vector = numbers.get(at..at + size).ok_or_else(|| missing("vector"))?;
        rows.push(Row {
            sequence: sequences.value(index),
            id: ids.value(index).to_owned(),
            received_at: times.value(index),
            event: events.value(index).to_owned(),
            vector: vector.to_vec(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(sequence: u64, vector: &[f32]) -> Row {
        let event = format!("{{\"id\":\"e{sequence}\"}}");
        Row { sequence, id: format!("e{sequence}"), received_at: 1_800_000_000_000_000, event, vector: vector.to_vec() }
    }

    #[test]
    fn what_is_written_is_read() {
        let segment = Segment { model: "embed-1".to_owned(), rows: vec![row(7, &[1.0, 0.0]), row(9, &[0.6, 0.8])] };
        assert_eq!(decode(encode(&segment).unwrap()).unwrap(), segment);
    }

    #[test]
    fn what_is_none_is_refused() {
        let mixed = Segment { model: String::new(), rows: vec![row(1, &[1.0]), row(2, &[1.0, 0.0])] };
        assert_eq!(encode(&mixed).unwrap_err().to_string(), "a vector has 2 numbers, the first has 1");
        assert!(decode(Bytes::from_static(b"PAR1")).is_err());
    }

    #[test]
    fn a_path_tells_tenant_partition_and_place() {
        assert_eq!(segment_path("a/b", 7, 42), "vectors/tenant=a%2Fb/07-00000000000000000042.parquet");
        assert!(segment_path("a", 7, 9) < segment_path("a", 7, 10));
    }
}
