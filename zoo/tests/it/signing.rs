use std::fs;

use candle::Device;
use sconce_zoo as zoo;

use crate::fixture::packed;

/// A pair of keys and a signature of `minisign` 0.12, by Frank Denis, of the file `test` that holds "test": the example of the crate
/// `minisign-verify`.
const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

#[test]
fn a_model_is_signed_and_its_signature_holds() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let model = packed(folder.path(), 1, "model")?;
    let key = folder.path().join("key");

    let keys = zoo::generate_keys(&key, None)?;
    let signed = zoo::sign(&model, &key, None)?;

    for public in [keys.key.as_str(), &keys.public.display().to_string()] {
        let check = zoo::verify_signature(&model, public)?;
        assert_eq!(check.key_id, signed.key_id);
        assert!(check.comment.starts_with("timestamp:"), "{check}");
    }
    // The signature is no stranger in the folder, and no file that a hash is of.
    let verification = zoo::verify(&model, &Device::Cpu)?;
    assert!(verification.ok(), "{verification}");
    assert!(!verification.files.iter().any(|file| file.name.contains("minisig")));
    // Signing again replaces it.
    assert!(zoo::sign(&model, &key, None).is_ok());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&key)?.permissions().mode() & 0o777, 0o600);
    }
    let taken = zoo::generate_keys(&key, None).unwrap_err().to_string();
    assert!(taken.contains("is there already"), "{taken}");
    Ok(())
}

#[test]
fn a_changed_model_or_another_key_is_found() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let model = packed(folder.path(), 1, "model")?;
    let (key, other) = (folder.path().join("key"), folder.path().join("other"));
    let public = zoo::generate_keys(&key, None)?.key;
    let another = zoo::generate_keys(&other, None)?.key;
    let refused = |public: &str| zoo::verify_signature(&model, public).unwrap_err().to_string();

    assert!(refused(&public).contains("it is not signed"), "{}", refused(&public));
    zoo::sign(&model, &key, None)?;
    assert!(refused(&another).contains("it is by the key"), "{}", refused(&another));
    assert!(refused("no key").contains("it is no public key"), "{}", refused("no key"));

    // Another list of files, such as one with other hashes.
    let sums = model.join("SHA256SUMS");
    let text = fs::read_to_string(&sums)?;
    fs::write(&sums, format!("{text}{}  more\n", "0".repeat(64)))?;
    assert!(refused(&public).contains("the signature does not hold"), "{}", refused(&public));
    fs::write(&sums, &text)?;
    assert!(zoo::verify_signature(&model, &public).is_ok());

    // Its comment is signed, too.
    let path = model.join("SHA256SUMS.minisig");
    let signature = fs::read_to_string(&path)?;
    fs::write(&path, signature.replace("timestamp:", "timestamp:9"))?;
    assert!(refused(&public).contains("the signature does not hold"), "{}", refused(&public));
    fs::write(&path, "nothing of that kind")?;
    assert!(refused(&public).contains("it is no signature of minisign"), "{}", refused(&public));

    // A damaged model is not signed.
    fs::write(model.join("plan.json"), "{}")?;
    let error = zoo::sign(&model, &key, None).unwrap_err().to_string();
    assert!(error.contains("plan.json: it is not the file that was packed"), "{error}");
    Ok(())
}

#[test]
fn a_key_with_a_password_asks_for_it() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let model = packed(folder.path(), 1, "model")?;
    let key = folder.path().join("key");
    let keys = zoo::generate_keys(&key, Some("correct horse".to_owned()))?;
    assert!(keys.encrypted && !fs::read_to_string(&key)?.contains("correct horse"));

    let none = zoo::sign(&model, &key, None).unwrap_err().to_string();
    assert!(none.contains("it has a password; give it with --password-file"), "{none}");
    let wrong = zoo::sign(&model, &key, Some("battery".to_owned())).unwrap_err().to_string();
    assert!(wrong.contains("the password is another"), "{wrong}");
    assert!(!wrong.contains("battery"));
    zoo::sign(&model, &key, Some("correct horse".to_owned()))?;
    assert!(zoo::verify_signature(&model, &keys.key).is_ok());

    let public = keys.public.clone();
    let swapped = zoo::sign(&model, &public, None).unwrap_err().to_string();
    assert!(swapped.contains("it is no secret key of minisign"), "{swapped}");
    Ok(())
}

/// Another implementation reads what is written here: the crate that only verifies.
#[test]
fn another_implementation_agrees() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let model = packed(folder.path(), 1, "model")?;
    let key = folder.path().join("key");
    for password in [None, Some("a".to_owned())] {
        let keys = zoo::generate_keys(&key, password.clone())?;
        zoo::sign(&model, &key, password)?;

        let from_file = fs::read_to_string(&keys.public)?;
        let signature = fs::read_to_string(model.join("SHA256SUMS.minisig"))?;
        let signature = minisign_verify::Signature::decode(&signature)?;
        let sums = fs::read(model.join("SHA256SUMS"))?;
        for public in [
            minisign_verify::PublicKey::from_base64(&keys.key)?,
            minisign_verify::PublicKey::decode(&from_file)?,
        ] {
            public.verify(&sums, &signature, false)?;
            assert!(public.verify(b"else", &signature, false).is_err());
        }
        fs::remove_file(&key)?;
        fs::remove_file(&keys.public)?;
    }
    Ok(())
}

/// And what it has written is read here: a signature that the original program made, of a file that is no list of hashes.
#[test]
fn signatures_of_the_original_program_are_read() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let model = packed(folder.path(), 1, "model")?;
    let signature = "untrusted comment: signature from minisign secret key\n\
        RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
        trusted comment: timestamp:1633700835\tfile:test\tprehashed\n\
        wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==\n";
    fs::write(model.join("SHA256SUMS.minisig"), signature)?;

    // The key is the one of the signature; the text is another.
    let error = zoo::verify_signature(&model, KEY).unwrap_err().to_string();
    assert!(error.contains("the signature does not hold"), "{error}");

    let public = minisign::PublicKey::from_base64(KEY)?;
    let signature = minisign::SignatureBox::from_string(signature)?;
    minisign::verify(&public, &signature, std::io::Cursor::new("test"), true, false, false)?;
    Ok(())
}
