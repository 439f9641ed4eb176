//! What is in a folder of the lake, read as anybody reads Parquet.

use arrow_array::{Array, StringArray, cast::AsArray};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};
use trackway_test_support::until;

const LIMIT: Duration = Duration::from_secs(180);

/// The ids of all rows, once there are at least `count` of them or nothing more can be expected.
pub async fn wait_for(folder: &Path, count: usize) -> Vec<String> {
    let enough = || async { Some(ids(folder)).filter(|ids| ids.len() >= count) };
    match until("every event is in the lake", LIMIT, enough).await {
        Ok(ids) => ids,
        Err(_) => ids(folder),
    }
}

fn ids(folder: &Path) -> Vec<String> {
    files(folder).iter().flat_map(|file| ids_of(file)).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).filter(|path| is_parquet(path)).collect()
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "parquet")
}

fn ids_of(file: &Path) -> Vec<String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
    let only_ids = ProjectionMask::columns(builder.parquet_schema(), ["id"]);
    let batches = builder.with_projection(only_ids).build().unwrap();
    let mut ids = Vec::new();
    for batch in batches {
        let batch = batch.unwrap();
        let column: &StringArray = batch.column(0).as_string();
        ids.extend((0..column.len()).map(|row| column.value(row).to_owned()));
    }
    ids
}
