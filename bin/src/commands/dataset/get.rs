//! `sconce dataset get`: where published data sets come from, how their folders look, and those of the hub themselves.

use std::fmt;
use std::path::{Path, PathBuf};

use sconce::data::{Documentation, Layout as _, LayoutConfig, Source};
use sconce::zoo::Reference;
use serde::Serialize;

use crate::output::{Output, Usage};
use crate::resolve::hub::fetch_data_set;

#[derive(Debug, Serialize)]
struct Row {
    layout: &'static str,
    #[serde(flatten)]
    source: &'static Source,
    #[serde(skip)]
    snippet: String,
}

/// The part of a run file that names the layout.
#[derive(Serialize)]
struct RunFile<'a> {
    data: &'a LayoutConfig,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report {
    rows: Vec<Row>,
    #[serde(skip)]
    detail: bool,
}

/// A data set that was fetched.
#[derive(Debug, Serialize)]
struct Fetched {
    output: PathBuf,
}

impl fmt::Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let output = self.output.display();
        write!(f, "wrote {output}\ncheck  sconce dataset check {output}")
    }
}

pub(super) fn run(name: Option<&str>, output: Option<&Path>) -> anyhow::Result<Output> {
    if let Some(name) = name
        && name.starts_with("hub:")
        && let Reference::Hub(reference) = name.parse()?
    {
        let output = output.map_or_else(|| PathBuf::from(reference.name()), Path::to_owned);
        fetch_data_set(&reference, &output)?;
        return Ok(Output::of(&Fetched { output }));
    }
    if output.is_some() {
        let text = "--output is for data sets of the hub, hub:owner/name; others are to be downloaded by hand";
        return Err(Usage(text.to_owned()).into());
    }
    let mut rows = Vec::new();
    for layout in LayoutConfig::defaults() {
        if let Some(source) = layout.source()
            && name.is_none_or(|name| name == layout.name())
        {
            let snippet = toml::to_string(&RunFile { data: &layout })?;
            rows.push(Row { layout: layout.name(), source, snippet });
        }
    }
    if rows.is_empty() {
        let name = name.unwrap_or_default();
        let known = LayoutConfig::defaults();
        let known = known.iter().filter(|layout| layout.source().is_some());
        let names = known.map(LayoutConfig::name).collect::<Vec<_>>().join(", ");
        return Err(Usage(format!("{name} is not a published data set; there are {names}")).into());
    }
    Ok(Output::of(&Report { rows, detail: name.is_some() }))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail {
            return self.rows.iter().try_for_each(|row| fmt::Display::fmt(row, f));
        }
        writeln!(f, "{:<14} {:>6} data set", "layout", "cases")?;
        for Row { layout, source, .. } in &self.rows {
            let cases = if source.cases > 0 { source.cases.to_string() } else { "-".to_owned() };
            writeln!(f, "{layout:<14} {cases:>6} {}", source.title)?;
        }
        Ok(())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Source { title, page, steps, licence, cases, .. } = self.source;
        writeln!(f, "{title}\n\npage     {page}\nsteps    {steps}\nlicence  {licence}")?;
        if *cases > 0 {
            writeln!(f, "whole    {cases} labelled cases")?;
        }
        let Documentation { text, source, settings } = self.source.documentation();
        writeln!(f, "\n{text}\n\nsource: {}\n", source.replace('\n', " "))?;
        let width = settings.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        for (name, meaning) in settings {
            writeln!(f, "  {name:<width$}  {meaning}")?;
        }
        writeln!(f, "\nin a run file, with its defaults:\n\n{}", self.snippet)
    }
}
