//! The arguments of a class that a bundle names.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::config::{Config, Refusal, below};

/// What a bundle says of an object: its class, and arguments that have not been asked for yet.
pub(super) struct Args<'a> {
    config: &'a Config,
    pub(super) at: String,
    /// The class without its module.
    pub(super) class: String,
    rest: Map<String, Json>,
}

impl<'a> Args<'a> {
    /// Of the value at `at`; `None` where it is null or turned off.
    pub(super) fn of(
        config: &'a Config,
        at: impl Into<String>,
        value: Json,
    ) -> Result<Option<Self>, Refusal> {
        let at = at.into();
        let mut rest = match config.follow(&at, value)? {
            Json::Null => return Ok(None),
            Json::Object(rest) => rest,
            other => return Err(format!("{at} is {other}, and no object with a _target_")),
        };
        let target = match rest.remove("_target_") {
            Some(target) => config.follow(&below(&at, "_target_"), target)?,
            None => return Err(format!("{at} has no _target_")),
        };
        let Json::String(target) = target else {
            return Err(format!("{at}#_target_ is {target}, and no name of a class"));
        };
        let class = target.rsplit('.').next().unwrap_or_default().to_owned();
        let mut args = Self { config, at, class, rest };
        args.ignore(&["_desc_", "_requires_"]);
        if args.get::<bool>("_disabled_")?.unwrap_or(false) {
            return Ok(None);
        }
        if let Some(mode) = args.get::<String>("_mode_")?.filter(|mode| mode != "default") {
            return Err(format!("{}#_mode_ is {mode}, which there is not here", args.at));
        }
        Ok(Some(args))
    }

    /// An argument; `None` where it is absent or null.
    pub(super) fn get<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, Refusal> {
        let Some(value) = self.json(key)? else { return Ok(None) };
        let shown = value.to_string();
        serde_json::from_value(value)
            .map(Some)
            .map_err(|error| format!("{} is {shown}: {error}", below(&self.at, key)))
    }

    /// The same, of whatever kind.
    pub(super) fn json(&mut self, key: &str) -> Result<Option<Json>, Refusal> {
        let Some(value) = self.rest.remove(key) else { return Ok(None) };
        let value = self.config.plain(&below(&self.at, key), value)?;
        Ok(Some(value).filter(|value| !value.is_null()))
    }

    /// An argument as it stands, references in it not followed.
    pub(super) fn raw(&mut self, key: &str) -> Option<Json> {
        self.rest.remove(key)
    }

    /// An argument that must be there.
    pub(super) fn need<T: DeserializeOwned>(&mut self, key: &str) -> Result<T, Refusal> {
        let lacks = format!(
            "{} ({}) has no {key}; give it with --set '{}=VALUE'",
            self.at,
            self.class,
            below(&self.at, key)
        );
        self.get(key)?.ok_or(lacks)
    }

    /// Arguments that change nothing that is computed: they are not even looked at.
    pub(super) fn ignore(&mut self, keys: &[&str]) {
        for &key in keys {
            self.rest.remove(key);
        }
    }

    /// Refuses an argument that is anything else than absent, null or `known`.
    pub(super) fn only(&mut self, key: &str, known: &Json) -> Result<(), Refusal> {
        match self.json(key)? {
            Some(value) if value != *known => Err(format!(
                "{} is {value}; of {}, only {known} is the same here",
                below(&self.at, key),
                self.class
            )),
            _ => Ok(()),
        }
    }

    /// That nothing else was said: an argument that nobody asked for may change what is computed.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        match self.rest.iter().find(|(_, value)| !value.is_null()) {
            None => Ok(()),
            Some((key, value)) => {
                let id = below(&self.at, key);
                Err(format!(
                    "{id} is {value}, an argument of {} that is not known here; if it changes nothing, remove it with \
                     --set '{id}=null'",
                    self.class
                ))
            }
        }
    }

    /// A refusal of the class itself.
    pub(super) fn unknown(&self, what: &str, known: &str) -> Refusal {
        format!("{} is {what} {}, which there is not here; there are {known}", self.at, self.class)
    }
}
