//! The page that shows a data set.

use data::{Dataset, Layout as _, Phantom, PhantomConfig};
use engine::Provenance;
use engine::report::data_set;

use crate::fixture::Balls;

fn page(dataset: &dyn Dataset, pictures: usize) -> (data::Summary, String) {
    let provenance = Provenance::of_command("<made>");
    data_set(dataset, pictures, &provenance, &|_, _| ()).expect("a page")
}

#[test]
fn a_page_shows_cases_intensities_classes_and_raters() {
    let mut dataset = Balls::new(5, [10, 20, 18]);
    dataset.rename_class("ball & <chain>");
    let (summary, first) = page(&dataset, 3);

    assert_eq!((summary.cases, summary.labelled), (5, 5));
    assert_eq!(first, page(&dataset, 3).1, "equal data make equal bytes");
    for id in ["cases", "pictures", "intensities", "classes"] {
        assert!(first.contains(&format!("<section id=\"{id}\">")), "{id}");
        assert!(first.contains(&format!("<a href=\"#{id}\">")), "{id}");
    }
    assert!(!first.contains("<section id=\"raters\">"), "there is one opinion of each case");
    assert_eq!(first.matches("<svg class=\"panel\"").count(), 3);
    assert!(first.contains("ball &amp; &lt;chain&gt;") && !first.contains("<chain>"));
    assert!(first.contains("&lt;made&gt;"));
    let (_, body) = first.split_once("</style>").expect("a page has a style");
    assert!(!body.contains("prediction"), "nothing was predicted");
    for outside in ["http:", "https:", "src=", "@import", "url("] {
        assert!(!first.contains(outside), "{outside}");
    }
}

#[test]
fn where_several_drew_the_page_says_how_far_they_agree() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        PhantomConfig { cases: 3, raters: 3, size: [8, 32, 32], ..PhantomConfig::default() };
    Phantom::new(config).unwrap().write(folder.path(), |_, _| ()).unwrap();
    let dataset = data::recognize(folder.path()).unwrap().open(folder.path()).unwrap();

    let (summary, page) = page(dataset.as_ref(), 0);

    assert_eq!(summary.raters.len(), 1);
    assert!(page.contains("<section id=\"raters\">") && page.contains("3 cases have 3 masks"));
    assert!(!page.contains("<section id=\"pictures\">"));
}

#[test]
fn cases_that_cannot_be_read_or_have_no_label_do_not_keep_the_page_from_being_made() {
    let mut dataset = Balls::new(4, [6, 12, 12]);
    dataset.unlabeled = Some("ball_1".to_owned());

    let (summary, page) = page(&dataset, 4);

    assert_eq!((summary.cases, summary.labelled), (4, 3));
    assert_eq!(page.matches("<svg class=\"panel\"").count(), 3, "those with foreground are shown");
}
