//! Image segmentation sets as the Hugging Face hub keeps them.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};
use sconce_data::{LayoutConfig, check, recognize};

use crate::folder::{Folder, hard, slice, unreadable};

const SCHEMA: &str = "message schema {
    optional binary patient (UTF8);
    optional group image { optional binary bytes; optional binary path (UTF8); }
    optional group MASK { optional binary bytes; optional binary path (UTF8); }
}";

/// A patient, an image and a mask.
type Row<'a> = (&'a str, &'a [u8], Option<&'a [u8]>);

/// Writes rows of patient, image and mask, two to a group of rows.
fn write(path: &Path, mask: &str, rows: &[Row<'_>]) {
    let schema = parse_message_type(&SCHEMA.replace("MASK", mask)).unwrap();
    let properties = Arc::new(WriterProperties::builder().build());
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), properties).unwrap();
    for rows in rows.chunks(2) {
        let mut group = writer.next_row_group().unwrap();
        let bytes = |bytes: &[u8]| Some(ByteArray::from(bytes.to_vec()));
        let columns: [(i16, Vec<Option<ByteArray>>); 5] = [
            (1, rows.iter().map(|row| bytes(row.0.as_bytes())).collect()),
            (2, rows.iter().map(|row| bytes(row.1)).collect()),
            (2, rows.iter().map(|_| None).collect()),
            (2, rows.iter().map(|row| row.2.and_then(bytes)).collect()),
            (2, rows.iter().map(|_| None).collect()),
        ];
        for (present, cells) in columns {
            let levels: Vec<i16> = cells
                .iter()
                .map(|cell| if cell.is_some() { present } else { present - 1 })
                .collect();
            let values: Vec<ByteArray> = cells.into_iter().flatten().collect();
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}

/// The bytes of a picture.
fn picture(labels: &[u16]) -> Vec<u8> {
    let folder = Folder::new();
    folder.labels("a.png", &slice(), labels);
    std::fs::read(folder.root().join("a.png")).unwrap()
}

fn set() -> Folder {
    let folder = Folder::new();
    let (image, mask) = (picture(&[9, 8, 7, 6, 5, 4]), picture(&[0, 255, 0, 0, 255, 0]));
    let other = picture(&[1, 2, 3, 4, 5, 6]);
    let rows: [Row<'_>; 3] =
        [("p1", &image, Some(&mask)), ("p1", &other, None), ("p2", &other, Some(&mask))];
    std::fs::create_dir(folder.root().join("data")).unwrap();
    write(&folder.root().join("data/train-00000-of-00001.parquet"), "annotation", &rows);
    folder
}

const SETTINGS: &str = r#"
    [parquet]
    group = "patient"
    channels = ["grey"]
    classes = [{ name = "background", values = [0] }, { name = "cell", values = [255] }]
"#;

#[test]
fn rows_are_cases() {
    let folder = set();
    let dataset = folder.open(SETTINGS);

    assert_eq!(dataset.ids().len(), 3);
    let ids = dataset.ids();
    assert_eq!(ids[2], "train-00000-of-00001_000002");
    assert_eq!([dataset.group(&ids[0]), dataset.group(&ids[2])], ["p1", "p2"]);
    let first = dataset.read(&ids[0]).unwrap();
    assert_eq!(first.image.data.iter().copied().collect::<Vec<_>>(), [9., 8., 7., 6., 5., 4.]);
    assert_eq!(hard(&first), [0, 1, 0, 0, 1, 0]);
    assert_eq!(dataset.read(&ids[1]).unwrap().label, None);
    assert_eq!(hard(&dataset.read(&ids[2]).unwrap()), [0, 1, 0, 0, 1, 0]);
    assert_eq!(check(&*dataset, &|_, _| ()).errors(), 1, "a case without a label");
}

#[test]
fn files_where_the_hub_has_them_are_recognized() {
    let folder = set();
    let name = |root: &Path| recognize(root).map(|layout: LayoutConfig| layout.name());
    assert_eq!(name(folder.root()).unwrap(), "parquet");

    let data = folder.root().join("data");
    assert_eq!(name(&data).unwrap(), "parquet", "files at the top");

    // What a folder says itself counts for more.
    folder.text("dataset.json", "{}");
    assert_eq!(name(folder.root()).unwrap(), "nnunet_raw");
    let other = Folder::new();
    other.text("more/data/a.parquet", "");
    assert!(name(other.root()).is_err());
}

#[test]
fn columns_and_values_that_do_not_fit_are_named() {
    let folder = set();

    let refusal = folder.refusal(&format!("{SETTINGS}\nid = \"name\""));
    assert!(refusal.contains("it has no column name, but patient, image.bytes"), "{refusal}");
    let twice = folder.refusal(&format!("{SETTINGS}\nid = \"patient\""));
    assert!(twice.starts_with("two files are case p1"), "{twice}");
    let id = "train-00000-of-00001_000000";
    let values = folder.open("[parquet]\nchannels = [\"grey\"]");
    let message = unreadable(&*values, id);
    assert!(
        message.contains(
            ".parquet (train-00000-of-00001_000000, annotation): it holds the label values [0, 255]"
        ),
        "{message}"
    );
    let image = folder.open(&format!("{SETTINGS}\nimage = \"patient\""));
    assert!(unreadable(&*image, id).contains("it starts with \"p1\""));
    assert!(Folder::new().refusal(SETTINGS).contains("cannot find a case in "));
}

#[test]
fn damaged_files_never_panic() {
    let folder = set();
    let path = folder.root().join("data/train-00000-of-00001.parquet");
    let whole = std::fs::read(&path).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for variant in 0..200 {
        let mut bytes = whole.clone();
        let at = rng.next_u32() as usize % bytes.len();
        if variant % 2 == 0 {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << (rng.next_u32() % 8);
        }
        std::fs::write(&path, bytes).unwrap();
        if let Ok(dataset) = folder.try_open(SETTINGS) {
            for id in dataset.ids() {
                drop(dataset.read(id));
            }
        }
    }
}
