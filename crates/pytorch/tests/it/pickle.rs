//! Pickles as Python writes them in each of its protocols, and others.

use sconce_pytorch::Checkpoint;

use crate::archive::saved;

/// What a pickle makes, as text; or what is wrong.
fn read(pickle: &[u8]) -> Result<String, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = saved(folder.path(), pickle, &[]).map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::open(&path).map_err(|error| error.to_string())?;
    Ok(show(&checkpoint.root()))
}

fn show(item: &sconce_pytorch::Item<'_>) -> String {
    let several = |parts: Vec<String>| parts.join(", ");
    if let Some(text) = item.text() {
        return format!("{text:?}");
    }
    if let Some(value) = item.flag() {
        return value.to_string();
    }
    if let Some(value) = item.int() {
        return value.to_string();
    }
    if let Some(value) = item.float() {
        return format!("{value:?}");
    }
    if let Some(parts) = item.parts() {
        return format!("{}[{}]", item.kind(), several(parts.map(|it| show(&it)).collect()));
    }
    if let Some(entries) = item.entries() {
        let entries = entries.map(|(key, value)| format!("{}: {}", show(&key), show(&value)));
        return format!("{{{}}}", several(entries.collect()));
    }
    item.opaque().unwrap_or_else(|| item.kind().to_owned())
}

/// `{'a': [1, -2, 300, 2**40, 0.5, True, None], 'b': ('x', b'\x01'), 'c': {}}`.
const EXPECTED: &str =
    r#"{"a": list[1, -2, 300, 1099511627776, 0.5, true, None], "b": tuple["x", bytes], "c": {}}"#;

#[test]
fn every_protocol_of_python_is_read() {
    let protocols: [&[u8]; 4] = [
        b"(dp0\nVa\np1\n(lp2\nI1\naI-2\naI300\naL1099511627776L\naF0.5\naI01\naNasVb\np3\n(Vx\np4\n\
          c_codecs\nencode\np5\n(V\\u0001\np6\nVlatin1\np7\ntp8\nRp9\ntp10\nsVc\np11\n(dp12\ns.",
        b"\x80\x02}q\0(X\x01\0\0\0aq\x01]q\x02(K\x01J\xfe\xff\xff\xffM,\x01\x8a\x06\0\0\0\0\0\x01\
          G?\xe0\0\0\0\0\0\0\x88NeX\x01\0\0\0bq\x03X\x01\0\0\0xq\x04c_codecs\nencode\nq\x05\
          X\x01\0\0\0\x01q\x06X\x06\0\0\0latin1q\x07\x86q\x08Rq\t\x86q\nX\x01\0\0\0cq\x0b}q\x0cu.",
        b"\x80\x03}q\0(X\x01\0\0\0aq\x01]q\x02(K\x01J\xfe\xff\xff\xffM,\x01\x8a\x06\0\0\0\0\0\x01\
          G?\xe0\0\0\0\0\0\0\x88NeX\x01\0\0\0bq\x03X\x01\0\0\0xq\x04C\x01\x01q\x05\x86q\x06\
          X\x01\0\0\0cq\x07}q\x08u.",
        b"\x80\x04\x95:\0\0\0\0\0\0\0}\x94(\x8c\x01a\x94]\x94(K\x01J\xfe\xff\xff\xffM,\x01\
          \x8a\x06\0\0\0\0\0\x01G?\xe0\0\0\0\0\0\0\x88Ne\x8c\x01b\x94\x8c\x01x\x94C\x01\x01\x94\
          \x86\x94\x8c\x01c\x94}\x94u.",
    ];
    for (protocol, pickle) in protocols.into_iter().enumerate() {
        // The first spells out a byte, which only Python 3 reads as such.
        assert_eq!(read(pickle).as_deref(), Ok(EXPECTED), "pickle {protocol}");
    }
}

#[test]
fn what_is_in_two_places_is_the_same_thing() {
    // x = []; [x, x, x.append(1)]: a list that is filled after it was remembered.
    assert_eq!(
        read(b"\x80\x02](]q\0h\0h\0K\x01ae.").as_deref(),
        Ok("list[list[1], list[1], list[1]]")
    );
}

#[test]
fn numbers_of_numpy_and_ordered_dictionaries_are_read() {
    let number = b"\x80\x02cnumpy._core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\0\0\0f8\x89\x88\x87R\
                   (K\x03X\x01\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tbC\x08\0\0\0\0\0\0\xe0?\x86R.";
    assert_eq!(read(number).as_deref(), Ok("0.5"));
    let ordered = b"\x80\x02ccollections\nOrderedDict\n]]X\x01\0\0\0aaK\x01aa\x85R}X\x09\0\0\0_metadataK\x02sb.";
    assert_eq!(read(ordered).as_deref(), Ok(r#"{"a": 1}"#));
}

#[test]
fn things_that_double_again_and_again_take_no_room() {
    // Each list has the one before twice: written out, there would be 2^200 of them.
    let mut pickle = b"\x80\x02]q\0".to_vec();
    for _ in 0..200 {
        pickle.extend(b"](h\0h\0eq\0");
    }
    pickle.push(b'.');
    let folder = tempfile::tempdir().expect("a folder");
    let path = saved(folder.path(), &pickle, &[]).expect("written");

    let checkpoint = Checkpoint::open(&path).expect("it is read");

    assert_eq!(checkpoint.root().parts().map(|parts| parts.len()), Some(2));
}

#[test]
fn one_long_thing_made_again_and_again_is_refused() {
    // A name of 100 kB, whose result is made anew with five bytes each time.
    let mut pickle = b"\x80\x02c".to_vec();
    pickle.extend(vec![b'a'; 100_000]);
    pickle.extend(b"\nb\n)Rq\0");
    for _ in 0..10_000 {
        pickle.extend(b"h\0)R0");
    }
    pickle.extend(b"N.");

    let error = read(&pickle).expect_err("it is refused");

    assert!(error.contains("it makes too many things"), "{error}");
}

#[test]
fn programs_that_make_no_sense_are_errors() {
    for (pickle, reason) in [
        (&b""[..], "it ends too early"),
        (b".", "empty stack"),
        (b"(N0.", "empty stack"),
        (b"N(0.", "empty stack"),
        (b"N(\x85.", "empty stack"),
        (b"t.", "a mark is missing"),
        (b"h\x07.", "nothing was kept"),
        (b"NK\x01a.", "no list"),
        (b"}(K\x01u.", "no value"),
        (b"NN)R.", "no function"),
        (b"cos\nsystem\nNR.", "no tuple"),
        (b"X\xff\xff\xff\xffabc", "it ends too early"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff", "it ends too early"),
        (b"P1\n.", "no instruction 0x50"),
        (b"\x82\x01.", "no instruction 0x82"),
        (b"NQ.", "no storage"),
        (b"ctorch._tensor\n_rebuild_from_type_v2\nq\0(h\0h\0(h\0h\0)NtNtR.", ""),
    ] {
        match read(pickle) {
            Ok(made) => assert_eq!((reason, made.as_str()), ("", "a tensor of another class")),
            Err(error) => {
                assert!(!reason.is_empty() && error.contains(reason), "{pickle:?}: {error}");
            }
        }
    }
}

#[test]
fn bytes_at_random_are_no_panic() {
    use proptest::prelude::*;
    proptest!(ProptestConfig::with_cases(300), |(pickle in prop::collection::vec(any::<u8>(), 0..200))| {
        let _ = read(&pickle);
    });
}
