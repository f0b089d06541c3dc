//! What the JSON files look like, for programs that read them.

use data::Fold;
use preprocess::Plan;
use schemars::schema_for;

use crate::calibrate::CalibrationFit;
use crate::evaluate::{Comparison, Evaluation};
use crate::file::Versioned;
use crate::study::StudyTable;
use crate::{NetworkConfig, Postprocess};

/// The JSON Schema of one kind of file.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// What the kind is called, such as `config`.
    pub name: &'static str,
    /// The version of the format: what such a file has under the key `schema`.
    pub version: u32,
    /// Where such files are, in a model folder or elsewhere.
    pub found: &'static str,
    make: fn() -> schemars::Schema,
}

/// Every kind of JSON file that other programs may want to read, by name.
pub const SCHEMAS: &[Schema] = &[
    Schema {
        name: "calibration",
        version: CalibrationFit::SCHEMA,
        found: "calibration.json of a model or run",
        make: || schema_for!(CalibrationFit),
    },
    Schema {
        name: "comparison",
        version: Comparison::SCHEMA,
        found: "what `sconce compare` writes",
        make: || schema_for!(Comparison),
    },
    Schema {
        name: "config",
        version: NetworkConfig::SCHEMA,
        found: "config.json of a model or run",
        make: || schema_for!(NetworkConfig),
    },
    Schema {
        name: "evaluation",
        version: Evaluation::SCHEMA,
        found: "eval/summary.json of a model, validation/summary.json of a run, what `sconce evaluate` writes",
        make: || schema_for!(Evaluation),
    },
    Schema {
        name: "plan",
        version: Plan::SCHEMA,
        found: "plan.json of a model or run",
        make: || schema_for!(Plan),
    },
    Schema {
        name: "postprocess",
        version: Postprocess::SCHEMA,
        found: "postprocess.json of a model",
        make: || schema_for!(Postprocess),
    },
    // One entry of nnU-Net's splits_final.json, which has no version.
    Schema {
        name: "split",
        version: 1,
        found: "split.json of a model or run",
        make: || schema_for!(Fold),
    },
    Schema {
        name: "study",
        version: StudyTable::SCHEMA,
        found: "table.json of a study",
        make: || schema_for!(StudyTable),
    },
];

impl Schema {
    /// The schema of that name.
    pub fn named(name: &str) -> Option<Self> {
        SCHEMAS.iter().copied().find(|schema| schema.name == name)
    }

    /// The schema itself, with sorted keys, by the draft of 2020-12.
    pub fn text(&self) -> String {
        let mut schema = (self.make)().to_value();
        schema.sort_all_objects();
        let mut text = format!("{schema:#}");
        text.push('\n');
        text
    }

    /// What its file is called where it is shipped.
    pub fn file(&self) -> String {
        format!("{}-{}.schema.json", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The schemas are shipped, and change where the types do.
    #[test]
    fn shipped_schemas_are_those_of_the_types() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
        let mut stale = Vec::new();
        for schema in SCHEMAS {
            let path = folder.join(schema.file());
            if std::fs::read_to_string(&path).unwrap_or_default() != schema.text() {
                let new = path.with_extension("json.new");
                std::fs::write(&new, schema.text()).expect("the folder is there");
                stale.push(new);
            }
        }
        assert!(stale.is_empty(), "not up to date; take {stale:?}");
        assert!(SCHEMAS.is_sorted_by_key(|schema| schema.name));
    }
}
