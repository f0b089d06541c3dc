//! Who made a model: a signature of `SHA256SUMS`, in the format of minisign.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use engine::file::write_atomic;
use minisign::{KeyPair, PublicKey, PublicKeyBox, SecretKey, SecretKeyBox, SignatureBox};
use serde::Serialize;

use crate::verify::FileState;
use crate::{Error, Result, manifest};

/// What a model's signature is called.
pub(crate) const SIGNATURE: &str = "SHA256SUMS.minisig";

/// No key and no signature is longer.
const LONGEST: u64 = 1 << 16;

/// How the key itself begins where it has a password: `Ed`, `Sc` for scrypt and `B2`, in base64.
const ENCRYPTED: &str = "RWRTY0Iy";

/// A pair of keys that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Keys {
    /// The file of the secret key: whoever has it, and its password, signs in your name.
    pub secret: PathBuf,
    /// The file of the public key, which is for everyone.
    pub public: PathBuf,
    /// The public key in one line, as `sconce zoo verify --signature` takes it.
    pub key: String,
    /// Whether the secret key has a password.
    pub encrypted: bool,
}

/// A model that was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signed {
    /// The model's folder.
    pub folder: PathBuf,
    /// The file of the signature.
    pub signature: PathBuf,
    /// The identifier of the key, in hexadecimal.
    pub key_id: String,
}

/// A signature that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignatureCheck {
    /// The identifier of the key, in hexadecimal.
    pub key_id: String,
    /// What the signer has added, such as the time: it is signed, too.
    pub comment: String,
}

/// Makes a pair of keys for [`sign`]: the secret one in the file `path`, which only its owner may read, and the public one beside
/// it, with `.pub` added to its name. `rsign` and `minisign` use the same.
///
/// # Errors
///
/// [`Error::Taken`], where one of the files is there; [`Error::Io`]; [`Error::Signature`], where the system has no random
/// numbers.
pub fn generate_keys(path: &Path, password: Option<String>) -> Result<Keys> {
    let mut public = path.as_os_str().to_owned();
    public.push(".pub");
    let public = PathBuf::from(public);
    for path in [path, &public] {
        if path.symlink_metadata().is_ok() {
            return Err(Error::Taken { path: path.to_owned() });
        }
    }
    let encrypted = password.is_some();
    let wrong = wrong(path, "try again");
    let pair = match password {
        Some(password) => KeyPair::generate_encrypted_keypair(Some(password)),
        None => KeyPair::generate_unencrypted_keypair(),
    };
    let pair = pair.map_err(&wrong)?;
    let secret = pair.sk.to_box(None).map_err(&wrong)?.into_string();
    let shared = pair.pk.to_box().map_err(&wrong)?.into_string();
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path);
    file.and_then(|mut file| {
        file.write_all(secret.as_bytes())?;
        file.sync_all()
    })
    .map_err(Error::io(path))?;
    write_atomic(&public, shared.as_bytes())?;
    Ok(Keys { secret: path.to_owned(), public, key: pair.pk.to_base64(), encrypted })
}

/// Signs a model folder with the secret key in a file: its `SHA256SUMS`, and so every file that it lists. The signature goes
/// beside it, in place of an older one.
///
/// # Errors
///
/// [`Error::NotAModel`], where the folder is none; [`Error::Signature`], where a file is not the one that was packed, or where the
/// key is none, or asks for a password that is not this one; [`Error::Io`].
pub fn sign(folder: &Path, key: &Path, password: Option<String>) -> Result<Signed> {
    for (name, hash) in &manifest::read(folder)? {
        let path = folder.join(name);
        if FileState::of(&path, Some(hash))? != FileState::Ok {
            let reason = "it is not the file that was packed; pack the model again, and sign that";
            return Err(Error::Signature { path, reason: reason.to_owned() });
        }
    }
    let secret = secret_key(key, password)?;
    let sums = folder.join(manifest::NAME);
    let text = fs::read(&sums).map_err(Error::io(&sums))?;
    let comment = "signature by sconce";
    let signed = minisign::sign(None, &secret, Cursor::new(text), None, Some(comment));
    let signature = signed.map_err(wrong(key, "check the key"))?;
    let path = folder.join(SIGNATURE);
    write_atomic(&path, signature.to_string().as_bytes())?;
    let key_id = key_id(signature.keynum());
    Ok(Signed { folder: folder.to_owned(), signature: path, key_id })
}

