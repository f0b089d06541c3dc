use ndarray::Array4;
use sconce_data::{
    Fold, ProblemKind, Report, Severity, check, check_with_folds, summary, write_image,
};
use volume::{Grid, Image};

use crate::folder::{Folder, block, slice};

fn silent(_: usize, _: usize) {}

fn report(folder: &Folder) -> Report {
    check(&*folder.open("[pairs]"), &silent)
}

/// The problems of one kind: case and message.
fn of_kind(report: &Report, kind: ProblemKind) -> Vec<(Option<&str>, &str)> {
    let problems = report.problems.iter().filter(|problem| problem.kind == kind);
    problems.map(|problem| (problem.case.as_deref(), problem.message.as_str())).collect()
}

/// Two sound cases, so that the set has a usual spacing.
fn sound() -> Folder {
    let folder = Folder::new();
    for (case, origin) in [("s1", 0.0), ("s2", 7.0)] {
        let grid = Grid { origin: [origin, 0.0, 0.0], ..block() };
        folder.labels(
            &format!("labels/{case}.nii.gz"),
            &grid,
            &[0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        );
        // The image is another one in each case.
        let data =
            Array4::from_shape_fn((1, 2, 2, 3), |(_, _, _, x)| if x == 0 { 1.0 } else { 2.0 });
        let image = Image::new(grid, data * f32::from(u8::from(origin > 0.0) + 1)).unwrap();
        std::fs::create_dir_all(folder.root().join("images")).unwrap();
        write_image(folder.root().join(format!("images/{case}.nii.gz")), &image).unwrap();
    }
    folder
}

#[test]
fn a_sound_set_has_no_problems() {
    let report = report(&sound());

    assert_eq!(report.problems, []);
    assert_eq!((report.cases, report.errors(), report.warnings()), (2, 0, 0));
    assert!(report.to_string().ends_with("2 cases, 0 errors, 0 warnings"));
}

#[test]
fn every_dirty_file_is_found_named_and_explained() {
    let folder = sound();
    let all = [0; 12];
    let mut values = all;
    values[3] = 9;
    let far = Grid { spacing: [50.0, 2.0, 1.0], ..block() };
    let elsewhere = Grid { origin: [0.0, 90.0, 0.0], ..block() };
    let large = Grid::new([9, 20, 30], [5.0, 2.0, 1.0]).unwrap();
    folder
        .image("images/copy1.nii.gz", &block(), 1)
        .labels("labels/copy1.nii.gz", &block(), &[1; 12])
        .image("images/copy2.nii.gz", &block(), 1)
        .labels("labels/copy2.nii.gz", &block(), &all)
        .image("images/elsewhere.nii.gz", &block(), 1)
        .labels("labels/elsewhere.nii.gz", &elsewhere, &all)
        .image("images/far.nii.gz", &far, 1)
        .labels("labels/far.nii.gz", &far, &[1; 12])
        .image("images/lonely.nii.gz", &block(), 1)
        .image("images/values.nii.gz", &block(), 1)
        .labels("labels/values.nii.gz", &block(), &values)
        .labels("labels/stray.nii.gz", &large, &[0; 9 * 20 * 30])
        .text("images/text.nii.gz", "no image");
    let mut data = Array4::zeros((1, 2, 2, 3));
    data[[0, 1, 0, 2]] = f32::NAN;
    write_image(folder.root().join("images/nan.nii"), &Image::new(block(), data).unwrap()).unwrap();
    std::fs::rename(folder.root().join("images/nan.nii"), folder.root().join("images/nan.nii.gz"))
        .unwrap();
    folder.labels("labels/nan.nii.gz", &block(), &[1; 12]);

    let report = report(&folder);

    let found = |kind| of_kind(&report, kind);
    let cases = |kind| found(kind).into_iter().map(|(case, _)| case).collect::<Vec<_>>();
    assert_eq!(cases(ProblemKind::EmptyLabel), [Some("copy2")]);
    assert_eq!(cases(ProblemKind::Geometry), [Some("elsewhere")]);
    assert_eq!(cases(ProblemKind::SpacingOutlier), [Some("far")]);
    assert_eq!(cases(ProblemKind::Unreadable), [Some("text")]);
    assert_eq!(cases(ProblemKind::LabelValues), [Some("values")]);
    assert_eq!(cases(ProblemKind::NonFinite), [Some("nan")]);
    assert_eq!(cases(ProblemKind::ConstantImage), [Some("nan")]);
    assert_eq!(cases(ProblemKind::NoLabel), [Some("lonely")]);
    assert!(found(ProblemKind::NonFinite)[0].1.contains("the first at voxel [1, 0, 2]"));
    assert!(found(ProblemKind::LabelValues)[0].1.contains("values = [9]"));
    let (_, stray) = found(ProblemKind::NoImage)[0];
    assert!(
        stray.contains("labels/stray.nii.gz") && stray.contains("far from the median"),
        "{stray}"
    );
    let (_, copies) = found(ProblemKind::DuplicateImage)[0];
    assert!(copies.starts_with("cases copy1 and copy2 have the same image"), "{copies}");
    // Errors come first, and each is one line.
    let severities: Vec<_> = report.problems.iter().map(|problem| problem.severity).collect();
    assert!(severities.is_sorted_by_key(|&severity| severity == Severity::Warning));
    assert!(report.problems.iter().all(|problem| !problem.message.contains('\n')));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["problems"][0]["severity"], "error");
}

