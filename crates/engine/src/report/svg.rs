//! A little SVG, by hand: shapes carry classes of the style sheet, so that one chart serves light,
//! dark and print, which a plotting crate with baked-in colors could not.

use super::text::{escape, put};

/// Where a text is attached to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// At its beginning.
    Start,
    /// At its middle.
    Middle,
    /// At its end.
    End,
}

/// A drawing of fixed size in its own units, scaled to its place in the page.
#[derive(Clone, Debug)]
pub(super) struct Svg {
    width: f64,
    height: f64,
    body: String,
}

impl Svg {
    /// An empty drawing.
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    /// A straight line.
    pub(super) fn line(&mut self, class: &str, from: [f64; 2], to: [f64; 2]) -> &mut Self {
        let ([x1, y1], [x2, y2]) = (from.map(short), to.map(short));
        self.add(&format!(
            "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"
        ))
    }

    /// A rectangle from its upper left corner, with a tooltip where `tip` is not empty.
    pub(super) fn rect(
        &mut self,
        class: &str,
        at: [f64; 2],
        size: [f64; 2],
        tip: &str,
    ) -> &mut Self {
        let ([x, y], [w, h]) = (at.map(short), size.map(|side| short(side.max(0.0))));
        let attributes = format!("x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"");
        self.shape("rect", class, &attributes, tip)
    }

    /// A disc, with a tooltip where `tip` is not empty.
    pub(super) fn disc(&mut self, class: &str, at: [f64; 2], radius: f64, tip: &str) -> &mut Self {
        let ([x, y], r) = (at.map(short), short(radius));
        self.shape("circle", class, &format!("cx=\"{x}\" cy=\"{y}\" r=\"{r}\""), tip)
    }

    /// The mark of a series: series differ in shape, not in color alone.
    pub(super) fn mark(
        &mut self,
        class: &str,
        series: usize,
        at: [f64; 2],
        tip: &str,
    ) -> &mut Self {
        const R: f64 = 3.4;
        let [x, y] = at;
        let corners: &[[f64; 2]] = match series % 4 {
            0 => return self.disc(class, at, R, tip),
            1 => &[[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
            2 => &[[0.0, -1.2], [1.15, 0.85], [-1.15, 0.85]],
            _ => &[[0.0, -1.3], [1.3, 0.0], [0.0, 1.3], [-1.3, 0.0]],
        };
        let points: Vec<String> = corners
            .iter()
            .map(|[dx, dy]| format!("{},{}", short(x + dx * R), short(y + dy * R)))
            .collect();
        self.shape("polygon", class, &format!("points=\"{}\"", points.join(" ")), tip)
    }

    /// A line through points; nothing for fewer than two.
    pub(super) fn polyline(&mut self, class: &str, points: &[[f64; 2]]) -> &mut Self {
        if points.len() < 2 {
            return self;
        }
        let points: Vec<String> =
            points.iter().map(|[x, y]| format!("{},{}", short(*x), short(*y))).collect();
        self.add(&format!("<polyline class=\"{class}\" points=\"{}\"/>", points.join(" ")))
    }

    /// A text; `at` is a point of its base line.
    pub(super) fn text(
        &mut self,
        class: &str,
        at: [f64; 2],
        anchor: Anchor,
        text: &str,
    ) -> &mut Self {
        let [x, y] = at.map(short);
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.add(&format!(
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>",
            escape(text)
        ))
    }

    /// A text along the vertical axis, read upwards, centered on `at`.
    pub(super) fn upwards(&mut self, class: &str, at: [f64; 2], text: &str) -> &mut Self {
        let [x, y] = at.map(short);
        self.add(&format!(
            "<text class=\"{class}\" transform=\"translate({x} {y}) rotate(-90)\" \
             text-anchor=\"middle\">{}</text>",
            escape(text)
        ))
    }

    /// Elements that are SVG already.
    pub(super) fn add(&mut self, element: &str) -> &mut Self {
        self.body.push_str(element);
        self.body.push('\n');
        self
    }

    /// The drawing for a page that has the style sheet; `label` is what a screen reader says.
    pub(super) fn inline(&self, class: &str, label: &str) -> String {
        let [w, h] = [self.width, self.height].map(short);
        format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {w} {h}\" role=\"img\" aria-label=\"{}\">\n\
             {}</svg>\n",
            escape(label),
            self.body
        )
    }

    /// The drawing as a file of its own, with its style inside and a margin around.
    pub(super) fn file(&self, style: &str, label: &str) -> String {
        const MARGIN: f64 = 10.0;
        let [w, h] = [self.width, self.height].map(|extent| short(extent + 2.0 * MARGIN));
        let (from, label) = (short(-MARGIN), escape(label));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"{from} {from} {w} {h}\" \
             width=\"{w}\" height=\"{h}\" role=\"img\" aria-label=\"{label}\">\n\
             <title>{label}</title>\n<style>{style}</style>\n\
             <rect class=\"paper\" x=\"{from}\" y=\"{from}\" width=\"{w}\" height=\"{h}\"/>\n\
             {}</svg>\n",
            self.body
        )
    }

    fn shape(&mut self, tag: &str, class: &str, attributes: &str, tip: &str) -> &mut Self {
        let mut element = format!("<{tag} class=\"{class}\" {attributes}");
        if tip.is_empty() {
            element.push_str("/>");
        } else {
            put!(element, "><title>{}</title></{tag}>", escape(tip));
        }
        self.add(&element)
    }
}

/// A coordinate with at most two decimals, and without a trailing zero or a minus before zero.
pub(super) fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short() {
        assert_eq!([1.0, 0.5, -0.001, 12.346].map(short), ["1", "0.5", "0", "12.35"]);
    }

    #[test]
    fn texts_and_tooltips_are_escaped() {
        let mut svg = Svg::new(1.0, 1.0);
        svg.text("t", [0.0, 0.0], Anchor::Start, "a<b").rect("r", [0.0; 2], [1.0; 2], "\"&\"");

        let text = svg.inline("chart", "<x>");

        assert!(text.contains("a&lt;b") && text.contains("&quot;&amp;&quot;"), "{text}");
        assert!(text.contains("aria-label=\"&lt;x&gt;\""), "{text}");
    }
}
