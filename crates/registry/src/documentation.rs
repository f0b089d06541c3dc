/// What the comments of a source file say of a struct of settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Documentation {
    /// What it is, with its formula: all before the first headline, links without their targets.
    pub text: String,
    /// Where it comes from: what is under the headline "Source"; empty where there is none.
    pub source: String,
    /// Each field, and what it means, in one line.
    pub settings: Vec<(String, String)>,
}

impl Documentation {
    /// Reads the comments of `pub struct name` in the text of a Rust file; empty where there is no such
    /// struct.
    ///
    /// It knows the layout that rustfmt gives a file, and no more of Rust.
    pub fn of(file: &str, name: &str) -> Self {
        let head = format!("pub struct {name} {{");
        let lines: Vec<&str> = file.lines().collect();
        let Some(at) = lines.iter().position(|line| *line == head) else { return Self::default() };
        // Attributes stand between the comment and the struct.
        let above: Vec<&str> = lines[..at]
            .iter()
            .rev()
            .take_while(|line| !line.is_empty() && !line.starts_with('}'))
            .filter_map(|line| comment(line))
            .collect();
        let (mut text, mut source) = (Vec::new(), Vec::new());
        let mut headline = None;
        for line in above.into_iter().rev() {
            match line.strip_prefix("# ") {
                Some(found) => headline = Some(found),
                None if headline.is_none() => text.push(line),
                None if headline == Some("Source") => source.push(line),
                None => {}
            }
        }
        // A fence without a language would be Rust, so formulas say `text`; neither is to be seen.
        let is_shown = |line: &&&str| !line.starts_with("```");
        let text: Vec<&str> = text.iter().filter(is_shown).copied().collect();
        let mut settings = Vec::new();
        let mut meaning: Vec<&str> = Vec::new();
        for line in lines[at + 1..].iter().take_while(|line| **line != "}") {
            let line = line.trim();
            if let Some(comment) = comment(line) {
                meaning.push(comment);
            } else if let Some((field, _)) =
                line.strip_prefix("pub ").and_then(|rest| rest.split_once(':'))
            {
                settings.push((field.to_owned(), plain(&meaning.join(" "))));
                meaning.clear();
            }
        }
        Self { text: tidy(&text), source: tidy(&source), settings }
    }

    /// The first preprint that the source names, such as `arXiv:1606.04797`.
    pub fn preprint(&self) -> Option<&str> {
        let from = self.source.find("arXiv:")?;
        let rest = &self.source[from..];
        let is_part = |char: char| char.is_ascii_alphanumeric() || matches!(char, ':' | '.');
        let end = rest.find(|char| !is_part(char)).unwrap_or(rest.len());
        Some(rest[..end].trim_end_matches('.'))
    }
}

/// The text of a line that is a comment for readers of documentation.
fn comment(line: &str) -> Option<&str> {
    let text = line.strip_prefix("///")?;
    Some(text.strip_prefix(' ').unwrap_or(text))
}

/// Lines without links and without blank ones at either end.
fn tidy(lines: &[&str]) -> String {
    plain(lines.join("\n").trim_matches('\n'))
}

/// The text without the targets of its links: `[this](there)` becomes `this`.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(from) = rest.find('[') {
        plain.push_str(&rest[..from]);
        rest = &rest[from..];
        let link = rest.find("](").and_then(|middle| {
            let end = middle + rest[middle..].find(')')?;
            // Brackets that belong to something else lie between.
            (!rest[1..middle].contains('[')).then_some((middle, end))
        });
        match link {
            Some((middle, end)) => {
                plain.push_str(&rest[1..middle]);
                rest = &rest[end + 1..];
            }
            None if rest.starts_with("[`") && rest.contains("`]") => {
                let end = rest.find("`]").map_or(rest.len(), |end| end + 1);
                plain.push_str(&rest[1..end]);
                rest = &rest[(end + 1).min(rest.len())..];
            }
            None => {
                plain.push('[');
                rest = &rest[1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
//! A file.

/// Something else.
struct Other {
    /// No.
    pub no: u32,
}

/// The thing, see [`Other`](crate::Other), in `[0, 1]`.
///
/// ```text
/// L = 1 − [a, b]
/// ```
///
/// # Source
///
/// Somebody: *Something*, 2020,
/// [arXiv:2001.00001](https://arxiv.org/abs/2001.00001).
///
/// # Examples
///
/// None.
#[derive(Debug)]
pub struct Thing {
    /// How much, see [`Other`],
    /// in mm.
    pub much: f64,
    hidden: u32,
}
";

    #[test]
    fn comments_become_text_without_links_and_examples() {
        let documentation = Documentation::of(FILE, "Thing");

        assert_eq!(documentation.text, "The thing, see `Other`, in `[0, 1]`.\n\nL = 1 − [a, b]");
        assert_eq!(documentation.source, "Somebody: *Something*, 2020,\narXiv:2001.00001.");
        assert_eq!(documentation.preprint(), Some("arXiv:2001.00001"));
        let setting = ("much".to_owned(), "How much, see `Other`, in mm.".to_owned());
        assert_eq!(documentation.settings, [setting]);
    }

    #[test]
    fn what_is_not_there_is_empty() {
        assert_eq!(Documentation::of(FILE, "Nothing"), Documentation::default());
    }
}
