use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use engine::Trained;
use pytorch::Value;
use sconce_zoo::{self as zoo, NnunetOptions, PackOptions};
use serde_json::{Value as Json, json};
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::fixture;

/// A folder as nnU-Net leaves it after training, of two folds.
fn nnunet(place: &Path) -> anyhow::Result<PathBuf> {
    let model = place.join("folds");
    for seed in 0..2 {
        let fold = model.join(format!("fold_{seed}"));
        fixture::network(&fold, seed, 3)?;
        let mut trained = Trained::load(&fold)?;
        trained.plan.crop_to_nonzero = true;
        trained.config.temperature = 1.0;
        trained.save(&fold)?;
    }
    let folder = place.join("Dataset001_Organ/nnUNetTrainer__nnUNetPlans__3d_fullres");
    fs::create_dir_all(folder.parent().expect("a parent"))?;
    zoo::export_nnunet(&model, &folder)?;
    Ok(folder)
}

fn card() -> PackOptions {
    PackOptions { name: "organ".to_owned(), ..PackOptions::default() }
}

/// Why a folder cannot be imported, with nothing left behind.
fn refused(source: &Path, place: &Path, options: &NnunetOptions) -> anyhow::Result<String> {
    let output = place.join("refused");
    let outcome = zoo::import_nnunet(source, &output, options, &card());
    let error = anyhow::Error::from(outcome.expect_err("it is refused"));
    assert!(!output.exists());
    let left = fs::read_dir(place)?.filter_map(Result::ok).map(|it| it.file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().ends_with(".partial")).collect();
    assert!(left.is_empty(), "{left:?}");
    Ok(format!("{error:#}"))
}

/// Changes a JSON file.
fn edit(path: &Path, change: impl FnOnce(&mut Json)) -> anyhow::Result<()> {
    let mut value = serde_json::from_str(&fs::read_to_string(path)?)?;
    change(&mut value);
    Ok(fs::write(path, value.to_string())?)
}

#[test]
fn what_is_exported_is_imported_again() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let place = place.path();
    let folder = nnunet(place)?;

    let model = place.join("model");
    let made = zoo::import_nnunet(&folder, &model, &NnunetOptions::default(), &card())?;

    assert_eq!(made.folds, ["fold_0", "fold_1"]);
    assert_eq!(made.origin, "nnUNetTrainer__nnUNetPlans__3d_fullres");
    let (ours, again) = (zoo::load_all(&place.join("folds"))?, zoo::load_all(&model)?);
    for (ours, again) in ours.iter().zip(&again) {
        assert_eq!(ours.plan, again.plan);
        assert_eq!(again.config.channels, ["CT", "PET"]);
        // nnU-Net counts labels one after the other.
        let values: Vec<_> = again.config.classes.iter().map(|it| it.values.clone()).collect();
        assert_eq!(values, [[0], [1], [2]]);
        assert_eq!(ours.parameters.len(), again.parameters.len());
        for (name, tensor) in &ours.parameters {
            let values = |it: &candle::Tensor| it.flatten_all()?.to_vec1::<f32>();
            assert_eq!(values(tensor)?, values(&again.parameters[name])?, "{name}");
        }
    }
    // One fold of it is a model by itself.
    let options = NnunetOptions { folds: vec!["1".to_owned()], ..NnunetOptions::default() };
    let single = place.join("single");
    let made = zoo::import_nnunet(&folder, &single, &options, &card())?;
    assert!(made.folds.is_empty() && zoo::verify(&single, &candle::Device::Cpu)?.ok());
    let card = fs::read_to_string(single.join("README.md"))?;
    assert!(card.contains("Imported from nnU-Net: nnUNetTrainer__nnUNetPlans__3d_fullres"));
    Ok(())
}

#[test]
fn a_temperature_goes_into_the_last_layer() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let place = place.path();
    let run = place.join("run");
    fixture::network(&run, 3, 2)?;
    let mut trained = Trained::load(&run)?;
    trained.plan.crop_to_nonzero = true;
    trained.save(&run)?;

    let made = zoo::export_nnunet(&run, &place.join("exported"))?;

    assert!(made.calibrated && made.configuration == "2d");
    let again = zoo::read_nnunet(&place.join("exported"), &NnunetOptions::default())?;
    let name = "decoder.seg_layers.0.weight";
    let weight = |it: &Trained| it.parameters[name].flatten_all()?.to_vec1::<f32>();
    let (before, after) = (weight(&trained)?, weight(&again.networks[0].1)?);
    for (before, after) in before.iter().zip(after) {
        assert!((before / 1.5 - after).abs() < 1e-7);
    }
    Ok(())
}

