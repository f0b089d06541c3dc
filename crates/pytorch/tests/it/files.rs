use std::fs;
use std::path::Path;

use sconce_pytorch::{Checkpoint, Error, Value};
use zip::CompressionMethod;

use crate::archive::{dictionary, saved, tensor, text, write};

/// Where no program would write by itself.
const PLANTED: &str = "/tmp/sconce-pickle-was-run";

#[test]
fn what_a_pickle_would_run_is_not_run_and_the_rest_is_read() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = |module: &str, name: &str, command: &str| {
        let mut code = format!("c{module}\n{name}\n").into_bytes();
        code.extend(text(command));
        code.extend(b"\x85R");
        code
    };
    let touch = format!("touch {PLANTED}");
    let pickle = dictionary(&[
        ("system", run("posix", "system", &touch)),
        ("eval", run("builtins", "eval", "1 + 1")),
        ("class", b"cos\nPathLike\n".to_vec()),
        ("object", b"cmine\nClass\n)\x81}b".to_vec()),
        ("instance", b"(imine\nClass\n".to_vec()),
        ("weights", dictionary(&[("w", tensor("FloatStorage", 4, [0, 2, 2]))])[2..].to_vec()),
    ]);
    // The inner dictionary ends no program.
    let end = pickle.iter().rposition(|&byte| byte == b'.').expect("the end");
    let inner = pickle[..end].iter().rposition(|&byte| byte == b'.').expect("the inner end");
    let pickle = [&pickle[..inner], &pickle[inner + 1..]].concat();
    let path = saved(folder.path(), &pickle, &[1.0, 2.0, 3.0, 4.0])?;

    let mut checkpoint = Checkpoint::open(&path)?;

    assert!(!Path::new(PLANTED).exists());
    let named = |key: &str| checkpoint.root().get(key).and_then(|it| it.opaque());
    assert_eq!(named("system").as_deref(), Some("posix.system"));
    assert_eq!(named("eval").as_deref(), Some("builtins.eval"));
    assert_eq!(named("class").as_deref(), Some("os.PathLike"));
    assert_eq!(named("object").as_deref(), Some("mine.Class"));
    assert_eq!(named("instance").as_deref(), Some("mine.Class"));
    let weights = checkpoint.root().get("weights").expect("weights");
    let tensors = weights.tensors().map_err(anyhow::Error::msg)?;
    let (name, info) = (tensors[0].0.to_owned(), tensors[0].1.clone());
    assert_eq!((name.as_str(), info.shape()), ("w", [2, 2].as_slice()));
    assert_eq!(checkpoint.load(&info)?.to_vec2::<f32>()?, [[1.0, 2.0], [3.0, 4.0]]);
    Ok(())
}

#[test]
fn a_class_among_the_weights_is_named() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let pickle = dictionary(&[("w", b"cposix\nsystem\n)R".to_vec())]);
    let checkpoint = Checkpoint::open(&saved(folder.path(), &pickle, &[])?)?;

    let error = checkpoint.root().tensors().unwrap_err();

    assert_eq!(error, "has w, which is no plain tensor but posix.system");
    Ok(())
}

#[test]
fn files_that_are_none_of_pytorch_say_so() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("saved.pth");
    let error = || match Checkpoint::open(&path) {
        Ok(_) => "it opens".to_owned(),
        Err(error) => error.to_string(),
    };

    let missing = Checkpoint::open(&path);
    assert!(matches!(missing, Err(Error::Io { .. })), "{missing:?}");
    for (bytes, reason) in [
        (&b""[..], "it is no archive"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "before 1.6"),
        (b"<html>404</html>", "it is no archive"),
    ] {
        fs::write(&path, bytes)?;
        assert!(error().contains(reason), "{}", error());
    }
    let stored = CompressionMethod::Stored;
    write(folder.path(), &[("version", b"3")], stored)?;
    assert!(error().contains("without data.pkl"), "{}", error());
    write(folder.path(), &[("data.pkl", b"N."), ("byteorder", b"big")], stored)?;
    assert!(error().contains("highest byte"), "{}", error());
    write(folder.path(), &[("data.pkl", b"N.")], CompressionMethod::Deflated)?;
    assert!(error().contains("is compressed"), "{}", error());
    Ok(())
}

