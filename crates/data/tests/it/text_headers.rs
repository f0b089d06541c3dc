//! NRRD and MetaImage: what their headers can say.

use ndarray::Array4;
use sconce_data::{ImageInfo, read_image, read_label_map};
use volume::Orientation;

use crate::folder::Folder;
use crate::samples::{meta_image, nrrd};

fn shorts(big: bool) -> Vec<u8> {
    let bytes = |value: i16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    (0..60_i16).flat_map(bytes).collect()
}

/// The voxels of the samples.
fn counted() -> Array4<f32> {
    Array4::from_shape_fn((1, 3, 4, 5), |(_, z, y, x)| {
        f32::from(u8::try_from(20 * z + 5 * y + x).unwrap())
    })
}

#[test]
fn axes_and_origin_are_turned_into_ours() {
    let folder = Folder::new();
    folder.bytes("a.nrrd", &nrrd("short", "raw", "", &shorts(false)));
    folder.bytes("a.mha", &meta_image("False", "LOCAL", &shorts(false)));
    for name in ["a.nrrd", "a.mha"] {
        let image = read_image(folder.root().join(name)).unwrap();
        assert_eq!(image.data, counted());
        assert_eq!(image.grid.spacing, [1.0, 1.5, 2.0]);
        assert_eq!(image.grid.origin, [10.0, -5.5, 3.0]);
        assert_eq!(ImageInfo::read(folder.root().join(name)).unwrap().axes.as_deref(), Some("LPS"));
        assert!(!Orientation::of(&image.grid).is_identity());
        assert_eq!(read_label_map(folder.root().join(name)).unwrap().values().len(), 60);
    }
}

#[test]
fn space_may_be_named_by_letters_and_run_elsewhere() {
    let folder = Folder::new();
    let text = String::from_utf8(nrrd("short", "raw", "", &[])).unwrap();
    for (space, origin) in
        [("RAS", [-10.0, 5.5, 3.0]), ("left-anterior-superior", [10.0, 5.5, 3.0])]
    {
        let header = text.replace("left-posterior-superior", space);
        folder.bytes("a.nrrd", &[header.as_bytes(), &shorts(false)].concat());
        assert_eq!(read_image(folder.root().join("a.nrrd")).unwrap().grid.origin, origin);
    }
}

#[test]
fn text_big_endian_and_skipped_bytes_are_understood() {
    let folder = Folder::new();
    let numbers: Vec<String> = (0..60).map(|value| value.to_string()).collect();
    let text = numbers.chunks(7).map(|line| line.join(" ")).collect::<Vec<_>>().join("\n");
    folder.bytes("text.nrrd", &nrrd("short", "ascii", "", text.as_bytes()));
    let big = String::from_utf8(nrrd("short", "raw", "", &[])).unwrap().replace("little", "big");
    folder.bytes("big.nrrd", &[big.as_bytes(), &shorts(true)].concat());
    folder.bytes("behind.raw", &[b"one line\nfour".as_slice(), &shorts(false)].concat());
    let more = "line skip: 1\nbyte skip: 4\ndata file: behind.raw\n";
    folder.bytes("skip.nhdr", &nrrd("short", "raw", more, &[]));
    let more = "byte skip: -1\ndata file: behind.raw\n";
    folder.bytes("last.nhdr", &nrrd("short", "raw", more, &[]));
    folder.bytes("1.raw", &shorts(false)[..40]).bytes("2.raw", &shorts(false)[40..80]);
    folder.bytes("3.raw", &shorts(false)[80..]);
    let more = "data file: LIST\n1.raw\n2.raw\n3.raw\n";
    folder.bytes("list.nhdr", &nrrd("short", "raw", more, &[]));
    for name in ["text.nrrd", "big.nrrd", "skip.nhdr", "last.nhdr", "list.nhdr"] {
        assert_eq!(read_image(folder.root().join(name)).unwrap().data, counted(), "{name}");
    }
}

#[test]
fn numbers_of_one_endless_line_are_not_torn() {
    let folder = Folder::new();
    let text: Vec<String> = (0..300_000).map(|value| (value % 3000).to_string()).collect();
    let header = String::from_utf8(nrrd("short", "text", "", &[])).unwrap();
    let header = header.replace("sizes: 5 4 3", "sizes: 300 500 2");
    folder.bytes("line.nrrd", &[header.as_bytes(), text.join(" ").as_bytes()].concat());
    let image = read_image(folder.root().join("line.nrrd")).unwrap();
    let mut expected =
        (0..300_000_u32).map(|value| f32::from(u16::try_from(value % 3000).unwrap()));
    assert!(image.data.iter().all(|&value| Some(value) == expected.next()));
}