#[test]
fn an_archive_is_as_good_as_a_folder_and_leads_nowhere_else() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let place = place.path();
    let folder = nnunet(place)?;
    let path = place.join("exported.zip");
    let mut archive = ZipWriter::new(File::create(&path)?);
    let options = SimpleFileOptions::default();
    let below = "Dataset001_Organ/nnUNetTrainer__nnUNetPlans__3d_fullres";
    for name in
        ["plans.json", "dataset.json", "fold_0/checkpoint_final.pth", "fold_1/checkpoint_final.pth"]
    {
        archive.start_file(format!("{below}/{name}"), options)?;
        archive.write_all(&fs::read(folder.join(name))?)?;
    }
    archive.start_file("../plans.json", options)?;
    archive.write_all(b"planted")?;
    archive.finish()?;

    zoo::import_nnunet(&path, &place.join("a"), &NnunetOptions::default(), &card())?;
    zoo::import_nnunet(&folder, &place.join("b"), &NnunetOptions::default(), &card())?;

    for file in ["fold_0/SHA256SUMS", "fold_1/SHA256SUMS"] {
        assert_eq!(fs::read(place.join("a").join(file))?, fs::read(place.join("b").join(file))?);
    }
    let temporary = std::env::temp_dir().join("plans.json");
    assert!(!temporary.exists());
    fs::write(&path, &fs::read(&path)?[..2000])?;
    let error = refused(&path, place, &NnunetOptions::default())?;
    assert!(error.contains("neither a folder nor a ZIP archive of a whole network"), "{error}");
    Ok(())
}

#[test]
fn archives_and_checkpoints_that_hold_less_than_they_say_are_refused() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let place = place.path();
    let folder = nnunet(place)?;
    // Zeros shrink to a thousandth.
    let path = place.join("bomb.zip");
    let mut archive = ZipWriter::new(File::create(&path)?);
    archive.start_file("model/plans.json", SimpleFileOptions::default())?;
    archive.write_all(&vec![b' '; 8 << 20])?;
    archive.finish()?;
    let error = refused(&path, place, &NnunetOptions::default())?;
    assert!(error.contains("plans.json unfolds to more than 20 times its size"), "{error}");

    // One tensor under a hundred names.
    let one = candle::Tensor::zeros(1000, candle::DType::F32, &candle::Device::Cpu)?;
    let names = (0..100).map(|at| (format!("w{at}"), Value::Tensor(one.clone())));
    let text = |text: &str| Value::Text(text.to_owned());
    let start = Value::Dict(vec![("configuration".to_owned(), text("3d_fullres"))]);
    let checkpoint = Value::Dict(vec![
        ("network_weights".to_owned(), Value::Dict(names.collect())),
        ("trainer_name".to_owned(), text("nnUNetTrainer")),
        ("init_args".to_owned(), start),
    ]);
    pytorch::write(&checkpoint, File::create(folder.join("fold_0/checkpoint_final.pth"))?)?;
    let error = refused(&folder, place, &NnunetOptions::default())?;
    assert!(error.contains("its tensors have more values than it holds"), "{error}");
    Ok(())
}

#[test]
fn a_network_of_all_cases_is_not_averaged_with_folds_unless_asked_for() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let folder = nnunet(place.path())?;
    fs::create_dir(folder.join("fold_all"))?;
    fs::copy(
        folder.join("fold_0/checkpoint_final.pth"),
        folder.join("fold_all/checkpoint_final.pth"),
    )?;
    let names = |folds: &[&str]| -> anyhow::Result<Vec<String>> {
        let folds = folds.iter().map(|&fold| fold.to_owned()).collect();
        let options = NnunetOptions { folds, ..NnunetOptions::default() };
        let found = zoo::read_nnunet(&folder, &options)?;
        Ok(found.networks.into_iter().map(|(name, _)| name).collect())
    };

    assert_eq!(names(&[])?, ["fold_0", "fold_1"]);
    assert_eq!(names(&["all"])?, ["fold_all"]);
    assert_eq!(names(&["0", "0"])?, ["fold_0"]);
    Ok(())
}

