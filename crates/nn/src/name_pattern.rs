use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// Which parameters are meant: the beginning of a dotted name, with `*` for any one part and `**` for any
/// number of parts, none included.
///
/// A beginning ends at a dot, or with the name: `encoder.stages.1` is that of
/// `encoder.stages.1.conv.weight`, and not of `encoder.stages.10.conv.weight`.
///
/// | pattern | matches |
/// |---|---|
/// | `decoder` | all of the decoder |
/// | `encoder.stages.*.0` | the first block of every stage of the encoder |
/// | `**.bias` | every bias, however deep |
/// | `**` | everything |
///
/// # Examples
///
/// ```
/// use sconce_nn::NamePattern;
///
/// let first_blocks: NamePattern = "encoder.stages.*.0".parse()?;
/// assert!(first_blocks.matches("encoder.stages.3.0.conv.weight"));
/// assert!(!first_blocks.matches("encoder.stages.3.1.conv.weight"));
/// # Ok::<(), sconce_nn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Named(String),
    One,
    Any,
}

impl NamePattern {
    /// Whether the parameter `name` is meant.
    pub fn matches(&self, name: &str) -> bool {
        let names: Vec<&str> = name.split('.').collect();
        begins(&self.0, &names)
    }
}

/// Whether some beginning of `names` is as `parts` say.
fn begins(parts: &[Part], names: &[&str]) -> bool {
    let Some((part, parts)) = parts.split_first() else { return true };
    match (part, names.split_first()) {
        (Part::Named(part), Some((name, names))) => part == name && begins(parts, names),
        (Part::One, Some((_, names))) => begins(parts, names),
        (Part::Named(_) | Part::One, None) => false,
        (Part::Any, _) => (0..=names.len()).any(|skipped| begins(parts, &names[skipped..])),
    }
}

impl FromStr for NamePattern {
    type Err = Error;

    fn from_str(pattern: &str) -> Result<Self, Error> {
        let mut parts = Vec::new();
        for part in pattern.split('.') {
            let wrong = |reason| Error::Pattern { pattern: pattern.to_owned(), reason };
            parts.push(match part {
                "" => return Err(wrong("a part between dots is empty")),
                "*" => Part::One,
                // Two of them say no more than one, and take more time.
                "**" if parts.last() == Some(&Part::Any) => continue,
                "**" => Part::Any,
                _ if part.contains('*') => {
                    return Err(wrong("a * stands for a whole part between dots"));
                }
                _ => Part::Named(part.to_owned()),
            });
        }
        Ok(Self(parts))
    }
}

impl TryFrom<String> for NamePattern {
    type Error = Error;

    fn try_from(pattern: String) -> Result<Self, Error> {
        pattern.parse()
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.iter().enumerate() {
            f.write_str(if at > 0 { "." } else { "" })?;
            f.write_str(match part {
                Part::Named(name) => name,
                Part::One => "*",
                Part::Any => "**",
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched<'a>(pattern: &str, names: &[&'a str]) -> Result<Vec<&'a str>, Error> {
        let pattern: NamePattern = pattern.parse()?;
        Ok(names.iter().copied().filter(|name| pattern.matches(name)).collect())
    }

    #[test]
    fn a_beginning_ends_at_a_dot() -> Result<(), Error> {
        let names = ["a.1.weight", "a.10.weight", "a.1", "b.a.1", "a"];

        assert_eq!(matched("a.1", &names)?, ["a.1.weight", "a.1"]);
        assert_eq!(matched("a", &names)?, ["a.1.weight", "a.10.weight", "a.1", "a"]);
        assert_eq!(matched("a.1.weight.more", &names)?, [""; 0]);
        Ok(())
    }

    #[test]
    fn stars_stand_for_parts() -> Result<(), Error> {
        let names = ["bias", "a.bias", "a.b.bias", "a.b.weight", "a.bias.c"];

        assert_eq!(matched("*.bias", &names)?, ["a.bias", "a.bias.c"]);
        assert_eq!(matched("**.bias", &names)?, ["bias", "a.bias", "a.b.bias", "a.bias.c"]);
        assert_eq!(matched("a.**.bias", &names)?, ["a.bias", "a.b.bias", "a.bias.c"]);
        assert_eq!(matched("a.*.*", &names)?, ["a.b.bias", "a.b.weight", "a.bias.c"]);
        for all in ["*", "**", "**.**"] {
            assert_eq!(matched(all, &names)?, names, "{all}");
        }
        Ok(())
    }

    #[test]
    fn what_names_no_parameter_is_refused() {
        for (pattern, reason) in [
            ("", "a part between dots is empty"),
            ("a..b", "a part between dots is empty"),
            ("a.", "a part between dots is empty"),
            ("a.conv*", "a * stands for a whole part between dots"),
            ("***", "a * stands for a whole part between dots"),
        ] {
            let error = pattern.parse::<NamePattern>().expect_err(pattern).to_string();
            assert_eq!(error, format!("{pattern:?} is no pattern of parameter names: {reason}"));
        }
    }

    #[test]
    fn a_pattern_is_written_as_it_is_read() -> anyhow::Result<()> {
        for pattern in ["a.*.0", "**.bias", "decoder"] {
            let read: NamePattern = serde_json::from_value(pattern.into())?;
            assert_eq!(serde_json::to_value(&read)?, pattern);
        }
        assert!(serde_json::from_str::<NamePattern>(r#""a..b""#).is_err());
        Ok(())
    }
}
