//! The table of an evaluation as a Parquet file.

use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::{Evaluation, Row, rows};
use crate::{Error, Result};

/// [`rows`] as a Parquet file, undefined values as null.
///
/// # Errors
///
/// [`Error::File`], where it cannot be made.
pub fn parquet(evaluation: &Evaluation) -> Result<Vec<u8>> {
    encode(&rows(evaluation))
        .map_err(|error| Error::File { path: "cases.parquet".into(), reason: error.to_string() })
}

/// The text that a column holds; numbers have none.
type Text = fn(&Row) -> &str;

fn encode(rows: &[Row]) -> Result<Vec<u8>, ParquetError> {
    let text = |name: &str| {
        let column = Type::primitive_type_builder(name, Physical::BYTE_ARRAY);
        let column = column.with_logical_type(Some(LogicalType::String));
        column.with_repetition(Repetition::REQUIRED).build().map(Arc::new)
    };
    let value = Type::primitive_type_builder("value", Physical::DOUBLE)
        .with_repetition(Repetition::OPTIONAL)
        .build()?;
    let fields =
        vec![text("case")?, text("class")?, text("score")?, Arc::new(value), text("unit")?];
    let schema = Type::group_type_builder("scores").with_fields(fields).build()?;
    let properties = WriterProperties::builder().set_compression(Compression::UNCOMPRESSED).build();
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    let texts: [Option<Text>; 5] = [
        Some(|row| &row.case),
        Some(|row| &row.class),
        Some(|row| &row.score),
        None,
        Some(|row| &row.unit),
    ];
    for text in texts {
        let Some(mut column) = group.next_column()? else { break };
        if let Some(of) = text {
            let values: Vec<ByteArray> = rows.iter().map(|row| ByteArray::from(of(row))).collect();
            column.typed::<ByteArrayType>().write_batch(&values, None, None)?;
        } else {
            let values: Vec<f64> = rows.iter().filter_map(|row| row.value).collect();
            let defined: Vec<i16> = rows.iter().map(|row| i16::from(row.value.is_some())).collect();
            column.typed::<DoubleType>().write_batch(&values, Some(&defined), None)?;
        }
        column.close()?;
    }
    group.close()?;
    file.into_inner()
}