#[test]
fn folders_without_a_network_say_what_they_lack() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let place = place.path();
    let folder = nnunet(place)?;
    let options = NnunetOptions::default();
    let with = |change: fn(&mut NnunetOptions)| {
        let mut options = NnunetOptions::default();
        change(&mut options);
        options
    };

    let error = refused(&place.join("folds"), place, &options)?;
    assert!(error.contains("there is no plans.json"), "{error}");
    let error = refused(&folder, place, &with(|it| it.folds = vec!["4".to_owned()]))?;
    assert!(error.contains("fold_4 is not there") && error.contains("there are 0, 1"), "{error}");
    let error = refused(&folder, place, &with(|it| it.checkpoint = "checkpoint_best.pth".into()))?;
    assert!(error.contains("no fold has a checkpoint_best.pth"), "{error}");
    let error = refused(place, place, &with(|it| it.configuration = Some("2d".to_owned())))?;
    assert!(error.contains("no such configuration"), "{error}");
    // Beside a second configuration, the first has to be named.
    let second = folder.with_file_name("nnUNetTrainer__nnUNetPlans__2d");
    fs::create_dir_all(second.join("fold_0"))?;
    fs::write(second.join("plans.json"), "{}")?;
    let error = refused(place, place, &options)?;
    assert!(error.contains("there are several networks"), "{error}");
    let named = with(|it| it.configuration = Some("3d_fullres".to_owned()));
    zoo::import_nnunet(place, &place.join("chosen"), &named, &card())?;
    Ok(())
}

#[test]
fn what_prediction_would_do_in_another_way_is_refused_by_name() -> anyhow::Result<()> {
    type Change = fn(&mut Json);
    let changes: &[(Change, &str)] = &[
        (
            |it| it["resampling_fn_data"] = json!("resample_torch_fornnunet"),
            "resample_torch_fornnunet",
        ),
        (|it| it["resampling_fn_probabilities_kwargs"]["order"] = json!(3), "splines of order 3"),
        (
            |it| it["resampling_fn_data_kwargs"]["force_separate_z"] = json!(true),
            "force_separate_z",
        ),
        (|it| it["resampling_fn_data_kwargs"]["order_z"] = json!(1), "order_z"),
        (|it| it["preprocessor_name"] = json!("MyPreprocessor"), "MyPreprocessor"),
        (
            |it| it["architecture"]["arch_kwargs"]["nonlin"] = json!("torch.nn.ReLU"),
            "nonlin is ReLU",
        ),
        (
            |it| it["architecture"]["arch_kwargs"]["norm_op"] = json!("torch.nn.BatchNorm3d"),
            "norm_op is BatchNorm3d",
        ),
        (|it| it["architecture"]["arch_kwargs"]["nonlin_first"] = json!(true), "nonlin_first"),
        (|it| it["normalization_schemes"] = json!(["NoNormalization"]), "normalises 1 channels"),
        (|it| it["previous_stage"] = json!("3d_lowres"), "a cascade"),
        (|it| it["architecture"]["network_class_name"] = json!("my.SwinUNETR"), "my.SwinUNETR"),
        (|it| it["normalization_schemes"][0] = json!("MyNormalization"), "MyNormalization"),
        (
            |it| it["architecture"]["arch_kwargs"]["features_per_stage"] = json!([4, 16]),
            "weights are not those",
        ),
    ];
    let place = tempfile::tempdir()?;
    let folder = nnunet(place.path())?;
    let plans = folder.join("plans.json");
    let whole = fs::read(&plans)?;
    for (change, reason) in changes {
        edit(&plans, |all| change(&mut all["configurations"]["3d_fullres"]))?;
        let error = refused(&folder, place.path(), &NnunetOptions::default())?;
        assert!(error.contains(reason), "{reason}: {error}");
        fs::write(&plans, &whole)?;
    }
    edit(&plans, |all| all["transpose_forward"] = json!([0, 0, 2]))?;
    let error = refused(&folder, place.path(), &NnunetOptions::default())?;
    assert!(error.contains("no order of three axes"), "{error}");
    fs::write(&plans, &whole)?;
    edit(&plans, |all| all["label_manager"] = json!("MyLabelManager"))?;
    let error = refused(&folder, place.path(), &NnunetOptions::default())?;
    assert!(error.contains("MyLabelManager"), "{error}");
    Ok(())
}