#[test]
fn the_axis_that_is_not_of_space_becomes_channels_wherever_it_is() {
    let folder = Folder::new();
    let header = |sizes: &str, directions: &str| {
        format!(
            "NRRD0005\ntype: uchar\ndimension: 4\nspace: LPS\nsizes: {sizes}\n\
             space directions: {directions}\nencoding: raw\nspace origin: (0,0,0)\n\n"
        )
    };
    // Channel c of voxel (z, y, x) holds 100 c + 6 z + 3 y + x.
    let value = |c: u8, z: u8, y: u8, x: u8| 100 * c + 6 * z + 3 * y + x;
    let all = |order: &dyn Fn(u8, u8, u8, u8) -> u8, extents: [u8; 4]| -> Vec<u8> {
        let [a, b, c, d] = extents;
        let mut bytes = Vec::new();
        for l in 0..d {
            for k in 0..c {
                for j in 0..b {
                    bytes.extend((0..a).map(|i| order(i, j, k, l)));
                }
            }
        }
        bytes
    };
    let axes = "(1,0,0) (0,1,0) (0,0,1)";
    let first = all(&|c, x, y, z| value(c, z, y, x), [2, 3, 2, 2]);
    folder.bytes(
        "first.nrrd",
        &[header("2 3 2 2", &format!("none {axes}")).as_bytes(), &first].concat(),
    );
    let last = all(&|x, y, z, c| value(c, z, y, x), [3, 2, 2, 2]);
    folder.bytes(
        "last.nrrd",
        &[header("3 2 2 2", &format!("{axes} none")).as_bytes(), &last].concat(),
    );
    let between = all(&|x, c, y, z| value(c, z, y, x), [3, 2, 2, 2]);
    let directions = "(1,0,0) none (0,1,0) (0,0,1)";
    folder.bytes("between.nrrd", &[header("3 2 2 2", directions).as_bytes(), &between].concat());

    let expected = Array4::from_shape_fn((2, 2, 2, 3), |(c, z, y, x)| {
        let [c, z, y, x] = [c, z, y, x].map(|at| u8::try_from(at).unwrap());
        f32::from(value(c, z, y, x))
    });
    for name in ["first.nrrd", "last.nrrd", "between.nrrd"] {
        assert_eq!(read_image(folder.root().join(name)).unwrap().data, expected, "{name}");
    }
}

#[test]
fn what_is_not_read_is_said_in_one_line() {
    let folder = Folder::new();
    let refusal = |name: &str, bytes: &[u8]| {
        folder.bytes(name, bytes);
        crate::folder::one_line(&read_image(folder.root().join(name)).unwrap_err())
    };
    let text = String::from_utf8(nrrd("short", "raw", "", &[])).unwrap();
    let voxels = shorts(false);
    for (from, to, cause) in [
        ("type: short", "type: block", "voxels of type \"block\" are not read"),
        ("encoding: raw", "encoding: bzip2", "its encoding is \"bzip2\""),
        ("sizes: 5 4 3", "sizes: 5 4", "are not those of 3 axes"),
        ("sizes: 5 4 3", "sizes: 5 4 9999999999", "announces"),
        ("endian: little\n", "", "which byte of a value comes first"),
        ("(0,1.5,0)", "(0,nan,0)", "is no vector"),
        ("space origin", "data file: ../a.raw\nspace origin", "which is not in its folder"),
        ("space origin", "data file: /etc/hosts\nspace origin", "which is not in its folder"),
        ("space origin", "data file: none.raw\nspace origin", "which is not there"),
    ] {
        let bytes = [text.replace(from, to).as_bytes(), &voxels].concat();
        let message = refusal("a.nrrd", &bytes);
        assert!(message.contains(cause), "{message}");
    }
    let text = String::from_utf8(meta_image("False", "LOCAL", &[])).unwrap();
    for (from, to, cause) in [
        ("MET_SHORT", "MET_OTHER", "voxels of type \"MET_OTHER\" are not read"),
        ("DimSize = 5 4 3", "DimSize = 5 4 4", "announces 160 bytes"),
        ("NDims = 3", "NDims = 4", "it has 4 axes"),
        ("LOCAL", "LIST", "in several files"),
        ("ElementSpacing = 2 1.5 1", "ElementSpacing = 2 1.5", "are not 3 numbers"),
        ("ElementDataFile = LOCAL\n", "", "does not say where its voxels are"),
    ] {
        let bytes = [text.replace(from, to).as_bytes(), &voxels].concat();
        let message = refusal("a.mha", &bytes);
        assert!(message.contains(cause), "{message}");
    }
}
