//! The model card: `README.md` with a front matter that the hub reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use engine::calibrate::Calibration;
use engine::evaluate::{Evaluation, Summary, decimals};
use engine::{NetworkConfig, Trained};

use crate::license::{License, OTHER};
use crate::{DataSet, PackOptions, scores};

/// The class that stands for the mean over foreground classes.
pub(crate) const MEAN: &str = "mean";

/// What the calibration error over the voxels of all cases is called: that of each case by itself
/// is another score, `case_ece`.
pub(crate) const POOLED_ECE: &str = "pooled_ece";

/// What no model is for.
const NOT_FOR: &str = "Research use only: this is not a medical device. Not for diagnosis, treatment or any decision about a patient. Scores are \
    of images like those that it was trained on; of others (another scanner, protocol, organ, age or disease) nothing is known.";

/// What a card is written from.
#[derive(Debug)]
pub(crate) struct Card<'a> {
    pub(crate) options: &'a PackOptions,
    pub(crate) license: License,
    pub(crate) trained: &'a Trained,
    pub(crate) parameters: u64,
    pub(crate) evaluation: Option<&'a Evaluation>,
    pub(crate) calibrated: bool,
    /// Of several networks: the table of their scores.
    pub(crate) folds: Option<&'a str>,
}

impl Card<'_> {
    /// The whole file.
    pub(crate) fn text(&self) -> String {
        format!("---\n{}---\n\n{}", self.front_matter(), self.body())
    }

    fn front_matter(&self) -> String {
        let config = &self.trained.config;
        let mut yaml = String::new();
        line(&mut yaml, "license", self.license.id);
        if self.license.id == OTHER {
            line(&mut yaml, "license_name", "see-license");
            line(&mut yaml, "license_link", "LICENSE");
        }
        line(&mut yaml, "library_name", "sconce");
        line(&mut yaml, "pipeline_tag", "image-segmentation");
        list(&mut yaml, "tags", &self.tags());
        let of_hub = self.options.datasets.iter().filter(|data| data.is_of_hub());
        list(&mut yaml, "datasets", &of_hub.map(|data| data.name.clone()).collect::<Vec<_>>());
        if let Some(teacher) = &self.options.base_model {
            line(&mut yaml, "base_model", &quoted(teacher));
            line(&mut yaml, "base_model_relation", "finetune");
        }
        if let Some(evaluation) = self.evaluation {
            let scores: Vec<String> =
                score_names(evaluation).into_iter().map(str::to_owned).collect();
            list(&mut yaml, "metrics", &scores);
            yaml += &model_index(&self.options.name, config, evaluation);
        }
        yaml
    }

    fn tags(&self) -> Vec<String> {
        let config = &self.trained.config;
        let rank = format!("{}d", config.interface.rank);
        let mut tags = vec!["medical".to_owned(), "segmentation".to_owned(), rank];
        tags.push("safetensors".to_owned());
        if config.channels.iter().any(|channel| channel.eq_ignore_ascii_case("ct")) {
            tags.push("ct".to_owned());
        }
        if self.calibrated {
            tags.push("calibration".to_owned());
        }
        tags
    }

    fn body(&self) -> String {
        let config = &self.trained.config;
        let mut text = format!("# {}\n\n", plain(&self.options.name));
        let description = self.options.description.trim();
        if !description.is_empty() {
            put(&mut text, &format!("{description}\n"));
        }
        put(&mut text, "For research; not a medical device.\n\n## Not for\n");
        put(&mut text, NOT_FOR);
        let not_for = self.options.not_for.trim();
        if !not_for.is_empty() {
            put(&mut text, &format!("\n{not_for}"));
        }
        put(&mut text, "\n## Use\n");
        put(
            &mut text,
            "```console\n$ sconce zoo verify MODEL_FOLDER\n$ sconce predict -m MODEL_FOLDER -i \
             IMAGE -o OUTPUT_FOLDER\n```\n\n## Network\n",
        );
        text += &self.network();
        put(&mut text, "\n## Classes\n");
        text += "| value in label files | class |\n|--:|---|\n";
        for (value, class) in config.label_values().iter().zip(&config.classes) {
            _ = writeln!(text, "| {value} | {} |", plain(&class.name));
        }
        text.push('\n');
        put(&mut text, "## Scores\n");
        text += &match (self.evaluation, self.folds) {
            (Some(evaluation), _) => scores::text(evaluation),
            (None, Some(folds)) => folds.to_owned(),
            (None, None) => "This model was packed without an evaluation.\n".to_owned(),
        };
        text += &data_sets(&self.options.datasets);
        let license = &self.license;
        _ = write!(text, "\n## License\n\n`{}`: see the file `LICENSE`.", license.id);
        text += " Weights follow the license of the data that they were trained on.\n";
        text
    }

    fn network(&self) -> String {
        let (config, plan) = (&self.trained.config, &self.trained.plan);
        let rank = config.interface.rank;
        let join = |values: &[f64]| -> String {
            values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" × ")
        };
        let patch = plan.patch_size[3 - rank..].iter().map(ToString::to_string);
        let mut rows = vec![
            ("architecture", format!("{}, {rank}D", config.architecture.name())),
            ("parameters", self.parameters.to_string()),
            ("trained on", plain(&config.dataset)),
            ("channels", plain(&config.channels.join(", "))),
            ("patch", format!("{} voxels", patch.collect::<Vec<_>>().join(" × "))),
        ];
        if plan.resample {
            rows.push(("spacing", format!("{} mm", join(&plan.spacing[3 - rank..]))));
        } else {
            rows.push(("spacing", "that of the image".to_owned()));
        }
        rows.push(("calibration", calibration(config)));
        let mut table = "| | |\n|---|---|\n".to_owned();
        for (name, value) in rows {
            _ = writeln!(table, "| {name} | {value} |");
        }
        table
    }
}

