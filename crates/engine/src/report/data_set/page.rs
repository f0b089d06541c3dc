use std::collections::BTreeMap;

use data::{Spread, Summary};

use super::look::Looked;
use crate::Provenance;
use crate::report::page::{Section, framed};
use crate::report::tables::table;
use crate::report::text::{count, escape, number, plural, put, quantity};
use crate::report::{Picture, SERIES, charts};

pub(super) fn page(
    summary: &Summary,
    looked: &BTreeMap<String, Looked>,
    pictures: &[Picture],
    provenance: &Provenance,
) -> String {
    let sections = [
        Section { id: "cases", title: "Cases", body: cases(summary) },
        Section { id: "pictures", title: "Pictures", body: shown(pictures) },
        Section { id: "intensities", title: "Intensities", body: intensities(summary, looked) },
        Section { id: "classes", title: "Classes", body: classes(summary, looked) },
        Section { id: "raters", title: "Raters", body: raters(summary, looked) },
    ];
    let overview = format!(
        "{} of {}, {} with a label.{}",
        plural(summary.cases, "case"),
        plural(summary.groups, "group"),
        summary.labelled,
        match summary.unreadable {
            0 => String::new(),
            some => format!(" {some} cannot be read: <code>sconce dataset check</code> says why."),
        }
    );
    framed(&escape(&summary.dataset), &overview, "", &sections, provenance)
}

fn cases(summary: &Summary) -> String {
    let mut body = String::new();
    let rows = [("size", "voxels", summary.size), ("spacing", "mm", summary.spacing)];
    for (what, unit, spreads) in rows {
        for (axis, Spread { minimum, median, maximum }) in
            ["z", "y", "x"].iter().zip(spreads.iter().flatten())
        {
            put!(
                body,
                "<tr><th scope=\"row\" class=\"text\">{what} {axis}, {unit}</th><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                number(Some(*minimum)),
                number(Some(*median)),
                number(Some(*maximum))
            );
        }
    }
    let head = "<th scope=\"col\" class=\"text\">axis of the files</th><th scope=\"col\">least</th>\
                <th scope=\"col\">median</th><th scope=\"col\">largest</th>";
    if body.is_empty() { String::new() } else { table("", "Sizes and spacings", head, &body) }
}

fn shown(pictures: &[Picture]) -> String {
    if pictures.is_empty() {
        return String::new();
    }
    let figures: Vec<String> =
        pictures.iter().enumerate().map(|(index, picture)| picture.figure(index)).collect();
    format!(
        "<p class=\"note\">The slice with most foreground of cases from first to last.</p>\n\
         <div class=\"pictures\">\n{}</div>\n",
        figures.concat()
    )
}

fn intensities(summary: &Summary, looked: &BTreeMap<String, Looked>) -> String {
    let mut body = String::new();
    let mut figures = String::new();
    for (index, channel) in summary.channels.iter().enumerate() {
        put!(
            body,
            "<tr><th scope=\"row\" class=\"text\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            escape(&channel.name),
            number(channel.minimum.map(f64::from)),
            number(channel.mean),
            number(channel.standard_deviation),
            number(channel.maximum.map(f64::from)),
            count(channel.non_finite as u64)
        );
        let of = |values: fn(&Looked) -> &Vec<Vec<f64>>| -> Vec<f64> {
            looked.values().filter_map(|it| values(it).get(index)).flatten().copied().collect()
        };
        let all = of(|it| &it.intensities);
        let foreground = of(|it| &it.foreground);
        let range = middle(&all);
        let has_foreground = !foreground.is_empty();
        let series = if has_foreground { vec![all, foreground] } else { vec![all] };
        if let Some(svg) = charts::shares(&series, range, "intensity") {
            let names =
                if has_foreground { &["all voxels", "foreground"][..] } else { &["all voxels"] };
            put!(figures, "{}", figure(&channel.name, &svg, names));
        }
    }
    if body.is_empty() {
        return String::new();
    }
    let head = "<th scope=\"col\" class=\"text\">channel</th><th scope=\"col\">least</th>\
                <th scope=\"col\">mean</th><th scope=\"col\">deviation</th><th scope=\"col\">largest</th>\
                <th scope=\"col\">not finite</th>";
    format!(
        "{}<div class=\"charts\">\n{figures}</div>\n\
         <p class=\"note\">Each case counts alike; a two-hundredth of the values at either end is counted in the \
         bin there.</p>\n",
        table("", "Intensities of all voxels", head, &body)
    )
}

