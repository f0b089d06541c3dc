//! What goes wrong on purpose.

use std::str::FromStr;

use anyhow::{Context as _, bail};

use crate::Request;
use crate::http::Answer;

/// Something that goes wrong with requests whose method and target hold given words.
#[derive(Clone, Debug)]
pub struct Fault {
    method: String,
    target: String,
    times: usize,
    kind: Kind,
    /// How the range that is asked for begins.
    range: String,
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Kind {
    /// The hub refuses with this status, and does nothing.
    Status(u16),
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// One byte of the body is another.
    Corrupt,
    /// The body is shorter, and nothing says so.
    Truncate(usize),
    /// The body is another.
    Replace(Vec<u8>),
    /// The file is at the other host, which knows nothing of the hub's users.
    Redirect(String),
    /// A header has another value.
    Header(&'static str, String),
}

impl Fault {
    /// With requests of this method, or of any where it is empty, whose target holds these words; so many times.
    pub fn new(kind: Kind, times: usize, method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            times,
            kind,
            range: String::new(),
        }
    }

    /// Only where the range that is asked for begins so.
    #[must_use]
    pub fn of_range(self, range: &str) -> Self {
        Self { range: range.to_owned(), ..self }
    }

    /// The first of `faults` that is for this request, once less.
    pub(crate) fn take(faults: &mut Vec<Self>, request: &Request) -> Option<Kind> {
        let at = faults.iter().position(|fault| {
            (fault.method.is_empty() || fault.method == request.method)
                && request.target.contains(&fault.target)
                && request.header("range").unwrap_or_default().starts_with(&fault.range)
        })?;
        let kind = faults[at].kind.clone();
        faults[at].times -= 1;
        if faults[at].times == 0 {
            faults.remove(at);
        }
        Some(kind)
    }
}

impl Kind {
    /// The answer in place of the hub's own, where it is not asked at all.
    pub(crate) fn instead(&self, request: &Request) -> Option<Answer> {
        match self {
            Self::Status(status) => Some(Answer::refusal(*status, "", "on purpose")),
            Self::Redirect(host) => {
                let answer = Answer::new(302, "");
                Some(answer.with("Location", format!("{host}{}", request.target)))
            }
            _ => None,
        }
    }

    /// What becomes of the hub's answer, and where it is cut.
    pub(crate) fn spoil(&self, mut answer: Answer) -> (Answer, Option<usize>) {
        match self {
            Self::Cut(at) => return (answer, Some(*at)),
            Self::Corrupt => {
                let middle = answer.body.len() / 2;
                if let Some(byte) = answer.body.get_mut(middle) {
                    *byte ^= 0x55;
                }
            }
            Self::Truncate(length) => answer.body.truncate(*length),
            Self::Replace(body) => answer.body.clone_from(body),
            Self::Header(name, value) => {
                answer.headers.retain(|header| header.0 != *name);
                answer = answer.with(name, value.clone());
            }
            Self::Status(_) | Self::Redirect(_) => {}
        }
        (answer, None)
    }
}

impl FromStr for Fault {
    type Err = anyhow::Error;

    /// `KIND[=VALUE]:TIMES:METHOD:TARGET`, such as `status=500:3:GET:/resolve/`.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut parts = text.splitn(4, ':');
        let kind = parts.next().unwrap_or_default();
        let times = parts.next().context("how often")?.parse()?;
        let (method, target) = (parts.next().context("a method")?, parts.next().context("what")?);
        let (name, value) = kind.split_once('=').unwrap_or((kind, ""));
        let kind = match name {
            "status" => Kind::Status(value.parse()?),
            "cut" => Kind::Cut(value.parse()?),
            "corrupt" => Kind::Corrupt,
            "truncate" => Kind::Truncate(value.parse()?),
            "replace" => Kind::Replace(value.into()),
            _ => bail!("no fault is called {name:?}"),
        };
        anyhow::ensure!(times > 0, "a fault happens at least once");
        Ok(Self::new(kind, times, method, target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_happen_so_often() -> anyhow::Result<()> {
        let mut faults = vec!["status=503:2:GET:/resolve/".parse::<Fault>()?];
        let asks = |method: &str, target: &str| Request {
            method: method.to_owned(),
            target: target.to_owned(),
            ..Request::default()
        };
        let mut happens =
            |method, target| Fault::take(&mut faults, &asks(method, target)).is_some();

        assert!(!happens("HEAD", "/a/b/resolve/main/x") && !happens("GET", "/api/models"));
        assert!(happens("GET", "/a/b/resolve/main/x") && happens("GET", "/a/b/resolve/main/y"));
        assert!(!happens("GET", "/a/b/resolve/main/x"));
        for text in ["status", "status=x:1:GET:/", "cut=1:0:GET:/", "else:1:GET:/"] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
        Ok(())
    }
}
