use std::path::Path;

use candle::Device;
use engine::evaluate::Evaluation;
use engine::file::read_versioned;
use sconce_zoo::{self as zoo, Content};

#[test]
fn models_of_older_programs_load_and_compute_what_they_did() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/older");
    let mut seen = 0;
    for entry in std::fs::read_dir(root)? {
        let model = entry?.path();
        let verification = zoo::verify(&model, &Device::Cpu)?;
        assert!(verification.ok(), "{verification}");
        let trained = zoo::load(&model)?;
        assert!(trained.config.classes.len() > 1);
        let Content::Model(details) = zoo::show(&model)?.content else { panic!("{model:?}") };
        assert!(details.scores.iter().any(|score| score.score == "dice"), "{details:?}");
        let evaluation: Evaluation = read_versioned(&model.join("eval/summary.json"))?;
        assert!(!evaluation.cases.is_empty());
        // Packed again, it is a model of this program.
        let again = tempfile::tempdir()?;
        let options = zoo::PackOptions { name: "again".to_owned(), ..Default::default() };
        let packed = zoo::pack(&model, &again.path().join("model"), &options)?;
        assert!(zoo::verify(&packed.folder, &Device::Cpu)?.ok());
        seen += 1;
    }
    assert!(seen > 0, "no model of an older program is kept");
    Ok(())
}