/// The data that it was trained on, and under which licenses.
fn data_sets(data_sets: &[DataSet]) -> String {
    if data_sets.is_empty() {
        return String::new();
    }
    let mut text = "\n## Data\n\n| data set | license | source |\n|---|---|---|\n".to_owned();
    for DataSet { name, license, source } in data_sets {
        let [license, source] = [license, source].map(|it| plain(it.as_deref().unwrap_or("–")));
        _ = writeln!(text, "| {} | {license} | {source} |", plain(name));
    }
    text
}

/// How its logits become probabilities that can be believed.
fn calibration(config: &NetworkConfig) -> String {
    match config.predict.calibration {
        Calibration::None => "none".to_owned(),
        Calibration::Temperature => format!("temperature {}", config.temperature),
        Calibration::Vector => "a weight and a bias for each class".to_owned(),
    }
}

/// The results that the hub shows beside a model.
fn model_index(name: &str, config: &NetworkConfig, evaluation: &Evaluation) -> String {
    let mut yaml = String::new();
    let dataset = &evaluation.dataset;
    _ = writeln!(yaml, "model-index:\n- name: {}\n  results:", quoted(name));
    let task = format!("{} segmentation", config.dataset);
    _ = writeln!(yaml, "  - task:\n      type: image-segmentation\n      name: {}", quoted(&task));
    let slug = quoted(&slug(dataset));
    _ = writeln!(yaml, "    dataset:\n      type: {slug}\n      name: {}", quoted(dataset));
    yaml += "    metrics:\n";
    let mut metric = |kind: &str, value: Option<f64>, name: &str| {
        // The hub has no way to say that a value is undefined; the table below does.
        if let Some(value) = value.filter(|value| value.is_finite()) {
            _ = writeln!(
                yaml,
                "    - type: {}\n      value: {}\n      name: {}",
                quoted(kind),
                float(value),
                quoted(name)
            );
        }
    };
    for (class, score, aggregate) in aggregates(evaluation) {
        let name =
            if class == MEAN { format!("{score}, mean") } else { format!("{score}, {class}") };
        metric(score, aggregate.mean, &name);
    }
    for (score, aggregate) in &evaluation.probabilities {
        metric(score, aggregate.mean, score);
    }
    if let Some(calibration) = &evaluation.calibration {
        let name = format!("{POOLED_ECE}, {}", calibration.voxels);
        metric(POOLED_ECE, Some(calibration.pooled_ece), &name);
    }
    let url = quoted(env!("CARGO_PKG_REPOSITORY"));
    _ = writeln!(yaml, "    source:\n      name: sconce evaluate\n      url: {url}");
    yaml
}