#[test]
fn damaged_and_foreign_checkpoints_are_refused() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let folder = nnunet(place.path())?;
    let path = folder.join("fold_1/checkpoint_final.pth");
    let whole = fs::read(&path)?;
    let error = || refused(&folder, place.path(), &NnunetOptions::default());

    fs::write(&path, &whole[..whole.len() / 2])?;
    assert!(error()?.contains("it is no archive, or only a part of one"), "{}", error()?);
    // One byte of a weight: the archive's checksum does not fit.
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(&path, &bytes)?;
    assert!(error()?.contains("is damaged"), "{}", error()?);
    let write =
        |value: &Value| -> anyhow::Result<()> { Ok(pytorch::write(value, File::create(&path)?)?) };
    write(&Value::Dict(vec![("state_dict".to_owned(), Value::None)]))?;
    assert!(error()?.contains("it has no trainer_name"), "{}", error()?);
    write(&Value::Int(1))?;
    assert!(error()?.contains("it has no trainer_name"), "{}", error()?);
    Ok(())
}

#[test]
fn plans_of_older_versions_say_the_same() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let folder = nnunet(place.path())?;
    let new = zoo::read_nnunet(&folder, &NnunetOptions::default())?;
    edit(&folder.join("plans.json"), |plans| {
        let intensities = plans["foreground_intensity_properties_per_channel"].take();
        let object = plans.as_object_mut().expect("an object");
        object.remove("foreground_intensity_properties_per_channel");
        object.insert("foreground_intensity_properties_by_modality".to_owned(), intensities);
        let given = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"].take();
        let configuration = plans["configurations"]["3d_fullres"].as_object_mut().expect("one");
        configuration.remove("architecture");
        for (key, value) in [
            ("UNet_class_name", json!("PlainConvUNet")),
            ("UNet_base_num_features", json!(4)),
            ("unet_max_num_features", json!(320)),
            ("n_conv_per_stage_encoder", given["n_conv_per_stage"].clone()),
            ("n_conv_per_stage_decoder", given["n_conv_per_stage_decoder"].clone()),
            ("num_pool_per_axis", json!([1, 1, 1])),
            ("pool_op_kernel_sizes", given["strides"].clone()),
            ("conv_kernel_sizes", given["kernel_sizes"].clone()),
        ] {
            configuration.insert(key.to_owned(), value);
        }
    })?;

    let old = zoo::read_nnunet(&folder, &NnunetOptions::default())?;

    for ((_, new), (_, old)) in new.networks.iter().zip(&old.networks) {
        assert_eq!((&new.plan, &new.config), (&old.plan, &old.config));
    }
    Ok(())
}

#[test]
fn what_nnunet_has_no_place_for_is_not_exported() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let place = place.path();
    let run = place.join("run");
    fixture::network(&run, 1, 2)?;
    let original = Trained::load(&run)?;
    let error = |change: fn(&mut Trained)| -> anyhow::Result<String> {
        let mut trained = original.clone();
        trained.plan.crop_to_nonzero = true;
        change(&mut trained);
        trained.save(&run)?;
        let error = zoo::export_nnunet(&run, &place.join("out")).expect_err("refused");
        assert!(!place.join("out").exists());
        Ok(error.to_string())
    };

    let kept = error(|it| it.plan.crop_to_nonzero = false)?;
    assert!(kept.contains("always cuts it off"), "{kept}");
    let ignored = error(|it| it.config.classes[1].name = "ignore".to_owned())?;
    assert!(ignored.contains("a class called ignore"), "{ignored}");
    let twice = error(|it| it.config.classes[1].name = "lesion".to_owned())?;
    assert!(twice.contains("a class called lesion"), "{twice}");
    let vector =
        error(|it| it.config.predict.calibration = engine::calibrate::Calibration::Vector)?;
    assert!(vector.contains("calibrated by a vector"), "{vector}");
    let context = error(|it| it.plan.context = 1)?;
    assert!(context.contains("neighbouring slices"), "{context}");
    Ok(())
}
