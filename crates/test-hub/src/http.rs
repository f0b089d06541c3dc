//! As much of HTTP/1.1 as a hub needs: one request and one answer for each connection.

use std::io::{self, BufRead, Read as _, Write};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// No request of a client of the hub has a longer body.
const LONGEST: u64 = 4 << 30;

/// What a client asks.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`, `HEAD`, …
    pub method: String,
    /// The path and the query, as they were sent.
    pub target: String,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Reads one; `None` where the client has hung up without asking.
    pub(crate) fn read(
        stream: &mut impl BufRead,
        answer: &mut impl Write,
    ) -> anyhow::Result<Option<Self>> {
        let Some(first) = line(stream)? else { return Ok(None) };
        let mut words = first.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            bail!("{first:?} is no request");
        };
        let mut request =
            Self { method: method.to_owned(), target: target.to_owned(), ..Self::default() };
        while let Some(line) = line(stream)?.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').context("a header has a name")?;
            request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if request.header("expect").is_some() {
            answer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if request.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            request.body = chunks(stream)?;
        } else if let Some(length) = request.header("content-length") {
            let length: u64 = length.parse()?;
            anyhow::ensure!(length <= LONGEST, "a body of {length} bytes");
            stream.take(length).read_to_end(&mut request.body)?;
        }
        Ok(Some(request))
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str())
    }

    /// The path without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The decoded parts of the path.
    pub(crate) fn parts(&self) -> Vec<String> {
        self.path().split('/').filter(|part| !part.is_empty()).map(decoded).collect()
    }

    /// The decoded value of a part of the query.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|pair| pair.0 == name).map(|pair| decoded(&pair.1.replace('+', " ")))
    }

    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).context("the body is no JSON")
    }
}

/// What the hub says to it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn json(value: &Value) -> Self {
        Self::new(200, value.to_string()).with("Content-Type", "application/json")
    }

    /// A refusal, in the hub's two headers and its JSON.
    pub(crate) fn refusal(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({ "error": message }).to_string();
        let answer = Self::new(status, body).with("Content-Type", "application/json");
        let answer = answer.with("X-Error-Message", message);
        if code.is_empty() { answer } else { answer.with("X-Error-Code", code) }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Keeps the part that a range asks for.
    pub(crate) fn ranged(mut self, range: Option<&str>) -> Self {
        let Some(range) = range.and_then(|range| range.strip_prefix("bytes=")) else { return self };
        let length = self.body.len();
        let Some((from, to)) = range.split_once('-') else { return self };
        let (Ok(from), to) = (from.parse::<usize>(), to.parse::<usize>().unwrap_or(length)) else {
            return self;
        };
        if from >= length {
            return Self::new(416, "").with("Content-Range", format!("bytes */{length}"));
        }
        let to = to.min(length - 1);
        self.body = self.body[from..=to].to_vec();
        self.status = 206;
        self.with("Content-Range", format!("bytes {from}-{to}/{length}"))
    }

    /// Writes it; of a body that is `cut`, only so many bytes, and its announced length all the same.
    pub(crate) fn write(
        &self,
        stream: &mut impl Write,
        method: &str,
        cut: Option<usize>,
    ) -> io::Result<()> {
        let (status, length) = (self.status, self.body.len());
        let head = format!("HTTP/1.1 {status} of the test hub\r\nConnection: close\r\n");
        stream.write_all(head.as_bytes())?;
        if !self.headers.iter().any(|(name, _)| name == "Content-Length") {
            write!(stream, "Content-Length: {length}\r\n")?;
        }
        for (name, value) in &self.headers {
            write!(stream, "{name}: {value}\r\n")?;
        }
        stream.write_all(b"\r\n")?;
        if method != "HEAD" {
            stream.write_all(&self.body[..cut.unwrap_or(length).min(length)])?;
        }
        stream.flush()
    }
}

fn line(stream: &mut impl BufRead) -> anyhow::Result<Option<String>> {
    let mut line = String::new();
    if stream.take(1 << 16).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(line.trim_end().to_owned()))
}

fn chunks(stream: &mut impl BufRead) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(stream)?.context("a chunk has a length")?;
        let size = u64::from_str_radix(size.split(';').next().unwrap_or_default(), 16)?;
        anyhow::ensure!(size <= LONGEST, "a chunk of {size} bytes");
        let end = body.len() + usize::try_from(size)?;
        stream.by_ref().take(size).read_to_end(&mut body)?;
        anyhow::ensure!(body.len() == end, "a chunk is cut short");
        line(stream)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

/// What percent signs stand for.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = (first == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        if let Some(byte) = code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<Request> {
        Request::read(&mut text.as_bytes(), &mut io::sink())?.context("a request")
    }

    #[test]
    fn requests_are_read_whole_and_in_chunks() -> anyhow::Result<()> {
        let whole = read("POST /a%2Fb/c?x=y+z HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcd")?;
        assert_eq!((whole.body.as_slice(), whole.path()), (&b"abc"[..], "/a%2Fb/c"));
        assert_eq!(whole.parts(), ["a/b", "c"]);
        assert_eq!(whole.query("x").as_deref(), Some("y z"));
        let head = "PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunked = read(&format!("{head}3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"))?;
        assert_eq!(chunked.body, b"abcd");
        assert!(read(&format!("{head}9\r\nabc")).is_err());
        Ok(())
    }

    #[test]
    fn parts_of_a_body_are_those_that_are_asked_for() {
        let answer = || Answer::new(200, "abcdef");
        for (range, status, body) in [
            (None, 200, "abcdef"),
            (Some("bytes=2-3"), 206, "cd"),
            (Some("bytes=4-99"), 206, "ef"),
            (Some("bytes=5-"), 206, "f"),
            (Some("bytes=6-"), 416, ""),
            (Some("lines=1-2"), 200, "abcdef"),
        ] {
            let ranged = answer().ranged(range);
            assert_eq!((ranged.status, ranged.body.as_slice()), (status, body.as_bytes()));
        }
    }
}
