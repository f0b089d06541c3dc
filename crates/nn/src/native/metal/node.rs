//! How a result that is there already enters the graph.

#[cfg(feature = "metal")]
use candle::MetalStorage;
use candle::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Storage, Tensor};

/// How the gradient of a result becomes that of what it was computed from.
pub(super) trait Backward: Send + Sync + 'static {
    /// The name of the operation.
    const NAME: &'static str;

    /// The gradients of `inputs`, none for those that do not track it; `dy` is contiguous.
    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>>;
}

/// `y`, which was computed from `inputs`, as a node of their graph, where they have one.
pub(super) fn record(inputs: &[&Tensor], y: Tensor, backward: impl Backward) -> Result<Tensor> {
    if !inputs.iter().any(|input| input.track_op()) {
        return Ok(y);
    }
    let node = Node { y, backward };
    match inputs {
        [a] => a.apply_op1(node),
        [a, b] => a.apply_op2(b, node),
        [a, b, c] => a.apply_op3(b, c, node),
        _ => candle::bail!("an operation of {} tensors", inputs.len()),
    }
}

/// A custom operation whose forward pass hands over what is there: it shares the memory of `y`.
struct Node<B> {
    y: Tensor,
    backward: B,
}

impl<B: Backward> Node<B> {
    fn on_cpu(&self) -> Result<(CpuStorage, Shape)> {
        let (storage, layout) = self.y.storage_and_layout();
        match &*storage {
            Storage::Cpu(storage) => Ok((storage.clone(), layout.shape().clone())),
            _ => candle::bail!("{} was not computed on the CPU", B::NAME),
        }
    }

    #[cfg(feature = "metal")]
    fn on_metal(&self) -> Result<(MetalStorage, Shape)> {
        let (storage, layout) = self.y.storage_and_layout();
        match &*storage {
            Storage::Metal(storage) => Ok((storage.clone(), layout.shape().clone())),
            _ => candle::bail!("{} was not computed on Metal", B::NAME),
        }
    }

    fn backward<const N: usize>(
        &self,
        inputs: [&Tensor; N],
        dy: &Tensor,
    ) -> Result<[Option<Tensor>; N]> {
        let gradients = self.backward.gradients(&inputs, &dy.contiguous()?)?;
        <[Option<Tensor>; N]>::try_from(gradients).map_err(|gradients| {
            candle::Error::msg(format!("{} has {} gradients", B::NAME, gradients.len()))
        })
    }
}

impl<B: Backward> CustomOp1 for Node<B> {
    fn name(&self) -> &'static str {
        B::NAME
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    #[cfg(feature = "metal")]
    fn metal_fwd(&self, _: &MetalStorage, _: &Layout) -> Result<(MetalStorage, Shape)> {
        self.on_metal()
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let [gradient] = self.backward([x], dy)?;
        Ok(gradient)
    }
}

impl<B: Backward> CustomOp2 for Node<B> {
    fn name(&self) -> &'static str {
        B::NAME
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    #[cfg(feature = "metal")]
    fn metal_fwd(
        &self,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        self.on_metal()
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok(self.backward([a, b], dy)?.into())
    }
}

impl<B: Backward> CustomOp3 for Node<B> {
    fn name(&self) -> &'static str {
        B::NAME
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    #[cfg(feature = "metal")]
    fn metal_fwd(
        &self,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        self.on_metal()
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        Ok(self.backward([a, b, c], dy)?.into())
    }
}