#[test]
fn remarks_of_readers_and_idle_classes_are_reported_once() {
    let folder = Folder::new();
    for case in ["a", "b"] {
        let mut header = crate::samples::nifti_header(&[3, 2, 2], 2, 8, *b"n+1\0");
        header[254] = 0; // no sform
        header.extend((0..12_u8).map(|value| value * if case == "a" { 1 } else { 2 }));
        folder.bytes(&format!("images/{case}.nii.gz"), &header);
    }

    let report = report(&folder);

    let remarks = of_kind(&report, ProblemKind::Remark);
    assert_eq!(remarks.len(), 1, "{report}");
    assert!(remarks[0].1.contains("images/a.nii.gz and 1 others: there is no orientation"));
    assert_eq!(of_kind(&report, ProblemKind::NoLabel).len(), 1);
    folder.labels("labels/a.png", &slice(), &[0; 6]);
    assert_eq!(of_kind(&report, ProblemKind::UnusedClass).len(), 0);
}

#[test]
fn a_summary_counts_what_is_there() {
    let folder = sound();
    folder.text("images/text.nii.gz", "no image");

    let summary = summary(&*folder.open("[pairs]"), &silent);

    assert_eq!((summary.cases, summary.unreadable, summary.labelled, summary.groups), (3, 1, 2, 3));
    let [z, y, x] = summary.spacing.unwrap();
    assert_eq!([z.median, y.minimum, x.maximum], [5.0, 2.0, 1.0]);
    // s1 holds 1, 2, 2 and s2 holds 2, 4, 4, over and over: mean 2.5, mean square 7.5.
    let channel = &summary.channels[0];
    assert_eq!((channel.minimum, channel.maximum), (Some(1.0), Some(4.0)));
    approx::assert_abs_diff_eq!(channel.mean.unwrap(), 2.5, epsilon = 1e-12);
    approx::assert_abs_diff_eq!(channel.standard_deviation.unwrap().powi(2), 1.25, epsilon = 1e-12);
    let foreground = &summary.classes[1];
    assert_eq!((foreground.cases, foreground.voxels), (2, 4.0));
    approx::assert_abs_diff_eq!(foreground.fraction, 4.0 / 24.0, epsilon = 1e-12);
    assert!(summary.to_string().contains("class      foreground: in 2 cases, 4 voxels, 16.6667 %"));
}

#[test]
fn progress_reaches_the_number_of_cases() {
    let most = std::sync::atomic::AtomicUsize::new(0);
    let progress = |done: usize, total: usize| {
        assert!(done <= total);
        most.fetch_max(done, std::sync::atomic::Ordering::Relaxed);
    };

    check(&*sound().open("[pairs]"), &progress);

    assert_eq!(most.into_inner(), 2);
}

#[test]
fn cases_with_fewer_raters_are_one_remark() {
    let folder = Folder::new();
    for (case, raters) in [("case01", 3), ("case02", 2), ("case03", 1)] {
        folder.image(&format!("{case}/image.nii.gz"), &block(), 1);
        for rater in 1..=raters {
            let name = format!("{case}/task01_seg0{rater}.nii.gz");
            folder.labels(&name, &block(), &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        }
    }

    let report = check(&*folder.open("[raters]"), &silent);
    let found = of_kind(&report, ProblemKind::MissingRater);
    let [(Some("case02"), message)] = found.as_slice() else { panic!("{found:?}") };
    assert!(
        message.contains("masks of 01, 02 only, of 3 raters (and 1 others have fewer, too)"),
        "{message}"
    );
}

#[test]
fn what_is_held_out_must_not_be_trained_on_in_any_guise() {
    let folder = sound();
    folder.labels("labels/s3.nii.gz", &block(), &[0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    std::fs::copy(folder.root().join("images/s1.nii.gz"), folder.root().join("images/s3.nii.gz"))
        .unwrap();
    let fold = |train: &[&str], val: &[&str]| {
        let list = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        Fold { train: list(train), val: list(val) }
    };
    let found = |settings: &str, folds: &[Fold]| -> Vec<String> {
        let report = check_with_folds(&*folder.open(settings), folds, &silent);
        let about = [ProblemKind::Leakage, ProblemKind::Split];
        let problems = report.problems.into_iter().filter(|it| about.contains(&it.kind));
        problems.map(|problem| problem.message).collect()
    };
    let one = |settings: &str, folds: &[Fold], part: &str| {
        let found = found(settings, folds);
        assert!(found.len() == 1 && found[0].contains(part), "{found:?}, not {part}");
    };

    assert!(found("[pairs]", &[fold(&["s1", "s3"], &["s2"])]).is_empty());
    one("[pairs]", &[fold(&["s1"], &["s1"])], "fold 0: case s1 is both trained on and held out");
    one("[pairs]", &[fold(&["s1"], &["s3"])], "s3 is held out, but s1, which has the same image");
    one("[pairs]", &[fold(&["s1", "s9"], &["s2"])], "there is no case s9 in the data set");
    one(
        "[pairs]\ngroup = \"all\"",
        &[fold(&["s1"], &["s2"])],
        "s2 is held out, but s1 of the same group, all, is trained on",
    );
    let folds = [fold(&["s2"], &["s1", "s3"]), fold(&["s2"], &["s1", "s3"])];
    let found = found("[pairs]", &folds);
    assert_eq!(
        found,
        [
            "case s2 is held out by no fold: scores of all folds together leave it out",
            "case s1 (and 1 others) is held out by several folds: scores of all folds together count it \
             more than once",
        ]
    );
}
