use anyhow::{Context, ensure};
use golden::{Case, Group, Tolerance, close, number};
use ndarray::Array3;
use sconce_preprocess::{
    Fraction, Fusion, LabelSmoothing, MultiLabelStapleEstimate, Staple, StapleEstimate, Truth,
    fuse, label_boundary, label_voting, mean_of_raters, rater_weights, rng, soft_from_foreground,
};
use volume::{Grid, Label, LabelMap};

use super::{EXACT, EXEMPT, channels, labels, views, wide};

#[test]
fn golden_raters() {
    Group::load("raters").check(
        |_| true,
        EXEMPT,
        |case| match case.function.as_str() {
            "multi_rater_consensus" => consensus(case),
            "STAPLEImageFilter" => staple(case),
            "LabelVoting / MultiLabelSTAPLE" => voting(case),
            "get_label_boundary + smoothing_label" => smoothing(case),
            "get_soft_label (MR)" => soft_label(case),
            other => anyhow::bail!("{other} is unknown"),
        },
    );
}

fn consensus(case: &Case) -> anyhow::Result<()> {
    let masks = labels(&case.input("raters")?)?;
    let shape = &case.output("count")?.shape;
    let foreground = |soft: ndarray::Array4<f64>| soft.index_axis_move(ndarray::Axis(0), 1);

    let mean = foreground(mean_of_raters(&views(&masks), 2, None)?);
    let tight = Tolerance::new(0.0, 1e-12);
    case.expect("uniform_mean", shape, &wide(&mean), tight)?;
    case.expect("count", shape, &wide(&(mean * masks.len() as f64)), tight)?;
    let weights = rater_weights(&views(&masks), 2, true)?;
    case.expect("rater_weight_f64", &[masks.len()], &weights, tight)?;
    let weighted = foreground(mean_of_raters(&views(&masks), 2, Some(&weights))?);
    case.expect("weighted_mean_f64", shape, &wide(&weighted), tight)?;

    // The same through the door that training uses.
    let grid = Grid::new(masks[0].dim().into(), [1.0; 3])?;
    let maps = masks.iter().map(|mask| LabelMap::new(grid.clone(), mask.clone()));
    let label = Label::raters(maps.collect::<Result<_, _>>()?)?;
    let fused = |fusion| fuse(&label, 2, &fusion, &mut rng(0, 0, "golden"));
    let weighted = fused(Fusion::WeightedMean { quirk: true })?.to_soft(2);
    let weighted = weighted.index_axis(ndarray::Axis(0), 1);
    case.expect("weighted_mean_f32", shape, &wide(weighted), Tolerance::new(0.0, 1e-6))?;
    let Truth::Hard(majority) = fused(Fusion::Majority)? else {
        anyhow::bail!("a majority is hard")
    };
    case.expect("majority", shape, &wide(&majority.mapv(f64::from)), EXACT)
}

fn staple(case: &Case) -> anyhow::Result<()> {
    ensure!(case.params["foreground"] == 1, "only label 1 is foreground");
    let masks = labels(&case.input("raters")?)?;
    let default = Staple::default();
    let settings = Staple {
        confidence_weight: case.param("confidence_weight")?,
        max_iterations: case.params["maximum_iterations"]
            .as_u64()
            .map_or(default.max_iterations, |most| most as usize),
    };

    let found = StapleEstimate::of(&views(&masks), settings)?;

    let shape = &case.output("probability")?.shape;
    let loose = Tolerance::new(0.0, 1e-5);
    case.expect("probability", shape, &wide(&found.probability), loose)?;
    case.expect("sensitivity", &[masks.len()], &found.sensitivity, loose)?;
    case.expect("specificity", &[masks.len()], &found.specificity, loose)?;
    let iterations = number(&case.expected["elapsed_iterations"])?;
    close(&[found.iterations as f64], &[iterations], EXACT).context("iterations")
}

fn voting(case: &Case) -> anyhow::Result<()> {
    let masks = labels(&case.input("raters")?)?;
    let classes = case.param("num_classes")? as usize;
    let undecided = case.param("undecided_label")? as u16;
    let shape = &case.output("label_voting")?.shape;

    let voted = label_voting(&views(&masks), classes, undecided)?;
    case.expect("label_voting", shape, &wide(&voted.mapv(f64::from)), EXACT)?;

    let found = MultiLabelStapleEstimate::of(&views(&masks), classes, Staple::default())?;
    let none = classes as u16;
    let estimated: Array3<u16> = found.labels.mapv(|l| if l == none { undecided } else { l });
    case.expect("multilabel_staple", shape, &wide(&estimated.mapv(f64::from)), EXACT)?;
    let confusion = found.confusion.concat().concat();
    let expected = case.output("multilabel_staple_confusion")?;
    close(&confusion, &expected.values, case.tolerance("confusion", EXACT)).context("confusion")?;

    let soft = mean_of_raters::<f64>(&views(&masks), classes, None)?;
    close(&wide(&soft), &case.output("soft_mean")?.values, Tolerance::new(0.0, 1e-12))
        .context("soft mean")
}

fn smoothing(case: &Case) -> anyhow::Result<()> {
    let classes = case.param("num_classes")? as usize;
    let kernel = case.param("k")? as usize;
    let epsilon = Fraction::try_from(case.param("epsilon")?)?;
    let ignored = case.params["ignore_value"].as_u64().map(|value| value as u16);
    let (mut boundaries, mut soft) = (Vec::new(), Vec::new());
    for mut label in labels(&case.input("label")?)? {
        label.mapv_inplace(|l| if Some(l) == ignored { classes as u16 } else { l });

        let boundary = label_boundary(label.view(), classes, kernel, 3)?;
        boundaries.extend(boundary.iter().map(|&b| f64::from(u8::from(b))));
        let smoothing = LabelSmoothing::Boundary { epsilon, kernel };
        soft.extend(wide(&smoothing.apply(&Truth::Hard(label), classes, 3)?.to_soft(classes)));
    }
    case.expect("boundary", &case.output("boundary")?.shape, &boundaries, EXACT)?;
    case.expect("soft", &case.output("soft")?.shape, &soft, Tolerance::new(0.0, 1e-6))
}

fn soft_label(case: &Case) -> anyhow::Result<()> {
    let ignore = case.param("ignore_value")?;
    let (mut soft, mut kept) = (Vec::new(), Vec::new());
    for map in channels::<f64>(&case.input("label")?)?.outer_iter() {
        let (two, keep) = soft_from_foreground(map, Some(ignore));
        // An ignored voxel is 0 in both classes here, and the ignore value in the reference.
        for class in two.outer_iter() {
            soft.extend(class.iter().zip(&keep).map(|(&p, &keep)| if keep { p } else { ignore }));
        }
        kept.extend(keep.iter().map(|&keep| f64::from(u8::from(keep))));
    }
    case.expect("soft", &case.output("soft")?.shape, &soft, EXACT)?;
    case.expect("keep_mask", &case.output("keep_mask")?.shape, &kept, EXACT)
}