#[test]
fn tensors_that_are_not_all_there_are_refused() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let error = |code: Vec<u8>, values: &[f32]| -> anyhow::Result<String> {
        let pickle = dictionary(&[("w", code)]);
        let mut checkpoint = Checkpoint::open(&saved(folder.path(), &pickle, values)?)?;
        let info = checkpoint.root().get("w").and_then(|it| it.tensor()).expect("a tensor").clone();
        Ok(checkpoint.load(&info).unwrap_err().to_string())
    };

    let values = [0.0; 4];
    let beyond = error(tensor("FloatStorage", 4, [1, 2, 2]), &values)?;
    assert!(beyond.ends_with("a tensor of shape [2, 2] has more values than its file"), "{beyond}");
    let cut = error(tensor("FloatStorage", 4, [0, 2, 2]), &values[1..])?;
    assert!(cut.contains("archive/data/0 has 12 bytes"), "{cut}");
    let kind = error(tensor("ComplexFloatStorage", 2, [0, 1, 2]), &values)?;
    assert!(kind.contains("values of type ComplexFloatStorage"), "{kind}");
    Ok(())
}

#[test]
fn a_file_that_is_cut_short_is_an_error_at_every_length() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let pickle = dictionary(&[("w", tensor("FloatStorage", 4, [0, 2, 2]))]);
    let path = saved(folder.path(), &pickle, &[1.0, 2.0, 3.0, 4.0])?;
    let whole = fs::read(&path)?;

    for length in 0..whole.len() {
        fs::write(&path, &whole[..length])?;
        assert!(Checkpoint::open(&path).is_err(), "{length} of {} bytes pass", whole.len());
    }
    Ok(())
}

#[test]
fn what_is_written_is_read_again_and_shared_tensors_are_written_once() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("saved.pth");
    let tensor = candle::Tensor::arange(0_f32, 6.0, &candle::Device::Cpu)?.reshape((2, 3))?;
    // A view, whose values do not lie one after the other.
    let turned = tensor.t()?;
    let weights = [("a", &tensor), ("alias", &tensor), ("turned", &turned)];
    let weights = weights.map(|(name, it)| (name.to_owned(), Value::Tensor(it.clone())));
    let value = Value::Dict(vec![
        ("weights".to_owned(), Value::Dict(weights.to_vec())),
        ("axes".to_owned(), Value::Tuple(vec![Value::Int(0), Value::Int(-2)])),
        ("epoch".to_owned(), Value::Float(0.25)),
        ("none".to_owned(), Value::List(vec![Value::None, Value::Bool(true)])),
        ("name".to_owned(), Value::Text("nnUNetTrainer".to_owned())),
    ]);

    sconce_pytorch::write(&value, fs::File::create(&path)?)?;
    let mut checkpoint = Checkpoint::open(&path)?;

    let root = checkpoint.root();
    assert_eq!(root.get("epoch").and_then(|it| it.float()), Some(0.25));
    assert_eq!(root.get("name").and_then(|it| it.text()), Some("nnUNetTrainer"));
    let axes = root.get("axes").and_then(|it| it.parts()).expect("a tuple");
    assert_eq!(axes.map(|it| it.int()).collect::<Vec<_>>(), [Some(0), Some(-2)]);
    let infos = root.get("weights").expect("weights").tensors().map_err(anyhow::Error::msg)?;
    let infos: Vec<_> = infos.into_iter().map(|(_, info)| info.clone()).collect();
    assert_eq!(checkpoint.load(&infos[0])?.to_vec2::<f32>()?, tensor.to_vec2::<f32>()?);
    assert_eq!(checkpoint.load(&infos[1])?.to_vec2::<f32>()?, tensor.to_vec2::<f32>()?);
    assert_eq!(checkpoint.load(&infos[2])?.to_vec2::<f32>()?, turned.to_vec2::<f32>()?);
    let archive = zip::ZipArchive::new(fs::File::open(&path)?)?;
    assert_eq!(archive.len(), 3 + 2, "two tensors and three files beside them");
    let byte = candle::Tensor::new(&[1_u8], &candle::Device::Cpu)?;
    let refused = sconce_pytorch::write(&Value::Tensor(byte), fs::File::create(&path)?);
    assert!(refused.is_err_and(|error| error.to_string().contains("type u8")));
    Ok(())
}