/// Checks that a model folder was signed with the secret key of a public one: the file of it, or the key itself in one line.
/// What the files hold is [`verify`](crate::verify)'s to check: the signature is one of their hashes.
///
/// # Errors
///
/// [`Error::Signature`], where there is no signature, it does not hold, or it is another key's; [`Error::NotAModel`], where the folder
/// is none.
pub fn verify_signature(folder: &Path, public: &str) -> Result<SignatureCheck> {
    manifest::read(folder)?;
    let public = public_key(public)?;
    let path = folder.join(SIGNATURE);
    if !path.is_file() {
        let reason = "it is not signed: there is no SHA256SUMS.minisig; get one from its owner";
        return Err(Error::Signature { path: folder.to_owned(), reason: reason.to_owned() });
    }
    let signature = SignatureBox::from_string(&read(&path)?).map_err(|_| {
        signature_error(&path, "it is no signature of minisign; get the model again")
    })?;
    if signature.keynum() != public.keynum() {
        return Err(signature_error(
            &path,
            &format!(
                "it is by the key {}, and not by {}; get the public key from the model's owner",
                key_id(signature.keynum()),
                key_id(public.keynum())
            ),
        ));
    }
    let sums = folder.join(manifest::NAME);
    let text = fs::read(&sums).map_err(Error::io(&sums))?;
    minisign::verify(&public, &signature, Cursor::new(text), true, false, false).map_err(|_| {
        signature_error(
            &path,
            "the signature does not hold: SHA256SUMS is not what was signed; do not use the model",
        )
    })?;
    let comment = signature.trusted_comment().unwrap_or_default();
    let comment = comment.chars().filter(|character| !character.is_control()).collect();
    Ok(SignatureCheck { key_id: key_id(public.keynum()), comment })
}

fn secret_key(path: &Path, password: Option<String>) -> Result<SecretKey> {
    let no_key = || {
        let reason = "it is no secret key of minisign; make one with `sconce zoo keygen`";
        signature_error(path, reason)
    };
    let text = read(path)?;
    let is_encrypted = text.lines().nth(1).is_some_and(|line| line.starts_with(ENCRYPTED));
    let key = SecretKeyBox::from_string(&text).map_err(|_| no_key())?;
    match password {
        _ if !is_encrypted => key.into_unencrypted_secret_key().map_err(|_| no_key()),
        // Without one, the library would ask at the terminal.
        None => Err(signature_error(path, "it has a password; give it with --password-file")),
        password => key.into_secret_key(password).map_err(|_| {
            signature_error(path, "the password is another, or it is damaged; try again")
        }),
    }
}

fn public_key(text: &str) -> Result<PublicKey> {
    let path = Path::new(text);
    let no_key = |_| {
        let reason =
            "it is no public key of minisign; give the file KEY.pub, or the line RW… in it";
        signature_error(path, reason)
    };
    if path.is_file() {
        let text = PublicKeyBox::from_string(&read(path)?).map_err(no_key)?;
        return text.into_public_key().map_err(no_key);
    }
    PublicKey::from_base64(text).map_err(no_key)
}

/// A small file of text.
fn read(path: &Path) -> Result<String> {
    let size = fs::metadata(path).map_err(Error::io(path))?.len();
    if size > LONGEST {
        return Err(signature_error(path, "it is far too long; check the name"));
    }
    fs::read_to_string(path).map_err(Error::io(path))
}

/// As minisign shows it: the bytes are those of a number, the lowest first.
fn key_id(bytes: &[u8]) -> String {
    bytes.iter().rev().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat()
}

fn signature_error(path: &Path, reason: &str) -> Error {
    Error::Signature { path: path.to_owned(), reason: reason.to_owned() }
}

fn wrong<'a>(path: &'a Path, remedy: &'a str) -> impl Fn(minisign::PError) -> Error + 'a {
    move |error| signature_error(path, &format!("{error}; {remedy}"))
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.encrypted { "with a password" } else { "without a password" };
        writeln!(f, "secret  {}, {kind}", self.secret.display())?;
        write!(f, "public  {}\nkey     {}", self.public.display(), self.key)
    }
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signed {} with the key {}", self.folder.display(), self.key_id)
    }
}

impl fmt::Display for SignatureCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signed by the key {} ({})", self.key_id, self.comment)
    }
}