/// Every score of masks over all cases: the mean over classes first, then the classes in order.
pub(crate) fn aggregates(evaluation: &Evaluation) -> impl Iterator<Item = (&str, &str, &Summary)> {
    let classes = std::iter::once(MEAN).chain(evaluation.classes.iter().map(String::as_str));
    classes.flat_map(|class| {
        let scores: Option<&BTreeMap<String, Summary>> = evaluation.masks.get(class);
        scores.into_iter().flatten().map(move |(score, found)| (class, score.as_str(), found))
    })
}

/// The names of all scores of masks, and of probabilities, in order.
fn score_names(evaluation: &Evaluation) -> Vec<&str> {
    let mut names: Vec<&str> = aggregates(evaluation).map(|(_, score, _)| score).collect();
    names.extend(evaluation.probabilities.keys().map(String::as_str));
    names.extend(evaluation.calibration.iter().map(|_| POOLED_ECE));
    names.sort_unstable();
    names.dedup();
    names
}

/// What a card says of itself: the name and the license.
pub(crate) fn name_and_license(card: &str) -> (Option<String>, Option<String>) {
    let name = card.lines().find_map(|line| line.strip_prefix("# ")).map(as_written);
    let front = card.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---"));
    let license = front.and_then(|(yaml, _)| {
        yaml.lines()
            .find_map(|line| line.strip_prefix("license:"))
            .map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
    });
    (name.filter(|name| !name.is_empty()), license)
}

fn line(yaml: &mut String, key: &str, value: &str) {
    _ = writeln!(yaml, "{key}: {value}");
}

fn list(yaml: &mut String, key: &str, values: &[String]) {
    if values.is_empty() {
        return;
    }
    _ = writeln!(yaml, "{key}:");
    for value in values {
        _ = writeln!(yaml, "- {}", quoted(value));
    }
}

/// A paragraph.
fn put(text: &mut String, paragraph: &str) {
    text.push_str(paragraph);
    text.push('\n');
}

/// A text as YAML: JSON strings are YAML strings.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A number as YAML: unlike Rust's `1e-7`, YAML's exponents follow a decimal point.
fn float(value: f64) -> String {
    let text = decimals(Some(value), 6);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Lower-case letters and digits with `-` between, as the hub names data sets.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "unnamed".to_owned() } else { slug.to_owned() }
}

/// A text that neither breaks out of its line or table cell nor is taken for markup.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '#' => plain.extend(['\\', character]),
            '<' => plain.push_str("&lt;"),
            character if character.is_control() => plain.push(' '),
            character => plain.push(character),
        }
    }
    plain
}

/// The text that [`plain`] was made from.
fn as_written(plain: &str) -> String {
    let mut text = String::with_capacity(plain.len());
    let mut characters = plain.trim().chars();
    while let Some(character) = characters.next() {
        text.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    text.replace("&lt;", "<")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_in_their_place() {
        assert_eq!(plain("a|b\n<c>_"), "a\\|b &lt;c>\\_");
        assert_eq!(quoted("a: \"b\"\n"), "\"a: \\\"b\\\"\\n\"");
        assert_eq!(slug("MSD Task04_Hippocampus!"), "msd-task04-hippocampus");
        assert_eq!(slug("…"), "unnamed");
        assert_eq!(as_written(&plain("a|b_<c>\\#1")), "a|b_<c>\\#1");
    }

    #[test]
    fn numbers_are_those_that_yaml_knows() {
        assert_eq!([0.5, -1e-9, 12.25, 100.0].map(float), ["0.5", "0", "12.25", "100"]);
    }

    #[test]
    fn a_card_says_what_it_is() {
        let card = "---\nlicense: \"mit\"\n---\n\n# kidney\n";

        assert_eq!(name_and_license(card), (Some("kidney".to_owned()), Some("mit".to_owned())));
        assert_eq!(name_and_license("no card"), (None, None));
    }
}
