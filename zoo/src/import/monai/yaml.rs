//! YAML as JSON: mappings, lists and scalars, and none of what makes YAML a hazard.

use serde_json::{Map, Value as Json};
use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::TScalarStyle;

/// Lists within lists that a file may have.
const DEPTH: usize = 64;

/// A list or mapping that is not complete yet.
enum Open {
    List(Vec<Json>),
    /// With the key whose value is to come.
    Mapping(Map<String, Json>, Option<String>),
}

/// Reads a document. Tags, anchors and aliases are refused: a file of a few lines may unfold to gigabytes by them.
///
/// # Errors
///
/// Where it is no such document; in words.
pub(super) fn parse(text: &str) -> Result<Json, String> {
    let mut parser = Parser::new_from_str(text);
    let mut open: Vec<Open> = Vec::new();
    loop {
        let (event, at) = parser.next_token().map_err(|error| error.to_string())?;
        let wrong = |what: &str| format!("line {}: {what}", at.line());
        let done = match event {
            Event::Alias(_) => return Err(wrong("aliases are not read; write the value out")),
            Event::Scalar(_, _, anchor, _)
            | Event::SequenceStart(anchor, _)
            | Event::MappingStart(anchor, _)
                if anchor > 0 =>
            {
                return Err(wrong("anchors are not read; write the value out"));
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                return Err(wrong("tags are not read; remove it"));
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= DEPTH => {
                return Err(wrong("more than 64 lists within each other"));
            }
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Mapping(Map::new(), None));
                continue;
            }
            Event::Scalar(text, style, ..) => match open.last_mut() {
                Some(Open::Mapping(_, key @ None)) => {
                    *key = Some(text);
                    continue;
                }
                _ => scalar(text, style),
            },
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(list)) => Json::Array(list),
                Some(Open::Mapping(map, _)) => Json::Object(map),
                None => return Err(wrong("a list ends that did not begin")),
            },
            Event::StreamEnd => return Ok(Json::Null),
            _ => continue,
        };
        match open.last_mut() {
            None => return Ok(done),
            Some(Open::List(list)) => list.push(done),
            Some(Open::Mapping(map, key)) => {
                let key = key.take().ok_or_else(|| wrong("a key must be text"))?;
                map.insert(key, done);
            }
        }
    }
}

/// A scalar by the core schema: what is in quotes is text.
fn scalar(text: String, style: TScalarStyle) -> Json {
    if style != TScalarStyle::Plain {
        return Json::String(text);
    }
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => return Json::Null,
        "true" | "True" | "TRUE" => return Json::Bool(true),
        "false" | "False" | "FALSE" => return Json::Bool(false),
        _ => {}
    }
    if let Ok(number) = text.parse::<i64>() {
        return number.into();
    }
    let numeric = text.starts_with(|it: char| it.is_ascii_digit() || "+-.".contains(it));
    let float = text.parse::<f64>().ok().filter(|number| numeric && number.is_finite());
    float.map_or(Json::String(text), Json::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_read_as_json() {
        let text = "# a bundle\nimports:\n- $import glob\nroi_size: [96, 96, 96.5]\nnetwork_def:\n  \
                    _target_: UNet\n  bias: true\n  dropout: null\n  name: \"3\"\n  overlap: 2.5e-1\n";

        let expected = json!({
            "imports": ["$import glob"],
            "roi_size": [96, 96, 96.5],
            "network_def": {
                "_target_": "UNet", "bias": true, "dropout": null, "name": "3", "overlap": 0.25,
            },
        });
        assert_eq!(parse(text), Ok(expected));
        assert_eq!(parse(""), Ok(Json::Null));
    }

    #[test]
    fn what_unfolds_or_names_types_is_refused() {
        let refused = |text: &str| parse(text).expect_err("it is refused");

        assert!(refused("a: &x [1]\nb: [*x, *x]\n").contains("anchors are not read"));
        assert!(refused("a: [*x]\n").contains("unknown anchor"));
        assert!(refused("a: !!python/object/apply:os.system [ls]\n").contains("tags are not read"));
        assert!(refused(&"[".repeat(100)).contains("64 lists"));
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(refused("? [1]\n: 2\n").contains("a key must be text"));
        assert!(refused("a: b: c\n: [").contains("line 1"));
    }
}
