//! A bundle's configuration, of which nothing is evaluated.

use std::cell::Cell;

use serde_json::{Map, Value as Json};

/// References that may lead from one to the next.
const CHAIN: usize = 32;

/// Values that are looked at before a configuration counts as a trap.
const MOST: usize = 200_000;

/// A configuration file, with what was set by hand.
#[derive(Debug)]
pub(super) struct Config {
    root: Json,
    looked_at: Cell<usize>,
}

/// Why something cannot be had of a configuration; in words.
pub(super) type Refusal = String;

impl Config {
    pub(super) fn new(root: Json) -> Self {
        Self { root, looked_at: Cell::new(0) }
    }

    /// Sets the value with an id, such as `inferer#roi_size`, to JSON, or to text that is none.
    pub(super) fn set(&mut self, id: &str, value: &str) -> Result<(), Refusal> {
        let value = serde_json::from_str(value).unwrap_or_else(|_| Json::String(value.to_owned()));
        let mut place = &mut self.root;
        for part in parts(id) {
            place = match place {
                Json::Array(list) => {
                    let count = list.len();
                    let found = part.parse().ok().and_then(|at: usize| list.get_mut(at));
                    found.ok_or_else(|| format!("{id} cannot be set: there are {count} entries"))?
                }
                Json::Object(map) => map.entry(part).or_insert(Json::Null),
                other => {
                    *other = Json::Object(Map::new());
                    let map = other.as_object_mut().ok_or("a mapping")?;
                    map.entry(part).or_insert(Json::Null)
                }
            };
        }
        *place = value;
        Ok(())
    }

    /// What an id stands for, references followed; `None` where there is no such id, or it is null.
    pub(super) fn find(&self, id: &str) -> Result<Option<Json>, Refusal> {
        let mut value = self.root.clone();
        let mut at = String::new();
        for part in parts(id) {
            value = self.follow(&at, value)?;
            let next = match &value {
                Json::Object(map) => map.get(part),
                Json::Array(list) => part.parse().ok().and_then(|at: usize| list.get(at)),
                _ => None,
            };
            let Some(next) = next else { return Ok(None) };
            value = next.clone();
            at = below(&at, part);
        }
        Ok(Some(self.follow(&at, value)?).filter(|value| !value.is_null()))
    }

    /// A value at `at` with its reference, if it is one, followed; what is in it stays as it is.
    pub(super) fn follow(&self, at: &str, value: Json) -> Result<Json, Refusal> {
        let mut value = value;
        for _ in 0..CHAIN {
            self.looked_at.set(self.looked_at.get() + 1);
            if self.looked_at.get() > MOST {
                return Err(format!("{at} unfolds to more than {MOST} values"));
            }
            let Json::String(text) = &value else { return Ok(value) };
            if let Some(expression) = text.strip_prefix('$') {
                let literal = literal(expression);
                value = literal.ok_or_else(|| expressed(at, text))?;
                continue;
            }
            let Some(id) = text.strip_prefix(['@', '%']) else { return Ok(value) };
            if !is_id(id) {
                return Err(format!(
                    "{at} is {text:?}, which leads out of this file or is no plain reference; {}",
                    remedy(at)
                ));
            }
            value = self
                .raw(id)
                .ok_or_else(|| format!("{at} is {text:?}, and there is no {id}; {}", remedy(at)))?;
        }
        Err(format!("{at} is a reference that leads round in a circle; {}", remedy(at)))
    }

    /// A value at `at` with all references in it followed: what is left has no expression in it.
    pub(super) fn plain(&self, at: &str, value: Json) -> Result<Json, Refusal> {
        self.plain_below(at, value, 0)
    }

    fn plain_below(&self, at: &str, value: Json, depth: usize) -> Result<Json, Refusal> {
        if depth > CHAIN {
            return Err(format!("{at} is too deep, or contains itself; {}", remedy(at)));
        }
        Ok(match self.follow(at, value)? {
            Json::Array(list) => {
                let each = list.into_iter().enumerate();
                each.map(|(i, it)| self.plain_below(&below(at, &i.to_string()), it, depth + 1))
                    .collect::<Result<_, _>>()?
            }
            Json::Object(map) => map
                .into_iter()
                .map(|(key, it)| {
                    let value = self.plain_below(&below(at, &key), it, depth + 1)?;
                    Ok((key, value))
                })
                .collect::<Result<Map<_, _>, Refusal>>()?
                .into(),
            other => other,
        })
    }

    /// What stands at an id, references on the way followed one step.
    fn raw(&self, id: &str) -> Option<Json> {
        let mut value = &self.root;
        for part in parts(id) {
            // A reference on the way would have to be followed: few bundles have that, and it may go round.
            value = match value {
                Json::Object(map) => map.get(part)?,
                Json::Array(list) => list.get(part.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(value.clone())
    }
}

/// `network_def#channels::0` as its parts.
fn parts(id: &str) -> impl Iterator<Item = &str> {
    id.split('#').flat_map(|part| part.split("::")).filter(|part| !part.is_empty())
}

/// The id of something in the value at `at`.
pub(super) fn below(at: &str, part: &str) -> String {
    if at.is_empty() { part.to_owned() } else { format!("{at}#{part}") }
}

fn is_id(text: &str) -> bool {
    let fits = |it: char| it.is_alphanumeric() || it == '_' || it == '#' || it == ':';
    // `@#a` counts from where it stands.
    !text.is_empty() && text.chars().all(fits) && !text.starts_with(['#', ':'])
}

/// What Python would make of a number, a list of numbers, a constant or a bare reference, which says itself what it is.
fn literal(expression: &str) -> Option<Json> {
    let text = expression.trim();
    match text {
        "None" => return Some(Json::Null),
        "True" => return Some(Json::Bool(true)),
        "False" => return Some(Json::Bool(false)),
        _ => {}
    }
    if text.strip_prefix('@').is_some_and(is_id) {
        return Some(Json::String(text.to_owned()));
    }
    let value: Json = serde_json::from_str(text).ok()?;
    is_numeric(&value).then_some(value)
}

fn is_numeric(value: &Json) -> bool {
    match value {
        Json::Number(_) => true,
        Json::Array(list) => list.iter().all(is_numeric),
        _ => false,
    }
}

fn expressed(at: &str, text: &str) -> Refusal {
    format!("{at} is {text:?}, an expression of Python, and none is evaluated; {}", remedy(at))
}

fn remedy(at: &str) -> String {
    format!("give its value with --set '{at}=VALUE'")
}
