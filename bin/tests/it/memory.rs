//! What a run says that it will take, it takes.

use std::fs;

use serde_json::Value;

use crate::program::{good, workplace};

#[test]
fn a_run_takes_as_much_memory_as_it_said() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();
    let large = "--set preprocess.patch_size=[1,256,256] --set train.batch_size=6 --set train.epochs=1 --threads 2";
    let deep = "--set model.unet.features_per_stage=[16,32,64] --set train.iterations_per_epoch=3";
    for (name, more) in [
        ("plain", ""),
        ("half", "--set train.precision=bf16"),
        ("again", "--set model.unet.gradient_checkpointing=true"),
        ("adam", "--set optimizer={adam_w={}} --set train.average={}"),
    ] {
        good(
            folder,
            &format!(
                "train run.toml --data data --output {name} --device cpu {large} {deep} {more}"
            ),
        )?;

        let log = fs::read_to_string(folder.join(name).join("log.jsonl"))?;
        let lines: Vec<Value> = log.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let of = |event: &str, key: &str| {
            let found = lines.iter().find(|line| line["event"] == event);
            found.and_then(|line| line[key].as_f64()).ok_or_else(|| anyhow::anyhow!("no {key}"))
        };
        let (said, taken) = (of("memory", "needed_bytes")?, of("epoch", "resident_bytes")?);
        assert!((said / taken - 1.0).abs() < 0.15, "{name}: {said} said, {taken} taken");
    }
    Ok(())
}
