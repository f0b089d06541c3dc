//! What the JSON of evaluations looks like, for programs that read it.

use schemars::schema_for;

use super::{Comparison, Evaluation};

/// The JSON Schema of an [`Evaluation`], as `summary.json` holds it.
pub fn evaluation_schema() -> String {
    pretty(schema_for!(Evaluation).to_value())
}

/// The JSON Schema of a [`Comparison`].
pub fn comparison_schema() -> String {
    pretty(schema_for!(Comparison).to_value())
}

/// With sorted keys, whatever maps are made of.
fn pretty(mut schema: serde_json::Value) -> String {
    schema.sort_all_objects();
    let mut text = format!("{schema:#}");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The schemas are shipped, and change where the types do.
    #[test]
    fn shipped_schemas_are_those_of_the_types() {
        let shipped = [
            ("evaluation.schema.json", evaluation_schema()),
            ("comparison.schema.json", comparison_schema()),
        ];
        for (name, schema) in shipped {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(name);
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if text != schema {
                let new = path.with_extension("json.new");
                std::fs::write(&new, &schema).expect("the folder is there");
                panic!("{name} is not up to date; take {}", new.display());
            }
        }
    }
}
