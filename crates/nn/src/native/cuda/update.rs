use candle::{Result, Tensor};

use super::Lent;
use super::launch::{self, Row};
use crate::optim::{Adaption, Change, Descent, Rule};

/// Makes the changes in place, those of one rule in one launch; each memory stays where it is.
pub(crate) fn change(
    mut changes: Vec<Change>,
    mut remember: impl FnMut(&str, Vec<Tensor>),
) -> Result<()> {
    while let Some(rule) = changes.first().map(|change| change.rule) {
        let (alike, others) = changes.into_iter().partition(|change| change.rule == rule);
        changes = others;
        step(&alike, rule)?;
        for Change { name, memory, .. } in alike {
            remember(&name, memory);
        }
    }
    Ok(())
}

/// The parameter, its gradient and its memory.
fn lent(change: &Change) -> Vec<Lent<'_>> {
    let Change { value, gradient, memory, .. } = change;
    [value.as_tensor(), gradient].into_iter().chain(memory).map(Lent::of).collect()
}

fn step(changes: &[Change], rule: Rule) -> Result<()> {
    // What a kernel writes is not locked for it: all kernels run on one stream, one after the other, so
    // that whoever reads a parameter sees it before the step or after.
    let lent: Vec<_> = changes.iter().map(lent).collect();
    let arrays = lent
        .iter()
        .map(|row| row.iter().map(Lent::array).collect())
        .collect::<Result<Vec<Vec<_>>>>()?;
    let mut rows = Vec::new();
    for (change, arrays) in changes.iter().zip(&arrays) {
        let [value, gradient, memory @ ..] = arrays.as_slice() else { continue };
        let (memory, count) = (memory.iter().collect(), change.value.elem_count());
        rows.push(Row { value, gradient, memory, count });
    }
    let Some(first) = lent.first().and_then(|row| row.first()) else { return Ok(()) };
    match rule {
        Rule::Descent(rule) => launch::descend(&first.gpu()?, &rows, &descent(&rule)),
        Rule::Adaption(rule) => launch::adapt(&first.gpu()?, &rows, &adaption(&rule)),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "computed in single precision")]
fn descent(rule: &Descent) -> launch::Descent {
    launch::Descent {
        decay: rule.decay as f32,
        momentum: rule.momentum as f32,
        fresh: rule.fresh as f32,
        nesterov: rule.nesterov,
        first: rule.first,
        rate: rule.rate as f32,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "computed in single precision")]
fn adaption(rule: &Adaption) -> launch::Adaption {
    launch::Adaption {
        decay: rule.decay as f32,
        shrink: rule.shrink.unwrap_or(1.0) as f32,
        keep: rule.keep.map(|keep| keep as f32),
        take: rule.keep.map(|keep| (1.0 - keep) as f32),
        unit: (1.0 / rule.scale) as f32,
        eps: rule.eps as f32,
        amsgrad: rule.amsgrad,
        rate: rule.rate as f32,
    }
}