fn classes(summary: &Summary, looked: &BTreeMap<String, Looked>) -> String {
    let mut body = String::new();
    let mut figures = String::new();
    for (index, class) in summary.classes.iter().enumerate() {
        let volumes: Vec<f64> = looked
            .values()
            .filter_map(|it| it.volumes.get(index).copied())
            .filter(|volume| *volume > 0.0)
            .collect();
        let mut sorted = volumes.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| quantile(&sorted, share);
        put!(
            body,
            "<tr><th scope=\"row\" class=\"text\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            escape(&class.name),
            class.cases,
            quantity(Some(100.0 * class.fraction), "%"),
            number(at(0.0)),
            number(at(0.5)),
            number(at(1.0))
        );
        if index > 0
            && let Some(svg) = charts::counts(&volumes, "volume, ml", "cases")
        {
            put!(figures, "{}", figure(&class.name, &svg, &[]));
        }
    }
    if summary.labelled == 0 {
        return String::new();
    }
    let head = "<th scope=\"col\" class=\"text\">class</th><th scope=\"col\">cases</th>\
                <th scope=\"col\">share of voxels</th><th scope=\"col\">least, ml</th>\
                <th scope=\"col\">median, ml</th><th scope=\"col\">largest, ml</th>";
    format!(
        "{}<div class=\"charts\">\n{figures}</div>\n\
         <p class=\"note\">Volumes are of cases in which a class occurs; of several raters the mean, of soft labels \
         the sum of probabilities.</p>\n",
        table("", "How much there is of each class", head, &body)
    )
}

fn raters(summary: &Summary, looked: &BTreeMap<String, Looked>) -> String {
    let agreements: Vec<f64> = looked.values().filter_map(|it| it.agreement).collect();
    let Some(svg) = charts::counts(&agreements, "mean Dice of pairs of raters", "cases") else {
        return String::new();
    };
    let opinions: Vec<String> = summary
        .raters
        .iter()
        .map(|found| {
            format!("{} have {}", plural(found.cases, "case"), plural(found.masks, "mask"))
        })
        .collect();
    let mut sorted = agreements;
    sorted.sort_by(f64::total_cmp);
    format!(
        "<p>{}. In the median case raters agree to a Dice of {}, in the one with most doubt to {}.</p>\n\
         <div class=\"charts\">\n{}</div>\n",
        opinions.join(", "),
        number(quantile(&sorted, 0.5)),
        number(quantile(&sorted, 0.0)),
        figure("Agreement", &svg, &[])
    )
}

fn figure(title: &str, svg: &charts::Drawing, names: &[&str]) -> String {
    let title = escape(title);
    let mut legend = String::new();
    if names.len() > 1 {
        for (series, name) in names.iter().enumerate() {
            put!(legend, "<li><i class=\"chip s{}\"></i>{name}</li>", series % SERIES);
        }
        legend = format!("<ul class=\"legend\">{legend}</ul>");
    }
    let drawing = svg.inline("chart", &title);
    format!("<figure class=\"chart\"><h3>{title}</h3>{drawing}{legend}</figure>\n")
}

/// What lies between the outermost two-hundredths of values.
fn middle(values: &[f64]) -> Option<[f64; 2]> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some([quantile(&sorted, 0.005)?, quantile(&sorted, 0.995)?])
}

/// The value below which a share of sorted values lies.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to `last`")]
    let place = (share * last as f64).round() as usize;
    Some(sorted[place])
}
