use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::Value;

use crate::{Tensor, Tolerance, close, number};

/// One reference case: what went in, with which parameters, and what came out.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    /// Unique within the group.
    pub id: String,
    /// The function of the other implementation that was run.
    pub function: String,
    /// Which implementation that is.
    #[serde(default)]
    pub source: Value,
    /// The parameters that it was run with.
    #[serde(default)]
    pub params: Value,
    /// Tensors that went in: role → name, where `prefix/*` stands for all below.
    #[serde(default)]
    pub inputs: BTreeMap<String, Value>,
    /// Tensors that came out, likewise.
    #[serde(default)]
    pub outputs: BTreeMap<String, Value>,
    /// Numbers that came out.
    #[serde(default)]
    pub expected: Value,
    /// How closely to agree, as a suggestion of whoever ran it.
    #[serde(default)]
    pub tolerance: Value,
    /// Which of several behaviours of the function this is.
    #[serde(default)]
    pub variant: Option<String>,
    /// Whether the function must fail: a boolean, or `"either"`.
    #[serde(default)]
    pub must_error: Value,
    /// Weights that a formula gives, in place of tensors; see the notes.
    #[serde(default)]
    pub generated_state: Value,
    /// Remarks.
    #[serde(default)]
    pub notes: Value,
    #[serde(skip)]
    pub(crate) folder: PathBuf,
    #[serde(skip)]
    pub(crate) bytes: Arc<Vec<u8>>,
}

impl Case {
    /// The tensor that went in as `role`.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub fn input(&self, role: &str) -> anyhow::Result<Tensor> {
        self.tensor(name(&self.inputs, role)?)
    }

    /// The tensor that came out as `role`.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub fn output(&self, role: &str) -> anyhow::Result<Tensor> {
        self.tensor(name(&self.outputs, role)?)
    }

    /// All tensors below the prefix that `role` of the inputs names, without that prefix.
    ///
    /// # Errors
    ///
    /// Where the role is not a prefix.
    pub fn inputs_below(&self, role: &str) -> anyhow::Result<BTreeMap<String, Tensor>> {
        self.below(name(&self.inputs, role)?)
    }

    /// All tensors below the prefix that `role` of the outputs names, without that prefix.
    ///
    /// # Errors
    ///
    /// Where the role is not a prefix.
    pub fn outputs_below(&self, role: &str) -> anyhow::Result<BTreeMap<String, Tensor>> {
        self.below(name(&self.outputs, role)?)
    }

    /// A tensor by its full name in the group's file.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub fn tensor(&self, name: &str) -> anyhow::Result<Tensor> {
        let file = SafeTensors::deserialize(&self.bytes)?;
        Tensor::from_view(&file.tensor(name).with_context(|| format!("no tensor {name}"))?)
    }

    /// The number that parameter `name` is.
    ///
    /// # Errors
    ///
    /// Where it is none.
    pub fn param(&self, name: &str) -> anyhow::Result<f64> {
        number(&self.params[name]).with_context(|| format!("parameter {name}"))
    }

    /// The whole numbers, one for each axis, that parameter `name` lists.
    ///
    /// # Errors
    ///
    /// Where it is no list of them.
    pub fn param_list(&self, name: &str) -> anyhow::Result<Vec<usize>> {
        serde_json::from_value(self.params[name].clone())
            .with_context(|| format!("parameter {name}"))
    }

    /// Where a file that the case speaks of lies; `below` is the folder inside the golden folder
    /// to which the group's names are relative (see its README).
    pub fn file(&self, below: &str, name: &str) -> PathBuf {
        self.folder.join(below).join(name)
    }

    /// The golden folder that the case came from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The tolerance that the manifest suggests for `output`, or `default`.
    pub fn tolerance(&self, output: &str, default: Tolerance) -> Tolerance {
        let own = &self.tolerance[output];
        let block = if own.is_object() { own } else { &self.tolerance };
        let (rtol, atol) = (block["rtol"].as_f64(), block["atol"].as_f64());
        if rtol.is_none() && atol.is_none() {
            return default;
        }
        Tolerance::new(rtol.unwrap_or(0.0), atol.unwrap_or(0.0))
    }

    /// Checks `actual` against the tensor that came out as `role`, in shape and values.
    ///
    /// # Errors
    ///
    /// Where they differ by more than the tolerance.
    pub fn expect(
        &self,
        role: &str,
        shape: &[usize],
        actual: &[f64],
        default: Tolerance,
    ) -> anyhow::Result<()> {
        let expected = self.output(role)?;
        if expected.shape != shape {
            bail!("{role} has shape {shape:?}, but the reference has {:?}", expected.shape);
        }
        close(actual, &expected.values, self.tolerance(role, default)).context(role.to_owned())
    }

    fn below(&self, pattern: &str) -> anyhow::Result<BTreeMap<String, Tensor>> {
        let prefix =
            pattern.strip_suffix('*').with_context(|| format!("{pattern} is no prefix"))?;
        let file = SafeTensors::deserialize(&self.bytes)?;
        let mut found = BTreeMap::new();
        for name in file.names() {
            if let Some(rest) = name.strip_prefix(prefix) {
                found.insert(rest.to_owned(), Tensor::from_view(&file.tensor(name)?)?);
            }
        }
        Ok(found)
    }
}

fn name<'a>(roles: &'a BTreeMap<String, Value>, role: &str) -> anyhow::Result<&'a str> {
    let found = roles.get(role).and_then(Value::as_str);
    found.with_context(|| format!("no tensor plays the role {role}"))
}
