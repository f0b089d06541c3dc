//! No file makes a reader panic, or ask for memory that the file's length does not justify.

use std::fs;
use std::path::Path;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};
use sconce_data::{ImageInfo, read_image, read_label_map, read_soft_labels};

use crate::MEMORY;
use crate::samples::{self, Sample};

/// What reading any of these files, all below 4 KiB, may take: their content times the densest
/// compression in use and the widest voxel type, with room for what other tests do meanwhile.
const BOUND: usize = 256 << 20;

const VARIANTS: usize = 300;

fn read_all(path: &Path) -> [bool; 4] {
    [
        read_image(path).is_ok(),
        read_label_map(path).is_ok(),
        read_soft_labels(path).is_ok(),
        ImageInfo::read(path).is_ok(),
    ]
}

/// One of many ways to damage a file.
fn damage(bytes: &mut Vec<u8>, variant: usize, rng: &mut ChaCha8Rng) {
    let mut below = |bound: usize| rng.next_u32() as usize % bound.max(1);
    let length = bytes.len();
    // Headers are where damage does most.
    let head = length.min(360);
    match variant % 6 {
        0 => bytes.truncate(below(length)),
        1 => bytes[below(length)] ^= 1 << below(8),
        2 => bytes[below(head)] ^= 1 << below(8),
        3 => bytes[below(head)] = [0x00, 0x7f, 0x80, 0xff][below(4)],
        4 => {
            for _ in 0..8 {
                bytes[below(length)] = u8::try_from(below(256)).unwrap();
            }
        }
        _ => {
            let (from, to) = (below(length), below(length));
            bytes.drain(from.min(to)..from.max(to));
        }
    }
}

#[test]
fn undamaged_samples_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for sample in samples::all() {
        let path = sample.write(folder.path());

        assert!(read_image(&path).is_ok(), "{}: {:?}", sample.name, read_image(&path).err());
        assert!(ImageInfo::read(&path).is_ok());
    }
}

#[test]
fn damaged_files_never_panic_and_never_cost_more_than_they_justify() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(20_240_229);
    let mut refused = 0;
    for sample in samples::all() {
        for variant in 0..VARIANTS {
            let mut bytes = sample.bytes.clone();
            damage(&mut bytes, variant, &mut rng);
            let path =
                Sample { bytes, beside: sample.beside.clone(), ..sample }.write(folder.path());
            MEMORY.reset_peak_usage();
            let before = MEMORY.current_usage();

            let outcomes = read_all(&path);

            let cost = MEMORY.peak_usage().saturating_sub(before);
            assert!(cost < BOUND, "{} variant {variant} cost {cost} bytes", sample.name);
            refused += usize::from(outcomes == [false; 4]);
        }
    }
    // Of flips in voxels none can be seen, but most damage is.
    assert!(refused > VARIANTS * 4, "only {refused} damaged files were refused");
}

#[test]
fn any_cut_of_a_file_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    for sample in samples::all() {
        let whole = sample.bytes.len();
        for length in (0..whole).step_by(whole.div_ceil(40)) {
            let bytes = sample.bytes[..length].to_vec();
            let path =
                Sample { bytes, beside: sample.beside.clone(), ..sample }.write(folder.path());

            let Err(error) = read_image(&path) else {
                panic!("{} was read from {length} of {whole} bytes", sample.name);
            };

            let message = error.to_string();
            assert!(message.contains(sample.name) && !message.contains('\n'), "{message}");
        }
    }
}

#[test]
fn bytes_at_random_are_no_image_under_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for _ in 0..100 {
        for name in ["a.nii", "a.nii.gz", "a.hdr", "a.png", "a.jpg", "a.tif", "a"] {
            let mut bytes = vec![0; 16 + (rng.next_u32() % 600) as usize];
            rng.fill_bytes(&mut bytes);
            let path = folder.path().join(name);
            fs::write(&path, &bytes).unwrap();

            assert_eq!(read_all(&path), [false; 4]);
        }
    }
}

#[test]
fn a_gzip_bomb_is_neither_believed_nor_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    // 1 GiB of voxels is announced, of which 64 KiB are there.
    let mut bytes = samples::nifti_header(&[1024, 1024, 1024], 2, 8, *b"n+1\0");
    bytes.resize(352 + (64 << 10), 0);
    let path = folder.path().join("promise.nii.gz");
    fs::write(&path, samples::gzip(&bytes)).unwrap();
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();

    let error = read_image(&path).unwrap_err().to_string();

    assert!(error.contains("announces 1073741824 bytes"), "{error}");
    assert!(MEMORY.peak_usage() - before < BOUND);
    // What follows the voxels is read to its end for the checksum, but not kept.
    let mut bytes = samples::nifti_header(&[2, 2, 2], 2, 8, *b"n+1\0");
    bytes.resize(80 << 20, 0);
    fs::write(&path, samples::gzip(&bytes)).unwrap();
    let error = read_image(&path).unwrap_err().to_string();
    assert!(error.contains("more than 64 MiB follow its voxels"), "{error}");
}
