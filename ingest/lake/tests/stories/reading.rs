//! What is in a lake.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use trackway_store::Files;

/// Every file with its content, sorted by path.
pub(crate) async fn contents(files: &Files) -> Vec<(String, Bytes)> {
    let mut contents = Vec::new();
    for file in files.list("events").await.unwrap() {
        let content = files.get(&file.path).await.unwrap();
        assert_eq!(content.len() as u64, file.bytes, "{}", file.path);
        contents.push((file.path, content));
    }
    contents
}

/// The rows of a file.
pub(crate) fn rows(content: Bytes) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(content).unwrap().with_batch_size(1 << 20).build().unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    assert_eq!(batches.len(), 1, "a test's files are small");
    batches.into_iter().next().unwrap()
}

/// The values of a column of text.
pub(crate) fn texts(rows: &RecordBatch, column: &str) -> Vec<String> {
    let column = rows.column_by_name(column).unwrap().as_string::<i32>();
    column.iter().map(|value| value.unwrap_or("<null>").to_owned()).collect()
}

/// The ids of all rows of all files, sorted: twice, if a row is there twice.
pub(crate) async fn ids(files: &Files) -> Vec<String> {
    let mut ids: Vec<String> = contents(files).await.into_iter().flat_map(|(_, content)| texts(&rows(content), "id")).collect();
    ids.sort();
    ids
}
