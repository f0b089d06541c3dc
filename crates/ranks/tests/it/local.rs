use candle::{DType, Device, Tensor};
use sconce_ranks::{Error, Group, Result};

use crate::each;

fn all<T>(results: Vec<Result<T>>) -> Result<Vec<T>> {
    results.into_iter().collect()
}

#[test]
fn sums_are_taken_in_the_order_of_ranks() -> anyhow::Result<()> {
    // The last first, the small numbers would not be lost: their sum is closer to the next f32.
    let values = [1e8_f32, 3.0, 3.0];

    let sums = all(each(3, |group| {
        let mut sum = [values[group.rank()], 1.0];
        group.sum_f32(&mut sum)?;
        Ok(sum)
    }))?;

    assert_eq!(sums, [[1e8, 3.0]; 3]);
    Ok(())
}

#[test]
fn what_one_tells_or_gathers_is_what_others_have() -> anyhow::Result<()> {
    let told = all(each(3, |group| {
        let mut bytes = vec![7; group.rank()];
        group.broadcast(2, &mut bytes)?;
        let gathered = group.gather(1, &vec![0; group.rank()])?;
        group.barrier()?;
        group.finish()?;
        Ok((bytes, gathered))
    }))?;

    let lengths = vec![vec![], vec![0], vec![0, 0]];
    let expected = [(vec![7; 2], None), (vec![7; 2], Some(lengths)), (vec![7; 2], None)];
    assert_eq!(told, expected);
    Ok(())
}

#[test]
fn tensors_keep_their_type_and_shape() -> anyhow::Result<()> {
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        let sums = all(each(2, |group| {
            let own = Tensor::full(group.rank() as f32 + 1.0, (2, 1, 3), &Device::Cpu)?;
            group.sum_tensor(&own.to_dtype(dtype)?)
        }))?;

        for sum in sums {
            assert_eq!((sum.dims(), sum.dtype()), (&[2, 1, 3][..], dtype));
            let values = sum.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            assert_eq!(values, [3.0; 6]);
        }
    }
    Ok(())
}

#[test]
fn a_rank_that_differs_is_named_to_all() {
    let results = each(3, |group| {
        group.agree("plan", b"same")?;
        assert!(group.any(group.rank() == 2)? && !group.any(false)?);
        group.agree("plan", if group.rank() == 2 { b"other" } else { b"own" })
    });

    for result in results {
        assert_eq!(
            result.map_err(|error| error.to_string()),
            Err("rank 2 has another plan than rank 0: start all ranks with the same files and options"
                .to_owned()),
        );
    }
}

#[test]
fn nobody_waits_for_a_rank_that_has_gone() {
    let results = each(3, |group| {
        group.barrier()?;
        if group.rank() == 1 { Ok(()) } else { group.barrier() }
    });

    assert!(results[1].is_ok());
    assert!(matches!(results[0], Err(Error::Gone { rank: 1 })), "{results:?}");
    assert!(matches!(results[2], Err(Error::Gone { rank: 1 })), "{results:?}");
}

#[test]
fn a_rank_can_end_the_job() {
    let results = each(3, |group| {
        if group.rank() == 2 {
            group.abort(7);
        }
        group.sum_f64(&mut [0.0])
    });

    assert!(
        results.iter().all(|it| matches!(it, Err(Error::Aborted { rank: 2, code: 7 }))),
        "{results:?}",
    );
}

#[test]
fn ranks_that_do_not_do_the_same_are_told_so() {
    let results = each(2, |group| {
        let mut values = vec![0.0; 2 + group.rank()];
        group.sum_f64(&mut values)
    });

    for result in results {
        let text = result.map_err(|error| error.to_string());
        let expected = |rank, own, others| {
            Err(format!(
                "rank {rank} is at a sum of {own} f64, while others are at a sum of {others} f64: all ranks must do \
                 the same"
            ))
        };
        assert!(text == expected(0, 2, 3) || text == expected(1, 3, 2), "{text:?}");
    }
}

#[test]
fn nothing_comes_after_the_end_and_no_rank_after_the_last() {
    let results = each(2, |group| {
        let none = group.broadcast(2, &mut Vec::new());
        assert!(matches!(none, Err(Error::NoRank { rank: 2, size: 2 })));
        assert!(matches!(group.gather(3, &[]), Err(Error::NoRank { rank: 3, size: 2 })));
        group.finish()?;
        group.barrier()
    });

    assert!(results.iter().all(|it| matches!(it, Err(Error::Finished))), "{results:?}");
}
