#![no_main]

mod feed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| -> libfuzzer_sys::Corpus { feed::feed("jpg", bytes) });
